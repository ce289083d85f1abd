# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Published ports as declared: which of the host's ports leads to which of a sandbox's."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._errors import InvalidArgument
from . import fields
from .fields import IPAddress

PROTOCOLS = ("tcp", "udp", "sctp")
MOST = 4096
"""Ports of one sandbox."""

_NO_HOST: tuple[fields.IPNetwork, ...] = tuple(
    ipaddress.ip_network(text)
    # RFC 6890: this network, multicast and reserved; IPv4 in IPv6 clothes, link-local, multicast.
    for text in ("0.0.0.0/8", "224.0.0.0/3", "::/96", "::ffff:0:0/96", "fe80::/10", "ff00::/8")
)
_KEYS = frozenset(("host_port", "container_port", "protocol", "host_address"))
_SHORT = re.compile(r"(?:(\[[^\]]*\]|[^:\[\]]+):)?([0-9-]+):([0-9-]+)(?:/([a-z]+))?\Z")
_SPAN = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?\Z")


@dataclass(frozen=True)
class PortForward:
    """``count`` ports from ``host_port`` on lead to as many from ``container_port`` on.

    ``host_address``: None for every address of the host, 0.0.0.0 or :: for every one of a family.
    """

    protocol: str
    host_address: IPAddress | None
    host_port: int
    container_port: int
    count: int = 1

    @property
    def versions(self) -> tuple[int, ...]:
        """The IP versions that it is meant for."""
        return (4, 6) if self.host_address is None else (self.host_address.version,)

    @property
    def anywhere(self) -> bool:
        """Whether every address of the host, at least of one family, is meant."""
        return self.host_address is None or self.host_address.is_unspecified

    @property
    def on_loopback(self) -> bool:
        """Whether the host's 127.0.0.1 is among its addresses."""
        address = self.host_address
        return address is None or (address.version == 4 and (address.is_unspecified or address.is_loopback))

    @property
    def host_ports(self) -> range:
        return range(self.host_port, self.host_port + self.count)

    def meets(self, other: PortForward) -> bool:
        """Whether a packet could be meant for both."""
        return (
            self.protocol == other.protocol
            and self.host_port < other.host_port + other.count
            and other.host_port < self.host_port + self.count
            and addresses_meet(self.host_address, other.host_address)
        )

    def as_dict(self) -> dict[str, Any]:
        return {
            "host_address": None if self.host_address is None else str(self.host_address),
            "host_port": _span(self.host_port, self.count),
            "container_port": _span(self.container_port, self.count),
            "protocol": self.protocol,
        }

    def __str__(self) -> str:
        where = "" if self.host_address is None else f"{self.host_address} port "
        return f"{where}{_span(self.host_port, self.count)}/{self.protocol}"


def addresses_meet(one: IPAddress | None, other: IPAddress | None) -> bool:
    """Whether an address of the host can be both."""
    if one is None or other is None:
        return True
    return one.version == other.version and (one == other or one.is_unspecified or other.is_unspecified)


def port_forwards(option: str, values: Sequence[Any]) -> tuple[PortForward, ...]:
    """Parse the list; raises InvalidArgument where two of them meet or where they are too many."""
    found = sorted((_parsed(option, value) for value in values), key=lambda item: (item.protocol, item.host_port, str(item.host_address)))
    if sum(item.count for item in found) > MOST:
        raise InvalidArgument(f"{option}: {sum(item.count for item in found)} ports are more than the {MOST} that one sandbox may publish")
    for number, item in enumerate(found):
        for other in found[:number]:
            if item.meets(other):
                raise InvalidArgument(f"{option}: {item} and {other} are the same port of the same address; give it once")
    return tuple(found)


def _parsed(option: str, value: Any) -> PortForward:
    if isinstance(value, Mapping):
        unknown = set(value) - _KEYS
        if unknown:
            raise InvalidArgument.of(option, sorted(unknown)[0], f"is no key of a port forward; {', '.join(sorted(_KEYS))} are")
        if value.get("host_port") is None:
            raise InvalidArgument.of(option, dict(value), "has no host_port")
        container = value.get("container_port")
        ports = value["host_port"], value["host_port"] if container is None else container
        return _forward(option, value, value.get("host_address"), *ports, value.get("protocol"))
    match = _SHORT.match(str(value)) if isinstance(value, str) else None
    if match is None:
        raise InvalidArgument.of(option, value, 'is no port forward; write it as "[address:]8080:80[/protocol]", quoted, or with its keys')
    address = match[1] and match[1].strip("[]")
    if address == "":
        raise InvalidArgument.of(option, value, "has no address in its brackets; leave them out for every address of the host")
    if address and ":" in address and not match[1].startswith("["):
        raise InvalidArgument.of(option, value, "has an IPv6 address without brackets")
    return _forward(option, value, address, match[2], match[3], match[4])


def _forward(option: str, value: Any, address: Any, host: Any, container: Any, protocol: Any) -> PortForward:
    protocol = PROTOCOLS[0] if protocol is None else protocol
    if protocol not in PROTOCOLS:
        raise InvalidArgument.of(option, protocol, f"is none of {', '.join(PROTOCOLS)}")
    first, count = _ports(option, host)
    inner, inner_count = _ports(option, container)
    if count != inner_count:
        raise InvalidArgument.of(option, value, f"leads {count} ports to {inner_count}; ranges must have the same length")
    parsed = None if address in (None, "") else fields.address(f"{option}.host_address", address)
    if parsed is not None and parsed.version == 6 and parsed.is_loopback:
        raise InvalidArgument.of(
            f"{option}.host_address", str(parsed), "cannot be published: Linux has no route_localnet for IPv6; use 127.0.0.1"
        )
    if parsed is not None and any(parsed.version == net.version and parsed in net for net in _NO_HOST) and not parsed.is_unspecified:
        raise InvalidArgument.of(f"{option}.host_address", str(parsed), "is no address of a host that can be published")
    return PortForward(str(protocol), parsed, first, inner, count)


def _ports(option: str, value: Any) -> tuple[int, int]:
    """First port and number of ports, of 8080 or "8000-8010"."""
    match = None if isinstance(value, bool) else _SPAN.match(str(value))
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= first <= last <= 65535:
        raise InvalidArgument.of(option, value, "is no port or range of ports: 1 to 65535, the lower one first")
    return first, last - first + 1


def _span(first: int, count: int) -> int | str:
    return first if count == 1 else f"{first}-{first + count - 1}"
