# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine, in one process each time that has imported all of it and done nothing else.

engine.py JSON: a list of [operation, argument...]; prints the seconds that each took, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import netaddr
from ansible_collections.podnet.linux.plugins.module_utils._engine import (
    describe_sandboxes,
    run_networks,
    run_policies,
    run_sandboxes,
)
from ansible_collections.podnet.linux.plugins.module_utils._leasing import run_allocations
from ansible_collections.podnet.linux.plugins.module_utils._session import Settings, applier
from ansible_collections.podnet.linux.plugins.module_utils._spec.allocation import AllocationRequest
from ansible_collections.podnet.linux.plugins.module_utils._spec.network import NetworkRequest
from ansible_collections.podnet.linux.plugins.module_utils._spec.policy import PolicyRequest
from ansible_collections.podnet.linux.plugins.module_utils._spec.sandbox import SandboxRequest
from quiet import rest

HOST = "ansible_collections.podnet.linux.plugins.module_utils._host"
NETWORK = "bench0"


def pods(first: int, count: int, **options: Any) -> list[dict[str, Any]]:
    return [{"name": f"pod-{number}", "network": NETWORK, **options} for number in range(first, first + count)]


@cache
def cidrs(count: int) -> list[str]:
    """Apart from each other, so that none merge."""
    return [f"{20 + at // 32768}.{at // 128 % 256}.{at % 128 * 2}.0/24" for at in range(count)]


def network(state: str) -> None:
    options = {"name": NETWORK, "state": state, **({"subnets": ["10.90.0.0/16"]} if state == "present" else {})}
    run_networks([NetworkRequest.from_options(options)], Settings())


def create(first: int, count: int) -> None:
    run_sandboxes([SandboxRequest.from_options(item) for item in pods(first, count)], Settings())


def links(first: int, count: int) -> float:
    """Creates pods, too; the seconds of what the floor does as well: namespaces, interfaces, addresses, routes, ports."""
    times = by_operation(lambda settings: run_sandboxes([SandboxRequest.from_options(item) for item in pods(first, count)], settings))
    return sum(times.get(name, 0.0) for name in ("CreateNamespaces", "CreateVeth", "SetLink", "SetStation", "AddAddress", "AddRoute"))


def by_operation(run: Callable[[Settings], object]) -> dict[str, float]:
    """Seconds by kind of operation; ``plan``: of what comes ahead of them, ``result``: behind."""
    times = {"plan": 0.0}
    last = [time.perf_counter(), 0]

    def note(operation: object) -> None:
        now = time.perf_counter()
        # What comes ahead of the first operation is not its own time, but to look and to plan.
        name = type(operation).__name__ if last[1] else "plan"
        times[name] = times.get(name, 0.0) + now - last[0]
        last[:] = time.perf_counter(), 1

    run(Settings(after=note))
    # Without any operation, planning is all there was.
    times["result" if last[1] else "plan"] = time.perf_counter() - last[0]
    return times


def remove(first: int, count: int) -> None:
    run_sandboxes([SandboxRequest.from_options({"name": item["name"], "state": "absent"}) for item in pods(first, count)], Settings())


def policy(count: int, targets: int) -> None:
    """The same destinations for each of so many sandboxes; 0: no policy on any of them any more."""
    listed = cidrs(count)
    state = {"allowed_cidrs": listed} if count else {"state": "absent"}
    items = [{"sandbox": item["name"], "name": "bench", **state} for item in pods(0, targets)]
    run_policies([PolicyRequest.from_options(item) for item in items], Settings())


def publish(count: int) -> None:
    forwards = {"port_forwards": [f"{20000}-{20000 + count - 1}:{20000}-{20000 + count - 1}"] if count else []}
    run_sandboxes([SandboxRequest.from_options(item) for item in pods(0, 1, **forwards)], Settings())


def lease(first: int, count: int) -> None:
    pool = {"pool": "bench", "ranges": [{"subnet": "10.91.0.0/16"}]}
    run_allocations([AllocationRequest.from_options({**pool, "owner": f"owner-{at}"}) for at in range(first, first + count)], Settings())


def drift(expected: int) -> None:
    found = describe_sandboxes(Settings(), lambda _item: True)
    assert len(found) == expected and all(item["state"] == "running" for item in found)


OPERATIONS: dict[str, Callable[..., float | None]] = {
    item.__name__: item for item in (network, create, links, remove, policy, publish, lease, drift, rest)
}


def timed(operation: Callable[..., float | None], *arguments: Any) -> float:
    """Seconds, in a child of this process; those that the operation has measured itself, if it has."""

    def run() -> float:
        start = time.perf_counter()
        measured = operation(*arguments)
        return time.perf_counter() - start if measured is None else measured

    return float(in_child(run, f"{operation.__name__}{arguments}"))


def in_child(run: Callable[[], Any], name: str) -> Any:
    """What it returns, by way of JSON; in a child of this process, which has not run anything yet."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, json.dumps(run()).encode())
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        data = file.read()
    os.waitpid(pid, 0)
    if not data:
        sys.exit(f"{name} failed")
    return json.loads(data)


def main() -> None:
    # Imports are not part of the measured time.
    applier()
    for name in ("observe", "conntrack", "memo", "rules", "sockets"):
        import_module(f"{HOST}.{name}")
    netaddr.IPSet()
    for count in (10, 10_000):
        cidrs(count)
    print(json.dumps([timed(OPERATIONS[name], *arguments) for name, *arguments in json.loads(sys.argv[1])]))


if __name__ == "__main__":
    main()
