# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner of egress policies: they are kept with the sandbox or network that they bind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Union

from .._spec.network import Network
from .._spec.policy import Policy, PolicyRequest, with_policy
from .._spec.sandbox import Sandbox, SandboxRequest
from .draft import Change, Draft
from .egress import counter_names, crowd_counter, target_of
from .operations import Phase, WriteRecord
from .sandboxes import find_sandbox

KIND = "policy"

Target = Union[Sandbox, Network]


def plan_policy(draft: Draft, request: PolicyRequest) -> None:
    """Declare or lift one. Raises NotFound, InvalidArgument."""
    target = find_target(draft, request)
    if target is None:
        if request.state == "present":
            draft.missing(_missing(request))
            policy = request.resolve(None)
            draft.changes.append(Change(KIND, request.title, {}, policy.as_dict()))
        return
    known = named(target.policies, request.name)
    wanted = request.resolve(known) if request.state == "present" else None
    if wanted is not None and known is not None and wanted.as_dict() == known.as_dict():
        return
    set_policy(draft, target, request.name, wanted)


def set_policy(draft: Draft, target: Target, name: str, policy: Policy | None) -> None:
    """Put it in place of the one of that name, or None to lift that."""
    known = named(target.policies, name)
    if policy == known:
        return
    changed = replace(target, policies=with_policy(target.policies, name, policy))
    kind, key = ("sandbox", target.id) if isinstance(target, Sandbox) else ("network", target.name)
    draft.add(Phase.RECORD, WriteRecord(kind, key, changed.as_record(), target.as_record()))
    if isinstance(changed, Sandbox):
        draft.sandboxes[changed.id] = changed
    else:
        draft.networks[changed.name] = changed
    before, after = (item.as_dict() if item is not None else {} for item in (known, policy))
    draft.changes.append(Change(KIND, f"{kind} {target.name} {name}", before, after))
    if target.policies and not changed.policies:
        draft.warn(f"the last egress policy of {kind} {target.name} is lifted: what it sends goes anywhere now")


def lift_unlisted(draft: Draft, requests: Iterable[PolicyRequest]) -> None:
    """Every policy of this host that no request names, but for those that pod_sandbox declares."""
    listed = {(target.id, request.name) for request in requests for target in [find_target(draft, request)] if target is not None}
    targets: list[Target] = [*list(draft.sandboxes.values()), *list(draft.networks.values())]
    for target in targets:
        for policy in () if target.removing else target.policies:
            if (target.id, policy.name) not in listed and policy.origin != "pod_sandbox":
                set_policy(draft, find_again(draft, target), policy.name, None)


def find_target(draft: Draft, request: PolicyRequest) -> Target | None:
    """The sandbox or network as planned; None where there is none."""
    found: Target | None
    if request.network is not None:
        found = draft.networks.get(request.network)
    elif request.sandbox is not None and request.by_id:
        found = draft.sandboxes.get(request.sandbox)
    else:
        found = find_sandbox(draft, SandboxRequest(name=request.sandbox))
    return None if found is None or found.removing else found


def find_again(draft: Draft, target: Target) -> Target:
    """The same as planned by now."""
    return draft.sandboxes[target.id] if isinstance(target, Sandbox) else draft.networks[target.name]


def named(policies: Sequence[Policy], name: str) -> Policy | None:
    return next((policy for policy in policies if policy.name == name), None)


def policy_result(target: Target, policy: Policy, counters: Mapping[str, int]) -> dict[str, Any]:
    """The return value: the policy as in effect, and how many packets it let out and its target was denied."""
    name = target_of(target)
    allowed, denied, crowd = (counters.get(item, 0) for item in (*counter_names(name, policy.name), crowd_counter(name)))
    own = isinstance(target, Sandbox)
    whose = {"sandbox": target.name if own else None, "id": target.id if own else None, "network": None if own else target.name}
    return {**whose, **policy.as_dict(), "declared_by": policy.origin, "counters": {"allowed": allowed, "denied": denied + crowd}}


def _missing(request: PolicyRequest) -> str:
    if request.network is not None:
        return f"network: {request.network} is not declared on this host; declare it with podnet.linux.bridge_network first"
    return f"sandbox: there is no sandbox {request.sandbox} on this host; declare it with podnet.linux.pod_sandbox first"
