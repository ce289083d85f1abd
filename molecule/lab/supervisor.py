# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process beside a host: it plugs the host in, waits for its end, and boots it again after a reboot or a power cut."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from . import boot, cgroups, kernel, underlay
from .errors import LabError
from .kernel import Namespace
from .place import Host, Lab, write

# How one boot ended, as an exit status.
_OFF, _AGAIN, _FAILED = 0, 1, 2

_TROUBLE = (OSError, LabError, subprocess.TimeoutExpired)


def start(lab: Lab, host: Host) -> None:
    """Start a supervisor, which outlives the calling process and has nothing of it."""
    directory = lab.of(host.name)
    for name in ("failure", "pid"):
        (directory / name).unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        os.setsid()
        # The grandchild is nobody's child, and no session's leader.
        if os.fork() == 0:
            _guard(directory, lambda: _supervise(lab, host))
        os._exit(0)
    os.waitpid(child, 0)


def _guard(directory: Path, work: Callable[[], int]) -> None:
    """Do the work of a forked process and end it, with the reason on record where it fails."""
    status = _FAILED
    try:
        status = work()
    except _TROUBLE as error:
        write(directory / "failure", f"{error}\n")
    finally:
        os._exit(status)


def _supervise(lab: Lab, host: Host) -> int:
    cgroups.enter(cgroups.of_supervisor(lab, host.name))
    os.chdir("/")
    log = os.open(lab.of(host.name) / "supervisor.log", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in range(3):
        os.dup2(log, stream)
    # The lock of the command that started us, too.
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    kernel.enter(lab.underlay, Namespace.NET)
    number = 0
    while True:
        number += 1
        write(lab.of(host.name) / "boots", str(number))
        child = os.fork()
        if child == 0:
            _guard(lab.of(host.name), lambda: _boot(lab, host))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        (lab.of(host.name) / "pid").unlink(missing_ok=True)
        cgroups.remove(cgroups.of_host(lab, host.name))
        underlay.unplug(host)
        if status != _AGAIN:
            return status


def _boot(lab: Lab, host: Host) -> int:
    """One boot from start to end. A process of its own, since a process can make only one PID namespace."""
    isolated_read, isolated_write = os.pipe()
    plugged_read, plugged_write = os.pipe()
    kernel.unshare(Namespace.PID)
    init = os.fork()
    if init == 0:
        os.close(isolated_read)
        os.close(plugged_write)
        _guard(lab.of(host.name), lambda: _init(lab, host, isolated_write, plugged_read))
    os.close(isolated_write)
    os.close(plugged_read)
    # No byte: the other end died, and says why itself.
    if os.read(isolated_read, 1):
        underlay.plug(host, init)
        write(lab.of(host.name) / "pid", str(init))
        os.write(plugged_write, b".")
    status = os.waitstatus_to_exitcode(os.waitpid(init, 0)[1])
    # reboot(2) in a PID namespace: its init dies of SIGHUP for a restart, of SIGINT for a halt. SIGKILL is a power cut.
    return {-signal.SIGHUP: _AGAIN, -signal.SIGKILL: _AGAIN, -signal.SIGINT: _OFF}.get(status, _FAILED)


def _init(lab: Lab, host: Host, isolated: int, plugged: int) -> int:
    boot.isolate(lab, host)
    os.write(isolated, b".")
    if os.read(plugged, 1):
        boot.become_init(lab, host)
    return _FAILED
