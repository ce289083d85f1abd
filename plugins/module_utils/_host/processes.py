# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes: the pause of a sandbox, and whoever else lives in its namespaces. Signals go through pidfds only."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from .._errors import KernelError, MissingDependency
from . import cgroups, namespaces, programs, syscalls

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


def living_in(wanted: Mapping[str, namespaces.Identity]) -> list[int]:
    """Processes of which any namespace is one of these (by kind), this one left out."""
    links = {kind: f"{kind}:[{inode}]" for kind, (_device, inode) in wanted.items()}
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        for kind, link in links.items():
            try:
                here = os.readlink(f"/proc/{entry}/ns/{kind}")
            except OSError:
                continue
            if here == link and _stat(int(entry))[0] not in ("", "Z", "X"):
                found.append(int(entry))
                break
    return sorted(found)


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
        pids = [pid for pid in living_in(wanted) if pid not in spare]
        if not pids:
            return
        end(pids, timeout, inside)
        timeout = 0.0
    raise KernelError("processes in the sandbox fork faster than they can be ended; stop what starts them")


def pause_command() -> list[str]:
    """catatonit where installed (it reaps), else sleep."""
    catatonit = programs.find("catatonit")
    if catatonit:
        return [catatonit, "-P"]
    sleep = programs.find("sleep")
    if sleep is None:
        raise MissingDependency("neither catatonit nor sleep is installed: install the package catatonit")
    return [sleep, "infinity"]


def start_pause(pins: Mapping[str, str], *, new_pid: bool, unit: str, title: str, write_down: Callable[[Process], None]) -> Process:
    """Start the pause inside the pinned namespaces and see it there.

    The child waits until it has been verified, written down and moved to a cgroup of its own, and only then becomes
    the pause; if this process dies before, the child ends by itself. Raises KernelError, MissingDependency, OSError.
    """
    command = pause_command()
    fds = {kind: os.open(path, os.O_RDONLY | os.O_CLOEXEC) for kind, path in pins.items()}
    status_read, status_write = os.pipe()
    go_read, go_write = os.pipe()
    try:
        launcher = os.fork()
        if launcher == 0:
            os.close(status_read)
            os.close(go_write)
            _launch(command, fds, new_pid, status_write, go_read)
        os.close(status_write)
        os.close(go_read)
        status_write = go_read = -1
        os.waitpid(launcher, 0)
        pid, number = _report(status_read)
        if number or pid <= 0:
            raise KernelError(f"the pause process cannot enter its namespaces: {os.strerror(number or errno.EIO)}")
        _verify(pid, pins, new_pid)
        process = current(pid)
        write_down(process)
        cgroups.give_own(pid, unit, title)
        os.write(go_write, b"!")
        pid, number = _report(status_read)
        if number:
            raise KernelError(f"the pause process cannot be started: {command[0]}: {os.strerror(number)}")
        if not process.alive:
            raise KernelError(f"the pause process {command[0]} ended at once; run it by hand to see why")
        return process
    finally:
        for fd in (*fds.values(), status_read, status_write, go_read, go_write):
            if fd >= 0:
                os.close(fd)


def _launch(command: list[str], fds: Mapping[str, int], new_pid: bool, status: int, go: int) -> NoReturn:
    """In the launcher: enter, fork the pause-to-be, tell its pid, go away. Nothing here may return or raise."""
    try:
        os.setsid()
        for kind, fd in fds.items():
            syscalls.setns(fd, syscalls.CLONE[kind])
        if new_pid:
            syscalls.unshare(syscalls.CLONE_NEWPID)
        pid = os.fork()
        if pid:
            os.write(status, struct.pack("ii", pid, 0))
            os._exit(0)
    except OSError as error:
        os.write(status, struct.pack("ii", 0, error.errno or errno.EIO))
        os._exit(1)
    try:
        if os.read(go, 1) != b"!":
            os._exit(1)
        null = os.open("/dev/null", os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        os.chdir("/")
        os.umask(0o022)
        for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.set_inheritable(status, False)
        _close_all_but(status)
        os.execve(command[0], command, programs.ENVIRONMENT)
    except OSError as error:
        os.write(status, struct.pack("ii", 0, error.errno or errno.EIO))
    finally:
        os._exit(1)


def _close_all_but(kept: int) -> None:
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) != kept:
            with contextlib.suppress(OSError):
                os.close(int(name))


def _report(fd: int) -> tuple[int, int]:
    """(pid, errno) from the child; (0, 0) at the end of the file: the exec went well, or it is gone."""
    data = os.read(fd, 8)
    return struct.unpack("ii", data) if len(data) == 8 else (0, 0)


def _verify(pid: int, pins: Mapping[str, str], new_pid: bool) -> None:
    for kind, path in pins.items():
        if namespace_of(pid, kind) != namespaces.identity(path):
            raise KernelError(f"the pause process is not in the {kind} namespace at {path}")
    if new_pid and namespace_of(pid, "pid") in (None, namespaces.host_identity("pid")):
        raise KernelError("the pause process has no pid namespace of its own")


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


def _stat(pid: int) -> tuple[str, int]:
    """State and start time (clock ticks since boot) of /proc/PID/stat; the name before them may hold anything."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            rest = file.read().rpartition(b")")[2].split()
    except OSError:
        return "", 0
    return rest[0].decode(), int(rest[19])
