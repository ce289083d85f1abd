# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of the data: lock, observe, plan, apply, observe again."""

from __future__ import annotations

import gc
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from ._errors import StateCorrupt
from ._host.books import observe_books
from ._host.machine import Machine, require_privileges
from ._plan.draft import Draft, Plan
from ._plan.observed import Observed, Ruleset
from ._plan.operations import Operation
from ._store import lock, paths

Result = dict[str, Any]
_MANY = 16
"""From this number of sandboxes on, decoding takes a notable part of the next run."""


@dataclass
class Outcome:
    """What a run did, or in check mode would do."""

    changed: bool
    diffs: list[Result]
    results: list[Result] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Settings:
    """How to run. ``before`` is called with the operations ahead of them, ``after`` behind each that was performed."""

    check: bool = False
    lock_timeout: float = 30.0
    exclusive: bool = False
    force: bool = False
    before: Callable[[Sequence[Operation]], None] | None = None
    after: Callable[[Operation], None] | None = None


class Session:
    """One lock, one machine, one plan. ``look``: how to see what the plan is about."""

    def __init__(self, machine: Machine, settings: Settings, look: Callable[[Machine], Observed]) -> None:
        self.machine = machine
        self._settings = settings
        self._look = look
        self._observed = look(machine)
        self.planned = self.draft()

    def draft(self) -> Draft:
        """A new draft on what was last observed."""
        return Draft.of(
            self._observed,
            lambda: secrets.token_hex(8),
            canonical=self._canonical,
            check=self._settings.check,
        )

    def _canonical(self, ruleset: Ruleset) -> Ruleset:
        """As nft lists it. Runs for leases do not call it, and so do not import what it needs."""
        return self.machine.tables.canonical(ruleset)

    def run(self, plan_it: Callable[[Draft], None]) -> Plan:
        plan_it(self.planned)
        plan = self.planned.finish()
        if self._settings.before is not None:
            self._settings.before([operation for _phase, operation in plan.steps])
        if not self._settings.check:
            if plan.changed:
                applier()(plan, self.machine, self._settings.after)
            # All is done by now; these only save the next run work.
            with suppress(OSError):
                self.machine.remember()
        return plan

    def outlook(self, plan: Plan) -> Draft:
        """What results are read from: the machine, seen again where it was changed; in check mode, the plan."""
        if self._settings.check or not plan.changed:
            return self.planned
        self._observed = self._look(self.machine)
        draft = self.draft()
        self._warm_memo(draft, plan)
        return draft

    def _warm_memo(self, draft: Draft, plan: Plan) -> None:
        """Decode links and routes of the changed sandboxes, if they are many, so that the next run finds them in the memo."""
        changed = plan.changes_of("sandbox")
        if len(changed) >= _MANY:
            dict(draft.observed.links)
            for sandbox in draft.sandboxes.values():
                if sandbox.name in changed and sandbox.has_net:
                    self.machine.warm_memo(sandbox.id)
            with suppress(OSError):
                self.machine.memo.save()

    def outcome(self, plan: Plan, results: list[Result]) -> Outcome:
        return Outcome(plan.changed, [change.as_diff() for change in plan.changes], results, list(plan.warnings))


def applier() -> Callable[..., None]:
    """What performs plans, imported by the first who asks: a quarter of the engine, which a run without changes has no use for."""
    from ._host.apply import apply

    return apply


@contextmanager
def host_session(settings: Settings, *, debris: bool = False, expected: int = 0) -> Iterator[Session]:
    """For networks, sandboxes and policies; ``expected``: so many of them. Raises NotPermitted, LockTimeout."""
    from ._host.observe import observe

    require_privileges()
    with locked_machine(settings, paths.LOCK) as machine:
        try:
            yield Session(machine, settings, lambda seen: observe(seen, debris=debris, expected=expected))
        except StateCorrupt as error:
            # All at once: each has to be seen to before anything can be done.
            texts = {str(error): None, **{str(other): None for other in machine.records.unreadable().values()}}
            raise StateCorrupt("; ".join(texts)) from None


@contextmanager
def books(settings: Settings, *, host: bool, change: bool = False) -> Iterator[Session]:
    """For leases alone; ``host``: those of networks too, which are root's; ``change``: not only to look."""
    if host:
        require_privileges()
    elif change and os.geteuid():
        paths.require_user_state()
    with locked_machine(settings, paths.lock()) as machine:
        yield Session(machine, settings, lambda seen: observe_books(seen, host=host))


@contextmanager
def locked_machine(settings: Settings, path: str) -> Iterator[Machine]:
    with lock.locked(path, timeout=settings.lock_timeout, shared=settings.check), _without_collector():
        machine = Machine()
        try:
            yield machine
        finally:
            machine.close()


@contextmanager
def _without_collector() -> Iterator[None]:
    """A run is short and makes no cycles; looking for them among all that was imported takes milliseconds each time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
