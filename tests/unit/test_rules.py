# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rendered ruleset: who may talk to whom, what is masqueraded, what reaches the host."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.podnet.linux.plugins.module_utils._plan.observed import Ruleset
from ansible_collections.podnet.linux.plugins.module_utils._plan.operations import ChangeRules, LoadRules, Phase
from ansible_collections.podnet.linux.plugins.module_utils._plan.ruleset import frame, parsed
from ansible_collections.podnet.linux.plugins.module_utils._spec.network import Network, NetworkRequest
from model import World, apply
from runs import made, networks, sandboxes


def network(name: str = "a", **options: Any) -> Network:
    options = {"subnets": ["10.90.0.0/24", "fd00:90::/64"], **options}
    return NetworkRequest.from_options({"name": name, **options}).resolve(None, new_id=name[0] * 16, default_mtu=1500)


def elements(ruleset: str, name: str) -> set[str]:
    """Of a set of the table."""
    body = re.search(rf"\tset {name} {{(.*?)\n\t}}", ruleset, re.S)
    assert body is not None
    found = re.search(r"elements = { (.*) }", body[1])
    return set(found[1].split(", ")) if found else set()


def may_pass(*declared: Network) -> set[tuple[str, str]]:
    pairs = elements(frame(declared), "may_pass")
    return {(first.strip('"'), second.strip('"')) for first, second in (pair.split(" . ") for pair in pairs)}


def chain(ruleset: str, name: str) -> list[str]:
    body = re.search(rf"\tchain {name} {{\n(.*?)\n\t}}", ruleset, re.S)
    assert body is not None
    return [line.strip() for line in body[1].splitlines()]


@pytest.mark.parametrize(
    ("first", "second", "talk"),
    (
        ("strict", "strict", False),
        ("strict", "normal", False),
        ("strict", "none", False),
        ("normal", "normal", False),
        ("normal", "none", True),
        ("none", "none", True),
    ),
)
def test_isolation_decides_for_both_directions(first: str, second: str, talk: bool) -> None:
    pairs = may_pass(network("a", isolation=first), network("b", isolation=second))
    assert [("a", "b") in pairs, ("b", "a") in pairs] == [talk, talk]


@pytest.mark.parametrize("inter_pod", (True, False))
def test_pods_of_one_network_talk_where_inter_pod_says_so(inter_pod: bool) -> None:
    assert (("a", "a") in may_pass(network("a", inter_pod=inter_pod))) is inter_pod


@pytest.mark.parametrize("inter_pod", (True, False))
def test_inter_pod_says_nothing_of_other_networks(inter_pod: bool) -> None:
    assert ("a", "b") in may_pass(network("a", isolation="none", inter_pod=inter_pod), network("b", isolation="none"))


@pytest.mark.parametrize("isolation", ("strict", "normal", "none"))
def test_an_internal_network_talks_to_no_other(isolation: str) -> None:
    pairs = may_pass(network("a", internal=True, isolation=isolation), network("b", isolation="none"))
    assert pairs == {("a", "a"), ("b", "b")}


def test_look_alike_networks_are_not_mixed_up() -> None:
    pairs = may_pass(network("pod-1", isolation="none"), network("pod-10"), network("pod-1.0", isolation="none"))
    assert ("pod-1", "pod-10") not in pairs


def test_internal_networks_are_dropped_both_ways() -> None:
    ruleset = frame([network("a", internal=True), network("b")])
    assert elements(ruleset, "internal") == {'"a"'}
    assert chain(ruleset, "forward")[2:4] == ["iifname @internal goto within", "oifname @internal drop"]
    assert chain(ruleset, "within") == ["iifname . oifname @may_pass goto through", "drop"]


def test_every_bridge_is_known() -> None:
    assert elements(frame([network("a"), network("b", internal=True)]), "bridges") == {'"a"', '"b"'}


def test_nat_covers_both_families() -> None:
    ruleset = frame([network("a")])
    assert (elements(ruleset, "nat4"), elements(ruleset, "nat6")) == ({"10.90.0.0/24"}, {"fd00:90::/64"})


@pytest.mark.parametrize("options", ({"nat": False}, {"internal": True}))
def test_without_nat_nothing_is_masqueraded(options: dict[str, Any]) -> None:
    ruleset = frame([network("a", **options)])
    assert (elements(ruleset, "nat4"), elements(ruleset, "nat6")) == (set(), set())


def test_what_goes_to_another_network_is_not_masqueraded() -> None:
    postrouting = chain(frame([network("a")]), "postrouting")
    assert postrouting.index("oifname @bridges jump inward") < postrouting.index("ip saddr @nat4 masquerade")
    assert chain(frame([network("a")]), "inward")[-1] == "accept"


def test_inbound_lets_in_answers_and_published_ports_only() -> None:
    assert chain(frame([network("a")]), "inbound") == [
        "ct state established,related goto through",
        "ct status dnat goto through",
        "drop",
    ]
    assert chain(frame([network("a")]), "through") == ["meta mark set meta mark | 0x00001000 accept"]


@pytest.mark.parametrize("host_access", (True, False))
def test_host_access_closes_the_way_to_the_host(host_access: bool) -> None:
    assert (elements(frame([network("a", host_access=host_access)]), "closed") == {'"a"'}) is not host_access


def test_gateway_dns_stays_allowed_where_the_gateway_is_a_resolver() -> None:
    ruleset = frame([network("a", host_access=False, dns=["10.90.0.1", "fd00:90::1", "192.0.2.1"])])
    assert elements(ruleset, "dns4") == {'"a" . 10.90.0.1'}
    assert elements(ruleset, "dns6") == {'"a" . fd00:90::1'}


def test_gateway_dns_is_not_allowed_where_the_gateway_is_no_resolver() -> None:
    assert elements(frame([network("a", host_access=False)]), "dns4") == set()


def test_what_reaches_a_closed_host_is_dropped_at_the_end() -> None:
    assert chain(frame([network("a", host_access=False)]), "to_host")[-1] == "drop"


def test_no_network_means_no_table() -> None:
    assert frame([]) == ""


def test_a_network_that_goes_has_no_rules() -> None:
    assert frame([replace(network("a"), removing=True)]) == ""


def test_the_order_of_networks_does_not_matter() -> None:
    declared = [network("a", isolation="none"), network("b", isolation="none"), network("c", internal=True)]
    assert len({frame(order) for order in itertools.permutations(declared)}) == 1


def test_ipv4_and_ipv6_share_the_table() -> None:
    assert frame([network("a")]).startswith("table inet podnet {\n")


def test_rules_are_loaded_before_the_bridge_is_made(world: World) -> None:
    phases = {type(operation): phase for phase, operation in networks(world, {"name": "a", "subnets": ["10.90.0.0/24"]}).steps}
    assert phases[LoadRules] == Phase.RULES < Phase.BUILD


def test_removing_the_last_network_removes_the_table(pods0: World) -> None:
    plan = networks(pods0, {"name": "pods0", "state": "absent"})
    assert [operation.ruleset.frame for operation in plan.operations if isinstance(operation, LoadRules)] == [""]


def test_altered_rules_are_loaded_anew(pods0: World) -> None:
    before = pods0.rules
    pods0.rules = replace(pods0.rules, frame=pods0.rules.frame.replace("drop", "accept", 1))
    assert apply(pods0, networks(pods0, {"name": "pods0"})).rules == before


def test_rules_that_are_as_wanted_are_left_alone(pods0: World) -> None:
    assert not [operation for operation in networks(pods0, {"name": "pods0"}).operations if isinstance(operation, LoadRules)]


def test_a_new_sandbox_brings_its_elements_alone(pods0: World) -> None:
    plan = sandboxes(pods0, {"name": "web", "network": "pods0", "port_forwards": ["80:80"]})
    (change,) = (operation for operation in plan.operations if isinstance(operation, (LoadRules, ChangeRules)))
    assert isinstance(change, ChangeRules)
    assert (change.parts["inet map any4"], change.previous) == ({"tcp . 80 : 10.90.0.2 . 80"}, {})


def test_elements_that_were_lost_or_are_foreign_are_set_right_one_by_one(pods0: World) -> None:
    world = made(pods0, sandbox={"name": "web", "network": "pods0", "port_forwards": ["80:80", "81:81"]})
    known = world.rules.parts or {}
    world.rules = replace(
        world.rules, parts={**known, "inet map any4": frozenset(("tcp . 81 : 10.90.0.2 . 81", "tcp . 9 : 192.0.2.1 . 9"))}
    )
    plan = sandboxes(world, {"name": "web"})
    (change,) = (operation for operation in plan.operations if isinstance(operation, (LoadRules, ChangeRules)))
    assert isinstance(change, ChangeRules)
    assert change.parts == {"inet map any4": {"tcp . 80 : 10.90.0.2 . 80"}}
    assert change.previous == {"inet map any4": {"tcp . 9 : 192.0.2.1 . 9"}}
    assert apply(world, plan).rules.parts == known


LISTING = """table inet podnet {
\tcomment "podnet.linux"
\tset bridges {
\t\ttype ifname
\t\telements = { "b",
\t\t\t"a" }
\t}

\tmap host6 {
\t\ttype ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service
\t\telements = { 2001:db8::1 . 17 . 53 : fd00:90::2 . 53 }
\t}

\tmap any4 {
\t\ttype inet_proto . inet_service : ipv4_addr . inet_service
\t\telements = { 6 . 6 : 10.90.0.2 . 17,
\t\t\t132 . 81 : 10.90.0.2 . 81 }
\t}

\tchain guard {
\t\ttype filter hook prerouting priority raw; policy accept;
\t}
}
table bridge podnet {
\tcomment "podnet.linux"
\tset private {
\t\ttype ifname
\t\telements = { "vh-00000000" }
\t}
}
"""


def test_a_comment_may_hold_a_comma() -> None:
    listing = LISTING.replace("6 . 6 : 10.90.0.2 . 17,", '6 . 9 comment "x, y" : 192.0.2.9 . 9, 6 . 6 : 10.90.0.2 . 17,')
    found = (parsed(listing).parts or {})["inet map any4"]
    assert found == {'tcp . 9 comment "x, y" : 192.0.2.9 . 9', "tcp . 6 : 10.90.0.2 . 17", "sctp . 81 : 10.90.0.2 . 81"}


def test_what_the_host_says_to_itself_is_not_masqueraded() -> None:
    postrouting = chain(frame([network("a")]), "postrouting")
    assert postrouting.index('oifname "lo" accept') < postrouting.index("ip saddr @nat4 masquerade")


def test_a_listing_is_taken_apart() -> None:
    found = parsed(LISTING)
    assert {block: held for block, held in (found.parts or {}).items() if held} == {
        "inet map host6": {"2001:db8::1 . udp . 53 : fd00:90::2 . 53"},
        "inet map any4": {"tcp . 6 : 10.90.0.2 . 17", "sctp . 81 : 10.90.0.2 . 81"},
        "bridge set private": {'"vh-00000000"'},
    }
    assert 'elements = { "a", "b" }' in found.frame and found.frame.count("elements") == 1
    assert found.frame.count("chain guard") == found.frame.count("set private") == 1
    assert parsed("") == Ruleset("", found.parts and dict.fromkeys(found.parts, frozenset()))
