# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From requests to a plan: the one place that knows in which order objects are planned."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from .._errors import InUse, InvalidArgument
from .._spec.network import Network, NetworkRequest, default_network
from .._spec.policy import PolicyRequest
from .._spec.sandbox import Sandbox, SandboxRequest
from .draft import Change, Draft
from .firewall import plan_firewall
from .forwarding import plan_forwarding
from .neighbours import warn_of_neighbours
from .networks import needs_settling, present_network, remove_network, return_network
from .operations import Phase, SetLink
from .policies import find_target, lift_unlisted, plan_policy
from .prune import plan_debris
from .publishing import check_conflicts, plan_route_localnet
from .rules import plan_rules
from .sandboxes import converge_sandbox, find_sandbox, present_sandbox, remove_sandbox, return_sandbox

DEFAULT_NETWORK = "podnet0"


def plan_networks(draft: Draft, requests: Sequence[NetworkRequest], *, exclusive: bool = False, force: bool = False) -> None:
    """Plan every request; removals first, so that what they free can be used.

    ``exclusive``: networks that are not listed go too (``force``: with their sandboxes).
    """
    names = [request.name for request in requests]
    _no_duplicates("networks", names)
    for name in sorted(set(draft.networks) - set(names)) if exclusive else ():
        _remove_network(draft, name, force=force)
    for request in requests:
        if request.state == "absent":
            _remove_network(draft, request.name, force=request.force)
    followers: dict[str, Sandbox] = {}
    for request in requests:
        if request.state == "present":
            recorded = draft.networks.get(request.name)
            wanted = present_network(draft, request)
            whole = needs_settling(recorded, wanted)
            followers.update({item.id: item for item in _users(draft, wanted.name) if whole or _is_off(draft, item, wanted.name)})
    for sandbox in followers.values():
        converge_sandbox(draft, sandbox)
    _plan_host(draft, strict=any(request.state == "present" for request in requests))


def plan_sandboxes(draft: Draft, requests: Sequence[SandboxRequest], *, exclusive: bool = False, force: bool = False) -> None:
    """Plan every request; removals first. ``exclusive``: sandboxes that are not listed go too."""
    known = [(request, find_sandbox(draft, request)) for request in requests]
    _no_duplicates("sandboxes", [sandbox.id if sandbox else str(request.name) for request, sandbox in known])
    listed = {sandbox.id for _request, sandbox in known if sandbox}
    for unlisted in [key for key in draft.sandboxes if key not in listed] if exclusive else ():
        remove_sandbox(draft, draft.sandboxes[unlisted], force=force)
    for request, sandbox in known:
        # What a killed removal left is removed to its end before the name is used again.
        if sandbox is not None and (request.state == "absent" or sandbox.removing):
            remove_sandbox(draft, sandbox, force=request.force)
    present = [(request, sandbox) for request, sandbox in known if request.state != "absent"]
    if any(_wants_default(request, sandbox) for request, sandbox in present):
        _ensure_default_network(draft)
    named = {sandbox.id for _request, sandbox in present if sandbox is not None}
    followers = _restore_bridges(draft, present)
    for request, sandbox in present:
        live = None if sandbox is not None and sandbox.removing else sandbox
        present_sandbox(draft, request, live, default_network=DEFAULT_NETWORK)
    for follower in followers:
        if follower.id not in named:
            converge_sandbox(draft, follower)
    if present:
        warn_of_neighbours(draft)
    _plan_host(draft)


def plan_policies(draft: Draft, requests: Sequence[PolicyRequest], *, exclusive: bool = False) -> None:
    """Plan every request. ``exclusive``: policies that are not listed are lifted, those of pod_sandbox apart."""
    targets = [(find_target(draft, request), request) for request in requests]
    _no_duplicates("policies", [f"{target.id} {item.name}" if target else item.title for target, item in targets])
    if exclusive:
        lift_unlisted(draft, requests)
    for request in requests:
        plan_policy(draft, request)
    _plan_host(draft)


def plan_prune(draft: Draft) -> None:
    """Remove what is ours and has no record, and finish removals that were begun."""
    for sandbox in list(draft.sandboxes.values()):
        if sandbox.removing:
            remove_sandbox(draft, sandbox, force=True)
    for network in list(draft.networks.values()):
        if network.removing:
            remove_network(draft, network.name, force=True)
    plan_debris(draft)
    _plan_host(draft)


def plan_restore(
    draft: Draft, networks: Iterable[str], sandboxes: Iterable[str], shut: Collection[str], *, rules_only: bool = False
) -> None:
    """Bring these networks and sandboxes (by id) back as they are recorded, or their removal to its end; the rules in any case.

    What was observed as belonging to nobody goes, unless it may belong to what is shut.
    ``shut``: networks and sandboxes whose record cannot be gone by, and whose rules nobody knows: nothing may pass there.
    ``rules_only``: leave firewalld out. This run may be a part of its reload, in the middle of which no interface is in a zone;
    firewalld restores the zones that it keeps, and refuses other changes meanwhile.
    """
    keys, names = list(sandboxes), list(networks)
    for key in keys:
        if draft.sandboxes[key].removing:
            remove_sandbox(draft, draft.sandboxes[key], force=True)
    for name in names:
        if draft.networks[name].removing and not draft.users(name):
            remove_network(draft, name, force=True)
    for name in names:
        if name in draft.networks and not draft.networks[name].removing:
            present_network(draft, NetworkRequest(name))
    for key in keys:
        if key in draft.sandboxes:
            converge_sandbox(draft, draft.sandboxes[key])
    for key in shut:
        _shut(draft, key)
    if not shut:
        plan_debris(draft)
    _plan_host(draft, firewalld=not rules_only)


def plan_return(draft: Draft, networks: Mapping[str, Network], sandboxes: Mapping[str, Sandbox]) -> None:
    """Everything back to what it was: by name and by id, all that there shall be. What is not among it goes, by force."""
    for key in [key for key in draft.sandboxes if key not in sandboxes]:
        remove_sandbox(draft, draft.sandboxes[key], force=True)
    for network in networks.values():
        return_network(draft, network)
    for sandbox in sandboxes.values():
        return_sandbox(draft, sandbox)
    for name in [name for name in draft.networks if name not in networks]:
        remove_network(draft, name, force=True)
    _plan_host(draft)


def _shut(draft: Draft, key: str) -> None:
    """Take the bridge of that name, or the interfaces of the sandbox of that id, down."""
    bridge = draft.observed.links.get(key)
    for link in (*([bridge] if bridge is not None and bridge.kind == "bridge" else ()), *draft.veths(key)):
        if link.up and (link.alias or "").startswith("podnet:"):
            draft.add(Phase.QUIESCE, SetLink(None, link.name, (("up", False),), (("up", True),)))
            draft.changes.append(Change("link", link.name, {"up": True}, {"up": False}))


def _plan_host(draft: Draft, *, strict: bool = False, firewalld: bool = True) -> None:
    """``strict``: what a foreign firewall would drop is an error, not a warning; ``firewalld``: plan for firewalld too."""
    check_conflicts(draft)
    plan_forwarding(draft)
    plan_rules(draft)
    plan_firewall(draft, strict=strict, firewalld=firewalld)
    plan_route_localnet(draft)


def _remove_network(draft: Draft, name: str, *, force: bool) -> None:
    users = draft.users(name)
    if users and not force:
        names = ", ".join(sorted(sandbox.name for sandbox in users))
        raise InUse(f"network {name} is used by sandbox {names}; remove those first, or say force: true to remove them too")
    for sandbox in users:
        remove_sandbox(draft, sandbox, force=True)
    remove_network(draft, name, force=force)


def _users(draft: Draft, network: str) -> list[Sandbox]:
    """The sandboxes on the network that stay."""
    return [item for item in draft.users(network) if not item.removing]


def _restore_bridges(draft: Draft, present: Sequence[tuple[SandboxRequest, Sandbox | None]]) -> list[Sandbox]:
    """Make bridges anew that the sandboxes need and somebody deleted; returns the sandboxes on them."""
    names = {item.network for _request, sandbox in present if sandbox is not None for item in sandbox.attachments}
    names |= {item.network for request, _sandbox in present for item in request.networks or ()}
    found: list[Sandbox] = []
    for name in sorted(names):
        if name in draft.observed.networks and name in draft.networks and name not in draft.observed.links:
            present_network(draft, NetworkRequest(name))
            found += _users(draft, name)
    return found


def _is_off(draft: Draft, sandbox: Sandbox, network: str) -> bool:
    """Whether an interface of the sandbox is no port of the network's bridge."""
    for item in sandbox.attachments:
        peer = draft.link(sandbox.veth_host(item.position))
        if item.network == network and (peer is None or peer.master != network or network not in draft.observed.links):
            return True
    return False


def _wants_default(request: SandboxRequest, sandbox: Sandbox | None) -> bool:
    """A sandbox to be made with a net namespace of its own and no word on networks."""
    if sandbox is not None and not sandbox.removing:
        return False
    namespaces = request.namespaces if request.namespaces is not None else ("net",)
    return request.networks is None and request.netns is None and "net" in namespaces


def _ensure_default_network(draft: Draft) -> None:
    if DEFAULT_NETWORK in draft.networks:
        present_network(draft, NetworkRequest(DEFAULT_NETWORK))
        return
    taken = [subnet for network in draft.networks.values() for subnet in network.subnets]
    taken += [destination for destination, _device in draft.observed.routes if destination.prefixlen]
    disabled = draft.observed.sysctls.get("net/ipv6/conf/all/disable_ipv6")
    ipv6 = disabled is not None and disabled.value == "0"
    present_network(draft, default_network(taken, ipv6=ipv6, seed=draft.observed.machine_id))


def _no_duplicates(option: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise InvalidArgument.of(option, name, "is listed twice")
