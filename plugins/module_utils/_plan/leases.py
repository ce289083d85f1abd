# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which address: the allocator, exact on any prefix, without walking through it."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain, islice

from .._errors import AddressInUse, InvalidArgument, NoAddressAvailable
from .._spec import intervals
from .._spec.allocation import STRATEGIES
from .._spec.fields import ADDRESSES, ID, IPAddress, IPNetwork
from .._spec.intervals import Interval
from .._spec.pool import Pool, interval_of, never_leased, pool_of_key
from .books import Held, cursor_key
from .draft import Draft
from .operations import Phase, ReleaseLease, TakeLease

IsFree = Callable[[int], bool]
Left = Callable[[], list[Interval]]
_PATIENCE = 64
"""Addresses that are tried one by one before all leases are read."""


def usage(draft: Draft, pool: Pool, spans: Sequence[Interval], version: int) -> dict[str, int]:
    """Total, used and free of these spans; what an interface of the host carries cannot be leased, and counts as used."""
    book = draft.book(pool.key)
    taken = [interval_of(held) for held in (*book.addresses(), *book.blocks()) if held.version == version]
    taken += [(number, number) for number in _barred(draft, pool, version)]
    total = intervals.size(spans)
    free = intervals.size(intervals.without(spans, taken))
    return {"total": total, "used": total - free, "free": free}


def request(draft: Draft, pool: Pool, held: Held, owner: str, option: str = "addresses") -> None:
    """Lease this very address or block.

    Raises InvalidArgument where it cannot be had at all, AddressInUse where somebody has it.
    """
    _check_inside(pool, held, option)
    book = draft.book(pool.key)
    holder = draft.holder(pool.key, held)
    if holder == owner and book.owner_of(held) == owner:
        return
    if holder not in (None, owner) and holder not in draft.leaving:
        raise AddressInUse(f"{option}: {held} of {pool.title} is held by {describe_owner(draft, str(holder))}; choose another")
    first, last = interval_of(held)
    if any(first <= number <= last for number in _carried(draft, held.version)):
        raise AddressInUse(f"{option}: {held} is carried by an interface of the host; choose another")
    other = _overlapped(draft, pool, held, owner)
    if other is not None:
        raise AddressInUse(
            f"{option}: {held} of {pool.title} overlaps {other}, which is held by {describe_owner(draft, str(book.owner_of(other)))}"
        )
    take(draft, pool.key, held, owner)


def allocate(
    draft: Draft, pool: Pool, version: int, owner: str, *, subnet: IPNetwork | None = None, strategy: str = STRATEGIES[0]
) -> IPAddress:
    """A free address of that IP version, or of that subnet.

    sequential: the next one after the last leased, wrapping, so that a freed address rests; random: any, with the same
    chance. Either finds the last free one. Raises NoAddressAvailable naming pool, used and total.
    """
    book = draft.book(pool.key)
    carried = frozenset(_carried(draft, version))
    every = pool.spans(version, subnet)
    spans = intervals.without(every, (interval_of(block) for block in book.blocks() if block.version == version))

    def is_free(number: int) -> bool:
        return number not in carried and draft.holder(pool.key, _address(version, number)) is None

    def left() -> list[Interval]:
        taken = (int(address) for address in book.addresses() if address.version == version)
        return intervals.without(spans, ((number, number) for number in chain(taken, _barred(draft, pool, version))))

    key = cursor_key(version)
    if strategy == "random":
        number = _any_free(draft, spans, is_free, left)
    else:
        cursor = book.cursor(key)
        start = int(cursor) + 1 if cursor is not None and (subnet is None or cursor in subnet) else 0
        number = _next_free(spans, start, is_free, left)
    if number is None:
        what = subnet or ", ".join(str(item.subnet) for item in pool.of_version(version))
        used = usage(draft, pool, every, version)
        raise NoAddressAvailable(
            f"{pool.title}: no address is free in {what} ({used['used']} used of {used['total']}); "
            "release what is not needed or widen the ranges"
        )
    address = _address(version, number)
    take(draft, pool.key, address, owner)
    book.cursors[key] = address
    return address


def allocate_block(draft: Draft, pool: Pool, version: int, prefix_length: int, owner: str, strategy: str = STRATEGIES[0]) -> IPNetwork:
    """A free aligned block; the same strategies, the same failures."""
    book = draft.book(pool.key)
    size = 1 << ((32 if version == 4 else 128) - prefix_length)
    taken = [interval_of(held) for held in (*book.addresses(), *book.blocks()) if held.version == version]
    taken += [(number, number) for number in _barred(draft, pool, version)]
    every = pool.block_spans(version, prefix_length)
    free = intervals.aligned(intervals.without(every, taken), size)
    key = cursor_key(version, prefix_length)
    total = intervals.size(intervals.aligned(every, size))
    if not total:
        raise InvalidArgument.of("prefix_length", prefix_length, f"fits into no range of {pool.title} beside gateways and what is reserved")
    if not free:
        raise NoAddressAvailable(
            f"{pool.title}: no block of /{prefix_length} is free ({total} used of {total}); release what is not needed or widen the ranges"
        )
    if strategy == "random":
        number = intervals.nth(free, draft.random_below(intervals.size(free)))
    else:
        cursor = book.cursor(key)
        number = intervals.rotated(free, 0 if cursor is None else int(cursor) // size + 1)[0][0]
    address = _address(version, number * size)
    block: IPNetwork = ipaddress.ip_network(f"{address}/{prefix_length}")
    take(draft, pool.key, block, owner)
    book.cursors[key] = address
    return block


def release(draft: Draft, key: str, held: Held, owner: str) -> None:
    """Give a lease back, last of all; nothing where the owner does not hold it (any more)."""
    book = draft.book(key)
    if book.owner_of(held) == owner:
        book.set(held, None)
        draft.add(Phase.FORGET, ReleaseLease(key, held, owner))


def is_stale(draft: Draft, key: str, held: Held, owner: str) -> bool:
    """A lease of a sandbox that is gone, or that has another address now, or of a network that is gone."""
    if pool_of_key(key) is not None:
        return False
    if key not in draft.networks:
        return True
    sandbox = draft.sandboxes.get(owner)
    return is_sandbox(key, owner) and not (sandbox and any(at.network == key and held in at.addresses for at in sandbox.attachments))


def is_sandbox(key: str, owner: str) -> bool:
    """Among the owners of a network's leases sandboxes are known by their id; those of a free-standing pool are none."""
    return pool_of_key(key) is None and bool(ID.match(owner))


def describe_owner(draft: Draft, owner: str) -> str:
    sandbox = draft.sandboxes.get(owner) or draft.observed.sandboxes.get(owner)
    return f"sandbox {sandbox.name}" if sandbox else f"owner {owner}"


def take(draft: Draft, key: str, held: Held, owner: str) -> None:
    """Write the lease down in the plan, handed over where this plan takes it from somebody; the caller knows that it may."""
    book = draft.book(key)
    before = book.owner_before(held)
    book.set(held, owner)
    draft.add(Phase.LEASE, TakeLease(key, held, owner, before if before != owner else None))


def _next_free(spans: Sequence[Interval], start: int, is_free: IsFree, left: Left) -> int | None:
    """Step by step, as the next one mostly is free; where many are taken, by looking at all leases."""
    steps = chain.from_iterable(range(low, high + 1) for low, high in intervals.rotated(spans, start))
    for number in islice(steps, _PATIENCE):
        if is_free(number):
            return number
    pieces = intervals.rotated(left(), start)
    return pieces[0][0] if pieces else None


def _any_free(draft: Draft, spans: Sequence[Interval], is_free: IsFree, left: Left) -> int | None:
    """Tries that miss leave the chances of the rest equal; where many miss, the free ones are counted."""
    total = intervals.size(spans)
    for _try in range(_PATIENCE if total else 0):
        number = intervals.nth(spans, draft.random_below(total))
        if is_free(number):
            return number
    free = left()
    return intervals.nth(free, draft.random_below(intervals.size(free))) if free else None


def _check_inside(pool: Pool, held: Held, option: str) -> None:
    around = pool.of_version(held.version)
    if not isinstance(held, ADDRESSES):
        if pool.lends(held):
            return
        raise InvalidArgument.of(
            option, str(held), f"is not inside one range of {pool.title}, or overlaps its gateway or what is reserved there"
        )
    subnet = next((item.subnet for item in around if held in item.subnet), None)
    if subnet is None:
        subnets = ", ".join(dict.fromkeys(str(item.subnet) for item in pool.ranges))
        raise InvalidArgument.of(option, str(held), f"is in no subnet of {pool.title} ({subnets})")
    if any(held == item.gateway for item in around):
        raise InvalidArgument.of(option, str(held), f"is the gateway of {pool.title}")
    if never_leased(held, subnet):
        what = "network or broadcast" if held.version == 4 else "subnet-router anycast"
        raise InvalidArgument.of(option, str(held), f"is the {what} address of {subnet}")
    if not pool.lends(held):
        raise InvalidArgument.of(option, str(held), f"is outside the ranges of {pool.title}, or reserved there")


def _overlapped(draft: Draft, pool: Pool, held: Held, owner: str) -> Held | None:
    """Another lease that shares an address with it; those of the same owner, which it is about to replace, apart."""
    book = draft.book(pool.key)
    first, last = interval_of(held)
    others: Iterable[Held] = book.blocks()
    if not isinstance(held, ADDRESSES):
        others = (*others, *book.addresses())
    for other in others:
        if other != held and other.version == held.version:
            low, high = interval_of(other)
            if low <= last and high >= first and book.owner_of(other) != owner:
                return other
    return None


def _carried(draft: Draft, version: int) -> list[int]:
    return [int(address) for address in draft.observed.host_addresses if address.version == version]


def _barred(draft: Draft, pool: Pool, version: int) -> Collection[int]:
    """What is not leased and cannot be: addresses of the host's interfaces, and those of sandboxes whose lease got lost."""
    claimed = [int(address) for address in draft.claimed(pool.key) if address.version == version]
    return frozenset((*claimed, *_carried(draft, version)))


def _address(version: int, number: int) -> IPAddress:
    return ipaddress.IPv4Address(number) if version == 4 else ipaddress.IPv6Address(number)
