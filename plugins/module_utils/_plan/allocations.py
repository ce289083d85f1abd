# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner of leases that are asked for by name: ip_allocation, for networks and free-standing pools."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from .._errors import AddressInUse, InUse, InvalidArgument, NotFound
from .._spec import intervals
from .._spec.allocation import AllocationRequest
from .._spec.fields import ADDRESSES, IPAddress
from .._spec.pool import Pool, interval_of, pool_of_key
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
            if (key, owner) not in listed and not _is_a_sandboxs(key, owner):
                _release_all(draft, key, owner)
    for request in requests:
        if request.state == "absent":
            _refuse_held_by_sandbox(draft, request)
            _release_all(draft, request.key, request.owner)
    for request in requests:
        if request.state == "present":
            _present(draft, request)


def change_name(request: AllocationRequest) -> str:
    """What its change is found by in a plan."""
    return _change_name(request.key, request.owner)


def allocation_result(draft: Draft, request: AllocationRequest, *, mask: bool = False) -> dict[str, Any]:
    """The return value: what the owner holds. ``mask``: what the plan leases will be known only after the run."""
    pool = _pool_of(draft, request.key)
    result = _result(draft, request.key, request.owner, pool, mask=mask)
    if pool is None and request.state == "present":
        kind = "addresses" if request.prefix_length is None else "blocks"
        result[kind] = [UNKNOWN]
    return result


def describe_allocations(draft: Draft, key: str) -> list[dict[str, Any]]:
    """Who holds what in a pool, sorted by owner."""
    pool = _pool_of(draft, key)
    book = draft.book(key)
    found = []
    for owner in sorted(set(book.everything().values())):
        held = book.held_by(owner)
        sandbox = draft.sandboxes.get(owner) if _is_a_sandboxs(key, owner) else None
        found.append(
            {
                **_result(draft, key, owner, pool),
                "sandbox": sandbox.name if sandbox else None,
                "stale": any(leases.is_stale(draft, key, item, owner) for item in held),
            }
        )
    return found


def describe_pool(draft: Draft, pool: Pool) -> dict[str, Any]:
    """How full its ranges are: whole numbers, also where a float would not do."""
    book = draft.book(pool.key)
    stale = [interval_of(held) for held, owner in book.everything().items() if leases.is_stale(draft, pool.key, held, owner)]
    ranges = []
    for item in pool.ranges:
        spans = item.spans(pool.reserved)
        counts = leases.usage(draft, pool, spans, item.version)
        mine = [interval for interval in stale if item.bounds[0] <= interval[0] and interval[1] <= item.bounds[1]]
        ranges.append(
            {
                **item.as_dict(),
                "size": counts["total"],
                "used": counts["used"],
                "free": counts["free"],
                "stale": intervals.size(intervals.common(spans, mine)),
            }
        )
    return {"name": pool.name, "kind": pool.kind, "ranges": ranges, "reserved": pool.as_dict()["reserved"]}


def _present(draft: Draft, request: AllocationRequest) -> None:
    pool = _pool(draft, request)
    if pool is None:
        draft.changes.append(Change(KIND, change_name(request), {}, allocation_result(draft, request)))
        return
    before = _result(draft, request.key, request.owner, pool)
    book = draft.book(request.key)
    held = sorted(book.held_by(request.owner), key=lambda item: (item.version, interval_of(item)))
    if _is_a_sandboxs(request.key, request.owner):
        if held:
            return
        raise InvalidArgument.of("owner", request.owner, "reads as the id of a sandbox; those lease by podnet.linux.pod_sandbox")
    start = len(draft.steps)
    kept: list[Held] = []
    # What is asked for comes first: whether it can be had is the first thing to say.
    asked = request.address.version if request.address is not None else None
    for version in sorted(_versions(pool, request), key=lambda version: version != asked):
        kept.append(_lease(draft, pool, request, version, held))
    for item in held:
        if item not in kept:
            leases.release(draft, request.key, item, request.owner)
    if len(draft.steps) > start:
        after = _result(draft, request.key, request.owner, pool, mask=draft.check)
        draft.changes.append(Change(KIND, change_name(request), before if held else {}, after))


def _lease(draft: Draft, pool: Pool, request: AllocationRequest, version: int, held: Sequence[Held]) -> Held:
    """The lease of one IP version: what is held where it will do, else a new one."""
    mine = [item for item in held if item.version == version and _fits(item, request.prefix_length)]
    if request.address is not None and request.address.version == version:
        asked: Held = request.address
        if request.prefix_length is not None:
            asked = ipaddress.ip_network(f"{request.address}/{request.prefix_length}")
        leases.request(draft, pool, asked, request.owner, "address")
        return asked
    if mine:
        return mine[0]
    if request.prefix_length is not None:
        return leases.allocate_block(draft, pool, version, request.prefix_length, request.owner, request.strategy)
    return leases.allocate(draft, pool, version, request.owner, strategy=request.strategy)


def _versions(pool: Pool, request: AllocationRequest) -> list[int]:
    """One lease per IP version; blocks only of those that have room for one that size."""
    if request.address is not None and request.address.version not in pool.versions:
        raise InvalidArgument.of("address", str(request.address), f"is in no subnet of {pool.title}")
    if request.prefix_length is None:
        return list(pool.versions)
    length = request.prefix_length
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
        network = draft.networks.get(request.network)
        if network is not None and not network.removing:
            return network.pool
        _missing(draft, f"network: {request.network} is not declared on this host; declare it with podnet.linux.bridge_network first")
        return None
    name = str(request.pool)
    recorded = draft.pools.get(name)
    ranges = request.ranges if request.ranges is not None else (recorded.ranges if recorded else None)
    if ranges is None:
        _missing(draft, f"pool: {name} is not known yet; give its ranges at first use")
        return None
    reserved = request.reserved if request.reserved is not None else (recorded.reserved if recorded else ())
    wanted = Pool(name, ranges, reserved)
    if wanted == recorded:
        return wanted
    if recorded is not None and draft.observed.pools.get(name) != recorded:
        raise InvalidArgument(f"ranges: pool {name} is given different ranges in one task")
    _check_leases(draft, wanted)
    previous = recorded.as_dict() if recorded else None
    draft.add(Phase.RECORD, WriteRecord("pool", name, wanted.as_dict(), previous))
    draft.changes.append(Change("pool", name, previous or {}, wanted.as_dict()))
    draft.pools[name] = wanted
    return wanted


def _missing(draft: Draft, text: str) -> None:
    if not draft.check:
        raise NotFound(text)
    draft.warn(f"{text} (a real run fails here)")


def _check_leases(draft: Draft, pool: Pool) -> None:
    """Every lease must be one that the pool could still give."""
    for held, owner in draft.book(pool.key).everything().items():
        spans = pool.spans(held.version) if isinstance(held, ADDRESSES) else pool.block_spans(held.version)
        first, last = interval_of(held)
        if any(item.gateway is not None and first <= int(item.gateway) <= last for item in pool.of_version(held.version)):
            raise AddressInUse(f"ranges: the gateway of {pool.title} is leased by owner {owner}; choose another")
        if intervals.without([(first, last)], spans):
            raise InUse(f"ranges: {held} would lie outside {pool.title} and is held by owner {owner}; release it first")


def _refuse_held_by_sandbox(draft: Draft, request: AllocationRequest) -> None:
    sandbox = draft.sandboxes.get(request.owner) if _is_a_sandboxs(request.key, request.owner) else None
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
    before = _result(draft, key, owner, _pool_of(draft, key))
    for item in held:
        leases.release(draft, key, item, owner)
    draft.changes.append(Change(KIND, _change_name(key, owner), before, {}))


def _is_a_sandboxs(key: str, owner: str) -> bool:
    return pool_of_key(key) is None and leases.is_sandbox(owner)


def _pool_of(draft: Draft, key: str) -> Pool | None:
    name = pool_of_key(key)
    if name is not None:
        return draft.pools.get(name)
    network = draft.networks.get(key)
    return network.pool if network is not None else None


def _result(draft: Draft, key: str, owner: str, pool: Pool | None, *, mask: bool = False) -> dict[str, Any]:
    book = draft.book(key)
    held = sorted(book.held_by(owner), key=lambda item: (item.version, interval_of(item)))
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
