# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things are kept."""

from __future__ import annotations

import os
import pwd

from .._errors import NotPermitted

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


def index() -> str:
    return f"{RUN}/index"


def messages() -> str:
    return f"{RUN}/messages"


def user_state() -> str:
    """What an ordinary user keeps (XDG Base Directory Specification)."""
    state = os.environ.get("XDG_STATE_HOME", "")
    if not state.startswith("/"):
        home = os.environ.get("HOME", "")
        if not home.startswith("/"):
            home = _home()
        state = f"{home}/.local/state"
    return f"{state}/podnet"


def require_user_state() -> None:
    """Raises NotPermitted where pools could not be kept, also in check mode, which makes nothing."""
    path = user_state()
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    if not os.path.isdir(path) or not os.access(path, os.W_OK | os.X_OK):
        raise NotPermitted(
            f"pools are kept in {user_state()}, and {path} is no directory that user {os.geteuid()} may write: set XDG_STATE_HOME to one"
        )


def roots() -> tuple[str, ...]:
    """Everything below these is ours."""
    return (RUN, LIB) if os.geteuid() == 0 else (user_state(),)


def root_of(path: str) -> str | None:
    """Which of our roots the path is, or lies below."""
    return next((root for root in roots() if f"{path}/".startswith(f"{root}/")), None)


def _home() -> str:
    """Raises NotPermitted for a user without one."""
    try:
        home = pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        home = ""
    if not home.startswith("/"):
        raise NotPermitted(f"user {os.geteuid()} has no home directory to keep pools in: set XDG_STATE_HOME or HOME to an absolute path")
    return home


def sandbox_directory(sandbox_id: str) -> str:
    return f"{SANDBOXES}/{sandbox_id}"
