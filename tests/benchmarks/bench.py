# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``make bench``: how long things take, beside the alternatives, on one host of molecule/lab.

Everything is measured several times, in turns, so that what else happens on the machine meets all of it. Absolute times are of
this machine and of this day; the ratios are what counts.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import report
from machine import ROOT, Failed, Machine

ROUNDS = int(os.environ.get("ROUNDS") or 3)
SLOW_ROUNDS = {"podman": 1, "cni": 1, "sequence": 2}
"""Of 200 pods, which take these up to a minute and a half."""

PORTS = {200: ("podman", "cni"), 2000: ("podman",)}
"""How many, and who beside us: the CNI plugin calls iptables for each one, and took 130 s for two thousand."""

OUT = ROOT / ".cache" / "bench"
SIZES = (1, 20, 200)
MANY = 900
SINGLES = 3
"""Pods that are made one by one, each in a task of its own."""

RIVALS = ("cni", "podman", "sequence", "floor")
PROGRAMS = {"cni": "peers.py", "podman": "peers.py", "sequence": "by_hand.py", "floor": "by_hand.py"}
NETWORK: list[Any] = [["network", "present"], ["rest"]]
POLICIES = tuple((count, targets) for count in (10, 10_000) for targets in (1, 200))


class Bench:
    """Results as they come in."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._start = time.monotonic()
        self.results: dict[str, dict[str, list[float]]] = {}

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._start:4.0f} s] {text}", flush=True)

    def note(self, row: str, column: str, *values: float) -> None:
        self.results.setdefault(row, {}).setdefault(column, []).extend(values)

    def pods(self, count: int, columns: Iterable[str]) -> None:
        """Creating so many, once more where that has nothing to do, and removing."""
        name = f"{count} pod" + ("s" if count > 1 else "")
        for column in columns:
            if column in self._machine.missing:
                continue
            self.say(f"{name}: {column}")
            self._machine.engine(["rest", count])
            if column in self._machine.engines:
                steps = [["create", 0, count], ["rest", count], ["create", 0, count], ["rest", count], ["remove", 0, count]]
                made, _rest, again, _rest, gone, _absent = self._timed(*steps, ["network", "absent"], column=column)
            elif column == "ansible":
                made, again, gone = self._through_ansible(count)
            else:
                made, gone = self._machine.run(PROGRAMS[column], column, str(count))
            self.note(f"create {name}", column, made)
            if column in (*self._machine.engines, "ansible"):
                self.note(f"no-op over {name}", column, again)
            self.note(f"remove {name}", column, gone)

    def _timed(self, *steps: list[Any], column: str = "engine") -> list[float]:
        """The seconds of each, beside a network."""
        return self._machine.engine(["rest"], *NETWORK, *steps, column=column)[1 + len(NETWORK) :]

    def _through_ansible(self, count: int) -> tuple[float, float, float]:
        wanted = [{"name": f"pod-{number}", "network": "bench0"} for number in range(count)]
        self._machine.ansible("podnet.linux.bridge_network", name="bench0", subnets=["10.90.0.0/16"])
        made, again = (self._machine.ansible("podnet.linux.pod_sandbox", sandboxes=wanted) for _run in range(2))
        if count == SIZES[0]:
            for _run in range(3):
                self.note("ansible: ping", "ansible", self._machine.ansible("ansible.builtin.ping"))
                self.note("ansible: pod_sandbox, no-op", "ansible", self._machine.ansible("podnet.linux.pod_sandbox", **wanted[0]))
        gone = self._machine.ansible("podnet.linux.pod_sandbox", sandboxes=[], exclusive=True)
        self._machine.ansible("podnet.linux.bridge_network", name="bench0", state="absent")
        return made, again, gone

    def links(self) -> None:
        """Of 200 pods, what the floor does as well."""
        steps: list[list[Any]] = [["links", 0, 200], ["remove", 0, 200], ["network", "absent"]]
        self.note("links of 200 pods", "engine", self._timed(*steps)[0])

    def growth(self) -> None:
        """Pods one by one: on an empty host, beside nine, and beside many."""
        self.say(f"one pod beside {MANY}")

        def one_by_one(first: int) -> list[list[Any]]:
            return [["rest"], *(["create", number, 1] for number in range(first, first + SINGLES))]

        last, more = MANY - 1, MANY - 1 + SINGLES
        everything = more + SINGLES
        steps = [["create", 0, 9], *one_by_one(9), ["create", 9 + SINGLES, last - 9 - SINGLES], *one_by_one(last), *one_by_one(more)]
        steps += [["rest"], ["drift", everything], ["remove", 0, everything], ["network", "absent"], ["rest"]]
        times = iter(self._timed(*steps))
        for row in ("the 10th pod", f"the {MANY}th pod", f"add 1 pod to {MANY}"):
            if "add" not in row:
                next(times)  # those before it
            next(times)  # the rest
            self.note(row, "engine", *(next(times) for _pod in range(SINGLES)))
        next(times)
        self.note(f"drift check of {MANY} pods", "engine", next(times))

    def policies(self, column: str) -> None:
        """Loading, once more, and lifting; and published ports."""
        self.say(f"policies and ports: {column}")
        steps: list[list[Any]] = [["create", 0, 200], ["rest"]]
        for count, targets in POLICIES:
            steps += [["policy", count, targets], ["policy", count, targets], ["policy", 0, targets]]
        for ports in PORTS:
            steps += [["publish", ports], ["publish", 0]]
        steps += [["remove", 0, 200], ["network", "absent"], ["rest"]]
        times = iter(self._timed(*steps, column=column)[2:])
        for count, targets in POLICIES:
            row = f"policy of {count:,} on {targets} pod{'s' if targets > 1 else ''}".replace(",", " ")
            self.note(row, column, next(times))
            self.note(f"{row}, no-op", column, next(times))
            next(times)
        for ports in PORTS:
            self.note(f"publish {ports} ports", column, next(times))
            next(times)

    def rivals_ports(self) -> None:
        for ports, columns in PORTS.items():
            for column in (item for item in columns if item not in self._machine.missing):
                self.say(f"{ports} ports: {column}")
                self._machine.engine(["rest"])
                self.note(f"publish {ports} ports", column, self._machine.run(PROGRAMS[column], f"{column}-ports", str(ports))[0])

    def leases(self, column: str) -> None:
        self.say(f"leases: {column}")
        self._machine.forget_leases()
        few, many = [["lease", at, 1] for at in range(9, 14)], [["lease", at, 1] for at in range(9999, 10_004)]
        times = self._machine.engine(["lease", 0, 9], ["rest"], *few, ["lease", 14, 9985], ["rest"], *many, column=column)
        self.note("the 10th lease", column, *times[2:7])
        self.note("the 10 000th lease", column, *times[9:])

    def traffic(self) -> None:
        self.say("traffic")
        for way, rates in self._machine.run("traffic.py", "9").items():
            self.note(f"connections/s, {way}", "engine", *(pair[0] for pair in rates))
            self.note(f"packets/s, {way}", "engine", *(pair[1] for pair in rates))

    def memory(self) -> None:
        self.say("memory")
        for column, count in (("engine", 200), ("podman", 40)):
            if column not in self._machine.missing:
                own, kernel = self._machine.run("memory.py", column, str(count))
                self.note("memory of an idle pod, its processes (kB PSS)", column, own)
                self.note("memory of an idle pod, the kernel's share (kB)", column, kernel)

    def everything(self) -> None:
        for number in range(ROUNDS):
            self.say(f"round {number + 1} of {ROUNDS}")
            for size in SIZES:
                most = SLOW_ROUNDS if size == SIZES[-1] else {}
                rivals = [item for item in RIVALS if number < most.get(item, ROUNDS)]
                self.part(self.pods, size, (*self._machine.engines, "ansible", *rivals))
            self.part(self.pods, MANY, (*self._machine.engines, *(["ansible"] if not number else []), "floor"))
            self.part(self.links)
            for column in self._machine.engines:
                self.part(self.policies, column)
            if number:
                self.part(self.growth)
        self.part(self.rivals_ports)
        for column in self._machine.engines:
            self.part(self.leases, column)
        self.part(self.traffic)
        self.part(self.memory)

    def part(self, measure: Callable[..., None], *arguments: Any) -> None:
        """Measure rows. If it fails, clean the host, and go on: a ratio that lacks a row is reported as not measured."""
        try:
            measure(*arguments)
        except Failed as error:
            self.say(f"FAILED: {error}")
            self._machine.restart()

    def profiles(self) -> dict[str, dict[str, float]]:
        self.say("profiles")
        return dict(self._machine.run("profiles.py"))


def main() -> int:
    """``BEFORE``, in the environment: a commit whose engine is measured in turns with this one."""
    OUT.mkdir(parents=True, exist_ok=True)
    with Machine(os.environ.get("BEFORE", "")) as machine:
        bench = Bench(machine)
        bench.everything()
        lines = _written(bench.results, machine.missing)
        (OUT / "profiles.md").write_text(report.profiles(bench.profiles()) + "\n")
    print("", (OUT / "table.md").read_text(), *lines, sep="\n")
    print(f"\n{os.cpu_count()} x {_cpu()}, Linux {platform.release()}; table.md, results.json, profiles.md and chart.svg are in {OUT}")
    return 1 if any(line.endswith(("MISSED", "not measured")) for line in lines) else 0


def _written(results: dict[str, dict[str, list[float]]], missing: dict[str, str]) -> list[str]:
    """Table, chart and all that was measured, on disk; what came of the ratios, line by line."""
    ratios = report.ratios(results)
    lines = [*report.targets(ratios, _before()), *report.compared(results)]
    found = {
        "machine": {"kernel": platform.release(), "cpus": os.cpu_count(), "cpu": _cpu(), "python": platform.python_version()},
        "missing": missing,
        "medians": {row: {column: statistics.median(v) for column, v in cells.items()} for row, cells in results.items()},
        "rounds": results,
        "ratios": ratios,
    }
    (OUT / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    (OUT / "table.md").write_text(report.table(results, missing) + "\n")
    (OUT / "chart.svg").write_text(report.chart(results, missing))
    return lines


def _before() -> dict[str, float]:
    """The ratios of the last run on this machine."""
    try:
        return dict(json.loads((OUT / "results.json").read_text(encoding="utf-8"))["ratios"])
    except (OSError, ValueError, KeyError):
        return {}


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    sys.exit(main())
