# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases by name: what ip_allocation gives, keeps, refuses and gives back, and what it costs to find out."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from ansible_collections.podnet.linux.plugins.module_utils._errors import AddressInUse, InUse, InvalidArgument, NotFound, PodnetError
from ansible_collections.podnet.linux.plugins.module_utils._plan.allocations import allocation_result, describe_pool, plan_allocations
from ansible_collections.podnet.linux.plugins.module_utils._plan.books import Held, Listing
from ansible_collections.podnet.linux.plugins.module_utils._plan.draft import UNKNOWN, Draft, Plan
from ansible_collections.podnet.linux.plugins.module_utils._plan.observed import Observed
from ansible_collections.podnet.linux.plugins.module_utils._plan.operations import ReleaseLease, TakeLease, WriteRecord
from ansible_collections.podnet.linux.plugins.module_utils._spec import intervals
from ansible_collections.podnet.linux.plugins.module_utils._spec.address_sets import intervals_of
from ansible_collections.podnet.linux.plugins.module_utils._spec.allocation import AllocationRequest
from ansible_collections.podnet.linux.plugins.module_utils._spec.pool import Pool, pool_ranges
from hypothesis import given
from hypothesis import strategies as st
from model import World
from netaddr import IPAddress, IPNetwork, IPRange, IPSet
from runs import draft_of, sandbox_named

FLEET: dict[str, Any] = {"pool": "fleet", "ranges": [{"subnet": "10.64.0.0/12"}]}
SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)).map(lambda item: (item[0], item[0] + item[1])), max_size=5)


def allocations(at: World | Draft, *items: dict[str, Any], **settings: Any) -> tuple[Draft, Plan]:
    draft = at if isinstance(at, Draft) else draft_of(at)
    plan_allocations(draft, [AllocationRequest.from_options(item) for item in items], **settings)
    return draft, draft.finish()


def pool(
    *ranges: dict[str, Any], leases: Mapping[Held, str] | None = None, cursors: dict[str, Any] | None = None, check: bool = False
) -> Draft:
    known = Pool("fleet", pool_ranges("ranges", ranges or FLEET["ranges"]))
    seen = Observed(pools={"fleet": known}, shelves={"pool:fleet": Listing(leases, cursors)})
    return Draft.of(seen, lambda: "", check=check)


def lease(at: World | Draft, **options: Any) -> dict[str, Any]:
    draft, _plan = allocations(at, options)
    return allocation_result(draft, AllocationRequest.from_options(options))


def kinds(plan: Plan) -> list[str]:
    return [type(operation).__name__ for operation in plan.operations]


def test_an_owner_gets_one_lease_per_family(pods0: World) -> None:
    assert lease(pods0, network="pods0", owner="vip") == {
        "owner": "vip",
        "pool": None,
        "network": "pods0",
        "addresses": ["10.90.0.2", "fd00:90::2"],
        "gateways": ["10.90.0.1", "fd00:90::1"],
    }


def test_a_pool_is_recorded_with_its_first_lease() -> None:
    _draft, plan = allocations(World(), {**FLEET, "owner": "host1", "prefix_length": 24})
    assert kinds(plan) == ["WriteRecord", "TakeLease", "SetCursor"]


def test_blocks_are_carved_one_behind_the_other() -> None:
    draft = pool()
    found = [lease(draft, pool="fleet", owner=owner, prefix_length=24)["blocks"] for owner in ("a", "b", "a")]
    assert found == [["10.64.0.0/24"], ["10.64.1.0/24"], ["10.64.0.0/24"]]


def test_a_freed_block_rests() -> None:
    draft = pool(cursors={"4-24": ip_address("10.64.7.0")})
    assert lease(draft, pool="fleet", owner="a", prefix_length=24)["blocks"] == ["10.64.8.0/24"]


def test_blocks_keep_clear_of_single_leases_and_the_other_way_round() -> None:
    draft = pool({"subnet": "10.64.0.0/29"}, leases={ip_address("10.64.0.1"): "x"})
    assert lease(draft, pool="fleet", owner="a", prefix_length=30)["blocks"] == ["10.64.0.4/30"]
    assert lease(draft, pool="fleet", owner="b")["addresses"] == ["10.64.0.2"]


def test_a_block_of_every_family_that_has_room_for_one() -> None:
    draft = pool({"subnet": "10.64.0.0/12"}, {"subnet": "fd00::/48"})
    assert lease(draft, pool="fleet", owner="a", prefix_length=64)["blocks"] == ["fd00::/64"]
    assert lease(draft, pool="fleet", owner="b", prefix_length=24)["blocks"] == ["10.64.0.0/24"]


def test_another_address_moves_the_lease() -> None:
    _draft, plan = allocations(pool(leases={ip_address("10.64.0.9"): "a"}), {"pool": "fleet", "owner": "a", "address": "10.64.0.5"})
    assert plan.operations == (
        TakeLease("pool:fleet", ip_address("10.64.0.5"), "a", None),
        ReleaseLease("pool:fleet", ip_address("10.64.0.9"), "a"),
    )


def test_a_prefix_length_that_is_not_said_again_is_kept() -> None:
    draft = pool(leases={ip_network("10.64.0.0/24"): "h1"})
    assert not allocations(draft, {"pool": "fleet", "owner": "h1"})[1].changed
    _draft, plan = allocations(draft, {"pool": "fleet", "owner": "h1", "address": "10.64.9.0"})
    assert TakeLease("pool:fleet", ip_network("10.64.9.0/24"), "h1", None) in plan.operations


def test_a_gateway_is_no_address_of_any_range() -> None:
    subnet = {"subnet": "10.2.0.0/24"}
    draft = pool(
        {**subnet, "start": "10.2.0.1", "end": "10.2.0.9"}, {**subnet, "start": "10.2.0.20", "end": "10.2.0.30", "gateway": "10.2.0.1"}
    )
    assert lease(draft, pool="fleet", owner="a")["addresses"] == ["10.2.0.2"]
    with pytest.raises(InvalidArgument, match="gateway"):
        allocations(draft, {"pool": "fleet", "owner": "b", "address": "10.2.0.1"})


def test_two_owners_change_places() -> None:
    held: dict[Held, str] = {ip_address("10.64.0.1"): "a", ip_address("10.64.0.2"): "b"}
    asked = [{"pool": "fleet", "owner": "a", "address": "10.64.0.2"}, {"pool": "fleet", "owner": "b", "address": "10.64.0.1"}]
    draft, plan = allocations(pool(leases=held), *asked)
    assert draft.book("pool:fleet").everything() == {ip_address("10.64.0.2"): "a", ip_address("10.64.0.1"): "b"}
    assert kinds(plan).count("TakeLease") == 2


def test_who_asks_for_an_address_comes_before_who_takes_any() -> None:
    draft = pool({"subnet": "10.8.0.0/30"})
    draft, _plan = allocations(draft, {"pool": "fleet", "owner": "a"}, {"pool": "fleet", "owner": "b", "address": "10.8.0.1"})
    assert draft.book("pool:fleet").everything() == {ip_address("10.8.0.1"): "b", ip_address("10.8.0.2"): "a"}


def test_ranges_may_be_said_with_any_item_of_a_list(world: World) -> None:
    draft, plan = allocations(world, {"pool": "p", "owner": "a"}, {"pool": "p", "owner": "b", "ranges": [{"subnet": "10.8.0.0/30"}]})
    assert len(draft.book("pool:p").everything()) == 2 and kinds(plan).count("WriteRecord") == 1


def test_no_block_of_a_network_is_its_network_address(pods0: World) -> None:
    assert lease(pods0, network="pods0", owner="a", prefix_length=32)["blocks"] == ["10.90.0.2/32"]
    assert lease(pool({"subnet": "fd00::/64"}), pool="fleet", owner="a", prefix_length=128)["blocks"] == ["fd00::1/128"]


def test_an_address_that_the_host_carries_by_now_is_warned_of() -> None:
    seen = Observed(
        pools={"fleet": Pool("fleet", pool_ranges("ranges", FLEET["ranges"]))},
        shelves={"pool:fleet": Listing({ip_address("10.64.0.9"): "a"})},
        host_addresses=frozenset((ip_address("10.64.0.9"),)),
    )
    _draft, plan = allocations(Draft.of(seen, lambda: ""), {"pool": "fleet", "owner": "a"})
    assert not plan.changed and "10.64.0.9" in plan.warnings[0]


def test_the_same_again_is_no_change() -> None:
    draft = pool(leases={ip_address("10.64.0.9"): "a", ip_network("10.64.4.0/24"): "b"})
    items = [{"owner": "a"}, {"owner": "b", "prefix_length": 24}]
    assert not allocations(draft, *({"pool": "fleet", **item} for item in items))[1].changed


def test_what_is_released_first_can_be_leased_in_the_same_task() -> None:
    full = {ip_address("10.64.0.1"): "a", ip_address("10.64.0.2"): "b"}
    draft = pool({"subnet": "10.64.0.0/30"}, leases=full)
    _draft, plan = allocations(draft, {"pool": "fleet", "owner": "c"}, {"pool": "fleet", "owner": "b", "state": "absent"})
    assert TakeLease("pool:fleet", ip_address("10.64.0.2"), "c", "b") in plan.operations


def test_exclusive_releases_those_that_are_not_listed_in_the_pools_named_only(web: World) -> None:
    web.leases["pods0"][ip_address("10.90.0.77")] = "left"
    web.leases["pool:fleet"] = {ip_address("10.64.0.1"): "there"}
    _draft, plan = allocations(web, {"network": "pods0", "owner": "vip"}, exclusive=True)
    assert [operation for operation in plan.operations if isinstance(operation, ReleaseLease)] == [
        ReleaseLease("pods0", ip_address("10.90.0.77"), "left")
    ]


def test_a_sandboxs_lease_is_its_own(web: World) -> None:
    sandbox = sandbox_named(web, "web")
    assert not allocations(web, {"network": "pods0", "owner": sandbox.id})[1].changed
    with pytest.raises(InUse, match="is sandbox web"):
        allocations(web, {"network": "pods0", "owner": sandbox.id, "state": "absent"})
    with pytest.raises(InvalidArgument, match="reads as the id of a sandbox"):
        allocations(web, {"network": "pods0", "owner": "0" * 16})
    for said in ({"address": "10.90.0.77"}, {"prefix_length": 30}):
        with pytest.raises(InvalidArgument, match="is a sandbox"):
            allocations(web, {"network": "pods0", "owner": sandbox.id, **said})
    with pytest.raises(AddressInUse, match="held by sandbox web"):
        allocations(web, {"network": "pods0", "owner": "vip", "address": "10.90.0.2"})


def test_a_stale_lease_can_be_given_back(pods0: World) -> None:
    pods0.leases["pods0"] = {ip_address("10.90.0.9"): "0" * 16}
    assert "ReleaseLease" in kinds(allocations(pods0, {"network": "pods0", "owner": "0" * 16, "state": "absent"})[1])


def test_a_sandbox_does_not_get_what_an_owner_holds(pods0: World) -> None:
    pods0.leases["pods0"] = {ip_network("10.90.0.0/29"): "lab"}
    draft = draft_of(pods0)
    assert lease(draft, network="pods0", owner="vip")["addresses"][0] == "10.90.0.8"


@pytest.mark.parametrize(
    ("options", "error", "text"),
    (
        ({"address": "10.80.0.1"}, InvalidArgument, "address: '10.80.0.1' is in no subnet of pool fleet"),
        ({"address": "fd00::1"}, InvalidArgument, "in no subnet of pool fleet"),
        ({"address": "10.64.0.9"}, AddressInUse, r"address: 10\.64\.0\.9 of pool fleet is held by owner x"),
        ({"address": "10.64.4.7"}, AddressInUse, r"overlaps 10\.64\.4\.0/24, which is held by owner y"),
        ({"address": "10.64.0.0", "prefix_length": 24}, AddressInUse, r"overlaps 10\.64\.0\.9"),
        ({"address": "10.80.0.0", "prefix_length": 24}, InvalidArgument, "not inside one range"),
        ({"address": "10.64.0.1", "prefix_length": 24}, InvalidArgument, "host bits set"),
        ({"prefix_length": 8}, InvalidArgument, "fits into no range"),
        ({"prefix_length": 129}, InvalidArgument, "is no prefix length"),
        ({"ranges": [{"subnet": "10.64.0.0/24"}]}, InUse, r"10\.64\.4\.0/24 would lie outside pool fleet"),
        (
            {"ranges": [{"subnet": "10.64.0.0/12", "gateway": "10.64.0.9"}]},
            AddressInUse,
            r"gateway 10\.64\.0\.9 of pool fleet is leased by owner x",
        ),
        ({"ranges": [{"subnet": "10.64.0.0/12"}, {"subnet": "10.65.0.0/16"}]}, InvalidArgument, "overlap"),
        ({"ranges": [{"subnet": "10.64.0.0/12", "start": "10.1.0.1"}]}, InvalidArgument, "is not in 10.64.0.0/12"),
        ({"ranges": []}, InvalidArgument, "at least one range"),
        ({"owner": " a"}, InvalidArgument, "is no owner"),
        ({"pool": "../x"}, InvalidArgument, "is no pool name"),
        ({"pool": "unknown"}, NotFound, "pool: unknown is not known yet"),
        ({"network": "pods0"}, InvalidArgument, "exactly one"),
    ),
)
def test_what_cannot_be_is_refused(options: dict[str, Any], error: type[PodnetError], text: str) -> None:
    draft = pool(leases={ip_address("10.64.0.9"): "x", ip_network("10.64.4.0/24"): "y"})
    with pytest.raises(error, match=text):
        allocations(draft, {"pool": "fleet", "owner": "a", **options})
    assert not draft.steps


def test_ranges_can_grow_around_what_is_leased() -> None:
    draft = pool({"subnet": "10.64.0.0/24"}, leases={ip_address("10.64.0.9"): "x"})
    _draft, plan = allocations(draft, {"pool": "fleet", "owner": "x", "ranges": [{"subnet": "10.64.0.0/16"}]})
    assert [type(operation) for operation in plan.operations] == [WriteRecord]


def test_in_check_mode_what_will_be_leased_is_not_told() -> None:
    draft = pool(leases={ip_address("10.64.0.9"): "x"}, check=True)
    _draft, plan = allocations(draft, {"pool": "fleet", "owner": "a"}, {"pool": "fleet", "owner": "x"})
    (change,) = plan.changes
    assert change.as_diff()["after"]["addresses"] == [UNKNOWN]


def test_in_check_mode_a_pool_that_is_missing_is_a_warning(world: World) -> None:
    _draft, plan = allocations(draft_of(world, check=True), {"network": "pods9", "owner": "a"}, {"pool": "p", "owner": "a"})
    assert plan.changed
    assert ["pods9 is not declared" in plan.warnings[0], "pool: p is not known" in plan.warnings[1]] == [True, True]


def test_a_64_is_counted_exactly() -> None:
    draft = pool(
        {"subnet": "fd00::/64", "gateway": "fd00::1"}, leases={ip_network("fd00:0:0:0:8000::/65"): "a", ip_address("fd00::7"): "b"}
    )
    fleet = draft.pool("pool:fleet")
    assert fleet is not None
    (counts,) = describe_pool(draft, fleet)["ranges"]
    assert (counts["size"], counts["used"], counts["free"]) == (2**64 - 2, 2**63 + 1, 2**63 - 3)


@pytest.mark.parametrize("subnet", ("10.64.0.0/31", "10.64.0.0/32", "fd00::/127", "fd00::/128"))
def test_of_the_smallest_subnets_every_address_can_be_leased(subnet: str) -> None:
    draft = pool({"subnet": subnet})
    every = [str(address) for address in ip_network(subnet)]
    assert [lease(draft, pool="fleet", owner=owner)["addresses"][0] for owner in every] == every


class Counted(Listing):
    """Counts what is asked of it, and refuses the walks."""

    lookups = 0

    def owner_of(self, held: Held) -> str | None:
        self.lookups += 1
        return super().owner_of(held)

    def addresses(self) -> list[Any]:
        raise AssertionError("a walk through all addresses")

    def everything(self) -> dict[Held, str]:
        raise AssertionError("a walk through all leases")


@pytest.mark.parametrize("number", (10, 10_000))
def test_a_lease_costs_the_same_however_many_there_are(number: int) -> None:
    first = ip_address("10.64.0.1")
    full: dict[Held, str] = {first + index: f"owner-{index}" for index in range(number)}
    shelf = Counted(full, {"4": first + number - 1})
    known = Pool("fleet", pool_ranges("ranges", [{"subnet": "10.64.0.0/16"}]))
    draft = Draft.of(Observed(pools={"fleet": known}, shelves={"pool:fleet": shelf}), lambda: "")
    assert lease(draft, pool="fleet", owner="new")["addresses"] == [str(first + number)]
    assert shelf.lookups <= 6


def test_random_leases_are_spread_evenly() -> None:
    """Sixteen addresses, a quarter of them taken: each of the others comes up as often, within what chance does (six sigma)."""
    taken = {ip_address(f"10.64.0.{number}"): "x" for number in (1, 5, 9)}
    seen: dict[str, int] = {}
    for _run in range(2400):
        draft = pool({"subnet": "10.64.0.0/28"}, leases=taken)
        (address,) = lease(draft, pool="fleet", owner="a", strategy="random")["addresses"]
        seen[address] = seen.get(address, 0) + 1
    expected = 2400 / 11
    assert len(seen) == 11 and all(abs(count - expected) < 6 * expected**0.5 for count in seen.values())


@pytest.mark.parametrize("strategy", ("sequential", "random"))
def test_the_last_free_address_of_a_16_is_always_found(strategy: str) -> None:
    known = pool_ranges("ranges", [{"subnet": "10.64.0.0/16"}])
    every = ip_network("10.64.0.0/16")
    last = ip_address("10.64.200.77")
    full: dict[Held, str] = {address: "x" for address in every.hosts() if address != last}
    for cursor in (None, "10.64.0.5", "10.64.200.77", "10.64.255.254"):
        shelf = Listing(full, {"4": ip_address(cursor)} if cursor else {})
        draft = Draft.of(Observed(pools={"fleet": Pool("fleet", known)}, shelves={"pool:fleet": shelf}), lambda: "")
        assert lease(draft, pool="fleet", owner="a", strategy=strategy)["addresses"] == [str(last)]


def members(spans: list[tuple[int, int]]) -> set[int]:
    return {number for start, end in spans for number in range(start, end + 1)}


@given(SPANS, SPANS, st.integers(1, 8), st.integers(0, 70))
def test_intervals_are_sets_of_numbers(first: list[Any], second: list[Any], step: int, start: int) -> None:
    spans = intervals.without([(-5, 80)], intervals.without([(-5, 80)], first))
    assert members(spans) == members(first)
    left = intervals.without(spans, second)
    assert members(left) == members(first) - members(second)
    assert intervals.size(left) == len(members(left)) and left == sorted(left)
    assert [intervals.nth(left, number) for number in range(intervals.size(left))] == sorted(members(left))
    turned = [number for low, high in intervals.rotated(left, start) for number in range(low, high + 1)]
    assert turned == sorted(members(left), key=lambda number: (number < start, number))
    blocks = {number for number in range(-5, 80) if set(range(number * step, number * step + step)) <= members(left)}
    # Intervals that touch are two: no block reaches from one range into another.
    assert members(intervals.aligned(left, step)) <= blocks


@pytest.mark.parametrize("subnet", ("10.64.0.0/16", "2001:db8::/64", "fd00::/8"))
@given(spans=SPANS, holes=SPANS)
def test_intervals_are_what_netaddr_makes_of_the_same_addresses(subnet: str, spans: list[Any], holes: list[Any]) -> None:
    start = IPNetwork(subnet).first + 200

    def shifted(pairs: list[Any]) -> list[tuple[int, int]]:
        return [(start + low, start + high) for low, high in pairs]

    def as_set(pairs: list[Any]) -> IPSet:
        version = IPNetwork(subnet).version
        return IPSet([net for low, high in shifted(pairs) for net in IPRange(IPAddress(low, version), IPAddress(high, version)).cidrs()])

    left = intervals.without(intervals.merged(shifted(spans)), shifted(holes))
    oracle = as_set(spans) - as_set(holes)
    assert left == intervals_of(oracle)
    assert intervals.size(left) == oracle.size
    numbers = [int(address) for address in oracle]
    assert [intervals.nth(left, number) for number in range(len(numbers))] == numbers
