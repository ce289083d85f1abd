# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Egress policies as declared: where what a sandbox sends may go."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .._errors import InvalidArgument
from . import fields, intervals
from .address_sets import merged_networks
from .fields import IPAddress, IPNetwork

if TYPE_CHECKING:
    import netaddr

DEFAULT = "default"
STATES = ("present", "absent")
ESTABLISHED = ("drop", "keep")
MODES = ("enforce", "audit")
PROTOCOLS = ("tcp", "udp", "sctp")
BITS = {4: 32, 6: 128}

_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_PROTOCOL_PORTS = re.compile(r"([0-9-]+)/([a-z]+)")
_RULE_KEYS = ("cidrs", "except", "ports", "icmp")


@dataclass(frozen=True)
class Allowance:
    """These destinations, by these ports and ICMP; by any protocol where neither is named.

    ``cidrs`` and ``excluded`` are canonical texts, sorted. ``ports``: per protocol, sorted; each a port or first-last.
    """

    cidrs: tuple[str, ...]
    excluded: tuple[str, ...] = ()
    ports: tuple[tuple[str, tuple[str, ...]], ...] = ()
    icmp: bool = False

    @property
    def any_protocol(self) -> bool:
        return not self.ports and not self.icmp

    @property
    def versions(self) -> tuple[int, ...]:
        """The IP versions of its destinations."""
        return tuple(version for version in (4, 6) if any((":" in text) == (version == 6) for text in self.cidrs))

    @property
    def digest(self) -> str:
        """The same for the same destinations."""
        return _digest(self.cidrs, self.excluded)

    def destinations(self, version: int) -> netaddr.IPSet:
        return merged_networks(version, _networks(self.cidrs, version)) - merged_networks(version, _networks(self.excluded, version))

    def covers(self, address: IPAddress) -> bool:
        """Return whether the address is one of the destinations."""
        around = supernets(address)
        return not around.isdisjoint(self._texts[0]) and around.isdisjoint(self._texts[1])

    @property
    def _texts(self) -> tuple[frozenset[str], frozenset[str]]:
        return _looked_up(self.cidrs), _looked_up(self.excluded)

    def as_rule(self) -> dict[str, Any]:
        """As it could be declared: what allows any protocol names none."""
        rule: dict[str, Any] = {"cidrs": list(self.cidrs), "except": list(self.excluded)}
        if self.ports:
            rule["ports"] = [f"{port}/{protocol}" for protocol, ports in self.ports for port in ports]
        return rule if self.any_protocol else {**rule, "icmp": self.icmp}


@dataclass(frozen=True)
class Policy:
    """One egress policy as in effect. ``origin``: the module that declared it."""

    name: str
    allowed_cidrs: tuple[str, ...] = ()
    allowed_tcp_ports: tuple[str, ...] = ()
    allowed_udp_ports: tuple[str, ...] = ()
    allow_dns: bool = True
    log_denied: bool = True
    max_connections: int | None = None
    rules: tuple[Allowance, ...] = ()
    allow_metadata: bool = False
    established: str = ESTABLISHED[0]
    mode: str = MODES[0]
    origin: str = "egress_policy"

    @property
    def enforced(self) -> bool:
        return self.mode == MODES[0]

    @property
    def allowances(self) -> tuple[Allowance, ...]:
        ports = tuple((name, ports) for name, ports in (("tcp", self.allowed_tcp_ports), ("udp", self.allowed_udp_ports)) if ports)
        flat = (Allowance(self.allowed_cidrs, ports=ports),) if self.allowed_cidrs else ()
        return (*flat, *self.rules)

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "allowed_cidrs": list(self.allowed_cidrs),
            "allowed_tcp_ports": list(self.allowed_tcp_ports),
            "allowed_udp_ports": list(self.allowed_udp_ports),
            "allow_dns": self.allow_dns,
            "log_denied": self.log_denied,
            "max_connections": self.max_connections,
            "rules": [item.as_rule() for item in self.rules],
            "allow_metadata": self.allow_metadata,
            "established": self.established,
            "mode": self.mode,
        }

    def as_options(self) -> dict[str, Any]:
        """What it says, whoever it binds."""
        return {key: value for key, value in self.as_dict().items() if key != "name"}

    def as_record(self) -> dict[str, Any]:
        return {**self.as_dict(), "origin": self.origin}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Policy:
        """What was canonical when it was written is not parsed again: there may be thousands of networks."""
        plain = ("name", "allow_dns", "log_denied", "max_connections", "allow_metadata", "established", "mode", "origin")
        values: dict[str, Any] = {key: record[key] for key in plain}
        values.update((key, tuple(record[key])) for key in ("allowed_cidrs", "allowed_tcp_ports", "allowed_udp_ports"))
        return cls(
            **values,
            rules=tuple(
                Allowance(
                    tuple(item["cidrs"]), tuple(item["except"]), _rule_ports("rules.ports", item.get("ports", ())), item.get("icmp", False)
                )
                for item in record["rules"]
            ),
        )


@dataclass(frozen=True)
class PolicyRequest:
    """What a task says of one policy; None is "not said". Exactly one of ``sandbox`` (a name or id) and ``network`` is given."""

    name: str = DEFAULT
    sandbox: str | None = None
    network: str | None = None
    state: str = "present"
    allowed_cidrs: tuple[str, ...] | None = None
    allowed_tcp_ports: tuple[str, ...] | None = None
    allowed_udp_ports: tuple[str, ...] | None = None
    allow_dns: bool | None = None
    log_denied: bool | None = None
    max_connections: int | None = None
    rules: tuple[Allowance, ...] | None = None
    allow_metadata: bool | None = None
    established: str | None = None
    mode: str | None = None

    @property
    def by_id(self) -> bool:
        """Whether the sandbox is given by its id."""
        return self.sandbox is not None and bool(fields.ID.match(self.sandbox))

    @property
    def kind(self) -> str:
        return "sandbox" if self.network is None else "network"

    @property
    def title(self) -> str:
        return f"{self.kind} {self.network or self.sandbox} {self.name}"

    @classmethod
    def from_options(cls, options: Mapping[str, Any], *, where: str = "") -> PolicyRequest:
        """Parse module options; raises InvalidArgument naming the option (prefixed by ``where``)."""
        named = _names(where)
        if sum(options.get(option) is not None for option in ("sandbox", "network")) != 1:
            raise InvalidArgument(f"{named('sandbox')} or network: exactly one of them says whom the policy binds")
        sandbox, network = options.get("sandbox"), options.get("network")
        known = sandbox is not None and fields.ID.match(str(sandbox))
        return cls.within(
            options,
            where=where,
            sandbox=str(sandbox) if known else None if sandbox is None else fields.sandbox_name(named("sandbox"), sandbox),
            network=None if network is None else fields.bridge_name(named("network"), network),
            name=fields.sandbox_name(named("name"), DEFAULT if options.get("name") is None else options["name"]),
            state=options.get("state") or "present",
        )

    @classmethod
    def within(cls, options: Mapping[str, Any], *, where: str = "", **whose: Any) -> PolicyRequest:
        """The same for what a policy says, whoever it binds."""
        named = _names(where)

        def single(option: str, parse: Any) -> Any:
            value = options.get(option)
            return None if value is None else parse(named(option), value)

        return cls(
            allowed_cidrs=single("allowed_cidrs", _cidrs),
            allowed_tcp_ports=single("allowed_tcp_ports", _port_list),
            allowed_udp_ports=single("allowed_udp_ports", _port_list),
            allow_dns=options.get("allow_dns"),
            log_denied=options.get("log_denied"),
            max_connections=single("max_connections", _connections),
            rules=single("rules", _rules),
            allow_metadata=options.get("allow_metadata"),
            established=single("established", _choice(ESTABLISHED)),
            mode=single("mode", _choice(MODES)),
            **whose,
        )

    def resolve(self, recorded: Policy | None, *, origin: str = "egress_policy") -> Policy:
        """The whole policy that this means: given values, else recorded ones, else defaults."""
        base = recorded or Policy(self.name)
        given = {
            option: getattr(self, option)
            for option in Policy.__dataclass_fields__
            if option not in ("name", "origin") and getattr(self, option) is not None
        }
        if given.get("max_connections") == 0:
            given["max_connections"] = None
        return Policy(**{**{option: getattr(base, option) for option in Policy.__dataclass_fields__}, **given, "origin": origin})


def with_policy(policies: Iterable[Policy], name: str, policy: Policy | None) -> tuple[Policy, ...]:
    """Those policies with this one in place of the one of that name, or without it; by name."""
    others = [item for item in policies if item.name != name]
    return tuple(sorted((*others, *([policy] if policy else [])), key=lambda item: item.name))


def ports_name(ports: tuple[str, ...]) -> str:
    """Of the set of these ports."""
    return f"ports_{hashlib.sha256(' '.join(ports).encode()).hexdigest()[:16]}"


@lru_cache(maxsize=1024)
def supernets(address: IPAddress) -> frozenset[str]:
    """Return the canonical text of the address and of each network that contains it."""
    kind = ipaddress.IPv4Network if address.version == 4 else ipaddress.IPv6Network
    around = (kind((int(address), length), strict=False) for length in range(address.max_prefixlen + 1))
    return frozenset((str(address), *map(str, around)))


def sandbox_policy(option: str, value: Mapping[str, Any]) -> PolicyRequest:
    """The option ``egress`` of a sandbox. Raises InvalidArgument."""
    unknown = set(value) - set(Policy.__dataclass_fields__) - {"except"} | set(value) & {"name", "origin"}
    if unknown:
        raise InvalidArgument.of(option, sorted(unknown)[0], "is no option of an egress policy")
    return PolicyRequest.within(value, where=option)


@lru_cache(maxsize=1024)
def _digest(cidrs: tuple[str, ...], excluded: tuple[str, ...]) -> str:
    return hashlib.sha256(" ".join((*cidrs, "-", *excluded)).encode()).hexdigest()[:16]


def _names(where: str) -> Any:
    return lambda option: f"{where}.{option}" if where else option


def _networks(texts: Iterable[str], version: int) -> list[tuple[int, int]]:
    """Return first address and prefix length of each network of one IP version."""
    chosen = (text for text in texts if (":" in text) == (version == 6))
    return [(_plain(text) or _known(ipaddress.ip_network(text)))[1:3] for text in chosen]


@lru_cache(maxsize=256)
def _looked_up(cidrs: tuple[str, ...]) -> frozenset[str]:
    return frozenset(cidrs)


def _cidrs(option: str, values: Iterable[Any]) -> tuple[str, ...]:
    """Sorted, each once: their order says nothing."""
    return _canonical(option, tuple(values))


def _canonical(option: str, values: tuple[Any, ...]) -> tuple[str, ...]:
    try:
        return _parsed(values)
    except (InvalidArgument, TypeError):
        # Once more, to name the option; and what is no text cannot be remembered.
        return _parsed.__wrapped__(values, option)


@lru_cache(maxsize=32)
def _parsed(values: tuple[Any, ...], option: str = "") -> tuple[str, ...]:
    """Many policies may list the same thousands."""
    found = {_plain(value) or _known(fields.address_or_network(option, value)) for value in values}
    return tuple(text for _version, _first, _length, text in sorted(found))


_Net = tuple[int, int, int, str]
"""Version, first address, prefix length, canonical text: in this order they sort."""


def _known(net: IPNetwork) -> _Net:
    return net.version, int(net.network_address), net.prefixlen, str(net)


_OCTETS = {str(number): number for number in range(256)}
_LENGTHS = {str(number): number for number in range(BITS[4] + 1)}


def _plain(value: Any) -> _Net | None:
    """Of an IPv4 network in its canonical form, as nearly all are written; a quarter of the work of ipaddress."""
    if not isinstance(value, str):
        return None
    try:
        address, length = value.split("/")
        first, second, third, fourth = address.split(".")
        bits = _LENGTHS[length]
        number = _OCTETS[first] << 24 | _OCTETS[second] << 16 | _OCTETS[third] << 8 | _OCTETS[fourth]
    except (ValueError, KeyError):
        return None
    return None if number & (1 << BITS[4] - bits) - 1 else (4, number, bits, value)


def _port_list(option: str, values: Iterable[Any]) -> tuple[str, ...]:
    return _sorted_ports(_span(option, value, str(value)) for value in values)


def _span(option: str, value: Any, text: str) -> tuple[int, int]:
    match = None if isinstance(value, bool) else _PORTS.fullmatch(text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= first <= last <= 65535:
        raise InvalidArgument.of(option, value, "is no port or range of ports: 1 to 65535, such as 443 or 8000-8100")
    return first, last


def _sorted_ports(spans: Iterable[tuple[int, int]]) -> tuple[str, ...]:
    return tuple(str(first) if first == last else f"{first}-{last}" for first, last in intervals.merged(spans))


def _rules(option: str, values: Iterable[Mapping[str, Any]]) -> tuple[Allowance, ...]:
    found: list[Allowance] = []
    for value in values:
        unknown = set(value) - set(_RULE_KEYS)
        if unknown:
            raise InvalidArgument.of(option, sorted(unknown)[0], f"is no key of a rule; {', '.join(_RULE_KEYS)} are")
        cidrs = _cidrs(f"{option}.cidrs", value.get("cidrs") or ())
        if not cidrs:
            raise InvalidArgument(f"{option}.cidrs: a rule needs at least one destination, such as 192.0.2.0/24")
        for key in ("ports", "icmp"):
            if value.get(key) is not None and not value.get("ports") and not value.get("icmp"):
                raise InvalidArgument(f"{option}.{key}: {value[key]!r} allows nothing; leave out ports and icmp to allow any protocol")
        ports = _rule_ports(f"{option}.ports", value.get("ports") or ())
        rule = Allowance(cidrs, _cidrs(f"{option}.except", value.get("except") or ()), ports, bool(value.get("icmp")))
        if rule not in found:
            found.append(rule)
    return tuple(found)


def _rule_ports(option: str, values: Iterable[Any]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    spans: dict[str, list[tuple[int, int]]] = {}
    for value in values:
        match = _PROTOCOL_PORTS.fullmatch(str(value))
        if match is None or match[2] not in PROTOCOLS:
            raise InvalidArgument.of(option, value, f'is no port with its protocol ({", ".join(PROTOCOLS)}), such as "443/tcp"')
        spans.setdefault(match[2], []).append(_span(option, value, match[1]))
    return tuple((protocol, _sorted_ports(spans[protocol])) for protocol in PROTOCOLS if protocol in spans)


def _connections(option: str, value: Any) -> int:
    number = fields.integer(option, value)
    if not 0 <= number < 1 << 32:
        raise InvalidArgument.of(option, value, "is no number of connections: 1 or more, or 0 for no limit")
    return number


def _choice(choices: tuple[str, ...]) -> Any:
    def parse(option: str, value: Any) -> str:
        if value not in choices:
            raise InvalidArgument.of(option, value, f"is none of {', '.join(choices)}")
        return str(value)

    return parse
