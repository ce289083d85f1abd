# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Published ports: where each leads, whose they are, and what the host needs for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from .._errors import InvalidArgument, PortInUse
from .._spec import claims
from .._spec.fields import IPAddress
from .._spec.forward import PortForward, addresses_meet
from .._spec.network import Network
from .._spec.sandbox import Sandbox
from .draft import Draft
from .operations import CreateBridge, Phase, SetLink, SetSysctl

ROUTE_LOCALNET = "route_localnet"


def targets(sandbox: Sandbox, networks: Mapping[str, Network]) -> dict[int, tuple[Network, IPAddress]]:
    """Per IP version the address that published ports lead to: that on the first network with a way out."""
    found: dict[int, tuple[Network, IPAddress]] = {}
    for item in sandbox.attachments:
        network = networks.get(item.network)
        if network is not None and not network.internal:
            for address in item.addresses:
                found.setdefault(address.version, (network, address))
    return found


def check_targets(sandbox: Sandbox, networks: Mapping[str, Network]) -> None:
    """Raises InvalidArgument for a port that would lead nowhere."""
    for forward in sandbox.port_forwards:
        _check_host_address(forward, networks)
    if not sandbox.port_forwards or any(item.network not in networks for item in sandbox.attachments):
        return
    found = targets(sandbox, networks)
    if not found:
        raise InvalidArgument(
            f"port_forwards: sandbox {sandbox.name} is on no network with a way out; internal ones publish nothing, attach it to another"
        )
    for forward in sandbox.port_forwards:
        if not any(version in found for version in forward.versions):
            raise InvalidArgument(
                f"port_forwards: {forward} is IPv{forward.versions[0]} and sandbox {sandbox.name} has no such address on a network "
                "with a way out"
            )


def _check_host_address(forward: PortForward, networks: Mapping[str, Network]) -> None:
    """Of a network's subnet the host has the gateway and no other address."""
    address = forward.host_address
    if address is None:
        return
    for network in networks.values():
        within = any(subnet.version == address.version and address in subnet for subnet in network.subnets)
        if within and address not in network.gateways:
            raise InvalidArgument.of(
                "port_forwards.host_address", str(address), f"belongs to network {network.name}, where the host has its gateway only"
            )


def plan_route_localnet(draft: Draft) -> None:
    """A reply to the host's 127.0.0.1 comes in on the bridge (ip-sysctl.rst); our rules drop everything else of 127/8."""
    coming = {operation.name for _phase, operation in draft.steps if isinstance(operation, CreateBridge)}
    coming |= {str(dict(operation.settings).get("name")) for _phase, operation in draft.steps if isinstance(operation, SetLink)}
    for network in draft.networks.values():
        there = network.name in draft.observed.links or network.name in coming
        if not there or network.removing or not any(subnet.version == 4 for subnet in network.subnets):
            continue
        name = f"net/ipv4/conf/{network.name}/{ROUTE_LOCALNET}"
        seen = name if network.name in draft.observed.links else f"net/ipv4/conf/default/{ROUTE_LOCALNET}"
        current = draft.observed.sysctls.get(seen)
        value = "1" if _leads_from_loopback(draft, network) else "0"
        if current is not None and current.value != value:
            draft.add(Phase.BUILD, SetSysctl(None, name, value, current.value))


def published(sandbox: Sandbox, networks: Mapping[str, Network]) -> Iterator[tuple[PortForward, int, IPAddress]]:
    """Each forward with the IP version and the address it leads to, once per version that both have."""
    found = targets(sandbox, networks) if sandbox.port_forwards else {}
    for forward in sandbox.port_forwards:
        for version in forward.versions:
            if version in found:
                yield forward, version, found[version][1]


def check_conflicts(draft: Draft) -> None:
    """No port of an address may be two sandboxes', nor a sandbox's and that of a socket of the host, once all is planned.

    Only who comes with a new port can be in conflict, and is told who has it. Raises PortInUse.
    """
    for sandbox in _changed(draft):
        known = draft.observed.sandboxes.get(sandbox.id)
        for forward in sandbox.port_forwards:
            if known is None or forward not in known.port_forwards:
                _refuse_published(draft, sandbox, forward)
                _refuse_listened(draft, sandbox, forward)


def check_records(draft: Draft) -> None:
    """The same for all of them: records that were edited or restored may contradict each other. Raises PortInUse."""
    for _sandbox, refusal in contradictions(draft.sandboxes.values()):
        raise refusal


def contradictions(sandboxes: Iterable[Sandbox]) -> Iterator[tuple[Sandbox, PortInUse]]:
    """Who publishes by its record what another one before it publishes too, and the refusal."""
    published_by: dict[tuple[str, int], list[tuple[Sandbox, PortForward]]] = {}
    for sandbox in sandboxes:
        for forward in () if sandbox.removing else sandbox.port_forwards:
            for port in forward.host_ports:
                others = published_by.setdefault((forward.protocol, port), [])
                for other, theirs in others:
                    if other is not sandbox and theirs.meets(forward):
                        yield (
                            sandbox,
                            PortInUse(
                                f"port_forwards: by their records sandboxes {other.name} and {sandbox.name} both publish {forward}; "
                                "give one of them other port_forwards, or remove it"
                            ),
                        )
                others.append((sandbox, forward))


def _changed(draft: Draft) -> list[Sandbox]:
    """Those that stay, and are not as they were."""
    return [draft.sandboxes[key] for key in draft.sandboxes.changed if key in draft.sandboxes and not draft.sandboxes[key].removing]


def _refuse_published(draft: Draft, sandbox: Sandbox, forward: PortForward) -> None:
    keys = {key: None for port in forward.host_ports for key in draft.sandboxes.holders(claims.port(forward.protocol, port))}
    for holder in (draft.sandboxes[key] for key in keys if key != sandbox.id):
        other = next((item for item in holder.port_forwards if item.meets(forward)), None)
        if other is not None and not holder.removing:
            raise PortInUse(
                f"port_forwards: {forward} of sandbox {sandbox.name} is published by sandbox {holder.name} as {other}; "
                "choose another port or address"
            )


def _refuse_listened(draft: Draft, sandbox: Sandbox, forward: PortForward) -> None:
    seen = draft.observed.sandboxes
    if any(forward in seen[key].port_forwards for key in seen.holders(claims.port(forward.protocol, forward.host_port))):
        return  # a port that only moves
    for listener in draft.observed.listeners[forward.protocol]:
        if listener.port in forward.host_ports and any(addresses_meet(forward.host_address, at) for at in listener.addresses):
            raise PortInUse(
                f"port_forwards: {forward} of sandbox {sandbox.name}: a socket of the host listens on {listener}; "
                "choose another port or address, or stop what listens"
            )


def _leads_from_loopback(draft: Draft, network: Network) -> bool:
    """Whether a port of the host's 127.0.0.1 leads to a sandbox by this network."""
    for sandbox in (draft.sandboxes[key] for key in draft.sandboxes.holders(claims.loopback(network.name))):
        target = targets(sandbox, draft.networks).get(4)
        if target is not None and target[0].name == network.name and not sandbox.removing:
            return True
    return False
