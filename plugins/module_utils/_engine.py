# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of the data: lock, observe, plan, apply, observe again. Knows nothing of Ansible."""

from __future__ import annotations

import gc
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from ._host.apply import Step, apply
from ._host.machine import Machine, require_privileges
from ._host.observe import observe, observe_books
from ._plan.allocations import allocation_result, change_name, describe_allocations, describe_pool, plan_allocations
from ._plan.draft import Draft, Plan
from ._plan.networks import network_result
from ._plan.observed import Observed
from ._plan.planner import plan_networks, plan_policies, plan_prune, plan_sandboxes
from ._plan.policies import Target, find_target, named, policy_result
from ._plan.rules import rule_problems
from ._plan.sandboxes import find_sandbox, problems_of, sandbox_result
from ._spec.allocation import AllocationRequest
from ._spec.network import NetworkRequest
from ._spec.policy import PolicyRequest
from ._spec.sandbox import SandboxRequest
from ._store import lock, paths

Result = dict[str, Any]


@dataclass
class Outcome:
    """What a run did, or in check mode would do."""

    changed: bool
    diffs: list[Result]
    results: list[Result] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Settings:
    """How to run. ``after`` is called behind each operation performed."""

    check: bool = False
    lock_timeout: float = 30.0
    exclusive: bool = False
    force: bool = False
    after: Step | None = None


def run_networks(requests: Sequence[NetworkRequest], settings: Settings) -> Outcome:
    """Make networks as requested; one result per request, in order. Raises PodnetError."""
    with _session(settings) as session:
        plan = session.run(lambda draft: plan_networks(draft, requests, exclusive=settings.exclusive, force=settings.force))
        changed = plan.changes_of("network")
        draft = session.outlook(plan)
        results = []
        for request in requests:
            network = draft.networks.get(request.name)
            result = network_result(draft, network) if network else {"name": request.name}
            results.append({**result, "state": request.state, "changed": request.name in changed})
        return session.outcome(plan, results)


def run_sandboxes(requests: Sequence[SandboxRequest], settings: Settings) -> Outcome:
    """Make sandboxes as requested; one result per request, in order. Raises PodnetError."""
    with _session(settings) as session:
        before = session.draft()
        meant = [find_sandbox(before, item) if item.id is not None or item.state == "absent" else None for item in requests]
        plan = session.run(lambda draft: plan_sandboxes(draft, requests, exclusive=settings.exclusive, force=settings.force))
        changes = plan.changes_of("sandbox")
        draft = session.outlook(plan)
        results = []
        for request, known in zip(requests, meant):
            name = request.name or (known.name if known else None)
            result: Result = {"id": known.id if known else request.id, "name": name, "state": "absent"}
            if request.state != "absent":
                planned = changes.get(str(name))
                if settings.check and planned is not None:
                    result = {**planned.before, **planned.after}
                else:
                    sandbox = find_sandbox(session.planned, SandboxRequest(name=name))
                    result = sandbox_result(draft, sandbox, draft.observed.views[sandbox.id], ()) if sandbox else result
            results.append({**result, "changed": name in changes})
        return session.outcome(plan, results)


def run_allocations(requests: Sequence[AllocationRequest], settings: Settings) -> Outcome:
    """Lease and release as requested; one result per request, in order. Raises PodnetError."""
    with _books(settings, host=any(request.network is not None for request in requests), change=True) as session:
        plan = session.run(lambda draft: plan_allocations(draft, requests, exclusive=settings.exclusive))
        changes = plan.changes_of("allocation")
        draft = session.outlook(plan)
        results = []
        for request in requests:
            changed = change_name(request) in changes
            result = changes[change_name(request)].after if changed else {}
            results.append({**(result or allocation_result(draft, request)), "state": request.state, "changed": changed})
        return session.outcome(plan, results)


def run_policies(requests: Sequence[PolicyRequest], settings: Settings) -> Outcome:
    """Declare and lift egress policies as requested; one result per request, in order. Raises PodnetError."""
    with _session(settings) as session:
        plan = session.run(lambda draft: plan_policies(draft, requests, exclusive=settings.exclusive))
        changes = plan.changes_of("policy")
        draft = session.outlook(plan)
        results = []
        for request in requests:
            target = find_target(draft, request)
            policy = named(target.policies, request.name) if target is not None else None
            result: Result = {"sandbox": request.sandbox, "network": request.network, "name": request.name}
            if target is not None and policy is not None:
                result = policy_result(target, policy, draft.observed.counters)
            changed = request.title in changes or (target is not None and f"{request.kind} {target.name} {request.name}" in changes)
            results.append({**result, "state": request.state, "changed": changed})
        return session.outcome(plan, results)


def run_prune(settings: Settings) -> Outcome:
    """Remove what is ours and has no record. The outcome's only result names what was removed. Raises PodnetError."""
    with _session(settings, debris=True) as session:
        plan = session.run(plan_prune)
        pruned = [f"{kind} {name}" for kind in ("sandbox", "network") for name in plan.changes_of(kind)]
        pruned += [item for change in plan.changes_of("debris").values() for item in change.before["pruned"]]
        return session.outcome(plan, [{"pruned": pruned}])


def describe_networks(settings: Settings) -> list[Result]:
    """Every network, sorted by name. Raises PodnetError."""
    with _session(settings) as session:
        draft = session.draft()
        return [network_result(draft, network) for _name, network in sorted(draft.networks.items())]


def describe_sandboxes(settings: Settings, wanted: Callable[[Result], bool]) -> list[Result]:
    """The sandboxes whose record is ``wanted``, with their drift, sorted by name. Raises PodnetError."""
    with _session(settings) as session:
        draft = session.draft()
        chosen = [item for item in draft.sandboxes.values() if wanted(item.as_dict())]
        rules_of = rule_problems(draft)
        return [
            sandbox_result(draft, item, draft.observed.views[item.id], [*problems_of(draft, item), *rules_of(item)])
            for item in sorted(chosen, key=lambda item: (item.name, item.id))
        ]


def describe_policies(settings: Settings, wanted: Callable[[Result], bool]) -> list[Result]:
    """The egress policies that are ``wanted``, sorted by whom they bind and by name. Raises PodnetError."""
    with _session(settings) as session:
        draft = session.draft()
        targets: list[Target] = [*draft.sandboxes.values(), *draft.networks.values()]
        live = [target for target in targets if not target.removing]
        found = [policy_result(target, policy, draft.observed.counters) for target in live for policy in target.policies]
        return sorted(filter(wanted, found), key=lambda item: (str(item["network"] or ""), str(item["sandbox"] or ""), item["name"]))


def describe_leases(settings: Settings, wanted: Callable[[str], bool], *, host: bool = False) -> tuple[list[Result], list[Result]]:
    """Who holds what, sorted by owner, and how full the pools are, sorted by name: those whose key is ``wanted``.

    An ordinary user sees the pools of their own, root the host's and the networks'; ``host``: these are asked for. Raises
    PodnetError.
    """
    with _books(settings, host=host or os.geteuid() == 0) as session:
        draft = session.draft()
        keys = [key for key in {*draft.observed.shelves, *draft.networks} if wanted(key)]
        pools = [pool for pool in (draft.pool(key) for key in keys) if pool is not None]
        held = [item for key in sorted(keys) for item in describe_allocations(draft, key)]
        return (
            sorted(held, key=lambda item: str(item["owner"])),
            [describe_pool(draft, pool) for pool in sorted(pools, key=lambda pool: (pool.name, pool.kind))],
        )


class _Session:
    """One lock, one machine, one plan. ``look``: how to see what the plan is about."""

    def __init__(self, machine: Machine, settings: Settings, look: Callable[[Machine], Observed]) -> None:
        self._machine = machine
        self._settings = settings
        self._look = look
        self._observed = look(machine)
        self.planned = self.draft()

    def draft(self) -> Draft:
        """A new draft on what was last observed."""
        return Draft.of(self._observed, lambda: secrets.token_hex(8), canonical=self._machine.tables.canonical, check=self._settings.check)

    def run(self, plan_it: Callable[[Draft], None]) -> Plan:
        plan_it(self.planned)
        plan = self.planned.finish()
        if not self._settings.check:
            if plan.changed:
                apply(plan, self._machine, self._settings.after)
            # All is done by now; these only save the next run work.
            with suppress(OSError):
                self._machine.tables.remember(self._machine.records.signature)
                self._machine.records.save_index()
        return plan

    def outlook(self, plan: Plan) -> Draft:
        """What results are read from: the machine, seen again where it was changed; in check mode, the plan."""
        if self._settings.check or not plan.changed:
            return self.planned
        self._observed = self._look(self._machine)
        return self.draft()

    def outcome(self, plan: Plan, results: list[Result]) -> Outcome:
        return Outcome(plan.changed, [change.as_diff() for change in plan.changes], results, list(plan.warnings))


@contextmanager
def _session(settings: Settings, *, debris: bool = False) -> Iterator[_Session]:
    require_privileges()
    with _locked(settings, paths.LOCK, lambda machine: observe(machine, debris=debris)) as session:
        yield session


@contextmanager
def _books(settings: Settings, *, host: bool, change: bool = False) -> Iterator[_Session]:
    """For leases alone; ``host``: those of networks too, which are root's; ``change``: not only to look."""
    if host:
        require_privileges()
    elif change and os.geteuid():
        paths.require_user_state()
    with _locked(settings, paths.lock(), lambda machine: observe_books(machine, host=host)) as session:
        yield session


@contextmanager
def _locked(settings: Settings, path: str, look: Callable[[Machine], Observed]) -> Iterator[_Session]:
    with lock.locked(path, timeout=settings.lock_timeout, shared=settings.check), _without_collector():
        machine = Machine()
        try:
            yield _Session(machine, settings, look)
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
