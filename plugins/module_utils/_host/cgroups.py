# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A place of its own for the pause process, so that it outlives the session or unit it was started from."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

from . import systemd
from .systemd import Scope

_ROOTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
_PARENT = "podnet"
_INITIAL_CGROUP_NAMESPACE = 0xEFFFFFFB
_INITIAL_PID_NAMESPACE = 0xEFFFFFFC


@contextlib.contextmanager
def places() -> Iterator[Callable[[Scope], None]]:
    """What gives a process its own: a transient systemd scope where systemd is PID 1, else a cgroup where the hierarchy is ours.

    All have theirs at the end. Raises KernelError where systemd refuses, MissingDependency.
    """
    if systemd.is_running():
        with systemd.scopes() as scopes:
            yield scopes.ask
            scopes.settle()
        return
    root = _hierarchy()

    def give(place: Scope) -> None:
        directory = f"{root}/{_PARENT}/{place.unit}"
        with contextlib.suppress(OSError):
            os.makedirs(directory, exist_ok=True)
            with open(f"{directory}/cgroup.procs", "w", encoding="ascii") as file:
                file.write(str(place.pid))

    yield give if root is not None else lambda _place: None


def remove(unit: str) -> None:
    """The empty cgroup of an ended pause; systemd collects its scopes itself."""
    root = _hierarchy()
    if root is None:
        return
    for directory in (f"{root}/{_PARENT}/{unit}", f"{root}/{_PARENT}"):
        with contextlib.suppress(OSError):
            os.rmdir(directory)


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
