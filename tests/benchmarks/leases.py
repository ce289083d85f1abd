# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the ten-thousandth lease of a /16 costs, beside the tenth: tests/throwaway .venv/bin/python tests/benchmarks/leases.py

Both pools are used in turns in one run, each lease in a run of the engine of its own: lock, look, plan, write.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

from ansible_collections.podnet.linux.plugins.module_utils._leasing import run_allocations
from ansible_collections.podnet.linux.plugins.module_utils._session import Settings
from ansible_collections.podnet.linux.plugins.module_utils._spec.allocation import AllocationRequest

ROUNDS = 101
FILLED = {"few": 10, "many": 10_000}
STRATEGIES = ("sequential", "random")
MOST = 2.0


def lease(*items: dict[str, Any]) -> float:
    """Seconds."""
    requests = [AllocationRequest.from_options(item) for item in items]
    start = time.perf_counter()
    run_allocations(requests, Settings())
    return time.perf_counter() - start


def main() -> int:
    subnets = dict(zip(FILLED, ("10.64.0.0/16", "10.65.0.0/16")))
    for pool, number in FILLED.items():
        already = max(number - ROUNDS, number // 2)
        ranges = [{"subnet": subnets[pool]}]
        spent = lease(*({"pool": pool, "ranges": ranges, "owner": f"filled-{index}"} for index in range(already)))
        print(f"filled pool {pool} with {already} leases in {spent:.1f} s", file=sys.stderr, flush=True)
    rows = {}
    for strategy in STRATEGIES:
        times: dict[str, list[float]] = {pool: [] for pool in FILLED}
        for index in range(ROUNDS):
            for pool, spent in times.items():
                owner = f"{strategy}-{index}"
                spent.append(lease({"pool": pool, "owner": owner, "strategy": strategy}))
                if pool == "few":
                    lease({"pool": pool, "owner": owner, "state": "absent"})
        middle = {pool: statistics.median(spent) for pool, spent in times.items()}
        spread = {pool: statistics.quantiles(spent, n=4) for pool, spent in times.items()}
        rows[strategy] = {
            **{f"{pool}_ms": round(seconds * 1000, 3) for pool, seconds in middle.items()},
            **{f"{pool}_quartiles_ms": [round(value * 1000, 3) for value in (values[0], values[2])] for pool, values in spread.items()},
            "ratio": round(middle["many"] / middle["few"], 2),
        }
    print(json.dumps({"leases": FILLED, "rounds": ROUNDS, **rows}, indent=1))
    return 0 if all(row["ratio"] <= MOST for row in rows.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
