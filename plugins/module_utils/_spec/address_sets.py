# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of addresses by netaddr: subnets, ranges, reserved addresses, destinations of policies and their exceptions.

Single addresses and networks are objects of the standard library's ipaddress, which parses strictly. netaddr is imported on
first use, since most runs without changes do not need it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from ipaddress import IPv6Address, ip_network
from typing import TYPE_CHECKING

from .fields import ADDRESSES, IPAddress, IPNetwork

if TYPE_CHECKING:
    import netaddr

    from .intervals import Interval


def address_set(held: Iterable[IPAddress | IPNetwork]) -> netaddr.IPSet:
    """Return the set of all these addresses and networks."""
    import netaddr

    return netaddr.IPSet([_network(item) for item in held])


def range_set(first: IPAddress, last: IPAddress) -> netaddr.IPSet:
    """Return the set of all addresses from the first to the last, both included."""
    import netaddr

    return netaddr.IPSet(netaddr.IPRange(str(first), str(last)))


def union(sets: Iterable[netaddr.IPSet]) -> netaddr.IPSet:
    import netaddr

    return netaddr.IPSet([network for item in sets for network in item.iter_cidrs()])


def intervals_of(addresses: netaddr.IPSet) -> list[Interval]:
    """Return the set as sorted, disjoint, non-adjacent intervals."""
    return [(item.first, item.last) for item in addresses.iter_ipranges()]


def merged_networks(version: int, networks: Iterable[tuple[int, int]]) -> netaddr.IPSet:
    """Return the union of networks, each given as first address (a number) and prefix length, which saves parsing."""
    import netaddr

    return netaddr.IPSet([netaddr.IPNetwork(item, version=version) for item in networks])


def networks_between(first: IPAddress, last: IPAddress) -> list[IPNetwork]:
    """Return the fewest networks that cover exactly this range, both ends included. Raise ValueError if the order is wrong."""
    import netaddr

    if first.version != last.version or int(first) > int(last):
        raise ValueError(f"{first} to {last} is not a range of one IP version in ascending order")
    return [ip_network(str(item)) for item in netaddr.iprange_to_cidrs(str(first), str(last))]


@cache
def link_local(mac: str) -> IPv6Address:
    """Return the link-local address that the kernel derives from a MAC (RFC 4291, appendix A)."""
    import netaddr

    return IPv6Address(int(netaddr.EUI(mac).ipv6_link_local()))


def _network(held: IPAddress | IPNetwork) -> netaddr.IPNetwork:
    import netaddr

    if isinstance(held, ADDRESSES):
        return netaddr.IPNetwork((int(held), held.max_prefixlen), version=held.version)
    return netaddr.IPNetwork((int(held.network_address), held.prefixlen), version=held.version)
