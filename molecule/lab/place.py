# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a lab is on the machine, and what is known about its hosts."""

from __future__ import annotations

import fcntl
import hashlib
import ipaddress
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from .errors import LabError

CLONE = Path(__file__).resolve().parents[2]
# Every lab has a network namespace of its own, so that all of them can use the same addresses.
NETWORK = ipaddress.IPv4Network("10.231.0.0/16")
NETWORK6 = ipaddress.IPv6Network("fd00:231::/64")
CONTROLLER = NETWORK[1]
CONTROLLER6 = NETWORK6[1]
BRIDGE = "underlay"

_LOCK_SECONDS = 60


@dataclass(frozen=True)
class Host:
    """What a host was asked to be. Its name is also that of its link at the underlay's bridge."""

    name: str
    address: str
    init: str
    logind: bool
    trees: tuple[str, ...]

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,14}", self.name) or self.name in ("lo", BRIDGE):
            raise LabError(f"{self.name!r} cannot be a host's name: 1 to 15 of a-z, 0-9 and -, starting with a letter")
        try:
            address = ipaddress.IPv4Address(self.address)
        except ValueError:
            raise LabError(f"{self.name}: {self.address!r} is not an IPv4 address") from None
        if address not in NETWORK or address in (NETWORK[0], CONTROLLER, NETWORK[-1]):
            raise LabError(f"{self.name}: {address} is not an address for hosts of {NETWORK}")

    @property
    def address6(self) -> ipaddress.IPv6Address:
        """The last two numbers of the other address: 10.231.2.1 is fd00:231::2:1."""
        high, low = ipaddress.IPv4Address(self.address).packed[2:]
        return NETWORK6[(int(str(high), 16) << 16) + int(str(low), 16)]

    @property
    def mac(self) -> str:
        return "02:f1:" + ":".join(f"{byte:02x}" for byte in ipaddress.IPv4Address(self.address).packed)


@dataclass(frozen=True)
class Lab:
    """A lab is a directory with a tmpfs on it, and a cgroup; both are gone when the lab is."""

    base: Path

    @property
    def name(self) -> str:
        """Of the cgroup, too."""
        return self.base.name

    @property
    def underlay(self) -> Path:
        """The network namespace with the bridge, for ``nsenter --net=``."""
        return self.base / "underlay"

    @property
    def ssh(self) -> Path:
        """Has ``key``, ``key.pub`` and ``known_hosts``."""
        return self.base / "ssh"

    @property
    def control(self) -> Path:
        """For ControlPath of SSH clients, so that the lab can end what they keep open."""
        return self.base / "control"

    @property
    def hosts(self) -> Path:
        return self.base / "hosts"

    def of(self, name: str) -> Path:
        """A host's directory: host.json, upper, work, root, plain, pid, boots, failure and logs."""
        return self.hosts / name

    def names(self) -> list[str]:
        return sorted(record.parent.name for record in self.hosts.glob("*/host.json"))

    def load(self, name: str) -> Host:
        try:
            fields = json.loads((self.of(name) / "host.json").read_text())
        except FileNotFoundError:
            raise LabError(f"there is no host {name}; hosts: {' '.join(self.names()) or 'none'}") from None
        return Host(**{**fields, "trees": tuple(fields["trees"])})

    def save(self, host: Host) -> None:
        self.of(host.name).mkdir(exist_ok=True)
        write(self.of(host.name) / "host.json", json.dumps(asdict(host)))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One change at a time. The lock is on a file of the clone, since nothing of the lab's own stays."""
        with (CLONE / "molecule" / "lab" / "run").open() as file:
            deadline = time.monotonic() + _LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise LabError(f"another up or down of this lab has been running for {_LOCK_SECONDS} s") from None
                    time.sleep(0.05)
            yield


def here() -> Lab:
    """The lab of this clone, unless ``PODNET_LAB`` names another directory."""
    chosen = os.environ.get("PODNET_LAB")
    # molecule/shared/inventory/lab.yml has the same formula.
    base = Path(chosen or f"/run/podnet-lab-{hashlib.sha1(str(CLONE).encode()).hexdigest()[:10]}")
    # Plain and short, for SSH options and socket paths; and nobody else's, since down --all unmounts all that is there.
    if not re.fullmatch(r"/run/podnet-lab-[A-Za-z0-9_-]{1,30}", str(base)):
        raise LabError(f"PODNET_LAB={base}: has to be /run/podnet-lab-NAME, with at most 30 of A-Z, a-z, 0-9, _ and - as the name")
    return Lab(base)


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace a file at once, so that a killed run leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    new.chmod(mode)
    new.replace(path)
