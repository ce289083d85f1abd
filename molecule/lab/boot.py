# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The world of a host's first process, from fresh namespaces to the start of its init."""

from __future__ import annotations

import os
import signal
import socket
import stat
import uuid
from contextlib import suppress
from pathlib import Path

from . import cgroups, kernel, underlay
from .kernel import HARMLESS, Flag, Namespace
from .needs import SYSTEMD
from .place import Host, Lab
from .provision import PLAIN

# Of these the machine has but one, which hosts share: modules, I/O ports and disks, the clock (linux/capability.h).
_CAPABILITIES_OF_THE_MACHINE = {"CAP_SYS_MODULE": 16, "CAP_SYS_RAWIO": 17, "CAP_SYS_TIME": 25}

# Character devices, with their numbers from devices.txt.
_DEVICES = {
    "null": (1, 3),
    "zero": (1, 5),
    "full": (1, 7),
    "random": (1, 8),
    "urandom": (1, 9),
    "tty": (5, 0),
    "fuse": (10, 229),
    "net/tun": (10, 200),
    # What is said there goes nowhere: the kernel's log and the console are the machine's.
    "kmsg": (1, 3),
    "console": (1, 3),
}
_DEVICE_LINKS = {
    "ptmx": "pts/ptmx",
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}

_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "TERM": "linux",
    "LANG": "C.UTF-8",
    # How systemd is told that it has no hardware of its own.
    "container": "podnet-lab",
}


def isolate(lab: Lab, host: Host) -> None:
    """Enter the host's cgroup and make its namespaces; that of PIDs has been made by the parent."""
    cgroups.enter(cgroups.of_host(lab, host.name))
    kernel.unshare(Namespace.CGROUP | Namespace.MOUNT | Namespace.UTS | Namespace.IPC | Namespace.NET)


def become_init(lab: Lab, host: Host) -> None:
    """Build the host around the calling process, and become its init. Returns only by an exception."""
    socket.sethostname(host.name)
    underlay.configure(host)
    kernel.propagate(Flag.PRIVATE)
    root = _mount_root(lab, host)
    _mount_proc(root)
    _mount_sys(root)
    _mount_scratch(root)
    _make_devices(root / "dev")
    _renew_boot_id(root)
    console = os.open(lab.of(host.name) / "console.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    kernel.change_root(root)
    # As systemd has it on a real machine, so that services see mounts that are made later.
    kernel.propagate(Flag.SHARED)
    for number in _CAPABILITIES_OF_THE_MACHINE.values():
        kernel.drop_capability(number)
    _forget_the_caller(console)
    if host.init == "systemd":
        os.execve(SYSTEMD, ["/sbin/init", "--unit=multi-user.target", "--show-status=false"], _ENVIRONMENT)
    os.execve("/usr/bin/catatonit", ["catatonit", "--", "/usr/sbin/sshd", "-D", "-e"], _ENVIRONMENT)


def _mount_root(lab: Lab, host: Host) -> Path:
    directory = lab.of(host.name)
    root = directory / "root"
    kernel.mount("overlay", root, "overlay", options=f"lowerdir=/,upperdir={directory}/upper,workdir={directory}/work")
    for name in PLAIN:
        (root / name).mkdir(parents=True, exist_ok=True)
        kernel.bind(directory / "plain" / name, root / name)
    for name in ("proc", "sys", "dev", "run", "tmp"):
        (root / name).mkdir(exist_ok=True)
    return root


def _mount_proc(root: Path) -> None:
    """Of the sysctls, those of the network namespace are the host's; the others are the machine's."""
    proc = root / "proc"
    kernel.mount("proc", proc, "proc", HARMLESS)
    kernel.bind(proc / "sys", proc / "sys")
    kernel.bind(proc / "sys/net", proc / "sys/net")
    kernel.mount("none", proc / "sys", flags=Flag.BIND | Flag.REMOUNT | Flag.READ_ONLY | HARMLESS)
    for name in ("sysrq-trigger", "irq", "bus", "acpi", "scsi"):
        if (proc / name).exists():
            kernel.bind(proc / name, proc / name, read_only=True)


def _mount_sys(root: Path) -> None:
    """A read-only /sys also tells systemd that devices are not its business; links are the host's, and cgroups."""
    sys = root / "sys"
    kernel.mount("sysfs", sys, "sysfs", HARMLESS)
    links = sys / "devices/virtual/net"
    kernel.bind(links, links)
    kernel.mount("none", sys, flags=Flag.BIND | Flag.REMOUNT | Flag.READ_ONLY | HARMLESS)
    kernel.mount("cgroup2", sys / "fs/cgroup", "cgroup2", HARMLESS)


def _mount_scratch(root: Path) -> None:
    """What a reboot empties."""
    kernel.mount("tmpfs", root / "run", "tmpfs", Flag.NO_SUID | Flag.NO_DEV, "mode=755")
    kernel.mount("tmpfs", root / "tmp", "tmpfs", Flag.NO_SUID | Flag.NO_DEV, "mode=1777")
    for name in ("run/lock", "run/sshd"):
        (root / name).mkdir()


def _make_devices(dev: Path) -> None:
    kernel.mount("tmpfs", dev, "tmpfs", Flag.NO_SUID, "mode=755")
    for name in ("net", "pts", "shm", "mqueue"):
        (dev / name).mkdir()
    for name, numbers in _DEVICES.items():
        os.mknod(dev / name, stat.S_IFCHR, os.makedev(*numbers))
        (dev / name).chmod(0o666)
    for name, target in _DEVICE_LINKS.items():
        (dev / name).symlink_to(target)
    kernel.mount("devpts", dev / "pts", "devpts", Flag.NO_SUID | Flag.NO_EXEC, "newinstance,ptmxmode=0666,mode=620,gid=5")
    kernel.mount("tmpfs", dev / "shm", "tmpfs", Flag.NO_SUID | Flag.NO_DEV, "mode=1777")
    kernel.mount("mqueue", dev / "mqueue", "mqueue", HARMLESS)


def _renew_boot_id(root: Path) -> None:
    """The kernel has one boot id; here every boot has its own, or nobody could tell that a host was rebooted."""
    file = root / "run/boot_id"
    file.write_text(f"{uuid.uuid4()}\n")
    file.chmod(0o444)
    kernel.bind(file, root / "proc/sys/kernel/random/boot_id", read_only=True)


def _forget_the_caller(console: int) -> None:
    """Nothing of the process that made the lab gets into a host: no file, terminal or signal that is ignored."""
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    os.dup2(console, 1)
    os.dup2(console, 2)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.setsid()
    os.umask(0o022)
    for number in signal.valid_signals():
        with suppress(OSError, ValueError):  # those that nobody may change
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
