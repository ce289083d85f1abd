# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The system calls of namespaces and mounts, which Python has only from 3.12 on or not at all."""

from __future__ import annotations

import ctypes
import os
import re
from enum import IntFlag
from pathlib import Path
from typing import NamedTuple

_libc = ctypes.CDLL(None, use_errno=True)


class Namespace(IntFlag):
    """linux/sched.h"""

    MOUNT = 0x00020000
    CGROUP = 0x02000000
    UTS = 0x04000000
    IPC = 0x08000000
    PID = 0x20000000
    NET = 0x40000000


class Flag(IntFlag):
    """linux/mount.h"""

    NONE = 0
    READ_ONLY = 1
    NO_SUID = 2
    NO_DEV = 4
    NO_EXEC = 8
    REMOUNT = 32
    BIND = 4096
    RECURSIVE = 16384
    PRIVATE = 1 << 18
    SHARED = 1 << 20


HARMLESS = Flag.NO_SUID | Flag.NO_DEV | Flag.NO_EXEC

_MNT_DETACH = 2
_PR_CAPBSET_DROP = 24


class Mount(NamedTuple):
    """One line of mountinfo."""

    root: str
    target: str
    fstype: str


def _call(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(kinds: Namespace) -> None:
    """Give the calling process namespaces of its own; that of PIDs is its next child's."""
    _call(_libc.unshare(int(kinds)), "make namespaces")


def enter(path: Path, kind: Namespace) -> None:
    """Move the calling process into the namespace that this file stands for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call(_libc.setns(descriptor, int(kind)), f"enter {path}")
    finally:
        os.close(descriptor)


def mount(source: str | Path, target: Path, fstype: str = "", flags: Flag = Flag.NONE, options: str = "") -> None:
    result = _libc.mount(
        os.fsencode(source), os.fsencode(target), fstype.encode() or None, ctypes.c_ulong(int(flags)), options.encode() or None
    )
    _call(result, f"mount {fstype or source} on {target}")


def bind(source: Path, target: Path, *, read_only: bool = False) -> None:
    """Show ``source`` at ``target``, too; the flags of a bind mount take a second call."""
    mount(source, target, flags=Flag.BIND)
    if read_only:
        mount("none", target, flags=Flag.BIND | Flag.REMOUNT | Flag.READ_ONLY | HARMLESS)


def propagate(flags: Flag) -> None:
    """Make every mount below / private or shared."""
    mount("none", Path("/"), flags=Flag.RECURSIVE | flags)


def unmount(target: Path) -> None:
    """Take the mount out of sight at once; it ends with its last user."""
    _call(_libc.umount2(os.fsencode(target), _MNT_DETACH), f"unmount {target}")


def change_root(root: Path) -> None:
    """Make ``root``, a mount point, the only file system in view."""
    os.chdir(root)
    # Old and new root on the same place: the old one comes to lie on top, and is taken away (pivot_root(2), NOTES).
    _call(_libc.pivot_root(b".", b"."), f"make {root} the root")
    unmount(Path("."))
    os.chdir("/")


def drop_capability(number: int) -> None:
    """Take a capability from this process and all its descendants, root or not."""
    _call(_libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(number), 0, 0, 0), f"drop capability {number}")


def mounts() -> list[Mount]:
    """What is mounted in this mount namespace, the newest last."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, after = line.split(" - ", 1)
        _number, _parent, _device, root, target = before.split()[:5]
        found.append(Mount(_unescape(root), _unescape(target), after.split()[0]))
    return found


def _unescape(text: str) -> str:
    r"""mountinfo writes a blank as ``\040``."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
