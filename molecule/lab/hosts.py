# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts as a whole: up, down, reboot, and running commands in them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from . import cgroups, kernel, needs, provision, supervisor, underlay
from .errors import LabError
from .kernel import Flag, Namespace
from .place import Host, Lab

_INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
_INOTIFY_PER_HOST = 5
_STOP_SECONDS = 90


def up(lab: Lab, hosts: Sequence[Host], seconds: float) -> None:
    """Boot hosts, with the lab around them where there is none yet. What runs already, stays as it is."""
    needs.check()
    with lab.locked():
        _make(lab)
        _refuse_changes(lab, hosts)
        _refuse_too_many(lab, hosts)
        # All first: each of them knows the names of all.
        for host in hosts:
            lab.save(host)
        for host in hosts:
            provision.provision(lab, host)
        provision.publish_host_keys(lab)
        for host in hosts:
            if not pid(lab, host.name):
                supervisor.start(lab, host)
    _await(lab, [host.name for host in hosts], seconds)


def down(lab: Lab, names: Iterable[str]) -> None:
    """Remove hosts, with all they had, and the lab with the last one. A host that is not there is down already."""
    _as_root()
    with lab.locked():
        for name in names:
            if lab.of(name).exists():
                cgroups.end_host(lab, name)
                _in_underlay(lab, "ip", "link", "del", "dev", name)
                shutil.rmtree(lab.of(name))
        if lab.names():
            provision.publish_host_keys(lab)
        else:
            _down_all(lab)


def down_all(lab: Lab) -> None:
    """Remove the lab, whatever state it is in."""
    _as_root()
    with lab.locked():
        _down_all(lab)


def _down_all(lab: Lab) -> None:
    if not lab.base.exists():
        return
    cgroups.end_all(lab)
    _end_clients(lab)
    for mount in reversed(kernel.mounts()):
        if Path(mount.target).is_relative_to(lab.base):
            kernel.unmount(Path(mount.target))
    # Nothing is mounted there any more; an SSH client that came too late may have made a directory for its sockets.
    shutil.rmtree(lab.base)


def reboot(lab: Lab, names: Sequence[str], *, hard: bool, seconds: float) -> None:
    """Restart hosts: by their own init, or by a power cut."""
    _as_root()
    before = {name: _running(lab, name) for name in names}
    for name, init in before.items():
        if hard or lab.load(name).init != "systemd":
            os.kill(init, signal.SIGKILL)
        else:
            _run(*_entered(lab, name), "systemctl", "reboot", seconds=_STOP_SECONDS)
    deadline = time.monotonic() + _STOP_SECONDS
    for name, init in before.items():
        while pid(lab, name) in (0, init):
            _fail_early(lab, name)
            if time.monotonic() > deadline:
                raise LabError(f"{name} has not gone down within {_STOP_SECONDS} s; reboot --hard would")
            time.sleep(0.01)
    _await(lab, names, seconds)


def show(lab: Lab) -> None:
    """Print the lab's hosts."""
    for name in lab.names():
        host, init = lab.load(name), pid(lab, name)
        boots = lab.of(name) / "boots"
        state = f"running pid={init}" if init else "off"
        print(f"{name} {host.address} {host.address6} {host.init} {state} boots={boots.read_text() if boots.exists() else 0}")


def execute(lab: Lab, name: str, command: Sequence[str]) -> None:
    """Become a command that runs inside a host."""
    _as_root()
    argv = _entered(lab, name)
    # Not the cgroup of init, which systemd keeps free of others.
    cgroups.enter(cgroups.of_host(lab, name) / "lab.exec")
    os.execvpe(argv[0], [*argv, *command], _environment())


def execute_as_controller(lab: Lab, command: Sequence[str]) -> None:
    """Become a command that has the underlay's network, and is on the machine otherwise."""
    _as_root()
    if not os.path.ismount(lab.underlay):
        raise LabError("there is no lab; `up` makes one")
    kernel.enter(lab.underlay, Namespace.NET)
    os.environ["PATH"] = needs.search_path()
    os.execvp(command[0], list(command))


def pid(lab: Lab, name: str) -> int:
    """A running host's init, as the machine sees it; 0 for a host that is off."""
    with suppress(OSError, ValueError):
        found = int((lab.of(name) / "pid").read_text())
        # The number may be another's by now.
        if f"/{lab.name}/{name}/host" in Path(f"/proc/{found}/cgroup").read_text():
            return found
    return 0


def _as_root() -> None:
    if os.geteuid() != 0:
        raise LabError("only root has a lab")


def _make(lab: Lab) -> None:
    lab.base.mkdir(parents=True, exist_ok=True)
    if not os.path.ismount(lab.base):
        if list(lab.base.iterdir()):
            raise LabError(f"{lab.base} has files that are not the lab's")
        kernel.mount("podnet-lab", lab.base, "tmpfs", Flag.NO_SUID, "mode=755")
    lab.hosts.mkdir(exist_ok=True)
    cgroups.make(lab)
    provision.make_keys(lab)
    underlay.make(lab)


def _refuse_changes(lab: Lab, hosts: Sequence[Host]) -> None:
    known = [lab.load(name) for name in lab.names()]
    for host in hosts:
        for other in (*known, *hosts):
            if host.name == other.name and asdict(host) != asdict(other):
                raise LabError(f"{host.name} is there already, made otherwise; `down {host.name}` first")
            if host.name != other.name and host.address == other.address:
                raise LabError(f"{host.name} and {other.name} cannot both be {host.address}")


def _refuse_too_many(lab: Lab, hosts: Sequence[Host]) -> None:
    """Each systemd takes four or five of the inotify instances that the machine lets root have, for all that runs on it."""
    names = {host.name for host in hosts if host.init == "systemd"}
    names |= {name for name in lab.names() if lab.load(name).init == "systemd"}
    allowed = int(_INOTIFY.read_text())
    if len(names) * _INOTIFY_PER_HOST > allowed:
        most = allowed // _INOTIFY_PER_HOST
        raise LabError(
            f"{len(names)} hosts with a systemd are too many: fs.inotify.max_user_instances is {allowed} on this machine, enough for"
            f" {most}; raise it, or take --init sshd"
        )


def _running(lab: Lab, name: str) -> int:
    lab.load(name)
    # Without this, a command for a host could only end up on the machine.
    if not (found := pid(lab, name)):
        raise LabError(f"{name} is off; `up {name}={lab.load(name).address}` boots it")
    return found


def _entered(lab: Lab, name: str) -> list[str]:
    return ["/usr/bin/nsenter", "--target", str(_running(lab, name)), *["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--"]]


def _environment() -> dict[str, str]:
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "TERM": os.environ.get("TERM", "dumb"),
    }


def _run(*argv: str, seconds: float) -> str:
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        env=_environment(),
        check=False,
    )
    return done.stdout.strip()


def _in_underlay(lab: Lab, *argv: str) -> str:
    return _run("/usr/bin/nsenter", f"--net={lab.underlay}", "--", *argv, seconds=20)


def _await(lab: Lab, names: Sequence[str], seconds: float) -> None:
    """Wait until hosts can be used: sshd answers, and systemd has started what it had to."""
    deadline = time.monotonic() + seconds
    kernel.enter(lab.underlay, Namespace.NET)
    for name in names:
        while not _answers(lab.load(name).address):
            _fail_early(lab, name)
            if time.monotonic() > deadline:
                raise LabError(f"{name} does not answer within {seconds:.0f} s; see {lab.of(name)}/console.log")
            time.sleep(0.02)
    for name in names:
        host, state = lab.load(name), "running"
        if host.init == "systemd":
            left = max(1, deadline - time.monotonic())
            state = _run(*_entered(lab, name), "systemctl", "is-system-running", "--wait", seconds=left)
        print(f"{name} {host.address} {state}", flush=True)


def _answers(address: str) -> bool:
    with suppress(OSError), socket.create_connection((address, 22), timeout=1) as connection:
        # All of it, since closing with something unread resets the connection, which sshd would log as an error.
        return connection.recv(256).startswith(b"SSH-")
    return False


def _fail_early(lab: Lab, name: str) -> None:
    failure = lab.of(name) / "failure"
    if failure.exists():
        raise LabError(f"{name}: {failure.read_text().strip()}")


def _end_clients(lab: Lab) -> None:
    """End what has a foot in the lab from outside: connections that ssh keeps, and processes in the underlay."""
    for control in lab.control.glob("*"):
        _run("ssh", "-F", "none", "-o", f"ControlPath={control}", "-O", "exit", "lab", seconds=10)
    if not os.path.ismount(lab.underlay):
        return
    underlay_inode = lab.underlay.stat().st_ino
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "ns/net").stat().st_ino == underlay_inode:
                os.kill(int(process.name), signal.SIGKILL)
