# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections and packets per second over each kind of way, in turns.

traffic.py ROUNDS: prints by way the connections and the packets per second of each round, as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ansible_collections.podnet.linux.plugins.module_utils._engine import run_networks, run_policies, run_sandboxes
from ansible_collections.podnet.linux.plugins.module_utils._session import Settings
from ansible_collections.podnet.linux.plugins.module_utils._spec.network import NetworkRequest
from ansible_collections.podnet.linux.plugins.module_utils._spec.policy import PolicyRequest
from ansible_collections.podnet.linux.plugins.module_utils._spec.sandbox import SandboxRequest
from engine import cidrs

_LAN = "198.51.100.2"
_SETUP = """
ip netns add lan; ip link add up0 type veth peer name eth0 netns lan; ip addr add 198.51.100.1/24 dev up0; ip link set up0 up
ip -n lan addr add 198.51.100.2/24 dev eth0; ip -n lan link set eth0 up
ip netns add bare; ip link add bare0 netns lan type veth peer name eth0 netns bare
ip -n lan addr add 203.0.113.1/24 dev bare0; ip -n lan link set bare0 up
ip -n bare addr add 203.0.113.2/24 dev eth0; ip -n bare link set eth0 up
"""
_CLEAN = "ip netns del bare; ip netns del lan; ip link del up0 2>/dev/null || true"
_SERVER = """
import socket
packets = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
packets.bind(("0.0.0.0", 80))  # nobody reads them: what does not fit is dropped where it has arrived
server = socket.create_server(("0.0.0.0", 80), backlog=4096)
print("ready", flush=True)
while True:
    server.accept()[0].close()
"""
_CLIENT = """
import socket, struct, sys, time
to = sys.argv[1], int(sys.argv[2])
end = (start := time.perf_counter()) + float(sys.argv[3])
connections = packets = 0
while time.perf_counter() < end:
    for _number in range(50):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # no TIME_WAIT: ports do not run out
        client.connect(to)
        client.close()
    connections += 50
rate = connections / (time.perf_counter() - start)
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
out.connect(to)
end = (start := time.perf_counter()) + float(sys.argv[3])
while time.perf_counter() < end:
    for _number in range(200):
        out.send(b"x" * 100)
    packets += 200
print(rate, packets / (time.perf_counter() - start))
"""
_SECONDS = 0.2


@contextmanager
def _served(where: str) -> Iterator[None]:
    argv = ["ip", "netns", "exec", where, sys.executable, "-c", _SERVER]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None and server.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            server.kill()


def _rates(where: str, address: str, port: int) -> tuple[float, float]:
    argv = ["ip", "netns", "exec", where, sys.executable, "-c", _CLIENT, address, str(port), str(_SECONDS)]
    connections, packets = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return float(connections), float(packets)


def _policy(count: int) -> None:
    options = {"allowed_cidrs": [f"{_LAN}/32", *cidrs(count - 1)]} if count else {"state": "absent"}
    run_policies([PolicyRequest.from_options({"sandbox": "one", "name": "bench", **options})], Settings())


def measured(rounds: int) -> dict[str, list[tuple[float, float]]]:
    """By way, round by round."""
    subprocess.run(["sh", "-ec", _SETUP], check=True)
    run_networks([NetworkRequest.from_options({"name": "bench0", "subnets": ["10.90.0.0/24"]})], Settings())
    made: list[dict[str, Any]] = [
        {"name": "one", "network": "bench0", "port_forwards": ["8080:80", "8080:80/udp"]},
        {"name": "two", "network": "bench0"},
    ]
    one, two = run_sandboxes([SandboxRequest.from_options(item) for item in made], Settings()).results
    ways: dict[str, tuple[Callable[[], None], tuple[str, str, int]]] = {
        "bare veth": (lambda: None, ("lan", "203.0.113.2", 80)),
        "bridge": (lambda: _policy(0), (one["ns_name"], str(two["container_ip"]), 80)),
        "NAT": (lambda: _policy(0), (one["ns_name"], _LAN, 80)),
        "published port": (lambda: _policy(0), ("lan", "198.51.100.1", 8080)),
        "NAT under a policy of 10": (lambda: _policy(10), (one["ns_name"], _LAN, 80)),
        "NAT under a policy of 10 000": (lambda: _policy(10_000), (one["ns_name"], _LAN, 80)),
    }
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    with ExitStack() as stack:
        for where in ("bare", "lan", one["ns_name"], two["ns_name"]):
            stack.enter_context(_served(where))
        for number in range(rounds + 1):
            for way, (prepare, to) in ways.items():
                prepare()
                rates = _rates(*to)
                if number:  # the first is to warm up
                    found[way].append(rates)
    run_sandboxes([SandboxRequest.from_options({"name": name, "state": "absent", "force": True}) for name in ("one", "two")], Settings())
    run_networks([NetworkRequest.from_options({"name": "bench0", "state": "absent"})], Settings())
    subprocess.run(["sh", "-c", _CLEAN], check=True)
    return found


if __name__ == "__main__":
    print(json.dumps(measured(int(sys.argv[1]))))
