# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an idle pod takes in memory: its processes (proportional set size, proc_pid_smaps(5)), and the kernel's share.

memory.py engine|podman COUNT: prints kilobytes per pod of both, as JSON. The kernel's is that of the whole machine before and
after, so only many pods tell anything.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from engine import create, network, remove

_SHARES = ("Slab", "Percpu", "KernelStack", "PageTables")


def _kernel() -> int:
    time.sleep(1)  # what was freed a moment ago is given back in the background
    lines = (line.split() for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    return sum(int(words[1]) for words in lines if words[0].rstrip(":") in _SHARES)


def _processes(names: tuple[str, ...]) -> int:
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "comm").read_text().strip() in names:
                rollup = (process / "smaps_rollup").read_text()
                total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        except OSError:
            continue
    return total


def _podman(*words: str) -> None:
    subprocess.run(["podman", "pod", *words], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    column, count = sys.argv[1], int(sys.argv[2])
    names = [f"idle-{number}" for number in range(count)]
    if column == "engine":
        network("present")
    before, ran = _kernel(), _processes(("catatonit", "conmon"))
    if column == "engine":
        create(0, count)
    else:
        for name in names:
            _podman("create", "--name", name)
        _podman("start", *names)
    found = (_processes(("catatonit", "conmon")) - ran) / count, (_kernel() - before) / count
    if column == "engine":
        remove(0, count)
        network("absent")
    else:
        _podman("rm", "--force", "--time", "0", *names)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
