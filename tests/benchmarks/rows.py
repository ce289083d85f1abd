# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured, and what is to be reached."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

COLUMNS = {
    "engine": "podnet.linux, the engine in one process",
    "ansible": "podnet.linux, a task of ansible-playbook over SSH",
    "podman": "podman pods, netavark",
    "cni": "CNI bridge, host-local, portmap",
    "sequence": "ip and nsenter, a process each step",
    "floor": "raw netlink, nothing asked or kept",
}

Results = Mapping[str, Mapping[str, list[float]]]
"""By row and column what was measured, in seconds unless the row says otherwise, round by round."""


@dataclass(frozen=True)
class Target:
    """``least`` or ``most`` of a ratio."""

    name: str
    ratio: Callable[[Results], float]
    least: float | None = None
    most: float | None = None

    def reached(self, ratio: float) -> bool:
        return (self.least is None or ratio >= self.least) and (self.most is None or ratio <= self.most)

    @property
    def bound(self) -> str:
        return f"at least {self.least:g}" if self.least is not None else f"at most {self.most:g}"


def _of(row: str, column: str, to_row: str, to_column: str) -> Callable[[Results], float]:
    """The median of one cell by that of another."""
    return lambda results: statistics.median(results[row][column]) / statistics.median(results[to_row][to_column])


def _paired(row: str, to_row: str, column: str) -> Callable[[Results], float]:
    """The median of the ratios of each round, where both were measured right after each other."""
    return lambda results: statistics.median(one / other for one, other in zip(results[row][column], results[to_row][column], strict=True))


TARGETS = (
    Target("creating 200 pods, against CNI", _of("create 200 pods", "cni", "create 200 pods", "engine"), least=6),
    Target("creating 200 pods, against podman", _of("create 200 pods", "podman", "create 200 pods", "engine"), least=25),
    Target("creating 200 pods, against a process each step", _of("create 200 pods", "sequence", "create 200 pods", "engine"), least=8),
    Target("their links, against the floor", _of("links of 200 pods", "engine", "create 200 pods", "floor"), most=3),
    Target("removing 200 pods, against CNI", _of("remove 200 pods", "cni", "remove 200 pods", "engine"), least=10),
    Target("a no-op over 900 pods, against creating them", _paired("no-op over 900 pods", "create 900 pods", "engine"), most=0.1),
    Target("the 900th pod, against the 10th", _of("the 900th pod", "engine", "the 10th pod", "engine"), most=1.5),
    Target("one pod beside 900, against the first", _of("add 1 pod to 900", "engine", "create 1 pod", "engine"), most=2),
    Target(
        "a policy of 10 000 again, against loading it",
        _paired("policy of 10 000 on 1 pod, no-op", "policy of 10 000 on 1 pod", "engine"),
        most=0.2,
    ),
    Target("the 10 000th lease, against the 10th", _of("the 10 000th lease", "engine", "the 10th lease", "engine"), most=1.5),
    Target("a task without changes, against ping", _paired("ansible: pod_sandbox, no-op", "ansible: ping", "ansible"), most=1.35),
    *(
        Target(f"{what} under a policy of {count}", _paired(f"{what}, NAT under a policy of {count}", f"{what}, NAT", "engine"), least=0.9)
        for what in ("connections/s", "packets/s")
        for count in ("10", "10 000")
    ),
)
