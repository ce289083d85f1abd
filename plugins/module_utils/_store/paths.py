# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things are kept."""

from __future__ import annotations

import os

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


def pools() -> str:
    """Free-standing pools: the host's, or those of an ordinary user."""
    return f"{LIB}/pools" if os.geteuid() == 0 else f"{user_state()}/pools"


def lock() -> str:
    """What excludes runs on the host from each other, and those of an ordinary user on its own pools."""
    return LOCK if os.geteuid() == 0 else f"{user_state()}/lock"


def user_state() -> str:
    """What an ordinary user keeps (XDG Base Directory Specification)."""
    home = os.environ.get("XDG_STATE_HOME", "")
    if not home.startswith("/"):
        home = os.path.expanduser("~/.local/state")
    return f"{home}/podnet"


def sandbox_directory(sandbox_id: str) -> str:
    return f"{SANDBOXES}/{sandbox_id}"
