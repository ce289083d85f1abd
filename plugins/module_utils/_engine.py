# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be asked of the engine: each a run of its own, options in, results out. Knows nothing of Ansible.

Leases alone are in _leasing.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ._plan.networks import network_result
from ._plan.planner import plan_networks, plan_policies, plan_prune, plan_sandboxes
from ._plan.policies import Target, find_target, named, policy_result
from ._plan.rules import rule_problems
from ._plan.sandboxes import find_sandbox, problems_of, sandbox_result
from ._session import Outcome, Result, Settings, host_session
from ._spec.network import NetworkRequest
from ._spec.policy import PolicyRequest
from ._spec.sandbox import SandboxRequest


def run_networks(requests: Sequence[NetworkRequest], settings: Settings) -> Outcome:
    """Make networks as requested; one result per request, in order. Raises PodnetError."""
    with host_session(settings) as session:
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
    with host_session(settings, expected=len(requests)) as session:
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
                    result = sandbox_result(draft, sandbox, draft.observed.pauses[sandbox.id], ()) if sandbox else result
            results.append({**result, "changed": name in changes})
        return session.outcome(plan, results)


def run_policies(requests: Sequence[PolicyRequest], settings: Settings) -> Outcome:
    """Declare and lift egress policies as requested; one result per request, in order. Raises PodnetError."""
    with host_session(settings) as session:
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
    with host_session(settings, debris=True) as session:
        plan = session.run(plan_prune)
        pruned = [f"{kind} {name}" for kind in ("sandbox", "network") for name in plan.changes_of(kind)]
        pruned += [item for change in plan.changes_of("debris").values() for item in change.before["pruned"]]
        return session.outcome(plan, [{"pruned": pruned}])


def describe_networks(settings: Settings) -> list[Result]:
    """Every network, sorted by name. Raises PodnetError."""
    with host_session(settings) as session:
        draft = session.draft()
        return [network_result(draft, network) for _name, network in sorted(draft.networks.items())]


def describe_sandboxes(settings: Settings, wanted: Callable[[Result], bool]) -> list[Result]:
    """The sandboxes whose record is ``wanted``, with their drift, sorted by name. Raises PodnetError."""
    with host_session(settings) as session:
        draft = session.draft()
        chosen = [item for item in draft.sandboxes.values() if wanted(item.as_dict())]
        rules_of = rule_problems(draft)
        return [
            sandbox_result(draft, item, draft.observed.pauses[item.id], [*problems_of(draft, item), *rules_of(item)])
            for item in sorted(chosen, key=lambda item: (item.name, item.id))
        ]


def describe_policies(settings: Settings, wanted: Callable[[Result], bool]) -> list[Result]:
    """The egress policies that are ``wanted``, sorted by whom they bind and by name. Raises PodnetError."""
    with host_session(settings) as session:
        draft = session.draft()
        targets: list[Target] = [*draft.sandboxes.values(), *draft.networks.values()]
        live = [target for target in targets if not target.removing]
        found = [policy_result(target, policy, draft.observed.counters) for target in live for policy in target.policies]
        return sorted(filter(wanted, found), key=lambda item: (str(item["network"] or ""), str(item["sandbox"] or ""), item["name"]))
