# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections per second through one published port and beside 1999 others, in turns.

tests/throwaway .venv/bin/python tests/benchmarks/connections.py
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from ansible_collections.podnet.linux.plugins.module_utils._engine import run_networks, run_sandboxes
from ansible_collections.podnet.linux.plugins.module_utils._session import Settings
from ansible_collections.podnet.linux.plugins.module_utils._spec.network import NetworkRequest
from ansible_collections.podnet.linux.plugins.module_utils._spec.sandbox import SandboxRequest

CONNECTIONS = 3000
ROUNDS = 9
LEAST = 0.9
"""Of the rate with one port, that with 2000."""

PORTS = {"1 port": ["8080:80"], "2000 ports": ["8080:80", "20000-21998:20000-21998"]}
SETUP = """
ip netns add lan; ip link add up0 type veth peer name eth0 netns lan; ip addr add 198.51.100.1/24 dev up0; ip link set up0 up
ip -n lan addr add 198.51.100.2/24 dev eth0; ip -n lan link set eth0 up
"""
SERVER = """
import socket
server = socket.create_server(("0.0.0.0", 80), backlog=4096)
print("ready", flush=True)
while True:
    server.accept()[0].close()
"""
CLIENT = """
import socket, struct, sys, time
start = time.perf_counter()
for _number in range(int(sys.argv[1])):
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # no TIME_WAIT: ports do not run out
    client.connect((sys.argv[2], int(sys.argv[3])))
    client.close()
print(int(sys.argv[1]) / (time.perf_counter() - start))
"""


def sandbox(**options: Any) -> dict[str, Any]:
    request = SandboxRequest.from_options({"name": "web", "network": "pods0", **options})
    return run_sandboxes([request], Settings()).results[0]


def rate(where: str, address: str, port: int) -> float:
    """Connections per second from that namespace."""
    argv = ["ip", "netns", "exec", where, sys.executable, "-c", CLIENT, str(CONNECTIONS), address, str(port)]
    return float(subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout)


@contextmanager
def served(where: str) -> Iterator[None]:
    """Port 80 of that namespace accepts, and closes."""
    argv = ["ip", "netns", "exec", where, sys.executable, "-c", SERVER]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None and server.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            server.kill()


def in_turns(ways: Mapping[str, Callable[[], object]], measure: Callable[[], float]) -> dict[str, list[float]]:
    """What is measured behind each way of setting things up, one after the other, several times."""
    measure()
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS):
        for name, set_up in ways.items():
            set_up()
            rates[name].append(measure())
        print(f"round {number + 1} of {ROUNDS}", file=sys.stderr, flush=True)
    return rates


def told(rates: Mapping[str, list[float]], least: float) -> int:
    """Prints quartiles and the ratio of the last to the first; the exit code says whether that is enough."""
    medians = [statistics.median(values) for values in rates.values()]
    ratio = medians[-1] / medians[0]
    rows = {name: [round(value) for value in statistics.quantiles(values, n=4)] for name, values in rates.items()}
    print(json.dumps({"quartiles_connections_per_second": rows, "ratio": round(ratio, 2), "least": least}))
    return 0 if ratio >= least else 1


def main() -> int:
    subprocess.run(["sh", "-ec", SETUP], check=True)
    run_networks([NetworkRequest.from_options({"name": "pods0", "subnets": ["10.90.0.0/24"]})], Settings())
    web = sandbox(port_forwards=PORTS["1 port"])
    ways = {name: partial(sandbox, port_forwards=ports) for name, ports in PORTS.items()}
    with served(web["ns_name"]):
        return told(in_turns(ways, lambda: rate("lan", "198.51.100.1", 8080)), LEAST)


if __name__ == "__main__":
    sys.exit(main())
