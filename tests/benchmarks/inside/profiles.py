# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the time goes: by kind of operation, of one run each.

profiles.py: prints by row the milliseconds of looking and planning, of each kind of operation, and of putting the result together.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ansible_collections.podnet.linux.plugins.module_utils._engine import run_policies, run_sandboxes
from ansible_collections.podnet.linux.plugins.module_utils._session import Settings
from ansible_collections.podnet.linux.plugins.module_utils._spec.policy import PolicyRequest
from ansible_collections.podnet.linux.plugins.module_utils._spec.sandbox import SandboxRequest
from engine import by_operation, cidrs, network, pods


def _sandboxes(count: int, **options: Any) -> Callable[[Settings], object]:
    return lambda settings: run_sandboxes([SandboxRequest.from_options(item) for item in pods(0, count, **options)], settings)


def _removed(count: int) -> Callable[[Settings], object]:
    requests = [{"name": item["name"], "state": "absent"} for item in pods(0, count)]
    return lambda settings: run_sandboxes([SandboxRequest.from_options(item) for item in requests], settings)


def _policy(count: int, targets: int) -> Callable[[Settings], object]:
    def run(settings: Settings) -> None:
        listed = cidrs(count)
        items = [{"sandbox": item["name"], "name": "bench", "allowed_cidrs": listed} for item in pods(0, targets)]
        run_policies([PolicyRequest.from_options(item) for item in items], settings)

    return run


def main() -> None:
    network("present")
    rows = {
        "create 200 pods": _sandboxes(200),
        "no-op over 200 pods": _sandboxes(200),
        "publish 2000 ports": _sandboxes(1, port_forwards=["20000-21999:20000-21999"]),
        "policy of 10 000 on 1 pod": _policy(10_000, 1),
        "policy of 10 000 on 1 pod, no-op": _policy(10_000, 1),
        "policy of 10 000 on 200 pods": _policy(10_000, 200),
        "remove 200 pods": _removed(200),
    }
    found = {}
    for row, run in rows.items():
        times = sorted(by_operation(run).items(), key=lambda item: -item[1])
        found[row] = {name: round(seconds * 1000, 1) for name, seconds in times}
    network("absent")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
