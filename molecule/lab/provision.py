# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has of its own before its first boot: the upper layer over the machine's root.

A host starts as a machine fresh from its installer: the programs, the users and the defaults in /etc of the machine below, but
none of its data, services, keys or settings.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

from .errors import LabError
from .needs import SSHD_TREE, search_path
from .place import Host, Lab, write

ROOT = Path("/")

# What a host sees of the machine's /. Everything else there is hidden: homes, data, clones, mount points.
_SHOWN = {"bin", "etc", "lib", "lib32", "lib64", "libx32", "sbin", "usr", "var"}
# In /var only what belongs to installed packages.
_SHOWN_IN_VAR = {"lib"}
_SHOWN_IN_VAR_LIB = {"dpkg", "pam", "polkit-1"}
# In /etc, settings that are the machine's and not a distribution's.
_HIDDEN_IN_ETC = (
    "cni/net.d",
    "cron.d",
    "firewalld/zones",
    "iptables",
    "modules-load.d",
    "netns",
    "network",
    "nftables.d",
    "ssh",
    "sysctl.d",
    "systemd/network",
    "systemd/system",
    "tmpfiles.d",
    "udev/rules.d",
)
# podman's own overlays cannot lie on an overlay, so these are plain directories.
PLAIN = ("var/lib/containers",)

# /etc/systemd/system of a host is empty, so that only what packages start in any case is started; and what asks for a real
# machine (udev, modules, clock, disks) sees a read-only /sys and too few capabilities, and stays away by itself. The rest:
_MASKED = (
    # Ask passwords of a person at a console, with an inotify instance each, of which the machine has 128 for all.
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
    # There is no console for it to log in at.
    "console-getty.service",
    # Mounts of the kernel's that exist once for the whole machine.
    "dev-hugepages.mount",
    "sys-fs-fuse-connections.mount",
    # Listens for devices that appear; there are none, and it would be the machine's business.
    "systemd-udevd-kernel.socket",
    "systemd-udevd-control.socket",
)
_MASKED_WITHOUT_LOGIND = ("systemd-logind.service",)

_FILES = {
    # The machine's disks are not the host's.
    "etc/fstab": "",
    # Proxies and the like.
    "etc/environment": "",
    "etc/sysctl.conf": "",
    "etc/resolv.conf": "# The lab has no resolver.\n",
    "etc/modules": "",
    "etc/systemd/journald.conf.d/lab.conf": "[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\n",
    # A service that does not stop must not hold up a reboot for longer than a test waits.
    "etc/systemd/system.conf.d/lab.conf": "[Manager]\nDefaultTimeoutStopSec=15s\n",
    # What the package installs; the machine's own may be anything.
    "etc/nftables.conf": """#!/usr/sbin/nft -f

flush ruleset

table inet filter {
\tchain input {
\t\ttype filter hook input priority filter;
\t}
\tchain forward {
\t\ttype filter hook forward priority filter;
\t}
\tchain output {
\t\ttype filter hook output priority filter;
\t}
}
""",
    "etc/ssh/sshd_config": """HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
UsePAM yes
UseDNS no
PrintMotd no
AcceptEnv LANG LC_*
# Many plays at once.
MaxSessions 100
MaxStartups 200:30:400
Subsystem sftp internal-sftp
""",
    "root/.bashrc": "",
}


def provision(lab: Lab, host: Host) -> None:
    """Fill a host's upper layer, once."""
    directory = lab.of(host.name)
    if (directory / "provisioned").exists():
        return
    # What a killed run has left half done.
    for name in ("upper", "plain"):
        shutil.rmtree(directory / name, ignore_errors=True)
    upper = directory / "upper"
    for name in ("upper", "work", "root", *(f"plain/{name}" for name in PLAIN)):
        (directory / name).mkdir(parents=True, exist_ok=True)
    upper.chmod(0o755)

    for hidden in _hidden():
        _hide(upper, hidden)
    for tree in (str(SSHD_TREE), *host.trees):
        _add_tree(upper, Path(tree))
    for name, text in _FILES.items():
        write(upper / name, text)
    write(upper / "etc/hostname", f"{host.name}\n")
    write(upper / "etc/machine-id", f"{uuid.uuid4().hex}\n", 0o444)
    (upper / "var/lib/dbus").mkdir(parents=True, exist_ok=True)
    (upper / "var/lib/dbus/machine-id").symlink_to("/etc/machine-id")
    _write_hosts(lab, upper)
    _add_ssh(lab, upper)
    if host.init == "systemd":
        _choose_units(upper, host)
    write(directory / "provisioned", "")


def make_keys(lab: Lab) -> None:
    """Make the key that opens every host of the lab."""
    lab.ssh.mkdir(exist_ok=True)
    lab.control.mkdir(exist_ok=True)
    if not (lab.ssh / "key").exists():
        _ssh_keygen(lab.ssh / "key", "lab")


def publish_host_keys(lab: Lab) -> None:
    """Write who is who, for SSH clients."""
    lines = []
    for name in lab.names():
        key = lab.of(name) / "upper/etc/ssh/ssh_host_ed25519_key.pub"
        if key.exists():
            kind, blob, *_comment = key.read_text().split()
            lines.append(f"{lab.load(name).address},{name} {kind} {blob}\n")
    write(lab.ssh / "known_hosts", "".join(lines))


def _hidden() -> Iterator[Path]:
    """Directories of the machine that are empty in a host."""
    for parent, shown in ((ROOT, _SHOWN), (ROOT / "var", _SHOWN_IN_VAR), (ROOT / "var/lib", _SHOWN_IN_VAR_LIB)):
        yield from (path for path in parent.iterdir() if path.name not in shown)
    yield from (ROOT / "etc" / name for name in _HIDDEN_IN_ETC)


def _hide(upper: Path, path: Path) -> None:
    """Cover a directory with an empty one that has the same owner and mode (overlayfs.rst, "whiteouts and opaque directories")."""
    if path.is_symlink() or not path.is_dir():
        return
    cover = upper / path.relative_to(ROOT)
    cover.mkdir(parents=True)
    status = path.stat()
    os.chown(cover, status.st_uid, status.st_gid)
    cover.chmod(status.st_mode & 0o7777)
    os.setxattr(cover, "trusted.overlay.opaque", b"y")


def _add_tree(upper: Path, tree: Path) -> None:
    """Copy an unpacked package into a host."""
    if not tree.is_dir():
        raise LabError(f"{tree} is not a directory")
    for part in tree.iterdir():
        if part.name in _SHOWN:
            # /lib is a link to /usr/lib, and a directory of the upper layer would hide it.
            place = upper / (ROOT / part.name).resolve().relative_to(ROOT)
            shutil.copytree(part, place, symlinks=True, dirs_exist_ok=True)


def _write_hosts(lab: Lab, upper: Path) -> None:
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    for name in lab.names():
        host = lab.load(name)
        lines += [f"{host.address} {name}", f"{host.address6} {name}"]
    write(upper / "etc/hosts", "\n".join(lines) + "\n")


def _add_ssh(lab: Lab, upper: Path) -> None:
    # sshd drops its rights to this user, whom the package's installation would have made.
    passwd = (ROOT / "etc/passwd").read_text()
    if "\nsshd:" not in passwd:
        taken = {line.split(":")[2] for line in passwd.splitlines()}
        uid = next(uid for uid in range(999, 100, -1) if str(uid) not in taken)
        write(upper / "etc/passwd", f"{passwd}sshd:x:{uid}:65534::/run/sshd:/usr/sbin/nologin\n")
    _ssh_keygen(upper / "etc/ssh/ssh_host_ed25519_key", "host")
    authorized = upper / "root/.ssh/authorized_keys"
    write(authorized, (lab.ssh / "key.pub").read_text(), 0o600)
    authorized.parent.chmod(0o700)


def _ssh_keygen(path: Path, comment: str) -> None:
    done = subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=20,
        env={"PATH": search_path()},
        check=False,
    )
    if done.returncode:
        raise LabError(f"ssh-keygen: {done.stderr.strip()}")


def _choose_units(upper: Path, host: Host) -> None:
    units = upper / "etc/systemd/system"
    wanted = units / "multi-user.target.wants"
    wanted.mkdir(parents=True, exist_ok=True)
    (wanted / "ssh.service").symlink_to("/lib/systemd/system/ssh.service")
    for name in (*_MASKED, *(() if host.logind else _MASKED_WITHOUT_LOGIND)):
        (units / name).symlink_to("/dev/null")
