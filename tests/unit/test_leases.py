# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which address a sandbox gets, which it may ask for, and what is never given away."""

from __future__ import annotations

import ipaddress
from ipaddress import ip_address
from typing import Any

import pytest
from ansible_collections.podnet.linux.plugins.module_utils._errors import AddressInUse, InvalidArgument, NoAddressAvailable, PodnetError
from ansible_collections.podnet.linux.plugins.module_utils._plan import leases
from ansible_collections.podnet.linux.plugins.module_utils._plan.books import Listing
from ansible_collections.podnet.linux.plugins.module_utils._plan.draft import Draft
from ansible_collections.podnet.linux.plugins.module_utils._plan.observed import Observed
from ansible_collections.podnet.linux.plugins.module_utils._plan.operations import Phase, ReleaseLease, SetCursor, TakeLease
from ansible_collections.podnet.linux.plugins.module_utils._spec.network import Network, NetworkRequest
from hypothesis import given
from hypothesis import strategies as st

OWNER, OTHER = "0123456789abcdef", "fedcba9876543210"


def network(*subnets: str, **options: Any) -> Network:
    request = NetworkRequest.from_options({"name": "pods0", "subnets": list(subnets), **options})
    return request.resolve(None, new_id="a" * 16, default_mtu=1500)


def draft(taken: dict[str, str] | None = None, *, host: tuple[str, ...] = (), cursor: str | None = None) -> Draft:
    at = {} if cursor is None else {str(ip_address(cursor).version): ip_address(cursor)}
    held = {ip_address(address): owner for address, owner in (taken or {}).items()}
    seen = Observed(shelves={"pods0": Listing(held, at)}, host_addresses=frozenset(ip_address(text) for text in host))
    return Draft.of(seen, lambda: OWNER)


def allocate(at: Draft, of: Network, number: int = 0) -> str:
    return str(leases.allocate(at, of.pool, of.subnets[number].version, OWNER, subnet=of.subnets[number]))


def drain(at: Draft, of: Network) -> list[str]:
    """Every address that can be had, in the order in which it is given."""
    out = []
    while True:
        try:
            out.append(allocate(at, of))
        except NoAddressAvailable:
            return out


def test_the_first_address_comes_behind_the_gateway() -> None:
    assert allocate(draft(), network("10.90.0.0/24")) == "10.90.0.2"


def test_a_freed_address_rests() -> None:
    assert allocate(draft(cursor="10.90.0.7"), network("10.90.0.0/24")) == "10.90.0.8"


def test_allocation_wraps_at_the_end() -> None:
    assert allocate(draft({"10.90.0.2": OTHER}, cursor="10.90.0.254"), network("10.90.0.0/24")) == "10.90.0.3"


def test_a_cursor_of_another_subnet_does_not_count() -> None:
    assert allocate(draft(cursor="10.99.0.7"), network("10.90.0.0/24")) == "10.90.0.2"


def test_the_cursor_itself_is_the_last_that_is_tried() -> None:
    of = network("10.90.0.0/29")
    taken = {f"10.90.0.{number}": OTHER for number in (2, 3, 5, 6)}
    assert allocate(draft(taken, cursor="10.90.0.4"), of) == "10.90.0.4"


def test_allocation_never_gives_gateway_network_or_broadcast() -> None:
    assert drain(draft(), network("10.90.0.0/29", gateways=["10.90.0.3"])) == [
        "10.90.0.1",
        "10.90.0.2",
        "10.90.0.4",
        "10.90.0.5",
        "10.90.0.6",
    ]


def test_allocation_never_gives_what_is_reserved() -> None:
    assert drain(draft(), network("10.90.0.0/29", reserved=["10.90.0.4/31", "10.90.0.2"])) == ["10.90.0.3", "10.90.0.6"]


def test_allocation_never_gives_what_an_interface_of_the_host_carries() -> None:
    assert "10.90.0.3" not in drain(draft(host=("10.90.0.3",)), network("10.90.0.0/29"))


def test_allocation_stays_in_the_ranges() -> None:
    ranges = [{"start": "10.90.0.20", "end": "10.90.0.21"}, {"start": "10.90.0.9", "end": "10.90.0.9"}]
    assert drain(draft(), network("10.90.0.0/24", ranges=ranges)) == ["10.90.0.9", "10.90.0.20", "10.90.0.21"]


def test_a_range_that_spans_the_subnet_gives_neither_ends() -> None:
    of = network("10.90.0.0/29", ranges=[{"start": "10.90.0.0", "end": "10.90.0.7"}])
    assert drain(draft(), of) == [f"10.90.0.{number}" for number in (2, 3, 4, 5, 6)]


def test_a_range_of_one_family_leaves_the_other_whole() -> None:
    of = network("10.90.0.0/24", "fd00:90::/64", ranges=[{"start": "10.90.0.9", "end": "10.90.0.9"}])
    assert allocate(draft(), of, 1) == "fd00:90::2"


def test_the_last_free_address_of_a_16_is_found() -> None:
    of = network("10.90.0.0/16")
    last = "10.90.200.77"
    taken = {str(address): OTHER for address in of.subnets[0].hosts() if str(address) not in ("10.90.0.1", last)}
    assert allocate(draft(taken, cursor=last), of) == last


def test_a_64_is_not_walked_through() -> None:
    of = network("fd00:90::/64", reserved=["fd00:90::/65"])
    assert allocate(draft(), of) == "fd00:90:0:0:8000::"


def test_the_last_address_of_a_64_can_be_leased() -> None:
    last = "fd00:90::ffff:ffff:ffff:ffff"
    assert allocate(draft(cursor="fd00:90::ffff:ffff:ffff:fffe"), network("fd00:90::/64")) == last


def test_a_full_network_says_which_how_many_and_of_how_many() -> None:
    taken = {f"10.90.0.{number}": OTHER for number in range(2, 7)}
    with pytest.raises(NoAddressAvailable, match=r"network pods0: no address is free in 10\.90\.0\.0/29 \(5 used of 5\)"):
        allocate(draft(taken), network("10.90.0.0/29"))


def test_a_full_range_counts_what_is_used_in_the_range() -> None:
    taken = {"10.90.0.9": OTHER, "10.90.0.100": OTHER}
    of = network("10.90.0.0/24", ranges=[{"start": "10.90.0.9", "end": "10.90.0.9"}])
    with pytest.raises(NoAddressAvailable, match=r"\(1 used of 1\)"):
        allocate(draft(taken), of)


@given(
    st.sets(st.integers(1, 62)),
    st.one_of(st.none(), st.integers(0, 63)),
    st.lists(st.integers(0, 63), max_size=3),
    st.lists(st.integers(1, 62), min_size=2, max_size=2).map(sorted),
)
def test_allocation_agrees_with_a_walk(taken: set[int], cursor: int | None, reserved: list[int], span: list[int]) -> None:
    base = ip_address("10.90.0.0")
    of = network(
        "10.90.0.0/26",
        reserved=[str(base + number) for number in dict.fromkeys(reserved)],
        ranges=[{"start": str(base + span[0]), "end": str(base + span[1])}],
    )
    at = draft({str(base + number): OTHER for number in taken}, cursor=None if cursor is None else str(base + cursor))
    start = -1 if cursor is None else cursor
    walk = [number for number in (*range(start + 1, 64), *range(start + 1)) if span[0] <= number <= span[1]]
    free = [number for number in walk if number not in (0, 1, 63) and number not in taken and number not in reserved]
    try:
        found = allocate(at, of)
    except NoAddressAvailable:
        assert not free
    else:
        assert found == str(base + free[0])


def test_a_lease_is_taken_with_its_cursor() -> None:
    at = draft(cursor="10.90.0.7")
    allocate(at, network("10.90.0.0/24"))
    lease = TakeLease("pods0", ip_address("10.90.0.8"), OWNER, None)
    cursor = SetCursor("pods0", "4", ip_address("10.90.0.8"), ip_address("10.90.0.7"))
    assert at.finish().steps == ((Phase.LEASE, lease), (Phase.LEASE, cursor))


def test_many_leases_move_the_cursor_once() -> None:
    at, of = draft(), network("10.90.0.0/24")
    assert [allocate(at, of) for _number in range(3)][-1] == "10.90.0.4"
    cursors = [operation for operation in at.finish().operations if isinstance(operation, SetCursor)]
    assert cursors == [SetCursor("pods0", "4", ip_address("10.90.0.4"), None)]


def test_two_leases_of_one_plan_differ() -> None:
    at, of = draft(), network("10.90.0.0/24")
    assert (allocate(at, of), allocate(at, of)) == ("10.90.0.2", "10.90.0.3")


def test_what_is_released_in_a_plan_can_be_leased_in_it() -> None:
    at = draft({f"10.90.0.{number}": OTHER for number in range(2, 7)})
    leases.release(at, "pods0", ip_address("10.90.0.4"), OTHER)
    assert allocate(at, network("10.90.0.0/29")) == "10.90.0.4"


def test_what_a_plan_frees_is_handed_over() -> None:
    at = draft({f"10.90.0.{number}": OTHER for number in range(2, 7)})
    leases.release(at, "pods0", ip_address("10.90.0.4"), OTHER)
    allocate(at, network("10.90.0.0/29"))
    assert (Phase.LEASE, TakeLease("pods0", ip_address("10.90.0.4"), OWNER, OTHER)) in at.steps


@pytest.mark.parametrize(
    ("address", "error", "text"),
    (
        ("10.91.0.5", InvalidArgument, "in no subnet of network pods0"),
        ("10.90.0.1", InvalidArgument, "the gateway"),
        ("10.90.0.0", InvalidArgument, "network or broadcast"),
        ("10.90.0.255", InvalidArgument, "network or broadcast"),
        ("10.90.0.50", InvalidArgument, "outside the ranges"),
        ("10.90.0.12", InvalidArgument, "reserved there"),
        ("10.90.0.13", AddressInUse, "held by owner fedcba9876543210"),
        ("10.90.0.14", AddressInUse, "carried by an interface of the host"),
    ),
)
def test_an_address_that_cannot_be_had_is_refused(address: str, error: type[PodnetError], text: str) -> None:
    of = network("10.90.0.0/24", reserved=["10.90.0.12"], ranges=[{"start": "10.90.0.10", "end": "10.90.0.20"}])
    with pytest.raises(error, match=f"{address}.* {text}"):
        leases.request(draft({"10.90.0.13": OTHER}, host=("10.90.0.14",)), of.pool, ip_address(address), OWNER)


def test_asking_again_for_what_is_held_takes_nothing() -> None:
    at = draft({"10.90.0.5": OWNER})
    leases.request(at, network("10.90.0.0/24").pool, ip_address("10.90.0.5"), OWNER)
    assert not at.steps


def test_an_address_is_handed_over_by_an_owner_that_goes() -> None:
    at = draft({"10.90.0.5": OTHER})
    at.leaving.add(OTHER)
    leases.request(at, network("10.90.0.0/24").pool, ip_address("10.90.0.5"), OWNER)
    assert at.steps == [(Phase.LEASE, TakeLease("pods0", ip_address("10.90.0.5"), OWNER, OTHER))]


def test_a_lease_is_released_last_of_all() -> None:
    at = draft({"10.90.0.5": OWNER})
    leases.release(at, "pods0", ip_address("10.90.0.5"), OWNER)
    assert at.steps == [(Phase.FORGET, ReleaseLease("pods0", ip_address("10.90.0.5"), OWNER))]


def test_nobody_releases_the_lease_of_another() -> None:
    at = draft({"10.90.0.5": OTHER})
    leases.release(at, "pods0", ip_address("10.90.0.5"), OWNER)
    assert not at.steps


def usage(of: Network, taken: dict[str, str] | None = None, number: int = 0, **rest: Any) -> tuple[int, int, int]:
    subnet = of.subnets[number]
    counts = leases.usage(draft(taken, **rest), of.pool, of.pool.spans(subnet.version, subnet), subnet.version)
    return counts["total"], counts["used"], counts["free"]


def test_usage_counts_per_subnet() -> None:
    of = network("10.90.0.0/29", "fd00:90::/126")
    taken = {"10.90.0.2": OWNER, "fd00:90::2": OWNER, "fd00:90::3": OTHER}
    assert [usage(of, taken, number) for number in (0, 1)] == [(5, 1, 4), (2, 2, 0)]


def test_a_lease_outside_the_ranges_leaves_the_ranges_free() -> None:
    assert usage(network("10.90.0.0/24", ranges=[{"start": "10.90.0.9", "end": "10.90.0.9"}]), {"10.90.0.100": OWNER}) == (1, 0, 1)


def test_what_the_host_carries_is_used() -> None:
    assert usage(network("10.90.0.0/29"), {"10.90.0.2": OWNER}, host=("10.90.0.3",)) == (5, 2, 3)


def test_usage_of_a_64_is_exact() -> None:
    assert usage(network("fd00:90::/64"), {"fd00:90::7": OWNER}) == (2**64 - 2, 1, 2**64 - 3)


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(24, 32)), max_size=4), st.integers(1, 254), st.integers(1, 254))
def test_spans_are_exactly_what_may_be_leased(reserved: list[tuple[int, int]], first: int, second: int) -> None:
    holes = {str(ipaddress.ip_network((f"10.90.0.{number}", length), strict=False)) for number, length in reserved}
    start, end = sorted((first, second))
    of = network("10.90.0.0/24", reserved=sorted(holes), ranges=[{"start": f"10.90.0.{start}", "end": f"10.90.0.{end}"}])
    may = {number for low, high in of.pool.spans(4, of.subnets[0]) for number in range(low, high + 1)}
    barred = {int(address) for text in holes for address in ipaddress.ip_network(text)}
    base = int(ip_address("10.90.0.0"))
    assert may == {base + number for number in range(start, end + 1)} - barred - {base, base + 1, base + 255}
