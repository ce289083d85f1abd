# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one more sandbox costs on a host that has 500 with 4 ports each: tests/throwaway .venv/bin/python tests/benchmarks/publishing.py"""

from __future__ import annotations

import json
import os
import statistics
import struct
import sys
import time
from typing import Any

from ansible_collections.podnet.linux.plugins.module_utils._engine import run_networks, run_sandboxes
from ansible_collections.podnet.linux.plugins.module_utils._session import Settings
from ansible_collections.podnet.linux.plugins.module_utils._spec.network import NetworkRequest
from ansible_collections.podnet.linux.plugins.module_utils._spec.sandbox import SandboxRequest

SANDBOXES = 500
PORTS = 4
ROUNDS = 15
MOST = 1.5


def run(*items: dict[str, Any]) -> float:
    """Seconds, in a process of its own that has imported the engine and done nothing else, as a task's is."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        requests = [SandboxRequest.from_options(item) for item in items]
        start = time.perf_counter()
        run_sandboxes(requests, Settings())
        os.write(write, struct.pack("d", time.perf_counter() - start))
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        (seconds,) = struct.unpack("d", file.read())
    os.waitpid(pid, 0)
    return float(seconds)


def pod(number: int) -> dict[str, Any]:
    first = 10_000 + number * PORTS
    return {"name": f"pod-{number}", "network": "pods0", "port_forwards": [f"{first + port}:{80 + port}" for port in range(PORTS)]}


def one_more() -> list[float]:
    """Milliseconds to add it, several times."""
    times = []
    for _round in range(ROUNDS):
        times.append(run(pod(SANDBOXES)) * 1000)
        run({"name": f"pod-{SANDBOXES}", "state": "absent"})
        time.sleep(0.2)  # the kernel takes namespaces down in the background
    return times


def main() -> int:
    run_networks([NetworkRequest.from_options({"name": "pods0", "subnets": ["10.90.0.0/16", "fd00:90::/64"]})], Settings())
    run(pod(SANDBOXES))
    run({"name": f"pod-{SANDBOXES}", "state": "absent"})
    empty = one_more()
    made = run(*(pod(number) for number in range(SANDBOXES)))
    print(f"made {SANDBOXES} sandboxes with {PORTS} ports each in {made:.1f} s", file=sys.stderr, flush=True)
    full = one_more()
    ratio = statistics.median(full) / statistics.median(empty)
    rows = {name: [round(value, 1) for value in statistics.quantiles(times, n=4)] for name, times in (("empty", empty), ("full", full))}
    print(json.dumps({"quartiles_ms": rows, "ratio": round(ratio, 2), "most": MOST}))
    return 0 if ratio <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
