# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network between the hosts: one bridge, in a network namespace that is no part of the machine's network.

The controller, that is whoever runs Ansible, stays in the machine's own namespace and gets at the hosts by a socket that is
opened in this one (``nsenter --net=UNDERLAY nc -F``).
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path

from . import kernel
from .errors import LabError
from .kernel import Namespace
from .needs import search_path
from .place import BRIDGE, CONTROLLER, CONTROLLER6, NETWORK, NETWORK6, Host, Lab


def ip(*commands: str) -> None:
    """Have iproute2 carry out commands in the namespace of the calling process."""
    done = subprocess.run(
        ["ip", "-batch", "-"],
        input="\n".join(commands) + "\n",
        capture_output=True,
        text=True,
        timeout=20,
        env={"PATH": search_path()},
        check=False,
    )
    if done.returncode:
        raise LabError(f"ip: {' '.join(done.stderr.split())}")


def make(lab: Lab) -> None:
    """Make the namespace and its bridge, and keep them with a mount."""
    if os.path.ismount(lab.underlay):
        return
    lab.underlay.touch()
    child = os.fork()
    if child == 0:
        # This process stays where it is, so the namespace is made by one that ends.
        _in_child(lab)
    if os.waitpid(child, 0)[1]:
        raise LabError(f"cannot make the underlay: {(lab.base / 'failure').read_text()}")


def _in_child(lab: Lab) -> None:
    try:
        kernel.unshare(Namespace.NET)
        quiet_ipv6()
        ip(
            "link set lo up",
            f"link add {BRIDGE} address 02:f1:00:00:00:01 type bridge forward_delay 0 mcast_snooping 0",
            f"addr add {CONTROLLER}/{NETWORK.prefixlen} dev {BRIDGE}",
            f"addr add {CONTROLLER6}/{NETWORK6.prefixlen} dev {BRIDGE} nodad",
            f"link set {BRIDGE} up",
        )
        for family in ("iptables", "ip6tables", "arptables"):
            # A cable between hosts has no firewall. Absent without br_netfilter.
            with suppress(OSError):
                Path(f"/proc/sys/net/bridge/bridge-nf-call-{family}").write_text("0")
        # Last, since a namespace that is kept counts as made.
        kernel.bind(Path("/proc/self/ns/net"), lab.underlay)
    except (OSError, LabError, subprocess.TimeoutExpired) as error:
        (lab.base / "failure").write_text(str(error))
        os._exit(1)
    os._exit(0)


def quiet_ipv6() -> None:
    """Addresses are usable at once: nobody else is on this network who could have them."""
    for which in ("all", "default"):
        with suppress(OSError):  # a machine without IPv6
            Path(f"/proc/sys/net/ipv6/conf/{which}/accept_dad").write_text("0")


def plug(host: Host, pid: int) -> None:
    """Connect the network namespace of a process with the bridge; for a process that is in the underlay."""
    unplug(host)
    ip(
        # By path: the caller's children are in the new PID namespace already, where this number means nothing.
        f"link add name {host.name} type veth peer name eth0 address {host.mac} netns /proc/{pid}/ns/net",
        f"link set dev {host.name} master {BRIDGE} up",
    )


def unplug(host: Host) -> None:
    """Remove a host's link; it would go with the host, but later."""
    if host.name in Path("/proc/self/net/dev").read_text().replace(":", " ").split():
        with suppress(LabError):  # gone meanwhile
            ip(f"link del dev {host.name}")


def configure(host: Host) -> None:
    """Give a host its addresses; for a process that is in the host's network namespace."""
    quiet_ipv6()
    ip(
        "link set lo up",
        f"addr add {host.address}/{NETWORK.prefixlen} dev eth0",
        f"addr add {host.address6}/{NETWORK6.prefixlen} dev eth0 nodad",
        "link set eth0 up",
        # Nothing lies behind it, but hosts do have a default route.
        f"route add default via {CONTROLLER}",
        f"route add default via {CONTROLLER6}",
    )
