# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a run is, and what it took: for whoever waits for many objects."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ._plan.operations import Operation

_EVERY = 2.0


class Progress:
    """Told of a plan's operations, it counts and times them. ``say`` gets a line every other second of a long run."""

    def __init__(self, say: Callable[[str], None], *, check: bool = False) -> None:
        self._say = say
        self._check = check
        self._total = self._done = 0
        self._last = self._said = time.monotonic()
        self._kinds: dict[str, list[float]] = {}

    def begin(self, planned: Sequence[Operation]) -> None:
        """What is to be performed; so far was waiting, looking and planning. In check mode that is all, and takes no time."""
        self._total = len(planned)
        self._note("wait, look and plan")
        for operation in planned if self._check else ():
            self._kinds.setdefault(type(operation).__name__, [0, 0.0])[0] += 1

    def end(self) -> None:
        """Behind the last one: looking again, and the answer."""
        self._note("look again and answer")

    def after(self, operation: Operation) -> None:
        """One is done."""
        self._done += 1
        self._note(type(operation).__name__)
        if self._last - self._said >= _EVERY:
            self._said = self._last
            self._say(f"{self._done} of {self._total} operations, the last one {type(operation).__name__}")

    @property
    def operations(self) -> list[dict[str, str | int | float]]:
        """Each kind in the order of its first: how many, and the seconds of all."""
        return [{"operation": kind, "count": int(count), "seconds": round(took, 6)} for kind, (count, took) in self._kinds.items()]

    def _note(self, kind: str) -> None:
        now = time.monotonic()
        known = self._kinds.setdefault(kind, [0, 0.0])
        known[0] += 1
        known[1] += now - self._last
        self._last = now
