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
from typing import Any

from ansible_collections.podnet.linux.plugins.module_utils._engine import Settings, run_networks, run_sandboxes
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
    client.connect(("198.51.100.1", 8080))
    client.close()
print(int(sys.argv[1]) / (time.perf_counter() - start))
"""


def sandbox(**options: Any) -> dict[str, Any]:
    request = SandboxRequest.from_options({"name": "web", "network": "pods0", **options})
    return run_sandboxes([request], Settings()).results[0]


def rate() -> float:
    """Connections per second from the neighbour's namespace."""
    argv = ["ip", "netns", "exec", "lan", sys.executable, "-c", CLIENT, str(CONNECTIONS)]
    return float(subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout)


def main() -> int:
    subprocess.run(["sh", "-ec", SETUP], check=True)
    run_networks([NetworkRequest.from_options({"name": "pods0", "subnets": ["10.90.0.0/24"]})], Settings())
    web = sandbox(port_forwards=PORTS["1 port"])
    argv = ["ip", "netns", "exec", web["ns_name"], sys.executable, "-c", SERVER]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None and server.stdout.readline() == "ready\n"
        rate()
        rates: dict[str, list[float]] = {name: [] for name in PORTS}
        for number in range(ROUNDS):
            for name, ports in PORTS.items():
                sandbox(port_forwards=ports)
                rates[name].append(rate())
            print(f"round {number + 1} of {ROUNDS}", file=sys.stderr, flush=True)
        server.kill()
    ratio = statistics.median(rates["2000 ports"]) / statistics.median(rates["1 port"])
    rows = {name: [round(value) for value in statistics.quantiles(values, n=4)] for name, values in rates.items()}
    print(json.dumps({"quartiles_connections_per_second": rows, "ratio": round(ratio, 2), "least": LEAST}))
    return 0 if ratio >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
