# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A place of its own for the pause process, so that it outlives the session or unit it was started from."""

from __future__ import annotations

import contextlib
import os

from .._errors import KernelError
from . import programs

_SYSTEMD = "/run/systemd/system"
_ROOTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
_PARENT = "podnet"
_INITIAL_CGROUP_NAMESPACE = 0xEFFFFFFB
_INITIAL_PID_NAMESPACE = 0xEFFFFFFC


def give_own(pid: int, unit: str, title: str) -> None:
    """A transient systemd scope where systemd is PID 1 (sd_booted(3)), else a cgroup where the hierarchy is ours.

    Raises KernelError where systemd refuses.
    """
    if os.path.isdir(_SYSTEMD):
        _scope(pid, unit, title)
        return
    root = _hierarchy()
    if root is None:
        return
    directory = f"{root}/{_PARENT}/{unit}"
    with contextlib.suppress(OSError):
        os.makedirs(directory, exist_ok=True)
        with open(f"{directory}/cgroup.procs", "w", encoding="ascii") as file:
            file.write(str(pid))


def remove(unit: str) -> None:
    """The empty cgroup of an ended pause; systemd collects its scopes itself."""
    root = _hierarchy()
    if root is None:
        return
    for directory in (f"{root}/{_PARENT}/{unit}", f"{root}/{_PARENT}"):
        with contextlib.suppress(OSError):
            os.rmdir(directory)


def _scope(pid: int, unit: str, title: str) -> None:
    busctl = programs.required("busctl", "systemd")
    result = programs.run(
        [
            *(busctl, "--quiet", "call"),
            *("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"),
            *("StartTransientUnit", "ssa(sv)a(sa(sv))", f"{unit}.scope", "fail", "3"),
            *("PIDs", "au", "1", str(pid), "Description", "s", title),
            *("CollectMode", "s", "inactive-or-failed", "0"),
        ]
    )
    if result.returncode:
        raise KernelError(f"systemd gives the pause process no scope of its own: {result.stderr.strip()}")


def _hierarchy() -> str | None:
    """The root of the unified hierarchy, where it is writable and belongs to the system that this process is part of.

    In a pid namespace with the machine's cgroup namespace (a container without one, a test) it belongs to the machine.
    """
    initial = [
        os.stat(f"/proc/self/ns/{kind}").st_ino == number
        for kind, number in (("cgroup", _INITIAL_CGROUP_NAMESPACE), ("pid", _INITIAL_PID_NAMESPACE))
    ]
    if initial[0] != initial[1]:
        return None
    return next((root for root in _ROOTS if os.path.exists(f"{root}/cgroup.procs") and os.access(root, os.W_OK)), None)
