# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner of leases that are asked for by name: ip_allocation, for networks and free-standing pools."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._errors import AddressInUse, InUse, InvalidArgument
from .._spec import fields
from .._spec.address_sets import address_set, intervals_of
from .._spec.allocation import AllocationRequest
from .._spec.fields import ADDRESSES, IPAddress
from .._spec.pool import Pool, interval_of, pool_key, pool_of_key
from . import leases
from .books import Held
from .draft import UNKNOWN, Change, Draft
from .operations import Phase, WriteRecord

KIND = "allocation"


def plan_allocations(draft: Draft, requests: Sequence[AllocationRequest], *, exclusive: bool = False) -> None:
    """Plan every request; releases first. ``exclusive``: leases in the pools named that are not listed go too."""
    listed: set[tuple[str, str]] = set()
    for request in requests:
        if (request.key, request.owner) in listed:
            raise InvalidArgument.of("allocations", request.owner, f"is listed twice for {request.title}")
        listed.add((request.key, request.owner))
    keys = dict.fromkeys(request.key for request in requests)
    for key in keys if exclusive else ():
        for owner in dict.fromkeys(draft.book(key).everything().values()):
            if (key, owner) not in listed and not leases.is_sandbox(key, owner):
                _release_all(draft, key, owner)
    for request in requests:
        if request.state == "absent":
            _refuse_held_by_sandbox(draft, request)
            _release_all(draft, request.key, request.owner)
    present = [request for request in requests if request.state == "present"]
    _declare_pools(draft, present)
    wanted = [item for item in (_wanted(draft, request) for request in present) if item is not None]
    # What is asked for by address comes first, and what is given up for it is free by then: two owners may change places.
    for item in wanted:
        item.give_up()
    for item in sorted(wanted, key=lambda item: item.request.address is None):
        item.lease()
    for item in wanted:
        item.report()


def change_name(request: AllocationRequest) -> str:
    """What its change is found by in a plan."""
    return _change_name(request.key, request.owner)


def allocation_result(draft: Draft, request: AllocationRequest) -> dict[str, Any]:
    """The return value: what the owner holds."""
    result = _result(draft, request.key, request.owner)
    if draft.pool(request.key) is None and request.state == "present":
        kind = "addresses" if request.prefix_length is None else "blocks"
        result[kind] = [UNKNOWN]
    return result


def describe_allocations(draft: Draft, key: str) -> list[dict[str, Any]]:
    """Who holds what in a pool, sorted by owner."""
    by_owner: dict[str, list[Held]] = {}
    for item, owner in draft.book(key).everything().items():
        by_owner.setdefault(owner, []).append(item)
    found = []
    for owner, held in sorted(by_owner.items()):
        sandbox = draft.sandboxes.get(owner) if leases.is_sandbox(key, owner) else None
        found.append(
            {
                **_result(draft, key, owner, known=held),
                "sandbox": sandbox.name if sandbox else None,
                "stale": any(leases.is_stale(draft, key, item, owner) for item in held),
            }
        )
    return found


def describe_pool(draft: Draft, pool: Pool) -> dict[str, Any]:
    """How full its ranges are: whole numbers, also where a float would not do."""
    book = draft.book(pool.key)
    stale = address_set(held for held, owner in book.everything().items() if leases.is_stale(draft, pool.key, held, owner))
    ranges = []
    for item in pool.ranges:
        lendable = pool.lendable(item)
        counts = leases.usage(draft, pool, intervals_of(lendable), item.version)
        ranges.append(
            {
                **item.as_dict(),
                "size": counts["total"],
                "used": counts["used"],
                "free": counts["free"],
                "stale": (lendable & stale).size,
            }
        )
    return {"name": pool.name, "kind": pool.kind, "ranges": ranges, "reserved": pool.as_dict()["reserved"]}


@dataclass(frozen=True)
class _Wanted:
    """One request on its way through the plan.

    ``held``: what its owner had before, and ``before`` how that was told; ``length``: of the block that is wanted, None for
    addresses; ``versions``: the IP versions to have a lease of.
    """

    draft: Draft
    request: AllocationRequest
    pool: Pool
    held: tuple[Held, ...]
    before: dict[str, Any]
    length: int | None
    versions: tuple[int, ...]

    def give_up(self) -> None:
        """Release what is of another kind than wanted, or another than what is asked for."""
        for item in self.held:
            if item.version not in self.versions or not _fits(item, self.length) or item != (self._asked(item.version) or item):
                leases.release(self.draft, self.request.key, item, self.request.owner)

    def lease(self) -> None:
        """What is asked for comes first: whether it can be had is the first thing to say."""
        for version in sorted(self.versions, key=lambda version: self._asked(version) is None):
            self._lease(version)

    def report(self) -> None:
        if _held(self.draft, self.request) != self.held:
            after = _result(self.draft, self.request.key, self.request.owner, mask=self.draft.check)
            self.draft.changes.append(Change(KIND, change_name(self.request), self.before if self.held else {}, after))

    def _lease(self, version: int) -> None:
        draft, request = self.draft, self.request
        asked = self._asked(version)
        kept = [item for item in _held(draft, request) if item.version == version]
        if asked is not None:
            leases.request(draft, self.pool, asked, request.owner, "address")
        elif kept:
            _warn_carried(draft, self.pool, kept[0], request.owner)
        elif self.length is not None:
            leases.allocate_block(draft, self.pool, version, self.length, request.owner, request.strategy)
        else:
            leases.allocate(draft, self.pool, version, request.owner, strategy=request.strategy)

    def _asked(self, version: int) -> Held | None:
        """The address or block of that IP version that the request names."""
        address = self.request.address
        if address is None or address.version != version:
            return None
        return address if self.length is None else fields.network("address", f"{address}/{self.length}")


def _wanted(draft: Draft, request: AllocationRequest) -> _Wanted | None:
    """What is to be planned; None where there is nothing. Raises NotFound, and InvalidArgument where it cannot be."""
    pool = _pool(draft, request)
    held = _held(draft, request)
    if leases.is_sandbox(request.key, request.owner):
        _check_sandbox(request, held)
        return None
    if pool is None:
        draft.changes.append(Change(KIND, change_name(request), {}, allocation_result(draft, request)))
        return None
    # What is not said is kept: whoever has a block goes on having one of that size.
    length = request.prefix_length or next((item.prefixlen for item in held if not isinstance(item, ADDRESSES)), None)
    versions = tuple(_versions(pool, request, length))
    return _Wanted(draft, request, pool, held, _result(draft, request.key, request.owner), length, versions)


def _held(draft: Draft, request: AllocationRequest) -> tuple[Held, ...]:
    return _sorted(draft.book(request.key).held_by(request.owner))


def _check_sandbox(request: AllocationRequest, held: Sequence[Held]) -> None:
    if not held:
        raise InvalidArgument.of("owner", request.owner, "reads as the id of a sandbox; those lease by podnet.linux.pod_sandbox")
    if request.prefix_length is not None or request.address not in (None, *held):
        raise InvalidArgument.of("owner", request.owner, "is a sandbox; its addresses are changed with podnet.linux.pod_sandbox")


def _versions(pool: Pool, request: AllocationRequest, length: int | None) -> list[int]:
    """One lease per IP version; blocks only of those that have room for one that size."""
    if request.address is not None and request.address.version not in pool.versions:
        raise InvalidArgument.of("address", str(request.address), f"is in no subnet of {pool.title}")
    if length is None:
        return list(pool.versions)
    found = [
        version
        for version in pool.versions
        if any(item.subnet.prefixlen <= length <= item.subnet.max_prefixlen for item in pool.of_version(version))
    ]
    if not found or (request.address is not None and request.address.version not in found):
        raise InvalidArgument.of("prefix_length", length, f"fits into no range of {pool.title}")
    return found


def _fits(held: Held, prefix_length: int | None) -> bool:
    if isinstance(held, ADDRESSES):
        return prefix_length is None
    return held.prefixlen == prefix_length


def _pool(draft: Draft, request: AllocationRequest) -> Pool | None:
    """The pool as it will be; None in check mode where it is still missing. Raises NotFound."""
    if request.network is not None:
        network = draft.network(request.network)
        return None if network is None else network.pool
    pool = draft.pool(request.key)
    if pool is None:
        draft.missing(f"pool: {request.pool} is not known yet; give its ranges at first use")
    return pool


def _declare_pools(draft: Draft, requests: Sequence[AllocationRequest]) -> None:
    """Record the pools that the requests describe, whichever of them does. Raises InvalidArgument where they disagree."""
    said: dict[str, dict[str, Any]] = {}
    for request in requests:
        for option in ("ranges", "reserved") if request.pool is not None else ():
            value = getattr(request, option)
            if value is not None and said.setdefault(str(request.pool), {}).setdefault(option, value) != value:
                raise InvalidArgument(f"{option}: pool {request.pool} is given different {option} in one task")
    for name, options in said.items():
        recorded = draft.pool(pool_key(name))
        if recorded is None and "ranges" not in options:
            continue
        wanted = replace(recorded or Pool(name, ()), **options)
        if wanted == recorded:
            continue
        _check_leases(draft, wanted)
        previous = recorded.as_dict() if recorded else None
        draft.add(Phase.RECORD, WriteRecord("pool", name, wanted.as_dict(), previous))
        draft.changes.append(Change("pool", name, previous or {}, wanted.as_dict()))
        draft.pools[name] = wanted


def _check_leases(draft: Draft, pool: Pool) -> None:
    """Every lease must be one that the pool could still give."""
    for held, owner in draft.book(pool.key).everything().items():
        first, last = interval_of(held)
        for item in pool.of_version(held.version):
            if item.gateway is not None and first <= int(item.gateway) <= last:
                raise AddressInUse(f"ranges: the gateway {item.gateway} of {pool.title} is leased by owner {owner}; choose another")
        for taken in pool.reserved:
            low, high = interval_of(taken)
            if taken.version == held.version and low <= last and first <= high:
                raise InUse(f"reserved: {held} of {pool.title} is held by owner {owner}; release it first")
        if not pool.lends(held):
            raise InUse(f"ranges: {held} would lie outside {pool.title} and is held by owner {owner}; release it first")


def _warn_carried(draft: Draft, pool: Pool, held: Held, owner: str) -> None:
    first, last = interval_of(held)
    if any(first <= int(address) <= last for address in draft.observed.host_addresses if address.version == held.version):
        draft.warn(f"{held} of {pool.title}, which owner {owner} holds, is carried by an interface of this host too")


def _refuse_held_by_sandbox(draft: Draft, request: AllocationRequest) -> None:
    sandbox = draft.sandboxes.get(request.owner) if leases.is_sandbox(request.key, request.owner) else None
    if sandbox is not None and any(
        not leases.is_stale(draft, request.key, held, sandbox.id) for held in draft.book(request.key).held_by(sandbox.id)
    ):
        raise InUse(
            f"owner: {request.owner} is sandbox {sandbox.name}, which keeps its leases for as long as it exists; remove the sandbox"
        )


def _release_all(draft: Draft, key: str, owner: str) -> None:
    held = draft.book(key).held_by(owner)
    if not held:
        return
    before = _result(draft, key, owner)
    for item in held:
        leases.release(draft, key, item, owner)
    draft.changes.append(Change(KIND, _change_name(key, owner), before, {}))


def _sorted(held: Iterable[Held]) -> tuple[Held, ...]:
    return tuple(sorted(held, key=lambda item: (item.version, interval_of(item))))


def _result(draft: Draft, key: str, owner: str, *, known: Iterable[Held] | None = None, mask: bool = False) -> dict[str, Any]:
    """``known``: what the owner holds, where that was found out already."""
    book, pool = draft.book(key), draft.pool(key)
    held = _sorted(book.held_by(owner) if known is None else known)
    blocks = [item for item in held if not isinstance(item, ADDRESSES)]
    addresses = [item for item in held if isinstance(item, ADDRESSES)]

    def text(item: Held) -> str:
        return UNKNOWN if mask and book.owner_before(item) != owner else str(item)

    name = pool_of_key(key)
    result: dict[str, Any] = {"owner": owner, "pool": name, "network": key if name is None else None}
    if blocks:
        result["blocks"] = [text(item) for item in blocks]
    if addresses or not blocks:
        result["addresses"] = [text(item) for item in addresses]
    result["gateways"] = _gateways(pool, addresses) if pool is not None else []
    return result


def _gateways(pool: Pool, addresses: Sequence[IPAddress]) -> list[str]:
    """Of the ranges that the addresses come from, in their order."""
    ranges = [pool.range_of(address) for address in addresses]
    return list(dict.fromkeys(str(item.gateway) for item in ranges if item is not None and item.gateway is not None))


def _change_name(key: str, owner: str) -> str:
    name = pool_of_key(key)
    return f"{owner} of {'network' if name is None else 'pool'} {key if name is None else name}"
