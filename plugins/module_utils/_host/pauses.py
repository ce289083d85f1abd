# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pause processes: started inside their sandboxes, many at once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from .._errors import KernelError, MissingDependency
from . import cgroups, namespaces, processes, programs, syscalls
from .processes import Process
from .systemd import Scope

# What becomes the pause, once it is told to. Whoever started it and dies before takes it along: it reads the end of the file.
_WAITING = 'cd / && umask 022 && read -r go && exec "$@" </dev/null'
_SIGNALS = (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE = 10.0
_Action = tuple[Any, ...]


@dataclass(frozen=True)
class Wanted:
    """``pins``: the namespaces by kind. ``unit`` and ``title``: see systemd.Scope."""

    pins: Mapping[str, str]
    new_pid: bool
    unit: str
    title: str
    write_down: Callable[[Process], None]


def command() -> list[str]:
    """catatonit where installed (it reaps), else sleep."""
    catatonit = programs.find("catatonit")
    if catatonit:
        return [catatonit, "-P"]
    sleep = programs.find("sleep")
    if sleep is None:
        raise MissingDependency("neither catatonit nor sleep is installed: install the package catatonit")
    return [sleep, "infinity"]


def start(wanted: Sequence[Wanted]) -> None:
    """Start all of them, or none, and see them there.

    Each waits until it has been verified, written down and moved to a cgroup of its own, and only then becomes the pause;
    if this process dies before, they end by themselves. Raises KernelError, MissingDependency, OSError.
    """
    argv = command()
    started: list[Process] = []
    gates: list[int] = []
    null = [(os.POSIX_SPAWN_OPEN, stream, "/dev/null", os.O_RDWR, 0) for stream in (1, 2)]
    actions = [*null, *((os.POSIX_SPAWN_CLOSE, fd) for fd in _inherited())]
    try:
        with cgroups.places() as give_own:
            for item in wanted:
                ear, gate = os.pipe()
                gates.append(gate)
                try:
                    started.append(_waiting(item, argv, [(os.POSIX_SPAWN_DUP2, ear, 0), *actions]))
                finally:
                    os.close(ear)
                item.write_down(started[-1])
                give_own(Scope(started[-1].pid, item.unit, item.title))
        for gate in gates:
            os.write(gate, b"go\n")
        _await(started, argv[0])
    except BaseException:
        processes.end([process.pid for process in started], 0.0, lambda pid: any(item.pid == pid and item.alive for item in started))
        raise
    finally:
        for gate in gates:
            os.close(gate)


def _waiting(wanted: Wanted, argv: Sequence[str], actions: Sequence[_Action]) -> Process:
    """One that waits inside the namespaces."""
    if wanted.new_pid:
        # What a thread unshares is its own (unshare(2)), and there is no way back from a namespace of PIDs for all users.
        with ThreadPoolExecutor(1) as aside:
            pid = aside.submit(_spawn, wanted, argv, actions).result()
    else:
        pid = _spawn(wanted, argv, actions)
    _verify(pid, wanted)
    return processes.current(pid)


def _spawn(wanted: Wanted, argv: Sequence[str], actions: Sequence[_Action]) -> int:
    """Children are born in the namespaces of their parent, so this process enters for a moment."""
    shell = programs.required("sh", "dash")
    with namespaces.entered(wanted.pins):
        if wanted.new_pid:
            syscalls.unshare(syscalls.CLONE_NEWPID)
        return os.posix_spawn(
            shell,
            [shell, "-c", _WAITING, shell, *argv],
            programs.ENVIRONMENT,
            file_actions=actions,
            setsid=True,
            setsigmask=(),
            setsigdef=_SIGNALS,
        )


def _inherited() -> list[int]:
    """Descriptors that somebody has left open for children of this process."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if int(name) > 2 and os.get_inheritable(int(name)):
                found.append(int(name))
        except OSError:  # that of the listing itself
            continue
    return found


def _verify(pid: int, wanted: Wanted) -> None:
    for kind, path in wanted.pins.items():
        if processes.namespace_of(pid, kind) != namespaces.identity(path):
            raise KernelError(f"the pause process is not in the {kind} namespace at {path}")
    if wanted.new_pid and processes.namespace_of(pid, "pid") in (None, namespaces.host_identity("pid")):
        raise KernelError("the pause process has no pid namespace of its own")


def _await(started: Sequence[Process], program: str) -> None:
    """Until every one of them is the program that it was told to become."""
    meant = os.stat(program)
    deadline = time.monotonic() + _PATIENCE
    for process in started:
        while not _runs(process.pid, meant):
            if not process.alive:
                raise KernelError(f"the pause process {program} ended at once; run it by hand to see why")
            if time.monotonic() > deadline:
                raise KernelError(f"the pause process {program} has not started within {_PATIENCE:.0f} seconds")
            time.sleep(0.0005)


def _runs(pid: int, program: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/exe"), program)
    except OSError:
        return False
