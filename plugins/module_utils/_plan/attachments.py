# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interfaces of a sandbox: which it has, with which addresses, and how each becomes so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from .._errors import AddressInUse, AtCapacity, InUse, InvalidArgument, NotOurs
from .._spec import claims
from .._spec.fields import IPV6_LEAST_MTU, IPAddress
from .._spec.network import Network, derived_mac
from .._spec.sandbox import Attachment, AttachmentRequest, Sandbox, SandboxRequest
from . import leases
from .addresses import address_steps
from .draft import Draft
from .observed import BRIDGE_PORTS, Link, Route, SandboxView
from .operations import (
    AddAddress,
    AddRoute,
    CreateVeth,
    DeleteLink,
    DeleteVeth,
    Operation,
    Phase,
    RemoveAddress,
    RemoveRoute,
    SetLink,
    SetStation,
    set_link,
)
from .sysctls import interface_sysctl_steps

ANYWHERE = {4: "0.0.0.0/0", 6: "::/0"}


def resolve_attachments(
    draft: Draft, request: SandboxRequest, recorded: Sandbox | None, owner: str, default_network: str | None
) -> tuple[Attachment, ...]:
    """The interfaces the request means; leases are taken for addresses that are not given.

    An attachment that stays keeps interface, MAC and addresses unless the request says otherwise.
    """
    items = _requested(request, recorded, default_network)
    kept = {item.network: item for item in recorded.attachments} if recorded else {}
    positions = {kept[item.network].position for item in items if item.network in kept}
    names = {item.interface or kept[item.network].interface for item in items if item.interface or item.network in kept}
    found: list[Attachment] = []
    for item in items:
        old = kept.get(item.network)
        position = old.position if old else next(n for n in range(len(items) + len(kept) + 1) if n not in positions)
        positions.add(position)
        interface = item.interface or (old.interface if old else _free_name(position, names))
        names.add(interface)
        if any(other.interface == interface for other in found):
            raise InvalidArgument.of("networks.interface", interface, "is used for two networks; name another")
        mac = item.mac or (old.mac if old else derived_mac(owner, "pod", str(position)))
        network = draft.network(item.network)
        if item.mac and network is not None:
            _refuse_taken_mac(draft, network, mac, owner)
        if network is None:
            found.append(Attachment(item.network, interface, mac, item.addresses or (), position))
            continue
        if old is None:
            _take_port(draft, network)
        addresses = _addresses(draft, network, item.addresses, old, owner)
        found.append(Attachment(item.network, interface, mac, addresses, position))
    return tuple(found)


def plan_attachments(draft: Draft, wanted: Sandbox, recorded: Sandbox | None, view: SandboxView, *, fresh: bool) -> None:
    """From what the view shows to the wanted interfaces, addresses and default routes; ``fresh``: in a new namespace."""
    start = len(draft.steps)
    staying = {item.position for item in wanted.attachments}
    links = dict(view.links)
    for item in recorded.attachments if recorded else ():
        successor = next((other for other in wanted.attachments if other.network == item.network), None)
        if item.position in staying and successor is not None and successor.interface == item.interface:
            continue
        peer = draft.link(wanted.veth_host(item.position))
        if peer is None:
            continue
        _refuse_foreign(wanted, peer)
        draft.gone.add(peer.name)
        draft.add(Phase.BUILD, DeleteVeth(peer.name, _build_as_it_was(wanted, item, links.get(item.interface), peer, view.routes)))
        links.pop(item.interface, None)
        view = replace(view, routes=tuple(route for route in view.routes if route.link != item.interface))
        draft.ports[item.network] = draft.ports.get(item.network, 0) - 1
    for link in draft.veths(wanted.id) if recorded else ():
        # What a killed change left: the record names its interface no more.
        if owns_veth(wanted, link) and link.name not in {wanted.veth_host(item.position) for item in wanted.attachments}:
            draft.gone.add(link.name)
            draft.add(Phase.BUILD, DeleteVeth(link.name))
    connecting: list[Operation] = []
    for item in wanted.attachments:
        network = draft.networks.get(item.network)
        if network is not None:
            connecting += _plan_attachment(draft, wanted, item, network, links.get(item.interface), {} if fresh else view.sysctls)
    _plan_routes(draft, wanted, view, links, start)
    draft.add(Phase.BUILD, *connecting)


def default_gateways(wanted: Sandbox, networks: dict[str, Network | None]) -> dict[int, tuple[IPAddress, str]]:
    """Per IP version: the gateway and the interface of the first network that is not internal."""
    found: dict[int, tuple[IPAddress, str]] = {}
    for item in wanted.attachments:
        network = networks.get(item.network)
        if network is None or network.internal:
            continue
        for address in item.addresses:
            subnet = network.subnet_of(address)
            if subnet is not None:
                found.setdefault(address.version, (network.gateway_of(subnet), item.interface))
    return found


def _requested(request: SandboxRequest, recorded: Sandbox | None, default_network: str | None) -> list[AttachmentRequest]:
    if request.networks is not None:
        items = list(request.networks)
    elif recorded is not None:
        items = [AttachmentRequest(item.network) for item in recorded.attachments]
    else:
        items = [AttachmentRequest(default_network)] if default_network else []
    if request.addresses is not None:
        if not items:
            raise InvalidArgument("addresses: the sandbox has no network to have an address on")
        if items[0].addresses is not None:
            raise InvalidArgument("addresses: given twice for the first network; leave one of them out")
        items[0] = replace(items[0], addresses=request.addresses)
    return items


def _refuse_taken_mac(draft: Draft, network: Network, mac: str, owner: str) -> None:
    """A bridge that finds one MAC on two ports sends to whichever spoke last."""
    holders = draft.sandboxes.holders(claims.mac(network.name, mac))
    users = [f"sandbox {draft.sandboxes[key].name}" for key in holders if key != owner]
    users += ["the bridge itself"] if mac == network.mac else []
    if users:
        raise AddressInUse(f"networks.mac: {mac} is used on network {network.name} by {users[0]}; choose another")


def _free_name(position: int, names: set[str]) -> str:
    return next(name for name in (f"eth{n}" for n in range(position, position + len(names) + 1)) if name not in names)


def _take_port(draft: Draft, network: Network) -> None:
    """Refuse the port that the bridge cannot take before anything is made."""
    draft.ports[network.name] = draft.ports.get(network.name, 0) + 1
    # Few enough interfaces altogether need not be looked at.
    if draft.ports[network.name] + len(draft.observed.links) <= BRIDGE_PORTS:
        return
    if draft.ports[network.name] + len(draft.observed.ports_of(network.name)) > BRIDGE_PORTS:
        raise AtCapacity(f"network {network.name}: a bridge takes {BRIDGE_PORTS} ports and all are in use; declare another network")


def _addresses(
    draft: Draft, network: Network, given: tuple[IPAddress, ...] | None, old: Attachment | None, owner: str
) -> tuple[IPAddress, ...]:
    """One per subnet, in the order of the subnets: given, else kept, else leased. Raises what the allocator raises."""
    chosen = []
    rest = list(given or ())
    for subnet in network.subnets:
        inside = [address for address in rest if address.version == subnet.version and address in subnet]
        if len(inside) > 1:
            raise InvalidArgument(f"addresses: {inside[0]} and {inside[1]} are both in {subnet}; one per subnet")
        had = next((a for a in (old.addresses if old else ()) if a.version == subnet.version and a in subnet), None)
        if inside:
            rest.remove(inside[0])
            leases.request(draft, network.pool, inside[0], owner)
            chosen.append(inside[0])
        elif had is not None:
            _keep(draft, network, had, owner)
            chosen.append(had)
        else:
            chosen.append(leases.allocate(draft, network.pool, subnet.version, owner, subnet=subnet))
    for address in rest:
        leases.request(draft, network.pool, address, owner)
    for address in old.addresses if old else ():
        if address not in chosen:
            leases.release(draft, network.name, address, owner)
    return tuple(chosen)


def _keep(draft: Draft, network: Network, address: IPAddress, owner: str) -> None:
    """A recorded address stays whatever the ranges say today; a lease that got lost is taken again."""
    holder = draft.book(network.name).owner_of(address)
    if holder is None:
        leases.take(draft, network.name, address, owner)
    elif holder != owner:
        leases.request(draft, network.pool, address, owner)


def _plan_attachment(
    draft: Draft, wanted: Sandbox, item: Attachment, network: Network, inner: Link | None, sysctls: Mapping[str, str | None]
) -> list[Operation]:
    """Plan the interface; returns what connects it, which is for the end."""
    peer_name = wanted.veth_host(item.position)
    peer = draft.link(peer_name)
    if peer is not None:
        _refuse_foreign(wanted, peer)
    if peer is None or inner is None or not _are_one_pair(inner, peer):
        if inner is not None and not wanted.owns_net:
            raise InUse(f"networks: {item.interface} exists already in the namespace {wanted.netns}; choose another interface")
        if peer is not None:
            draft.add(Phase.BUILD, DeleteVeth(peer_name))
        if inner is not None:
            draft.add(Phase.BUILD, DeleteLink(item.interface, wanted.id))
        inner, peer = None, None
    draft.add(Phase.BUILD, *_build(wanted, item, network, inner, peer, sysctls))
    return set_link(None, peer or Link(peer_name), {"up": True})


def _build(
    wanted: Sandbox,
    item: Attachment,
    network: Network,
    inner: Link | None,
    peer: Link | None,
    sysctls: Mapping[str, str | None],
) -> list[Operation]:
    """The operations that make one veth pair as wanted; both ends None: from nothing."""
    where, peer_name = wanted.id, wanted.veth_host(item.position)
    if inner is None or peer is None:
        born: tuple[str, ...] = ("ipv4", "ipv6", "mpls")
    else:
        # A link below IPv6's least MTU has no IPv6; it is given the default's settings when it grows.
        born = ("ipv6",) if inner.mtu < IPV6_LEAST_MTU <= network.mtu else ()
    settings = interface_sysctl_steps(wanted, item, sysctls, born=born)
    out: list[Operation] = []
    if inner is None or peer is None:
        host_mac = wanted.host_mac(item.position)
        out.append(CreateVeth(where, item.interface, item.mac, network.mtu, peer_name, host_mac))
        inner = Link(item.interface, kind="veth", mac=item.mac, mtu=network.mtu)
        peer = Link(peer_name, kind="veth", mac=host_mac, mtu=network.mtu)
    out += set_link(None, peer, {"alias": wanted.alias, "mtu": network.mtu})
    out += address_steps(None, peer_name, peer.addresses, ())
    out += _join(peer, network, item.mac)
    mtu = {"mtu": network.mtu}
    out += set_link(where, inner, {"master": None, "mac": item.mac, **(mtu if network.mtu > inner.mtu else {})})
    out += settings
    out += address_steps(where, item.interface, inner.addresses, _prefixed(item, network))
    out += set_link(where, inner, mtu if network.mtu < inner.mtu else {})
    out += set_link(where, inner, {"up": True})
    return out


def _join(peer: Link, network: Network, mac: str) -> list[Operation]:
    """Make it a port of the bridge, behind which there is this MAC and no other.

    Hairpin, since br_netfilter turns a published port of a neighbour, or of one's own, into bridging; not isolated, since
    that would get in its way: who may reach whom is for the rules to say, whatever bridge-nf-call-iptables is. Nothing is
    learned from it, and nothing sent to it that is meant for somebody unknown: what belongs there is said once.
    """
    flags = {"hairpin": True, "isolated": False, "learning": False, "flood": False}
    joined = peer.master == network.name
    out = set_link(None, peer, flags)
    if not joined:
        # A port that joins is given its flags anew, and what is no port cannot have any.
        before = {key: getattr(peer, key) for key in flags if peer.master}
        settings = tuple((key, value) for key, value in flags.items() if key != "isolated")
        out = [SetLink(None, peer.name, (("master", network.name), *settings), tuple({"master": peer.master, **before}.items()))]
    stations = peer.stations if joined else ()
    out += [SetStation(peer.name, other, known=False) for other in stations if other != mac]
    return out + ([SetStation(peer.name, mac, known=True)] if mac not in stations else [])


def _build_as_it_was(wanted: Sandbox, item: Attachment, inner: Link | None, peer: Link, routes: tuple[Route, ...]) -> tuple[Operation, ...]:
    """What restores a pair that is deleted, for the case that a later operation fails."""
    if inner is None:
        return ()
    out: list[Operation] = [CreateVeth(wanted.id, inner.name, inner.mac, inner.mtu, peer.name, peer.mac)]
    blank = Link(peer.name, mtu=inner.mtu)
    out += set_link(None, blank, {"alias": peer.alias, "mtu": peer.mtu})
    if peer.master:
        flags = {key: getattr(peer, key) for key in ("hairpin", "isolated", "learning", "flood")}
        out.append(SetLink(None, peer.name, tuple({"master": peer.master, **flags}.items()), (("master", None),)))
    out += [SetStation(peer.name, mac, known=True) for mac in peer.stations]
    out += [AddAddress(None, peer.name, address) for address in peer.addresses]
    out += [AddAddress(wanted.id, inner.name, address) for address in inner.addresses]
    out += set_link(wanted.id, Link(inner.name), {"up": inner.up})
    out += set_link(None, blank, {"up": peer.up})
    out += [
        AddRoute(wanted.id, route.destination, route.gateway, route.link) for route in routes if route.link == inner.name and route.gateway
    ]
    return tuple(out)


def _plan_routes(draft: Draft, wanted: Sandbox, view: SandboxView, links: dict[str, Link], start: int) -> None:
    """Default routes through our interfaces are ours; those through others, in a furnished namespace, are not.

    ``start``: where in the draft this sandbox's interfaces begin.
    """
    goals = default_gateways(wanted, {item.network: draft.networks.get(item.network) for item in wanted.attachments})
    ours = {item.interface for item in wanted.attachments}
    steps = [operation for _phase, operation in draft.steps[start:]]
    rebuilt = {step.interface for step in steps if isinstance(step, CreateVeth)}
    shaken = {(step.link, 6 if ":" in step.address else 4) for step in steps if isinstance(step, RemoveAddress)}
    early: list[Operation] = []
    late: list[Operation] = []
    for version, destination in ANYWHERE.items():
        goal = goals.get(version)
        current = [route for route in view.routes if route.destination == destination and route.link not in rebuilt]
        foreign = [route for route in current if route.link not in ours]
        if foreign and not wanted.owns_net:
            if goal is not None:
                draft.warn(f"sandbox {wanted.name}: the namespace has a default route of its own through {foreign[0].link}, which stays")
            continue
        there = False
        for route in current:
            good = goal is not None and (route.gateway, route.link) == (str(goal[0]), goal[1])
            if good and (route.link, version) not in shaken:
                there = True
            else:
                early.append(RemoveRoute(wanted.id, destination, route.gateway, route.link, route.odd))
        if goal is not None and not there:
            late.append(AddRoute(wanted.id, destination, str(goal[0]), goal[1]))
    # A route goes before the address it hangs on, so that undoing puts the address back first.
    draft.steps[start:start] = [(Phase.BUILD, operation) for operation in early]
    draft.add(Phase.BUILD, *late)


def _prefixed(item: Attachment, network: Network) -> tuple[str, ...]:
    out = []
    for address in item.addresses:
        subnet = network.subnet_of(address)
        if subnet is not None:
            out.append(f"{address}/{subnet.prefixlen}")
    return tuple(out)


def owns_veth(sandbox: Sandbox, peer: Link) -> bool:
    """Ours by alias, or by the MAC it was born with where a killed run had no time to set the alias."""
    if peer.alias:
        return peer.alias == sandbox.alias
    position = peer.name[len("vh") :].partition("-")[0]
    return peer.mac == sandbox.host_mac(int(position or 0))


def _are_one_pair(inner: Link, peer: Link) -> bool:
    """Each the other's other end: a workload may have given our interface's name to one of its own."""
    return inner.kind == "veth" and (not inner.peer or (inner.peer, peer.peer) == (peer.index, inner.index))


def _refuse_foreign(wanted: Sandbox, peer: Link) -> None:
    if not owns_veth(wanted, peer):
        raise NotOurs(f"sandbox {wanted.name}: the interface {peer.name} exists and was not made by podnet.linux; rename or remove it")
