# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many neighbours the kernel keeps, over all network namespaces (arp(7), gc_thresh3): too few for many sandboxes."""

from __future__ import annotations

from .draft import Draft

_MOST = "net/ipv4/neigh/default/gc_thresh3"
# The sandbox keeps its gateway, and the host the sandbox.
_EACH = 2


def warn_of_neighbours(draft: Draft) -> None:
    """A full table loses connections of sandboxes and of the host itself, here and there, and nothing says why."""
    needed = _EACH * len(draft.sandboxes)
    # The kernel shows it to the host alone, where that is no namespace itself.
    setting = draft.observed.sysctls.get(_MOST)
    if setting is not None and needed > int(setting.value):
        draft.warn(
            f"{len(draft.sandboxes)} sandboxes take up to {needed} neighbours, and this kernel keeps {setting.value} for all of its "
            f"network namespaces: raise {_MOST.replace('/', '.')} (the role podnet.linux.host does)"
        )
