# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes, and who lives in which namespaces. Signals go through pidfds only."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from .._errors import KernelError
from . import namespaces

_ROUNDS = 20


@dataclass(frozen=True)
class Process:
    """A process that was, and maybe still is: a pid alone may be somebody else's by now."""

    pid: int
    start: int

    @property
    def alive(self) -> bool:
        """Running, and the one that was meant; a zombie is dead."""
        state, start = _stat(self.pid)
        return start == self.start and state not in ("", "Z", "X")


def current(pid: int) -> Process:
    return Process(pid, _stat(pid)[1])


def namespace_of(pid: int, kind: str) -> namespaces.Identity | None:
    return namespaces.identity(f"/proc/{pid}/ns/{kind}")


class Census:
    """Who lives in which namespaces, after one walk through /proc; this process left out."""

    def __init__(self, kinds: Iterable[str] = ("net", "ipc", "uts", "pid")) -> None:
        self._residents: dict[str, list[int]] = {}
        me = os.getpid()
        for pid in [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]:
            for kind in kinds if pid != me else ():
                with contextlib.suppress(OSError):
                    self._residents.setdefault(os.readlink(f"/proc/{pid}/ns/{kind}"), []).append(pid)

    def living_in(self, wanted: Mapping[str, namespaces.Identity]) -> list[int]:
        """Those of which any namespace is one of these (by kind), and that still run."""
        links = (f"{kind}:[{inode}]" for kind, (_device, inode) in wanted.items())
        found = {pid for link in links for pid in self._residents.get(link, ())}
        return sorted(pid for pid in found if _stat(pid)[0] not in ("", "Z", "X"))


def end(pids: Iterable[int], timeout: float, still_meant: Callable[[int], bool]) -> None:
    """TERM, ``timeout`` seconds, KILL; a pid is opened first and checked then, so that no stranger is hit.

    Raises KernelError where one outlives KILL.
    """
    fds: dict[int, int] = {}
    try:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                fds[pid] = os.pidfd_open(pid)
                if not still_meant(pid):
                    os.close(fds.pop(pid))
        for number, patience in ((signal.SIGTERM, timeout), (signal.SIGKILL, 10.0)):
            if number == signal.SIGTERM and not timeout:
                continue
            for fd in fds.values():
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(fd, number)
            _wait(fds, patience)
        if fds:
            raise KernelError(
                f"process {', '.join(str(pid) for pid in fds)} does not end on SIGKILL; see what it waits for in /proc/PID/wchan"
            )
    finally:
        for fd in fds.values():
            os.close(fd)


def end_all_in(wanted: Mapping[str, namespaces.Identity], spare: frozenset[int], timeout: float) -> None:
    """End everything that lives there, also what is forked meanwhile."""

    def inside(pid: int) -> bool:
        return any(namespace_of(pid, kind) == identity for kind, identity in wanted.items())

    for _round in range(_ROUNDS):
        pids = [pid for pid in Census(wanted).living_in(wanted) if pid not in spare]
        if not pids:
            return
        end(pids, timeout, inside)
        timeout = 0.0
    raise KernelError("processes in the sandbox fork faster than they can be ended; stop what starts them")


def _wait(fds: dict[int, int], patience: float) -> None:
    """Wait for processes to end, dropping those that do."""
    poller = select.poll()
    for fd in fds.values():
        poller.register(fd, select.POLLIN)
    deadline = time.monotonic() + patience
    while fds:
        ready = {fd for fd, _event in poller.poll(max(0.0, deadline - time.monotonic()) * 1000)}
        if not ready and time.monotonic() >= deadline:
            return
        for pid in [pid for pid, fd in fds.items() if fd in ready]:
            poller.unregister(fds[pid])
            os.close(fds.pop(pid))
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)  # one that this very process has started


def _stat(pid: int) -> tuple[str, int]:
    """State and start time (clock ticks since boot) of /proc/PID/stat; the name before them may hold anything."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            rest = file.read().rpartition(b")")[2].split()
    except OSError:
        return "", 0
    return rest[0].decode(), int(rest[19])
