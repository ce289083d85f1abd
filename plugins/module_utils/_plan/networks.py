# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner of bridge networks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .._errors import AddressInUse, InUse, InvalidArgument, KernelUnsupported, NotOurs, NotPermitted
from .._spec import fields
from .._spec.network import Network, NetworkRequest
from .._spec.pool import interval_of
from .addresses import address_steps
from .draft import UNKNOWN, Change, Draft
from .forwarding import V4, is_routed
from .leases import describe_owner, release, usage
from .observed import Link
from .operations import (
    CreateBridge,
    DeleteLink,
    DeleteRecord,
    ForgetPool,
    Phase,
    RemoveAddress,
    SetLink,
    SetSysctl,
    WriteRecord,
    set_link,
)
from .problems import problem

KIND = "network"


def present_network(draft: Draft, request: NetworkRequest) -> Network:
    """Make the network exist as requested; its sandboxes are the caller's to bring along."""
    recorded = draft.networks.get(request.name)
    link = draft.observed.links.get(request.name)
    if link is not None and not (recorded and owns(recorded, link)):
        raise NotOurs(
            f"name: an interface {request.name} exists that podnet.linux did not make"
            + (
                " (it carries our mark but has no record: podnet.linux.prune removes it)"
                if (link.alias or "").startswith("podnet:")
                else ""
            )
            + "; choose another name, or remove it"
        )
    wanted = request.resolve(recorded, new_id=recorded.id if recorded else draft.new_id(), default_mtu=draft.observed.default_mtu)
    _check_host(draft, wanted, recorded)
    _check_leases(draft, wanted, recorded)
    _converge(draft, wanted, recorded, link)
    return wanted


def return_network(draft: Draft, wanted: Network) -> None:
    """Make a network what it was; where its sandboxes are is the caller's to see to."""
    recorded = draft.networks.get(wanted.name)
    link = draft.observed.links.get(wanted.name)
    if link is not None and not (owns(wanted, link) or (recorded and owns(recorded, link))):
        raise NotOurs(f"name: an interface {wanted.name} exists that podnet.linux did not make; rename or remove it")
    _converge(draft, wanted, recorded, link)


def _converge(draft: Draft, wanted: Network, recorded: Network | None, link: Link | None) -> None:
    """From what is recorded and what there is to what is wanted; the same for a new, a changed and a damaged network."""
    if recorded is None:
        draft.add(Phase.RECORD, WriteRecord(KIND, wanted.name, wanted.as_record(), None))
    elif needs_settling(recorded, wanted):
        # Its sandboxes follow in the same run; should that be killed, the mark tells the next one to look at them.
        settling = replace(wanted, settling=True).as_record()
        if not recorded.settling or recorded != wanted:
            draft.add(Phase.RECORD, WriteRecord(KIND, wanted.name, settling, recorded.as_record()))
        draft.add(Phase.FORGET, WriteRecord(KIND, wanted.name, wanted.as_record(), settling))
    draft.networks[wanted.name] = wanted
    start = len(draft.steps)
    _converge_bridge(draft, wanted, link)
    drift = [problem(operation) for _phase, operation in draft.steps[start:]] if recorded and recorded == wanted else []
    if recorded is None:
        draft.changes.append(Change(KIND, wanted.name, {}, {**wanted.as_dict(), "mac": _mac(draft, wanted), "ifindex": UNKNOWN}))
    elif recorded != wanted or drift:
        before = {**recorded.as_dict(), "problems": drift}
        draft.changes.append(Change(KIND, wanted.name, before, {**wanted.as_dict(), "problems": []}))


def needs_settling(recorded: Network | None, wanted: Network) -> bool:
    """Whether sandboxes on the network have to be looked at."""
    return recorded is not None and (recorded != wanted or recorded.removing or recorded.settling)


def remove_network(draft: Draft, name: str, *, force: bool) -> None:
    """Remove the network, whose sandboxes are planned away already. Raises InUse, and NotOurs for a foreign bridge."""
    network = draft.networks.get(name)
    if network is None:
        link = draft.observed.links.get(name)
        if link is not None and link.kind == "bridge":
            raise NotOurs(f"name: the bridge {name} was not made by podnet.linux; remove it with the tool that made it")
        return
    leased = draft.book(name).everything()
    others = sorted({describe_owner(draft, holder) for holder in leased.values() if holder not in draft.leaving})
    if others and not force:
        raise InUse(f"network {name} has leases held by {', '.join(others)}; release them first, or say force: true")
    for held, holder in leased.items():
        release(draft, name, held, holder)
    link = draft.observed.links.get(name)
    link = link if link is not None and owns(network, link) else _renamed(draft, network)
    if link is not None:
        foreign = [port.name for port in draft.observed.ports_of(link.name) if not (port.alias or "").startswith("podnet:")]
        if foreign and not force:
            raise InUse(f"network {name}: the bridge also carries {', '.join(sorted(foreign))}; detach it, or say force: true")
        draft.add(Phase.DESTROY, DeleteLink(link.name))
    if not network.removing:
        draft.add(Phase.MARK, WriteRecord(KIND, name, replace(network, removing=True).as_record(), network.as_record()))
    draft.add(Phase.FORGET, ForgetPool(name), DeleteRecord(KIND, name))
    del draft.networks[name]
    draft.changes.append(Change(KIND, name, network.as_dict(), {}))


def owns(network: Network, link: Link) -> bool:
    """Ours by alias; or by the MAC it was born with, where a killed run had no time to set the alias."""
    return link.kind == "bridge" and (link.alias == network.alias or (not link.alias and link.mac == network.mac))


def _renamed(draft: Draft, network: Network) -> Link | None:
    """The network's bridge, where somebody has given it another name."""
    if network.name not in draft.observed.networks:
        return None
    return next((link for link in draft.observed.links.values() if link.kind == "bridge" and link.alias == network.alias), None)


def network_result(draft: Draft, network: Network) -> dict[str, Any]:
    """The return value: the network as in effect, and how full it is."""
    link = draft.observed.links.get(network.name)
    upstream = [] if network.internal else [str(address) for address in draft.observed.resolvers]
    return {
        **network.as_dict(),
        "dns": upstream if network.dns is None else [str(address) for address in network.dns],
        "mac": _mac(draft, network),
        "ifindex": link.index if link and link.index else None,
        "addresses": {
            str(subnet): usage(draft, network.pool, network.pool.spans(subnet.version, subnet), subnet.version)
            for subnet in network.subnets
        },
    }


def _mac(draft: Draft, network: Network) -> str:
    """It follows from the id, which a network that is not made yet will get when it is."""
    return UNKNOWN if draft.check and network.name not in draft.observed.networks else network.mac


def _converge_bridge(draft: Draft, wanted: Network, link: Link | None) -> None:
    astray = _renamed(draft, wanted) if link is None else None
    if astray is not None:
        link = _call_back(draft, wanted, astray)
    elif link is None:
        draft.add(Phase.BUILD, CreateBridge(wanted.name, wanted.mac, wanted.mtu))
        link = Link(wanted.name, kind="bridge", mac=wanted.mac, mtu=wanted.mtu)
    settings = {"alias": wanted.alias, "mac": wanted.mac, **({"mtu": wanted.mtu} if wanted.mtu > link.mtu else {})}
    draft.add(Phase.BUILD, *set_link(None, link, settings))
    _bridge_sysctls(draft, wanted, astray or link)
    draft.add(Phase.BUILD, *address_steps(None, wanted.name, link.addresses, wanted.bridge_addresses()))
    # Last when it shrinks: below IPv6's least MTU the link loses its IPv6 addresses, and could not be given them back.
    draft.add(Phase.BUILD, *set_link(None, link, {"mtu": wanted.mtu} if wanted.mtu < link.mtu else {}))
    if not link.up:
        draft.add(Phase.BUILD, SetLink(None, wanted.name, (("up", True),), (("up", False),)))


def _call_back(draft: Draft, wanted: Network, link: Link) -> Link:
    """Give a bridge its name again; kernels before 6.2 rename only what is down, and that loses its IPv6 addresses."""
    lost = tuple(address for address in link.addresses if ":" in address)
    draft.add(Phase.BUILD, *(RemoveAddress(None, link.name, address) for address in lost), *set_link(None, link, {"up": False}))
    draft.add(Phase.BUILD, SetLink(None, link.name, (("name", wanted.name),), (("name", link.name),)))
    return replace(link, name=wanted.name, up=False, addresses=tuple(address for address in link.addresses if address not in lost))


def _bridge_sysctls(draft: Draft, wanted: Network, link: Link) -> None:
    """The host forwards IPv4 of pods, takes no router advertisements from them, and speaks IPv6 where the network does.

    The kernel has no IPv6, and no such settings, on a link below IPv6's least MTU; it gets the default's above it.
    """
    wants: dict[str, str] = {}
    globally = draft.observed.sysctls.get(V4)
    if (
        is_routed(draft, wanted)
        and any(subnet.version == 4 for subnet in wanted.subnets)
        and globally is not None
        and globally.value == "1"
    ):
        # Else it follows when that is set.
        wants["ipv4/conf/{}/forwarding"] = "1"
    if wanted.mtu >= fields.IPV6_LEAST_MTU:
        wants["ipv6/conf/{}/accept_ra"] = "0"
        # Detecting duplicates of the link-local address would keep the host from finding pods for the first second or two.
        wants.update({"ipv6/conf/{}/disable_ipv6": "0", "ipv6/conf/{}/accept_dad": "0"} if wanted.has_ipv6 else {})
    for key, value in wants.items():
        fresh = not link.index or (key.startswith("ipv6") and link.mtu < fields.IPV6_LEAST_MTU)
        seen = f"net/{key.format('default' if fresh else link.name)}"
        current = draft.observed.sysctls.get(seen)
        if current is None or current.value == value:
            continue
        if not current.writable and key.endswith("accept_dad"):
            continue
        if not current.writable:
            name = seen.replace("/", ".")
            raise NotPermitted(f"{name} is {current.value} and /proc/sys is read-only here: set it to {value} from outside")
        draft.add(Phase.BUILD, SetSysctl(None, f"net/{key.format(wanted.name)}", value, current.value))


def _check_host(draft: Draft, wanted: Network, recorded: Network | None) -> None:
    """Refuse what collides with another network or with the host."""
    if wanted.has_ipv6:
        disabled = draft.observed.sysctls.get("net/ipv6/conf/all/disable_ipv6")
        if disabled is None or disabled.value != "0":
            raise KernelUnsupported(
                f"subnets: network {wanted.name} wants IPv6, which is disabled on this host; "
                "enable it (net.ipv6.conf.all.disable_ipv6 = 0) or leave the IPv6 subnet out"
            )
    ours = {*draft.networks, wanted.name, *draft.observed.networks}
    for subnet in wanted.subnets:
        if recorded and subnet in recorded.subnets:
            continue
        for other in draft.networks.values():
            taken = next((s for s in other.subnets if s.version == subnet.version and s.overlaps(subnet)), None)
            if other.name != wanted.name and taken is not None:
                raise InvalidArgument(f"subnets: {subnet} overlaps {taken} of network {other.name}; choose another")
        for destination, device in draft.observed.routes:
            if device not in ours and destination.version == subnet.version and destination.prefixlen and destination.overlaps(subnet):
                raise InvalidArgument(f"subnets: {subnet} overlaps the host's route to {destination} on {device}; choose another")
    for gateway in wanted.gateways:
        carried = recorded is not None and gateway in recorded.gateways
        if not carried and gateway in draft.observed.host_addresses:
            raise AddressInUse(f"gateways: {gateway} is already carried by an interface of the host; choose another")


def _check_leases(draft: Draft, wanted: Network, recorded: Network | None) -> None:
    if recorded is None or (recorded.subnets, recorded.gateways) == (wanted.subnets, wanted.gateways):
        return
    for held, owner in draft.book(wanted.name).everything().items():
        if owner in draft.leaving:
            continue
        first, last = interval_of(held)
        same = [subnet for subnet in wanted.subnets if subnet.version == held.version]
        if not any(int(subnet.network_address) <= first and last <= int(subnet.broadcast_address) for subnet in same):
            raise InUse(f"subnets: {held} of a dropped subnet is leased by {describe_owner(draft, owner)}; remove it first")
        if any(gateway.version == held.version and first <= int(gateway) <= last for gateway in wanted.gateways):
            raise AddressInUse(f"gateways: {held} is leased by {describe_owner(draft, owner)}; choose another")
