# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bridge network as declared: the request of a task, and the whole network it means."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from .._errors import InvalidArgument
from . import fields
from .fields import IPAddress, IPNetwork
from .policy import Policy
from .pool import Pool, PoolRange, network_text, never_leased, refuse_overlaps

ISOLATION = ("strict", "normal", "none")
FIREWALL = ("auto", "none")


@dataclass(frozen=True)
class AddressRange:
    """Addresses from start to end, both included; one family."""

    start: IPAddress
    end: IPAddress

    def as_dict(self) -> dict[str, str]:
        return {"start": str(self.start), "end": str(self.end)}


@dataclass(frozen=True)
class Network:
    """One bridge network as in effect: every default filled in, every value canonical.

    ``dns`` None means the host's own upstream resolvers, looked up when they are written. ``removing`` and ``settling``
    are marks in the record: a removal, or a change that its sandboxes follow, was begun and has not ended yet.
    """

    id: str
    name: str
    subnets: tuple[IPNetwork, ...]
    gateways: tuple[IPAddress, ...]
    mtu: int
    ranges: tuple[AddressRange, ...] = ()
    reserved: tuple[IPNetwork, ...] = ()
    nat: bool = True
    internal: bool = False
    isolation: str = "strict"
    inter_pod: bool = True
    host_access: bool = True
    dns: tuple[IPAddress, ...] | None = None
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    firewall: str = "auto"
    policies: tuple[Policy, ...] = ()
    removing: bool = field(default=False, compare=False)
    settling: bool = field(default=False, compare=False)

    @property
    def alias(self) -> str:
        return f"podnet:{self.id}"

    @property
    def mac(self) -> str:
        return derived_mac(self.id, "bridge")

    @property
    def has_ipv6(self) -> bool:
        return any(subnet.version == 6 for subnet in self.subnets)

    def gateway_of(self, subnet: IPNetwork) -> IPAddress:
        return self.gateways[self.subnets.index(subnet)]

    def bridge_addresses(self) -> tuple[str, ...]:
        """The gateways as the bridge carries them, with the prefix length of their subnets."""
        return tuple(f"{gateway}/{subnet.prefixlen}" for subnet, gateway in zip(self.subnets, self.gateways))

    def subnet_of(self, address: IPAddress) -> IPNetwork | None:
        return next((subnet for subnet in self.subnets if address.version == subnet.version and address in subnet), None)

    @cached_property
    def pool(self) -> Pool:
        """Its addresses: of each subnet the ranges in it, else the whole."""
        found: list[PoolRange] = []
        for subnet, gateway in zip(self.subnets, self.gateways):
            chosen = [item for item in self.ranges if item.start.version == subnet.version and item.start in subnet]
            found += [PoolRange(subnet, item.start, item.end, gateway) for item in chosen] or [PoolRange(subnet, gateway=gateway)]
        return Pool(self.name, tuple(found), self.reserved, "network")

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "subnets": [str(subnet) for subnet in self.subnets],
            "gateways": [str(gateway) for gateway in self.gateways],
            "ranges": [item.as_dict() for item in self.ranges],
            "reserved": [network_text(item) for item in self.reserved],
            "mtu": self.mtu,
            "nat": self.nat,
            "internal": self.internal,
            "isolation": self.isolation,
            "inter_pod": self.inter_pod,
            "host_access": self.host_access,
            "dns": None if self.dns is None else [str(item) for item in self.dns],
            "dns_search": list(self.dns_search),
            "dns_options": list(self.dns_options),
            "firewall": self.firewall,
        }

    def as_record(self) -> dict[str, Any]:
        policies = [policy.as_record() for policy in self.policies]
        return {**self.as_dict(), "id": self.id, "policies": policies, "removing": self.removing, "settling": self.settling}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Network:
        request = NetworkRequest.from_options(record, where="record")
        network = request.resolve(None, new_id=fields.object_id("id", record["id"]), default_mtu=1500)
        policies = tuple(Policy.from_record(item) for item in record["policies"])
        return replace(network, policies=policies, removing=bool(record["removing"]), settling=bool(record["settling"]))


@dataclass(frozen=True)
class NetworkRequest:
    """What a task says of one network; None is "not said"."""

    name: str
    state: str = "present"
    force: bool = False
    subnets: tuple[IPNetwork, ...] | None = None
    gateways: tuple[IPAddress, ...] | None = None
    ranges: tuple[AddressRange, ...] | None = None
    reserved: tuple[IPNetwork, ...] | None = None
    mtu: int | None = None
    nat: bool | None = None
    internal: bool | None = None
    isolation: str | None = None
    inter_pod: bool | None = None
    host_access: bool | None = None
    dns: tuple[IPAddress, ...] | None = None
    dns_search: tuple[str, ...] | None = None
    dns_options: tuple[str, ...] | None = None
    firewall: str | None = None

    @classmethod
    def from_options(cls, options: Mapping[str, Any], *, where: str = "") -> NetworkRequest:
        """Parse module options; raises InvalidArgument naming the option (prefixed by ``where``)."""

        def named(option: str) -> str:
            return f"{where}.{option}" if where else option

        def parsed(option: str, parse: Any) -> Any:
            value = options.get(option)
            return None if value is None else fields.many(named(option), value, parse)

        if options.get("name") is None:
            raise InvalidArgument(f"{named('name')} is required: the bridge interface's name")
        mtu = options.get("mtu")
        return cls(
            name=fields.bridge_name(named("name"), options["name"]),
            state=options.get("state") or "present",
            force=bool(options.get("force")),
            subnets=parsed("subnets", fields.subnet),
            gateways=parsed("gateways", fields.address),
            ranges=parsed("ranges", _range),
            reserved=parsed("reserved", fields.address_or_network),
            mtu=None if mtu is None else fields.mtu(named("mtu"), mtu, ipv6=False),
            nat=options.get("nat"),
            internal=options.get("internal"),
            isolation=options.get("isolation"),
            inter_pod=options.get("inter_pod"),
            host_access=options.get("host_access"),
            dns=parsed("dns", fields.address),
            dns_search=parsed("dns_search", fields.hostname),
            dns_options=parsed("dns_options", fields.word),
            firewall=options.get("firewall"),
        )

    def resolve(self, recorded: Network | None, *, new_id: str, default_mtu: int) -> Network:
        """The whole network this means: given values, else recorded ones, else defaults.

        Raises InvalidArgument for values that do not fit together.
        """
        subnets = self.subnets if self.subnets is not None else (recorded.subnets if recorded else ())
        if not subnets:
            raise InvalidArgument(f"subnets: network {self.name} needs at least one, such as 10.89.0.0/24")
        for index, subnet in enumerate(subnets):
            for other in subnets[:index]:
                if subnet.version == other.version and subnet.overlaps(other):
                    raise InvalidArgument(f"subnets: {subnet} overlaps {other} of the same network")

        def value(option: str, default: Any) -> Any:
            given = getattr(self, option)
            if given is not None:
                return given
            return getattr(recorded, option) if recorded else default

        mtu = value("mtu", default_mtu)
        network = Network(
            id=recorded.id if recorded else new_id,
            name=self.name,
            subnets=subnets,
            gateways=self._gateways(subnets, recorded),
            mtu=fields.mtu("mtu", mtu, ipv6=any(subnet.version == 6 for subnet in subnets)),
            ranges=value("ranges", ()),
            reserved=value("reserved", ()),
            nat=value("nat", True),
            internal=value("internal", False),
            isolation=value("isolation", "strict"),
            inter_pod=value("inter_pod", True),
            host_access=value("host_access", True),
            dns=value("dns", None),
            dns_search=value("dns_search", ()),
            dns_options=value("dns_options", ()),
            firewall=value("firewall", FIREWALL[0]),
            policies=recorded.policies if recorded else (),
        )
        if network.isolation not in ISOLATION:
            raise InvalidArgument.of("isolation", network.isolation, f"is none of {', '.join(ISOLATION)}")
        if network.firewall not in FIREWALL:
            raise InvalidArgument.of("firewall", network.firewall, f"is none of {', '.join(FIREWALL)}")
        _check_ranges(network)
        return network

    def _gateways(self, subnets: Sequence[IPNetwork], recorded: Network | None) -> tuple[IPAddress, ...]:
        """One per subnet, in the order of the subnets: given, else recorded, else the first host address."""
        found: list[IPAddress] = []
        given = list(self.gateways or ())
        for subnet in subnets:
            inside = [gateway for gateway in given if gateway.version == subnet.version and gateway in subnet]
            if len(inside) > 1:
                raise InvalidArgument(f"gateways: {inside[0]} and {inside[1]} are both in {subnet}; one per subnet")
            if inside:
                given.remove(inside[0])
                found.append(_usable(inside[0], subnet))
            elif self.gateways is None and recorded and subnet in recorded.subnets:
                found.append(recorded.gateway_of(subnet))
            else:
                found.append(subnet.network_address + 1)
        if given:
            raise InvalidArgument.of("gateways", str(given[0]), "is in none of the network's subnets")
        return tuple(found)


def derived_mac(*parts: str) -> str:
    """A locally administered unicast MAC that the same parts always give, so that a link can be told for ours."""
    digest = hashlib.sha256(":".join(parts).encode()).digest()
    return ":".join(f"{byte:02x}" for byte in bytes([digest[0] & 0xFC | 0x02]) + digest[1:6])


def _usable(gateway: IPAddress, subnet: IPNetwork) -> IPAddress:
    if never_leased(gateway, subnet):
        raise InvalidArgument.of("gateways", str(gateway), f"is the network or broadcast address of {subnet}")
    return gateway


def _range(option: str, value: Mapping[str, Any]) -> AddressRange:
    unknown = set(value) - {"start", "end"}
    if unknown or value.get("start") is None or value.get("end") is None:
        raise InvalidArgument.of(option, dict(value), "is no range; it takes start and end")
    start, end = fields.address(f"{option}.start", value["start"]), fields.address(f"{option}.end", value["end"])
    if start.version != end.version or int(start) > int(end):
        raise InvalidArgument.of(option, dict(value), "does not run from a lower to a higher address of one family")
    return AddressRange(start, end)


def _check_ranges(network: Network) -> None:
    for item in network.ranges:
        subnet = network.subnet_of(item.start)
        if subnet is None or item.end not in subnet:
            raise InvalidArgument(f"ranges: {item.start}-{item.end} is not inside one subnet of network {network.name}")
    refuse_overlaps("ranges", network.pool.ranges)


def default_network(taken: Sequence[IPNetwork], *, ipv6: bool, seed: str) -> NetworkRequest:
    """The network ``podnet0``: the first free /24 of 10.89.0.0/16 and, where the host has IPv6, a ULA /64 (RFC 4193).

    ``seed``: what tells this machine from others; the ULA's global id is a hash of it, so that a dry run can tell it.
    Raises InvalidArgument where no /24 is free.
    """
    pool = ipaddress.IPv4Network("10.89.0.0/16")
    v4 = next((net for net in pool.subnets(new_prefix=24) if not any(net.version == t.version and net.overlaps(t) for t in taken)), None)
    if v4 is None:
        raise InvalidArgument("network: every /24 of 10.89.0.0/16 is taken on this host; declare a bridge_network with another subnet")
    subnets: tuple[IPNetwork, ...] = (v4,)
    if ipv6:
        global_id = int.from_bytes(hashlib.sha256(f"podnet0 {seed}".encode()).digest()[:5], "big")
        subnets += (ipaddress.IPv6Network(((0xFD << 120) | (global_id << 80), 64)),)
    return NetworkRequest(name="podnet0", subnets=subnets)
