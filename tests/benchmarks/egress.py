# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections per second out of a sandbox: free, and under policies of 10 and of 10 000 destinations, in turns.

tests/throwaway .venv/bin/python tests/benchmarks/egress.py
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import Any

from ansible_collections.podnet.linux.plugins.module_utils._engine import run_networks, run_policies
from ansible_collections.podnet.linux.plugins.module_utils._session import Settings
from ansible_collections.podnet.linux.plugins.module_utils._spec.network import NetworkRequest
from ansible_collections.podnet.linux.plugins.module_utils._spec.policy import PolicyRequest
from connections import SETUP, in_turns, rate, sandbox, served, told

LEAST = 0.9
"""Of the rate without a policy, that under one of 10 000 destinations."""


def policy(**options: Any) -> None:
    run_policies([PolicyRequest.from_options({"sandbox": "web", **options})], Settings())


def destinations(number: int) -> list[str]:
    """Apart from each other, the neighbour among them."""
    return ["198.51.100.2", *(f"{20 + at // 32768}.{at // 128 % 256}.{at % 128 * 2}.0/24" for at in range(number - 1))]


def main() -> int:
    subprocess.run(["sh", "-ec", SETUP], check=True)
    run_networks([NetworkRequest.from_options({"name": "pods0", "subnets": ["10.90.0.0/24"]})], Settings())
    web = sandbox()
    ways: dict[str, Any] = {"free": partial(policy, state="absent")}
    ways.update((f"{number} destinations", partial(policy, allowed_cidrs=destinations(number))) for number in (10, 10_000))
    with served("lan"):
        return told(in_turns(ways, lambda: rate(web["ns_name"], "198.51.100.2", 80)), LEAST)


if __name__ == "__main__":
    sys.exit(main())
