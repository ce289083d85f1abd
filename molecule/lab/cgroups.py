# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cgroups: how the lab finds every process that it has ever started, also after a run that was killed.

Only cgroup2 is used, wherever it is mounted; what else a hybrid machine has is neither used nor shown to hosts. The lab's
cgroup lies below that of whoever made the lab, which is theirs to divide on any machine:

    podnet-lab-ID/NAME/supervisor    the two processes beside a host
    podnet-lab-ID/NAME/host          the host; root of its cgroup namespace
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from . import kernel
from .errors import LabError, NotPossible
from .place import Lab, write

_GONE_SECONDS = 10


def own() -> Path:
    """The directory of the calling process's cgroup."""
    mounted = [mount for mount in kernel.mounts() if mount.fstype == "cgroup2"]
    if not mounted:
        raise NotPossible("cgroup2 is not mounted here (mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified)")
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    path = next(line.split(":", 2)[2] for line in lines if line.startswith("0::"))
    relative = os.path.relpath(path, mounted[0].root)
    # Out of view in a container that sees only a part of the tree: what is mounted is all we have.
    return Path(mounted[0].target) / ("." if relative.startswith("..") else relative)


def make(lab: Lab) -> None:
    """Make the lab's cgroup; where it is, is on record before it exists."""
    record = lab.base / "cgroup"
    if not record.exists():
        write(record, str(own() / lab.name))
    _recorded(lab).mkdir(exist_ok=True)


def of_host(lab: Lab, name: str) -> Path:
    return _recorded(lab) / name / "host"


def of_supervisor(lab: Lab, name: str) -> Path:
    return _recorded(lab) / name / "supervisor"


def enter(directory: Path) -> None:
    """Move the calling process there."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "cgroup.procs").write_text("0")


def processes(directory: Path) -> list[int]:
    """Everything in this cgroup and below."""
    found: list[int] = []
    for file in directory.glob("**/cgroup.procs"):
        with suppress(FileNotFoundError, OSError):
            found += map(int, file.read_text().split())
    # 0 is a process of a PID namespace that we do not see.
    return [pid for pid in found if pid]


def end_host(lab: Lab, name: str) -> None:
    """Kill a host. The supervisor goes first: it would take the rest for a power cut, and boot again."""
    for directory in (of_supervisor(lab, name), of_host(lab, name)):
        _kill(directory)
    remove(_recorded(lab) / name)


def end_all(lab: Lab) -> None:
    """Kill everything that was ever started in this lab."""
    if not (lab.base / "cgroup").exists():
        return
    for directory in (*_recorded(lab).glob("*/supervisor"), _recorded(lab)):
        _kill(directory)
    remove(_recorded(lab))


def remove(directory: Path) -> None:
    """Remove a cgroup that has no processes any more, with all below."""
    deadline = time.monotonic() + _GONE_SECONDS
    for path, _names, _files in os.walk(directory, topdown=False):
        while True:
            try:
                os.rmdir(path)
                break
            except FileNotFoundError:
                break
            except OSError as error:
                # The kernel counts a killed process a little longer.
                if time.monotonic() > deadline:
                    raise LabError(f"cannot remove {path}: {error.strerror}") from None
                time.sleep(0.01)


def _recorded(lab: Lab) -> Path:
    return Path((lab.base / "cgroup").read_text())


def _kill(directory: Path) -> None:
    deadline = time.monotonic() + _GONE_SECONDS
    while pids := processes(directory):
        if time.monotonic() > deadline:
            raise LabError(f"processes of {directory} cannot be killed: {' '.join(map(str, pids))}")
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
