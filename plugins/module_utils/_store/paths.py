# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things are kept."""

from __future__ import annotations

RUN = "/run/podnet"
"""What a reboot takes along: the lock, and per sandbox what is."""

LIB = "/var/lib/podnet"
"""What outlives a reboot: what is wanted, and the leases."""

LOCK = f"{RUN}/lock"
SANDBOXES = f"{RUN}/sandboxes"
VOLATILE = f"{RUN}/desired"
LEASES = f"{LIB}/leases"
ROOTFS = f"{LIB}/rootfs"
NETNS = "/run/netns"
ETC_NETNS = "/etc/netns"


def sandbox_directory(sandbox_id: str) -> str:
    return f"{SANDBOXES}/{sandbox_id}"
