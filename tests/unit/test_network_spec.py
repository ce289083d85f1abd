# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a network task means: defaults at creation, what is kept afterwards, and what does not fit together."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
import scenarios
from ansible_collections.podnet.linux.plugins.module_utils._errors import InvalidArgument
from ansible_collections.podnet.linux.plugins.module_utils._spec.network import Network, NetworkRequest, derived_mac, never_leased
from hypothesis import given
from hypothesis import strategies as st

ID = "0123456789abcdef"
DUAL = {"name": "pods0", "subnets": ["10.90.0.0/24", "fd00:90::/64"]}

SAID: dict[str, tuple[Any, Any]] = {
    "mtu": (1400, 1400),
    "nat": (False, False),
    "internal": (True, True),
    "isolation": ("none", "none"),
    "inter_pod": (False, False),
    "host_access": (False, False),
    "dns": (["10.90.0.1"], (ip_address("10.90.0.1"),)),
    "dns_search": (["pods.example"], ("pods.example",)),
    "dns_options": (["ndots:2"], ("ndots:2",)),
    "reserved": (["10.90.0.9"], (ip_network("10.90.0.9/32"),)),
    "gateways": (["10.90.0.7"], (ip_address("10.90.0.7"), ip_address("fd00:90::1"))),
}
"""By option: as a user writes it, and what it means."""


def network(recorded: Network | None = None, **options: Any) -> Network:
    request = NetworkRequest.from_options({"name": "pods0", **options})
    return request.resolve(recorded, new_id=ID, default_mtu=1450)


@pytest.fixture
def dual() -> Network:
    return network(**DUAL)


@pytest.mark.parametrize(
    ("option", "default"),
    (
        ("mtu", 1450),
        ("nat", True),
        ("internal", False),
        ("isolation", "strict"),
        ("inter_pod", True),
        ("host_access", True),
        ("dns", None),
        ("dns_search", ()),
        ("dns_options", ()),
        ("reserved", ()),
        ("ranges", ()),
        ("gateways", (ip_address("10.90.0.1"), ip_address("fd00:90::1"))),
    ),
)
def test_a_new_network_gets_defaults(dual: Network, option: str, default: object) -> None:
    assert getattr(dual, option) == default


@pytest.mark.parametrize("option", SAID)
def test_what_is_said_holds(dual: Network, option: str) -> None:
    said, meant = SAID[option]
    assert getattr(network(dual, **{option: said}), option) == meant


@pytest.mark.parametrize("option", SAID)
def test_what_is_not_said_is_kept(option: str) -> None:
    said, meant = SAID[option]
    recorded = network(**DUAL, **{option: said})
    assert getattr(network(recorded), option) == meant


@pytest.mark.parametrize("option", ("dns", "dns_search", "dns_options", "reserved", "ranges"))
def test_an_empty_list_empties(option: str) -> None:
    given_ = {"dns": ["10.90.0.1"], "dns_search": ["a"], "dns_options": ["b"], "reserved": ["10.90.0.9"]}
    recorded = network(**DUAL, **given_, ranges=[{"start": "10.90.0.5", "end": "10.90.0.9"}])
    assert getattr(network(recorded, **{option: []}), option) == ()


@pytest.mark.parametrize("option", ("nat", "inter_pod", "host_access", "internal"))
def test_false_is_not_the_same_as_nothing_said(option: str) -> None:
    recorded = network(**DUAL, **{option: True})
    assert getattr(network(recorded, **{option: False}), option) is False


def test_a_recorded_mtu_outlives_another_default(dual: Network) -> None:
    assert NetworkRequest("pods0").resolve(dual, new_id="x", default_mtu=9000).mtu == 1450


def test_an_existing_network_keeps_its_id(dual: Network) -> None:
    assert NetworkRequest("pods0").resolve(dual, new_id="f" * 16, default_mtu=1500).id == ID


def test_gateways_stand_in_the_order_of_the_subnets() -> None:
    made = network(**DUAL, gateways=["fd00:90::9", "10.90.0.9"])
    assert made.gateways == (ip_address("10.90.0.9"), ip_address("fd00:90::9"))


def test_a_gateway_stays_with_its_subnet_when_another_joins() -> None:
    recorded = network(subnets=["10.90.0.0/24"], gateways=["10.90.0.9"])
    widened = network(recorded, subnets=["fd00:90::/64", "10.90.0.0/24"])
    assert widened.gateways == (ip_address("fd00:90::1"), ip_address("10.90.0.9"))


def test_empty_gateways_mean_the_first_addresses_again() -> None:
    recorded = network(**DUAL, gateways=["10.90.0.9"])
    assert network(recorded, gateways=[]).gateways == (ip_address("10.90.0.1"), ip_address("fd00:90::1"))


def test_the_bridge_carries_the_gateways_with_their_prefix_length(dual: Network) -> None:
    assert dual.bridge_addresses() == ("10.90.0.1/24", "fd00:90::1/64")


@pytest.mark.parametrize(
    ("gateways", "error"),
    (
        (["10.91.0.1"], "none of the network's subnets"),
        (["10.90.0.1", "10.90.0.2"], "one per subnet"),
        (["10.90.0.0"], "network or broadcast"),
        (["10.90.0.255"], "network or broadcast"),
        (["fd00:90::"], "network or broadcast"),
    ),
)
def test_a_gateway_that_cannot_be_one_is_refused(gateways: list[str], error: str) -> None:
    with pytest.raises(InvalidArgument, match=f"gateways: .*{error}"):
        network(**DUAL, gateways=gateways)


@pytest.mark.parametrize(
    ("ranges", "error"),
    (
        ([{"start": "10.90.0.9", "end": "10.90.0.5"}], "lower to a higher"),
        ([{"start": "10.90.0.9", "end": "fd00:90::9"}], "one family"),
        ([{"start": "10.90.0.9", "end": "10.90.1.9"}], "not inside one subnet"),
        ([{"start": "10.91.0.5", "end": "10.91.0.9"}], "not inside one subnet"),
        ([{"start": "10.90.0.5", "end": "10.90.0.9"}, {"start": "10.90.0.9", "end": "10.90.0.12"}], "overlap"),
        ([{"start": "10.90.0.5"}], "takes start and end"),
        ([{"start": "10.90.0.5", "end": "10.90.0.9", "gateway": "10.90.0.1"}], "takes start and end"),
    ),
)
def test_ranges_that_make_no_sense_are_refused(ranges: list[dict[str, str]], error: str) -> None:
    with pytest.raises(InvalidArgument, match=f"ranges: .*{error}"):
        network(**DUAL, ranges=ranges)


def test_ranges_may_touch() -> None:
    made = network(**DUAL, ranges=[{"start": "10.90.0.5", "end": "10.90.0.9"}, {"start": "10.90.0.10", "end": "10.90.0.12"}])
    assert [item.as_dict() for item in made.ranges] == [
        {"start": "10.90.0.5", "end": "10.90.0.9"},
        {"start": "10.90.0.10", "end": "10.90.0.12"},
    ]


def test_a_dropped_subnet_takes_its_range_only_if_the_task_says_so() -> None:
    recorded = network(**DUAL, ranges=[{"start": "10.90.0.5", "end": "10.90.0.9"}])
    with pytest.raises(InvalidArgument, match="ranges: "):
        network(recorded, subnets=["fd00:90::/64"])


def test_a_new_network_needs_a_subnet() -> None:
    with pytest.raises(InvalidArgument, match="subnets: network pods0 needs at least one"):
        network()


def test_an_existing_network_cannot_lose_its_last_subnet(dual: Network) -> None:
    with pytest.raises(InvalidArgument, match="subnets: "):
        network(dual, subnets=[])


def test_subnets_of_one_network_may_not_overlap() -> None:
    with pytest.raises(InvalidArgument, match=r"subnets: 10\.90\.0\.128/25 overlaps 10\.90\.0\.0/24"):
        network(subnets=["10.90.0.0/24", "10.90.0.128/25"])


def test_ipv6_needs_an_mtu_of_1280() -> None:
    with pytest.raises(InvalidArgument, match="mtu: 1279 is no MTU here: 1280 to 65535"):
        network(**DUAL, mtu=1279)


def test_a_subnet_of_ipv6_may_not_join_a_network_with_a_small_mtu() -> None:
    recorded = network(subnets=["10.90.0.0/24"], mtu=1000)
    with pytest.raises(InvalidArgument, match="mtu: "):
        network(recorded, subnets=["10.90.0.0/24", "fd00:90::/64"])


def test_an_unknown_isolation_is_refused(dual: Network) -> None:
    with pytest.raises(InvalidArgument, match="isolation: 'lax' is none of strict, normal, none"):
        network(dual, isolation="lax")


def test_an_error_in_an_item_names_the_item() -> None:
    with pytest.raises(InvalidArgument, match=r"networks\[2\]\.subnets: '10\.0\.0\.1/8' has host bits"):
        NetworkRequest.from_options({"name": "pods0", "subnets": ["10.0.0.1/8"]}, where="networks[2]")


def test_a_name_is_required() -> None:
    with pytest.raises(InvalidArgument, match=r"networks\[0\]\.name is required"):
        NetworkRequest.from_options({"subnets": ["10.0.0.0/8"]}, where="networks[0]")


@given(st.sampled_from(scenarios.NETWORKS).flatmap(scenarios.network_options), st.booleans())
def test_a_record_says_everything(options: dict[str, Any], removing: bool) -> None:
    made = NetworkRequest.from_options(options).resolve(None, new_id=ID, default_mtu=1450)
    record = json.loads(json.dumps(replace(made, removing=removing).as_record()))
    again = Network.from_record(record)
    assert (again, again.removing) == (made, removing)


def test_a_derived_mac_is_unicast_and_locally_administered() -> None:
    first = [int(derived_mac(ID, "pod", str(number))[:2], 16) for number in range(200)]
    assert all(byte & 3 == 2 for byte in first)


def test_derived_macs_differ_by_every_part() -> None:
    macs = {derived_mac(ID, "pod", str(number)) for number in range(20)} | {derived_mac(ID, "host", str(number)) for number in range(20)}
    assert len(macs) == 40


@pytest.mark.parametrize(
    ("address", "subnet", "never"),
    (
        ("10.90.0.0", "10.90.0.0/24", True),
        ("10.90.0.255", "10.90.0.0/24", True),
        ("10.90.0.255", "10.90.0.0/23", False),
        ("fd00::", "fd00::/64", True),
        ("fd00::ffff:ffff:ffff:ffff", "fd00::/64", False),
    ),
)
def test_network_and_broadcast_addresses_are_never_leased(address: str, subnet: str, never: bool) -> None:
    assert never_leased(ip_address(address), ip_network(subnet)) is never
