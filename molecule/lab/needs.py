# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine must have for a lab."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from . import cgroups
from .errors import LabError, NotPossible
from .place import CLONE

# Unpacked by scripts/setup and put into each host. Installed on the machine it would become a service there.
SSHD_TREE = CLONE / ".cache" / "sshd"
SYSTEMD = Path("/lib/systemd/systemd")

# Program or file, and the Debian package that has it.
_PROGRAMS = {
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "nc.openbsd": "netcat-openbsd",
    "catatonit": "catatonit",
    "dbus-daemon": "dbus-daemon",
    "/usr/bin/dbus-send": "dbus-bin",
    "/lib/systemd/system/dbus.socket": "dbus",
    "/usr/bin/python3": "python3",
    str(SYSTEMD): "systemd",
    "/usr/share/pam-configs/systemd": "libpam-systemd",
}


def search_path() -> str:
    """PATH with the directories that an ordinary user's lacks."""
    return f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/sbin:/sbin"


def check() -> None:
    """Raise what stands in the way of a lab here."""
    if os.geteuid() != 0:
        raise NotPossible("hosts of their own take root, and this is an ordinary user")
    missing = [(name, package) for name, package in _PROGRAMS.items() if not shutil.which(name, path=search_path()) and not _is_file(name)]
    if missing:
        names = ", ".join(name for name, _package in missing)
        packages = " ".join(sorted({package for _name, package in missing}))
        raise LabError(f"missing {names}: run scripts/setup, or apt-get install --no-install-recommends {packages}")
    if not (SSHD_TREE / "usr/sbin/sshd").exists():
        raise LabError(f"missing {SSHD_TREE}/usr/sbin/sshd: run scripts/setup")
    if os.path.ismount("/usr"):
        raise NotPossible("/usr is a file system of its own here; a host's root is made of the one at /")
    made = subprocess.run(["unshare", "-nmpiuCf", "true"], capture_output=True, text=True, timeout=20, check=False)
    if made.returncode:
        raise NotPossible(f"this root may not make namespaces ({made.stderr.strip()}); a container would have to be privileged")
    cgroups.own()


def _is_file(name: str) -> bool:
    return name.startswith("/") and Path(name).is_file()
