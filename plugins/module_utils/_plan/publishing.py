# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Published ports: where each leads, whose they are, and what the host needs for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .._errors import InvalidArgument, PortInUse
from .._spec.fields import IPAddress
from .._spec.forward import PortForward, addresses_meet
from .._spec.network import Network
from .._spec.sandbox import Sandbox
from .draft import Draft
from .operations import Flow, FlushConntrack, Phase, SetSysctl

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


def plan_publishing(draft: Draft) -> None:
    """What published ports need beside their rules."""
    _plan_route_localnet(draft)
    flows = tuple(_stale_flows(draft))
    if flows:
        draft.add(Phase.RULES, FlushConntrack(flows))


def published(sandbox: Sandbox, networks: Mapping[str, Network]) -> Iterator[tuple[PortForward, int, IPAddress]]:
    """Each forward with the IP version and the address it leads to, once per version that both have."""
    found = targets(sandbox, networks) if sandbox.port_forwards else {}
    for forward in sandbox.port_forwards:
        for version in forward.versions:
            if version in found:
                yield forward, version, found[version][1]


def _living(draft: Draft) -> list[Sandbox]:
    return [sandbox for sandbox in draft.sandboxes.values() if not sandbox.removing]


def check_conflicts(draft: Draft) -> None:
    """No port of an address may be two sandboxes', nor a sandbox's and that of a socket of the host, once all is planned.

    Raises PortInUse naming the holder.
    """
    holders: dict[tuple[str, int], list[tuple[PortForward, Sandbox]]] = {}
    known = draft.observed.sandboxes
    # Who comes with a new port is told who has it.
    for sandbox in sorted(_living(draft), key=lambda item: item.id not in known or item.port_forwards != known[item.id].port_forwards):
        for forward in sandbox.port_forwards:
            for port in forward.host_ports:
                others = holders.setdefault((forward.protocol, port), [])
                for other, holder in others:
                    if addresses_meet(forward.host_address, other.host_address):
                        raise PortInUse(
                            f"port_forwards: {forward} of sandbox {sandbox.name} is published by sandbox {holder.name} as {other}; "
                            "choose another port or address"
                        )
                others.append((forward, sandbox))
    before = {forward for sandbox in known.values() for forward in sandbox.port_forwards}
    for sandbox in _living(draft):
        for forward in sandbox.port_forwards:
            if forward in before:
                continue
            for listener in draft.observed.listeners[forward.protocol]:
                if listener.port in forward.host_ports and any(addresses_meet(forward.host_address, at) for at in listener.addresses):
                    raise PortInUse(
                        f"port_forwards: {forward} of sandbox {sandbox.name}: a socket of the host listens on {listener}; "
                        "choose another port or address, or stop what listens"
                    )


def _plan_route_localnet(draft: Draft) -> None:
    """A reply to the host's 127.0.0.1 comes in on the bridge (ip-sysctl.rst); our rules drop everything else of 127/8."""
    wanted = set()
    for sandbox in _living(draft):
        for forward, version, _address in published(sandbox, draft.networks):
            if version == 4 and forward.on_loopback:
                wanted.add(targets(sandbox, draft.networks)[4][0].name)
    for network in draft.networks.values():
        if network.removing or not any(subnet.version == 4 for subnet in network.subnets):
            continue
        name = f"net/ipv4/conf/{network.name}/{ROUTE_LOCALNET}"
        seen = name if network.name in draft.observed.links else f"net/ipv4/conf/default/{ROUTE_LOCALNET}"
        current = draft.observed.sysctls.get(seen)
        value = "1" if network.name in wanted else "0"
        if current is not None and current.value != value:
            draft.add(Phase.BUILD, SetSysctl(None, name, value, current.value))


def _stale_flows(draft: Draft) -> Iterator[Flow]:
    """UDP flows that conntrack would go on sending to where a port led before, or that began before it led anywhere."""
    before = dict(_udp(draft.observed.sandboxes, draft.observed.networks))
    after = dict(_udp({sandbox.id: sandbox for sandbox in _living(draft)}, draft.networks))
    for key, target in before.items():
        if after.get(key) != target:
            yield Flow(key[0], key[1], key[2], target)
    for key, target in after.items():
        if before.get(key) != target:
            yield Flow(key[0], key[1], key[2], None)


def _udp(
    sandboxes: Mapping[str, Sandbox], networks: Mapping[str, Network]
) -> Iterator[tuple[tuple[int, IPAddress | None, int], tuple[IPAddress, int]]]:
    for sandbox in sandboxes.values():
        for forward, version, address in published(sandbox, networks):
            if forward.protocol == "udp":
                host = None if forward.anywhere else forward.host_address
                for offset in range(forward.count):
                    yield (version, host, forward.host_port + offset), (address, forward.container_port + offset)
