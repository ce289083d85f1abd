# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pods cost by hand: the kernel's own price, and a shell script's.

by_hand.py floor|sequence COUNT: makes so many and removes them; prints the seconds that each of both took, as JSON.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import time

from ansible_collections.podnet.linux.plugins.module_utils._host import syscalls
from quiet import rest
from raw_netlink import CREATE_NEW, Socket, attribute, nested, number, text

_NETNS = "/run/netns"
_UP = 1
_NEWLINK, _DELLINK, _NEWADDR, _NEWROUTE = 16, 17, 20, 24
_link = struct.Struct("=BxHiII")


def floor(count: int) -> tuple[float, float]:
    """Namespace, interface, address, default route and port of a bridge: nothing asked, nothing written down, no rules."""
    os.makedirs(_NETNS, exist_ok=True)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    host = Socket()
    host.ask(_NEWLINK, _link.pack(0, 0, 0, _UP, _UP) + text(3, "floor0") + nested(18, text(1, "bridge")), CREATE_NEW)
    bridge = socket.if_nametoindex("floor0")
    gateway = socket.inet_aton("10.93.255.254")
    start = time.perf_counter()
    for pod in range(count):
        path = f"{_NETNS}/floor-{pod}"
        open(path, "w", encoding="ascii").close()
        syscalls.unshare(syscalls.CLONE_NEWNET)
        syscalls.mount("/proc/self/ns/net", path, syscalls.MS_BIND)
        inside = Socket()
        peer = _link.pack(0, 0, 0, 0, 0) + text(3, f"floor{pod + 1}") + number(28, home)
        pair = nested(18, text(1, "veth"), nested(2, attribute(1, peer)))
        inside.ask(_NEWLINK, _link.pack(0, 0, 2, 0, 0) + text(3, "eth0") + pair, CREATE_NEW)
        address = socket.inet_aton(f"10.93.{pod // 250}.{pod % 250 + 1}")
        inside.ask(_NEWLINK, _link.pack(0, 0, 1, _UP, _UP))
        inside.ask(_NEWADDR, struct.pack("=BBBBI", 2, 16, 0, 0, 2) + attribute(1, address) + attribute(2, address), CREATE_NEW)
        inside.ask(_NEWLINK, _link.pack(0, 0, 2, _UP, _UP))
        inside.ask(_NEWROUTE, struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 3, 0, 1, 0) + attribute(5, gateway), CREATE_NEW)
        inside.close()
        syscalls.setns(home, syscalls.CLONE_NEWNET)
        port = socket.if_nametoindex(f"floor{pod + 1}")
        host.ask(_NEWLINK, _link.pack(0, 0, port, _UP, _UP) + number(10, bridge))
    end = time.perf_counter()
    rest(count)
    going = time.perf_counter()
    for pod in range(count):
        syscalls.umount(f"{_NETNS}/floor-{pod}", syscalls.MNT_DETACH)
        os.unlink(f"{_NETNS}/floor-{pod}")
    host.ask(_DELLINK, _link.pack(0, 0, bridge, 0, 0))
    gone = time.perf_counter()
    return end - start, gone - going


def sequence(count: int) -> tuple[float, float]:
    """A child process for each step, as scripts do it; without any rules."""

    def run(*argv: str) -> None:
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)

    run("ip", "link", "add", "hand0", "type", "bridge")
    run("ip", "link", "set", "hand0", "up")
    start = time.perf_counter()
    for pod in range(count):
        inside = ("nsenter", f"--net={_NETNS}/hand-{pod}", "ip")
        run("ip", "netns", "add", f"hand-{pod}")
        run("ip", "link", "add", f"hand{pod + 1}", "type", "veth", "peer", "name", f"in{pod + 1}")
        run("ip", "link", "set", f"hand{pod + 1}", "master", "hand0")
        run("ip", "link", "set", f"hand{pod + 1}", "up")
        run("ip", "link", "set", f"in{pod + 1}", "netns", f"hand-{pod}")
        run(*inside, "addr", "add", f"10.94.{pod // 250}.{pod % 250 + 1}/16", "dev", f"in{pod + 1}")
        run(*inside, "link", "set", f"in{pod + 1}", "up")
        run(*inside, "link", "set", "lo", "up")
        run(*inside, "route", "add", "default", "via", "10.94.255.254")
    end = time.perf_counter()
    rest(count)
    going = time.perf_counter()
    for pod in range(count):
        run("ip", "link", "del", f"hand{pod + 1}")
        run("ip", "netns", "del", f"hand-{pod}")
    gone = time.perf_counter()
    run("ip", "link", "del", "hand0")
    return end - start, gone - going


if __name__ == "__main__":
    print(json.dumps({"floor": floor, "sequence": sequence}[sys.argv[1]](int(sys.argv[2]))))
