# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real packets: between sandboxes, to the gateway, and through NAT to a machine on another segment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from host import Host, task
from talk import HOST, LAN, add_lan, ask, bridge_netfilter, pings, serve

NETWORKS = [
    {"name": "a", "subnets": ["10.91.0.0/24", "fd00:91::/64"], "isolation": "none"},
    {"name": "b", "subnets": ["10.92.0.0/24", "fd00:92::/64"], "isolation": "none"},
    {"name": "c", "subnets": ["10.93.0.0/24", "fd00:93::/64"]},
    {"name": "n", "subnets": ["10.94.0.0/24", "fd00:94::/64"], "isolation": "normal"},
    {"name": "i", "subnets": ["10.95.0.0/24", "fd00:95::/64"], "internal": True},
    {"name": "k", "subnets": ["10.96.0.0/24", "fd00:96::/64"], "inter_pod": False},
    {"name": "s", "subnets": ["10.97.0.0/24", "fd00:97::/64"], "host_access": False, "dns": ["10.97.0.1", "fd00:97::1"]},
    {"name": "r", "subnets": ["10.98.0.0/24", "fd00:98::/64"], "nat": False},
]


@pytest.fixture(scope="module")
def lan() -> Iterator[Host]:
    """One host for all tests here: they ask, and take back what they change."""
    host = Host()
    try:
        add_lan(host)
        yield host
    finally:
        host.close()


@pytest.fixture(scope="module")
def pods(lan: Host) -> dict[str, dict[str, Any]]:
    """Two sandboxes on every network: a1, a2, b1, ..."""
    names = [f"{network['name']}{number}" for network in NETWORKS for number in (1, 2)]
    made = lan.play(
        task("bridge_network", networks=NETWORKS),
        task("pod_sandbox", sandboxes=[{"name": name, "network": name[0]} for name in names]),
    )
    lan.must(made[0])
    return {item["name"]: item for item in lan.must(made[1])["sandboxes"]}


def reaches(host: Host, source: dict[str, Any], target: dict[str, Any]) -> list[bool]:
    """By v4 and by v6."""
    return pings(host, source["ns_name"], *target["addresses"])


def test_who_reaches_whom(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    yes, no = [True, True], [False, False]
    allowed = {("a1", "a2"): yes, ("a1", "b1"): yes, ("b1", "a1"): yes, ("a1", "n1"): yes, ("n1", "a1"): yes}
    denied = {("a1", "c1"): no, ("c1", "a1"): no, ("c1", "n1"): no, ("k1", "k2"): no, ("a1", "i1"): no, ("i1", "a1"): no}
    for (source, target), expected in {**allowed, **denied, ("i1", "i2"): yes, ("s1", "s2"): yes}.items():
        assert reaches(lan, pods[source], pods[target]) == expected, (source, target)
    for name in ("a1", "c1", "k1", "r1", "i1"):
        assert [lan.pings(pods[name], gateway) for gateway in (f"10.9{'abcniksr'.index(name[0]) + 1}.0.1",)] == [True], name
    # Through NAT, to a machine that could not answer otherwise.
    assert [pings(lan, pods[name]["ns_name"], *LAN) for name in ("c1", "r1", "i1")] == [yes, no, no]
    # A workload that adds routes of its own does not get out of an internal network either.
    for family, gateway in (("-4", "10.95.0.1"), ("-6", "fd00:95::1")):
        lan.inside(pods["i1"], "ip", family, "route", "add", "default", "via", gateway)
    assert pings(lan, pods["i1"]["ns_name"], *LAN) == no
    # Nor do isolated neighbours find each other by way of the gateway.
    around = ("ip", "route", "{}", f"{pods['k2']['container_ip']}/32", "via", "10.96.0.1")
    lan.inside(pods["k1"], *(word.format("add") for word in around))
    assert lan.pings(pods["k1"], pods["k2"]["container_ip"]) is False
    # As it was, for the next test.
    lan.inside(pods["k1"], *(word.format("del") for word in around))
    for family in ("-4", "-6"):
        lan.inside(pods["i1"], "ip", family, "route", "del", "default")


def test_peers_see_real_sources_and_the_world_sees_the_host(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    for name in ("b1", "lan"):
        serve(lan, pods[name]["ns_name"] if name in pods else name, name, 7777)
    a1, b1 = pods["a1"], pods["b1"]
    seen = ask(lan, a1["ns_name"], *(("udp", address, 7777) for address in (*b1["addresses"], *LAN)))
    assert seen == [f"b1 7777 {source}" for source in a1["addresses"]] + [f"lan 7777 {source}" for source in HOST]


def test_routed_networks_are_answered_where_the_world_knows_the_way(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    lan.sh("ip -n lan route add 10.0.0.0/8 via 198.51.100.1; ip -n lan -6 route add fd00::/16 via 2001:db8:1::1")
    assert pings(lan, pods["r1"]["ns_name"], *LAN) == [True, True]
    # A neighbour that adds a route reaches no sandbox by it.
    addresses = [address for name in ("a1", "c1", "i1", "r1") for address in pods[name]["addresses"]]
    assert pings(lan, "lan", *addresses) == [False] * len(addresses)
    lan.sh("ip -n lan route del 10.0.0.0/8; ip -n lan -6 route del fd00::/16")


def test_host_access_false_leaves_dns_only(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    serve(lan, None, "host", 53, 80)
    inside = pods["s1"]["ns_name"]
    for address in ("10.97.0.1", "fd00:97::1"):
        assert None not in ask(lan, inside, ("tcp", address, 53), ("udp", address, 53))
        assert ask(lan, inside, ("tcp", address, 80), ("udp", address, 80), patience=0.5) == [None, None]
    assert ask(lan, inside, ("tcp", HOST[0], 53), patience=0.5) == [None]
    assert None not in ask(lan, pods["c1"]["ns_name"], ("tcp", "10.93.0.1", 80), ("tcp", "fd00:93::1", 80))
    assert pings(lan, pods["s1"]["ns_name"], *LAN) == [True, True]


@pytest.mark.parametrize("value", [0, 1])
def test_bridge_netfilter_makes_no_difference(lan: Host, pods: dict[str, dict[str, Any]], value: int) -> None:
    bridge_netfilter(lan, value)
    assert reaches(lan, pods["a1"], pods["a2"]) == [True, True]
    assert reaches(lan, pods["i1"], pods["i2"]) == [True, True]
    assert reaches(lan, pods["k1"], pods["k2"]) == [False, False]
    assert reaches(lan, pods["a1"], pods["b1"]) == [True, True]
    assert reaches(lan, pods["a1"], pods["c1"]) == [False, False]
