# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left of a lab that is down: nothing, or the lab has a bug."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from . import kernel
from .place import Lab


def leftovers(lab: Lab) -> Iterator[str]:
    """Every trace of this lab on the machine. A network namespace exists through a process or a mount."""
    if lab.base.exists():
        yield f"directory {lab.base}"
    mounts = kernel.mounts()
    for mount in mounts:
        if Path(mount.target).is_relative_to(lab.base):
            yield f"mount of {mount.fstype} on {mount.target}"
    for mount in mounts:
        if mount.fstype == "cgroup2":
            yield from (f"cgroup {found}" for found in Path(mount.target).glob(f"**/{lab.name}"))
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if _is_ours(lab, process):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                yield f"process {process.name}: {command}"


def _is_ours(lab: Lab, process: Path) -> bool:
    """Whether a process is in the lab's cgroup, or an SSH client with a socket in the lab."""
    command = (process / "cmdline").read_bytes()
    if not command:
        # Dead, and only its parent, the machine's init, can clear it away.
        return False
    if f"/{lab.name}/" in (process / "cgroup").read_text():
        return True
    return command.startswith(b"ssh") and str(lab.base).encode() in command
