# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which address: the allocator, exact on any prefix, without walking through it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from .._errors import AddressInUse, InvalidArgument, NoAddressAvailable
from .._spec.fields import IPAddress, IPNetwork
from .._spec.network import Network, never_leased
from .draft import Draft
from .operations import Phase, ReleaseLease, SetCursor, TakeLease

Interval = tuple[int, int]


def spans(network: Network, subnet: IPNetwork) -> list[Interval]:
    """What may be leased of a subnet, as sorted disjoint intervals of integers."""
    first, last = int(subnet.network_address) + 1, int(subnet.broadcast_address) - (1 if subnet.version == 4 else 0)
    chosen = [
        (max(first, int(item.start)), min(last, int(item.end)))
        for item in network.ranges
        if item.start.version == subnet.version and item.start in subnet
    ]
    intervals = sorted(chosen) if chosen else [(first, last)]
    holes = [(int(net.network_address), int(net.broadcast_address)) for net in network.reserved if net.version == subnet.version]
    gateway = int(network.gateway_of(subnet))
    return _without(intervals, [*holes, (gateway, gateway)])


def usage(network: Network, held: Mapping[IPAddress, str]) -> dict[str, dict[str, int]]:
    """Total, used and free per subnet."""
    out = {}
    for subnet in network.subnets:
        intervals = spans(network, subnet)
        total = sum(end - start + 1 for start, end in intervals)
        used = _used(intervals, (int(address) for address in held if address.version == subnet.version))
        out[str(subnet)] = {"total": total, "used": used, "free": total - used}
    return out


def request(draft: Draft, network: Network, address: IPAddress, owner: str) -> None:
    """Lease this very address. Raises InvalidArgument where it cannot be had at all, AddressInUse where it is held."""
    subnet = network.subnet_of(address)
    if subnet is None:
        raise InvalidArgument.of("addresses", str(address), f"is in no subnet of network {network.name} ({_list(network.subnets)})")
    if address == network.gateway_of(subnet):
        raise InvalidArgument.of("addresses", str(address), f"is the gateway of network {network.name}")
    if never_leased(address, subnet):
        raise InvalidArgument.of("addresses", str(address), f"is the network or broadcast address of {subnet}")
    if not any(start <= int(address) <= end for start, end in spans(network, subnet)):
        raise InvalidArgument.of("addresses", str(address), f"is outside the ranges of network {network.name}, or reserved there")
    holder = draft.holder(network.name, address)
    if holder == owner and draft.leases.get(network.name, {}).get(address) == owner:
        return
    if holder not in (None, owner) and holder not in draft.leaving:
        raise AddressInUse(
            f"addresses: {address} of network {network.name} is held by {describe_owner(draft, str(holder))}; choose another"
        )
    if address in draft.observed.host_addresses:
        raise AddressInUse(f"addresses: {address} is carried by an interface of the host; choose another")
    take(draft, network.name, address, owner)


def allocate(draft: Draft, network: Network, subnet: IPNetwork, owner: str) -> IPAddress:
    """The next free address after the last one leased, wrapping. Raises NoAddressAvailable naming pool, used and total."""
    held = draft.leases.get(network.name, {})
    taken = {int(a) for a in held if a.version == subnet.version and a in subnet}
    taken.update(int(a) for a in draft.claims(network.name) if a.version == subnet.version and a in subnet)
    taken.update(int(a) for a in draft.observed.host_addresses if a.version == subnet.version and a in subnet)
    intervals = spans(network, subnet)
    cursor = draft.cursors.get((network.name, subnet.version))
    after = int(cursor) if cursor is not None and cursor in subnet else -1
    number = _first_free(intervals, taken, after + 1)
    if number is None:
        number = _first_free(intervals, taken, 0)
    if number is None:
        total = sum(end - start + 1 for start, end in intervals)
        used = _used(intervals, taken)
        raise NoAddressAvailable(
            f"network {network.name}: no address is free in {subnet} ({used} used of {total}); remove sandboxes or widen the ranges"
        )
    address: IPAddress = ipaddress.IPv4Address(number) if subnet.version == 4 else ipaddress.IPv6Address(number)
    take(draft, network.name, address, owner)
    draft.add(Phase.LEASE, SetCursor(network.name, subnet.version, address, cursor))
    draft.cursors[network.name, subnet.version] = address
    return address


def release(draft: Draft, network: str, address: IPAddress, owner: str) -> None:
    """Give a lease back, last of all; nothing where the owner does not hold it (any more)."""
    if draft.leases.get(network, {}).get(address) == owner:
        del draft.leases[network][address]
        draft.add(Phase.FORGET, ReleaseLease(network, address, owner))


def held_by(draft: Draft, owner: str) -> list[tuple[str, IPAddress]]:
    return [(name, address) for name, held in draft.leases.items() for address, holder in held.items() if holder == owner]


def describe_owner(draft: Draft, owner: str) -> str:
    sandbox = draft.sandboxes.get(owner) or draft.observed.sandboxes.get(owner)
    return f"sandbox {sandbox.name}" if sandbox else f"owner {owner}"


def take(draft: Draft, network: str, address: IPAddress, owner: str) -> None:
    """Write the lease down in the plan, handed over where this plan takes it from somebody; the caller knows that it may."""
    before = draft.observed.leases.get(network, {}).get(address)
    draft.leases.setdefault(network, {})[address] = owner
    draft.add(Phase.LEASE, TakeLease(network, address, owner, before if before != owner else None))


def _used(intervals: list[Interval], numbers: Iterable[int]) -> int:
    """How many of the numbers lie where leases come from."""
    return sum(1 for number in numbers if any(start <= number <= end for start, end in intervals))


def _first_free(intervals: list[Interval], taken: set[int], start: int) -> int | None:
    """Each step passes a taken address, so it costs what is taken, not what the interval spans."""
    for low, high in intervals:
        number = max(low, start)
        while number <= high:
            if number not in taken:
                return number
            number += 1
    return None


def _without(intervals: list[Interval], holes: list[Interval]) -> list[Interval]:
    for hole_start, hole_end in holes:
        cut: list[Interval] = []
        for start, end in intervals:
            if hole_end < start or hole_start > end:
                cut.append((start, end))
                continue
            if start < hole_start:
                cut.append((start, hole_start - 1))
            if hole_end < end:
                cut.append((hole_end + 1, end))
        intervals = cut
    return [(start, end) for start, end in intervals if start <= end]


def _list(values: Any) -> str:
    return ", ".join(str(value) for value in values)
