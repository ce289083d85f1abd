# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pool of addresses as declared, and what it means in whole numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .._errors import InvalidArgument
from . import fields
from .address_sets import address_set, intervals_of, range_set
from .fields import IPAddress, IPNetwork
from .intervals import Interval

if TYPE_CHECKING:
    import netaddr

VERSIONS = (4, 6)
_PREFIX = "pool:"


@dataclass(frozen=True)
class PoolRange:
    """Where leases come from: a subnet, or the part of it from start to end, both included."""

    subnet: IPNetwork
    start: IPAddress | None = None
    end: IPAddress | None = None
    gateway: IPAddress | None = None

    @property
    def version(self) -> int:
        return self.subnet.version

    @property
    def bounds(self) -> Interval:
        """The range as declared, first and last."""
        start = self.subnet.network_address if self.start is None else self.start
        end = self.subnet.broadcast_address if self.end is None else self.end
        return int(start), int(end)

    def addresses(self, *, edges: bool) -> netaddr.IPSet:
        """Return all addresses of the range; ``edges``: with the first and last address of the subnet, which hosts cannot have."""
        start = self.subnet[0] if self.start is None else self.start
        end = self.subnet[-1] if self.end is None else self.end
        found = range_set(start, end)
        return found if edges else found - address_set(_edges(self.subnet))

    def as_dict(self) -> dict[str, str | None]:
        return {
            "subnet": str(self.subnet),
            "start": _text(self.start),
            "end": _text(self.end),
            "gateway": _text(self.gateway),
        }


@dataclass(frozen=True)
class Pool:
    """The addresses of a network, or those of a free-standing pool; ``kind`` says which."""

    name: str
    ranges: tuple[PoolRange, ...]
    reserved: tuple[IPNetwork, ...] = ()
    kind: str = "pool"

    @property
    def key(self) -> str:
        """What its books are kept under; no network's name has a colon."""
        return self.name if self.kind == "network" else pool_key(self.name)

    @property
    def title(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def versions(self) -> tuple[int, ...]:
        """The IP versions that it has addresses of."""
        return tuple(version for version in VERSIONS if self.of_version(version))

    def of_version(self, version: int) -> list[PoolRange]:
        return [item for item in self.ranges if item.version == version]

    def range_of(self, address: IPAddress) -> PoolRange | None:
        """The range that the address lies in, whether or not it may be leased."""
        return next((item for item in self.of_version(address.version) if item.bounds[0] <= int(address) <= item.bounds[1]), None)

    def lendable(self, item: PoolRange) -> netaddr.IPSet:
        """The addresses of a range that may be leased."""
        return item.addresses(edges=False) - self._never_leased(item.version)

    def spans(self, version: int, subnet: IPNetwork | None = None) -> list[Interval]:
        """What may be leased of one IP version, or of one subnet: sorted, disjoint, each within one range."""
        return _spans(self, version, subnet)

    def block_spans(self, version: int, prefix_length: int) -> list[Interval]:
        """The same for blocks: those of a free-standing pool may begin and end with the subnet, unless they are one address."""
        return _block_spans(self, version, self.kind == "pool" and prefix_length < (32 if version == 4 else 128))

    def lends(self, held: IPAddress | IPNetwork) -> bool:
        """Return whether this address or block can be leased, regardless of existing leases."""
        first, last = interval_of(held)
        spans = self.spans(held.version) if isinstance(held, fields.ADDRESSES) else self.block_spans(held.version, held.prefixlen)
        return any(low <= first and last <= high for low, high in spans)

    def _never_leased(self, version: int) -> netaddr.IPSet:
        """Return gateways and reserved addresses of all ranges."""
        gateways = [item.gateway for item in self.of_version(version) if item.gateway is not None]
        return address_set([*gateways, *(item for item in self.reserved if item.version == version)])

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "ranges": [item.as_dict() for item in self.ranges],
            "reserved": [network_text(item) for item in self.reserved],
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Pool:
        return cls(
            name=fields.pool_name("name", record["name"]),
            ranges=pool_ranges("ranges", record["ranges"]),
            reserved=fields.many("reserved", record["reserved"], fields.address_or_network),
        )


@lru_cache(maxsize=64)
def _spans(pool: Pool, version: int, subnet: IPNetwork | None) -> list[Interval]:
    chosen = [item for item in pool.of_version(version) if subnet in (None, item.subnet)]
    return sorted(span for item in chosen for span in intervals_of(pool.lendable(item)))


@lru_cache(maxsize=64)
def _block_spans(pool: Pool, version: int, edges: bool) -> list[Interval]:
    taken = pool._never_leased(version)
    return sorted(span for item in pool.of_version(version) for span in intervals_of(item.addresses(edges=edges) - taken))


def pool_key(name: str) -> str:
    return f"{_PREFIX}{name}"


def pool_of_key(key: str) -> str | None:
    """The name of a free-standing pool; None for the key of a network."""
    return key[len(_PREFIX) :] if key.startswith(_PREFIX) else None


def pool_ranges(option: str, values: Sequence[Mapping[str, Any]]) -> tuple[PoolRange, ...]:
    """Raises InvalidArgument where a range is none, or where two of them overlap."""
    found = tuple(_range(option, value) for value in values)
    if not found:
        raise InvalidArgument(f"{option}: a pool needs at least one range, such as {{subnet: 10.64.0.0/12}}")
    refuse_overlaps(option, found)
    return found


def refuse_overlaps(option: str, ranges: Iterable[PoolRange]) -> None:
    """Raises InvalidArgument naming two ranges that share an address."""
    ordered = sorted(ranges, key=lambda item: (item.version, item.bounds))
    for first, second in zip(ordered, ordered[1:]):
        if first.version == second.version and second.bounds[0] <= first.bounds[1]:
            raise InvalidArgument(f"{option}: {_describe(first)} and {_describe(second)} overlap")


def interval_of(held: IPAddress | IPNetwork) -> Interval:
    """First and last number of an address or a network."""
    if isinstance(held, fields.ADDRESSES):
        return int(held), int(held)
    return int(held.network_address), int(held.broadcast_address)


def network_text(network: IPNetwork) -> str:
    """A network of one address is written as that address."""
    return str(network) if network.num_addresses > 1 else str(network.network_address)


def never_leased(address: IPAddress, subnet: IPNetwork) -> bool:
    """Whether it is the subnet's network or broadcast address."""
    return address in _edges(subnet)


def _edges(subnet: IPNetwork) -> list[IPAddress]:
    """The network address (for IPv6 the subnet-router anycast, RFC 4291 2.6.1) and the IPv4 broadcast.

    Where a subnet has no more than two addresses all of them are hosts (RFC 3021, RFC 6164).
    """
    if subnet.prefixlen >= subnet.max_prefixlen - 1:
        return []
    return [subnet.network_address, *([subnet.broadcast_address] if subnet.version == 4 else [])]


def _range(option: str, value: Mapping[str, Any]) -> PoolRange:
    unknown = set(value) - {"subnet", "start", "end", "gateway"}
    if unknown or value.get("subnet") is None:
        raise InvalidArgument.of(option, dict(value), "is no range; it takes subnet, start, end and gateway, the first is required")
    subnet = fields.network(f"{option}.subnet", value["subnet"])

    def inside(key: str) -> IPAddress | None:
        if value.get(key) is None:
            return None
        address = fields.address(f"{option}.{key}", value[key])
        if address.version != subnet.version or address not in subnet:
            raise InvalidArgument.of(f"{option}.{key}", str(address), f"is not in {subnet}")
        return address

    found = PoolRange(subnet, inside("start"), inside("end"), inside("gateway"))
    if found.bounds[0] > found.bounds[1]:
        raise InvalidArgument.of(option, dict(value), "does not run from a lower to a higher address")
    if found.gateway is not None and never_leased(found.gateway, subnet):
        raise InvalidArgument.of(f"{option}.gateway", str(found.gateway), f"is the network or broadcast address of {subnet}")
    if found.gateway is not None and found.bounds == interval_of(found.gateway):
        raise InvalidArgument.of(option, dict(value), "has nothing to lease beside its gateway")
    return found


def _describe(item: PoolRange) -> str:
    return str(item.subnet) if item.start is None and item.end is None else f"{item.start}-{item.end}"


def _text(value: IPAddress | None) -> str | None:
    return None if value is None else str(value)
