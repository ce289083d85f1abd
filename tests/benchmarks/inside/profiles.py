# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the time goes: by kind of operation, of one run for each row of the engine.

profiles.py: prints by row the milliseconds of looking and planning, of each kind of operation, and of putting the result together.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ansible_collections
from ansible_collections.podnet.linux.plugins.module_utils._engine import describe_sandboxes, run_policies, run_sandboxes
from ansible_collections.podnet.linux.plugins.module_utils._leasing import run_allocations
from ansible_collections.podnet.linux.plugins.module_utils._session import Settings, applier
from ansible_collections.podnet.linux.plugins.module_utils._spec.allocation import AllocationRequest
from ansible_collections.podnet.linux.plugins.module_utils._spec.policy import PolicyRequest
from ansible_collections.podnet.linux.plugins.module_utils._spec.sandbox import SandboxRequest
from engine import by_operation, cidrs, in_child, network, pods
from quiet import rest

Run = Callable[[Settings], object]


def _pods(first: int, count: int, **options: Any) -> Run:
    return lambda settings: run_sandboxes([SandboxRequest.from_options(item) for item in pods(first, count, **options)], settings)


def _removed(count: int) -> Run:
    return lambda settings: run_sandboxes(
        [SandboxRequest.from_options({"name": item["name"], "state": "absent"}) for item in pods(0, count)], settings
    )


def _policy(count: int, targets: int) -> Run:
    state = {"allowed_cidrs": cidrs(count)} if count else {"state": "absent"}
    items = [{"sandbox": item["name"], "name": "bench", **state} for item in pods(0, targets)]
    return lambda settings: run_policies([PolicyRequest.from_options(item) for item in items], settings)


def _leases(first: int, count: int) -> Run:
    pool = {"pool": "profile", "ranges": [{"subnet": "10.91.0.0/16"}]}
    owners = [{**pool, "owner": f"owner-{at}"} for at in range(first, first + count)]
    return lambda settings: run_allocations([AllocationRequest.from_options(item) for item in owners], settings)


def _look(settings: Settings) -> None:
    describe_sandboxes(settings, lambda _item: True)


def _steps() -> list[tuple[str, Run]]:
    """In this order; those without a name only prepare the next ones."""
    steps: list[tuple[str, Run]] = []
    for count in (1, 20, 200, 900):
        name = f"{count} pod{'s' if count > 1 else ''}"
        if count == 900:
            steps += [("", _pods(0, 9)), ("the 10th pod", _pods(9, 1))]
        made = f"create {name}" if count < 900 else "create 890 pods beside 10"
        steps += [(made, _pods(0, count)), (f"no-op over {name}", _pods(0, count))]
        if count == 200:
            for nets in (10, 10_000):
                for targets in (1, 200):
                    row = f"policy of {nets:,} on {targets} pod{'s' if targets > 1 else ''}".replace(",", " ")
                    steps += [(row, _policy(nets, targets)), (f"{row}, no-op", _policy(nets, targets)), ("", _policy(0, targets))]
            for ports in (200, 2000):
                published = [f"20000-{19999 + ports}:20000-{19999 + ports}"]
                steps += [(f"publish {ports} ports", _pods(0, 1, port_forwards=published)), ("", _pods(0, 1, port_forwards=[]))]
        if count == 900:
            steps += [("drift check of 900 pods", _look), ("add 1 pod to 900", _pods(900, 1)), ("", _removed_last)]
        steps += [(f"remove {name}", _removed(count))]
    return [*steps, ("", _leases(0, 9999)), ("the 10 000th lease", _leases(9999, 1))]


def _removed_last(settings: Settings) -> None:
    run_sandboxes([SandboxRequest.from_options({"name": "pod-900", "state": "absent"})], settings)


def _loading() -> dict[str, float]:
    """What a module takes until the engine is there, which Ansible sends as an archive of sources."""
    root = Path(next(iter(ansible_collections.__path__))).parent
    with tempfile.TemporaryDirectory() as directory:
        archive = Path(directory) / "sent.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as written:
            sources = [path.relative_to(root) for path in (root / "ansible_collections").rglob("*.py")]
            for path in sources:
                written.write(root / path, path)
            for package in sorted(
                {parent for path in sources for parent in path.parents if parent.name}
                - {path.parent for path in sources if path.name == "__init__.py"}
            ):
                written.writestr(f"{package}/__init__.py", "")
        engine = "ansible_collections.podnet.linux.plugins.module_utils._engine"
        return {
            "Python itself": _seconds("pass", archive),
            "and the engine, compiled": _seconds(f"import {engine}", archive) - _seconds("pass", archive),
        }


def _seconds(code: str, archive: Path) -> float:
    argv = [sys.executable, "-B", "-I", "-c", f"import sys; sys.path.insert(0, {str(archive)!r}); {code}"]
    found = []
    for _run in range(5):
        start = time.perf_counter()
        subprocess.run(argv, check=True)
        found.append(time.perf_counter() - start)
    return min(found)


def main() -> None:
    applier()
    network("present")
    found = {"a task, on the host": _loading()}
    for row, run in _steps():
        rest()
        times = in_child(partial(by_operation, run), row or "a step in between")
        if row:
            found[row] = times
    network("absent")
    print(json.dumps({row: {name: round(seconds * 1000, 1) for name, seconds in _sorted(times)} for row, times in found.items()}))


def _sorted(times: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(times.items(), key=lambda item: -item[1])


if __name__ == "__main__":
    main()
