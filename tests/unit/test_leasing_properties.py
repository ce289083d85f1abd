# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any sequence of leasing, asking, releasing and pruning, on any ranges, beside a pool that knows its addresses one by one."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

import pytest
from ansible_collections.podnet.linux.plugins.module_utils._errors import AddressInUse, InvalidArgument, NoAddressAvailable
from ansible_collections.podnet.linux.plugins.module_utils._plan.allocations import describe_pool, plan_allocations
from ansible_collections.podnet.linux.plugins.module_utils._plan.books import Held, Listing
from ansible_collections.podnet.linux.plugins.module_utils._plan.draft import Draft
from ansible_collections.podnet.linux.plugins.module_utils._plan.observed import Observed
from ansible_collections.podnet.linux.plugins.module_utils._plan.operations import Operation, ReleaseLease, SetCursor, TakeLease
from ansible_collections.podnet.linux.plugins.module_utils._plan.prune import plan_debris
from ansible_collections.podnet.linux.plugins.module_utils._spec.allocation import AllocationRequest
from ansible_collections.podnet.linux.plugins.module_utils._spec.network import Network, NetworkRequest
from ansible_collections.podnet.linux.plugins.module_utils._spec.pool import Pool
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

IP = Any
OWNERS = ("a", "b", "c", "d", "e")
GONE = ("0123456789abcdef", "fedcba9876543210")
SUBNETS = ("10.0.0.0/28", "10.0.0.16/29", "10.0.1.0/30", "10.0.2.0/31", "10.0.3.7/32", "fd00::/125", "fd00::10/124", "fd00:1::/127")


class NaivePool:
    """Every address is an object in a list."""

    def __init__(self, ranges: Iterable[dict[str, Any]], reserved: Iterable[str], carried: Iterable[str]) -> None:
        self.ranges = [(ipaddress.ip_network(item["subnet"]), item) for item in ranges]
        self.reserved = {address for text in reserved for address in ipaddress.ip_network(text)}
        self.carried = {ipaddress.ip_address(text) for text in carried}
        self.leases: dict[Held, str] = {}
        self.last: dict[tuple[int, int | None], IP] = {}

    def members(self, version: int, *, edges: bool = False) -> list[IP]:
        """What may be leased, in order; ``edges``: with network and broadcast addresses, which blocks may have."""
        found = []
        gateways = {item.get("gateway") for _subnet, item in self.ranges}
        for subnet, item in self.ranges:
            ends = {subnet.network_address, *([subnet.broadcast_address] if version == 4 else [])} if subnet.num_addresses > 2 else set()
            for address in subnet if subnet.version == version else ():
                inside = (item.get("start") is None or address >= ipaddress.ip_address(item["start"])) and (
                    item.get("end") is None or address <= ipaddress.ip_address(item["end"])
                )
                if inside and str(address) not in gateways and address not in self.reserved and (edges or address not in ends):
                    found.append(address)
        return sorted(found)

    def taken(self) -> set[IP]:
        return {address for held in self.leases for address in (held if hasattr(held, "prefixlen") else [held])}

    def free(self, version: int) -> list[IP]:
        return [address for address in self.members(version) if address not in self.taken() | self.carried]

    def free_blocks(self, version: int, length: int) -> list[IP]:
        return [block for block in self.blocks(version, length) if not set(block) & (self.taken() | self.carried)]

    def blocks(self, version: int, length: int) -> list[IP]:
        """All that there could be; a block of one address is no end of a subnet."""
        members = set(self.members(version, edges=length < (32 if version == 4 else 128)))
        found = {ipaddress.ip_network(f"{address}/{length}", strict=False) for address in members}
        return sorted(block for block in found if all(address in members for address in block))

    def after(self, candidates: list[IP], version: int, length: int | None) -> Any:
        """The next one behind the last that was given."""
        last = self.last.get((version, length))
        first = (lambda item: item.network_address) if length is not None else (lambda item: item)
        return next((item for item in candidates if last is not None and first(item) > last), candidates[0] if candidates else None)

    def versions(self, length: int | None) -> list[int]:
        fitting = {subnet.version for subnet, _item in self.ranges if length is None or subnet.prefixlen <= length <= subnet.max_prefixlen}
        return sorted(fitting)


@st.composite
def pools(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[str], list[str]]:
    """Ranges, what is reserved, and what the host carries."""
    ranges = []
    for text in draw(st.lists(st.sampled_from(SUBNETS), min_size=1, max_size=4, unique=True)):
        members = [str(address) for address in ipaddress.ip_network(text)]
        item = {"subnet": text}
        start, end = sorted(draw(st.tuples(st.integers(0, len(members) - 1), st.integers(0, len(members) - 1))))
        if draw(st.booleans()):
            item |= {"start": members[start], "end": members[end]}
        if draw(st.booleans()):
            ends = {members[0], *(members[-1:] if "." in text else [])} if len(members) > 2 else set()
            item["gateway"] = draw(st.sampled_from([member for member in members if member not in ends]))
        ranges.append(item)
    every = [str(address) for text in SUBNETS for address in ipaddress.ip_network(text)]
    reserved = draw(st.lists(st.sampled_from((*every, "10.0.0.8/30", "fd00::10/126")), max_size=3, unique=True))
    return ranges, reserved, draw(st.lists(st.sampled_from(every), max_size=3, unique=True))


class Leasing(RuleBasedStateMachine):
    """The planner and the naive pool side by side."""

    @initialize(setup=pools())
    def declare(self, setup: Any) -> None:
        ranges, reserved, carried = setup
        self.naive = NaivePool(ranges, reserved, carried)
        self.options = {"pool": "p", "ranges": ranges, "reserved": reserved}
        self.carried = frozenset(ipaddress.ip_address(text) for text in carried)
        self.leases: dict[Held, str] = {}
        self.cursors: dict[str, IP] = {}
        try:
            self.pool = AllocationRequest.from_options({**self.options, "owner": "x"})
        except InvalidArgument as error:
            assume("nothing to lease" not in str(error))
            raise

    def run(self, **options: Any) -> list[Held]:
        """One task; what the owner holds afterwards."""
        draft = Draft.of(self.observed(), lambda: "")
        plan_allocations(draft, [AllocationRequest.from_options({**self.options, **options})])
        self.perform(draft.finish().operations)
        return sorted((held for held, owner in self.leases.items() if owner == options["owner"]), key=lambda item: item.version)

    def observed(self) -> Observed:
        return Observed(shelves={"pool:p": Listing(self.leases, self.cursors)}, host_addresses=self.carried)

    def perform(self, operations: Iterable[Operation]) -> None:
        for operation in operations:
            if isinstance(operation, TakeLease):
                assert self.leases.get(operation.held) in (None, operation.previous)
                self.leases[operation.held] = operation.owner
            elif isinstance(operation, ReleaseLease):
                if self.leases.get(operation.held) == operation.owner:
                    del self.leases[operation.held]
            elif isinstance(operation, SetCursor):
                self.cursors[operation.key] = operation.address

    @rule(owner=st.sampled_from(OWNERS), length=st.sampled_from((None, None, None, 29, 30, 31, 32, 126, 128)), random=st.booleans())
    def lease(self, owner: str, length: int | None, random: bool) -> None:
        naive = self.naive
        words = {"owner": owner, "prefix_length": length, "strategy": "random" if random else "sequential"}
        # What is not said is kept: an owner of blocks goes on having such blocks.
        blocks = [item.prefixlen for item in self.held(owner) if hasattr(item, "prefixlen")]
        length = blocks[0] if length is None and blocks else length
        versions = naive.versions(length)
        if not versions:
            with pytest.raises(InvalidArgument, match="prefix_length"):
                self.run(**words)
            return
        held = [item for item, holder in naive.leases.items() if holder == owner and getattr(item, "prefixlen", None) == length]
        mine = {version: [item for item in held if item.version == version] for version in versions}
        # What the owner gives up for it is free by then.
        kept = [item for items in mine.values() for item in items]
        before = naive.leases
        naive.leases = {item: holder for item, holder in before.items() if holder != owner or item in kept}
        free = {version: naive.free(version) if length is None else naive.free_blocks(version, length) for version in versions}
        naive.leases = before
        if any(not mine[version] and not free[version] for version in versions):
            impossible = length is not None and any(not naive.blocks(version, length) for version in versions)
            with pytest.raises((NoAddressAvailable, InvalidArgument) if impossible else NoAddressAvailable, match="pool p"):
                self.run(**words)
            return
        found = self.run(**words)
        assert [held.version for held in found] == versions
        for held in found:
            if mine[held.version]:
                assert held in mine[held.version]
                continue
            assert held in free[held.version] if random else held == naive.after(free[held.version], held.version, length)
            naive.last[held.version, length] = held if length is None else held.network_address
        self.settle(owner, found)

    @rule(owner=st.sampled_from(OWNERS), number=st.integers(0, 200))
    def ask(self, owner: str, number: int) -> None:
        if any(hasattr(item, "prefixlen") for item in self.held(owner)):
            self.release(owner)
        every = [address for subnet, _item in self.naive.ranges for address in ipaddress.ip_network(subnet)]
        address = every[number % len(every)]
        others = [version for version in self.naive.versions(None) if version != address.version]
        held = self.naive.leases
        taken = {inner: o for h, o in held.items() for inner in (h if hasattr(h, "prefixlen") else [h])}
        had = {v: [h for h, o in held.items() if o == owner and h.version == v and not hasattr(h, "prefixlen")] for v in others}
        again = held.get(address) == owner
        if address not in self.naive.members(address.version):
            with pytest.raises(InvalidArgument):
                self.run(owner=owner, address=str(address))
        elif taken.get(address, owner) != owner or (address in self.naive.carried and not again):
            with pytest.raises(AddressInUse):
                self.run(owner=owner, address=str(address))
        elif any(not had[version] and not self.naive.free(version) for version in others):
            with pytest.raises(NoAddressAvailable):
                self.run(owner=owner, address=str(address))
        else:
            expected = {version: had[version] or [self.naive.after(self.naive.free(version), version, None)] for version in others}
            found = self.run(owner=owner, address=str(address))
            assert address in found and len(found) == len(others) + 1
            for version, choice in expected.items():
                (got,) = (item for item in found if item.version == version)
                assert got in choice
                if not had[version]:
                    self.naive.last[version, None] = got
            self.settle(owner, found)

    @rule(owner=st.sampled_from(OWNERS))
    def release(self, owner: str) -> None:
        assert not self.run(owner=owner, state="absent")
        self.settle(owner, [])

    def held(self, owner: str) -> list[Held]:
        return sorted((item for item, holder in self.naive.leases.items() if holder == owner), key=lambda item: item.version)

    def settle(self, owner: str, found: list[Held]) -> None:
        kept = {held: holder for held, holder in self.naive.leases.items() if holder != owner}
        assert not set(kept) & set(found)
        self.naive.leases = {**kept, **dict.fromkeys(found, owner)}

    @precondition(lambda self: hasattr(self, "naive"))
    @invariant()
    def the_books_agree(self) -> None:
        assert self.leases == self.naive.leases
        draft = Draft.of(self.observed(), lambda: "")
        wanted = self.pool
        assert wanted.ranges is not None and wanted.reserved is not None
        shown = describe_pool(draft, Pool("p", wanted.ranges, wanted.reserved))["ranges"]
        for version in self.naive.versions(None):
            mine = [item for item in shown if ipaddress.ip_network(item["subnet"]).version == version]
            assert sum(item["size"] for item in mine) == len(self.naive.members(version))
            assert sum(item["free"] for item in mine) == len(self.naive.free(version))
            assert all(item["used"] + item["free"] == item["size"] for item in mine)


TestLeasing = Leasing.TestCase


@given(st.dictionaries(st.integers(2, 14), st.sampled_from((*OWNERS, *GONE))), st.booleans())
def test_prune_frees_the_leases_of_sandboxes_that_are_gone_and_no_others(held: dict[int, str], declared: bool) -> None:
    network: Network = NetworkRequest.from_options({"name": "pods0", "subnets": ["10.0.0.0/28"]}).resolve(
        None, new_id="a" * 16, default_mtu=1500
    )
    leases = {ipaddress.ip_address(f"10.0.0.{number}"): owner for number, owner in held.items()}
    seen = Observed(networks={"pods0": network} if declared else {}, shelves={"pods0": Listing(leases), "pool:p": Listing(leases)})
    draft = Draft.of(seen, lambda: "")
    plan_debris(draft)
    freed = {operation.held for operation in draft.finish().operations if isinstance(operation, ReleaseLease)}
    assert freed == {address for address, owner in leases.items() if owner in GONE or not declared}
    assert all(operation.pool == "pods0" for operation in draft.finish().operations if isinstance(operation, ReleaseLease))
