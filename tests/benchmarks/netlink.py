# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pyroute2's message classes over our socket beside its IPRoute, in turns.

tests/throwaway .venv/bin/python tests/benchmarks/netlink.py
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

LINKS = 300
ROUNDS = 7
ENGINE = "ansible_collections.podnet.linux.plugins.module_utils._host"

IMPORT = {"engine": f"import {ENGINE}.links", "IPRoute": "import pyroute2"}
READ = {
    "engine": f"from {ENGINE}.links import Links; read = lambda: Links().all()",
    "IPRoute": "from pyroute2 import IPRoute; route = IPRoute(); read = lambda: [m.get_attr('IFLA_IFNAME') for m in route.get_links()]",
}


def importing(which: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORT[which]], check=True)
    return time.perf_counter() - start


def reading(which: str) -> float:
    names: dict[str, Callable[[], object]] = {}
    exec(READ[which], names)  # one of the lines above
    start = time.perf_counter()
    names["read"]()
    return time.perf_counter() - start


def main() -> int:
    script = "".join(f"link add x{n} type veth peer name y{n}\n" for n in range(LINKS // 2))
    subprocess.run(["ip", "-batch", "-"], input=script, text=True, check=True)
    rows = {}
    for name, measure in (("import", importing), (f"read {LINKS} links", reading)):
        times: dict[str, list[float]] = {which: [] for which in IMPORT}
        for _round in range(ROUNDS):
            for which, values in times.items():
                values.append(measure(which) * 1000)
        rows[name] = {which: round(statistics.median(values), 1) for which, values in times.items()}
    print(json.dumps({"medians_ms": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
