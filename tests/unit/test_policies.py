# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Egress policies: what they mean, which rules they bring, and what of them is shared."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

import pytest
from ansible_collections.podnet.linux.plugins.module_utils._errors import InvalidArgument
from ansible_collections.podnet.linux.plugins.module_utils._plan.cuts import permits
from ansible_collections.podnet.linux.plugins.module_utils._plan.draft import Draft
from ansible_collections.podnet.linux.plugins.module_utils._plan.egress import is_shared_set
from ansible_collections.podnet.linux.plugins.module_utils._plan.observed import Connection, Ruleset, Unflushed
from ansible_collections.podnet.linux.plugins.module_utils._plan.operations import ChangeRules, FlushConntrack, Phase
from ansible_collections.podnet.linux.plugins.module_utils._plan.planner import plan_policies
from ansible_collections.podnet.linux.plugins.module_utils._plan.script import anew
from ansible_collections.podnet.linux.plugins.module_utils._spec import intervals
from ansible_collections.podnet.linux.plugins.module_utils._spec.bound import Bound
from ansible_collections.podnet.linux.plugins.module_utils._spec.network import NetworkRequest
from ansible_collections.podnet.linux.plugins.module_utils._spec.policy import Allowance, Policy, PolicyRequest
from ansible_collections.podnet.linux.plugins.module_utils._spec.sandbox import SandboxRequest
from hypothesis import given
from hypothesis import strategies as st
from model import World, apply
from netaddr import IPAddress, cidr_merge
from runs import made, sandbox_named, sandboxes

SPANS = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 40)).map(lambda pair: (pair[0], pair[0] + pair[1])))


def policies(world: World, *requests: dict[str, Any], exclusive: bool = False) -> Any:
    draft = Draft.of(world.observe(), lambda: "f" * 16)
    plan_policies(draft, [PolicyRequest.from_options(item) for item in requests], exclusive=exclusive)
    return draft.finish()


def policy(**options: Any) -> Policy:
    return PolicyRequest.from_options({"sandbox": "web", **options}).resolve(None)


@given(SPANS)
def test_merged_spans_are_the_same_numbers(spans: list[tuple[int, int]]) -> None:
    merged = intervals.merged(spans)
    members = {number for first, last in spans for number in range(first, last + 1)}
    assert {number for first, last in merged for number in range(first, last + 1)} == members
    assert all(last + 1 < first for (_start, last), (first, _end) in zip(merged, merged[1:]))


def drawn_network(version: int, first: int, length: int) -> Any:
    kind, bits = (IPv4Network, 32) if version == 4 else (IPv6Network, 128)
    return kind((first % (1 << bits), length), strict=False)


@given(
    st.sampled_from((4, 6)),
    # Close to each other, or they would hardly ever meet.
    st.lists(st.tuples(st.one_of(st.integers(0, 2**128 - 1), st.integers(10 << 24, (10 << 24) + 600)), st.integers(8, 32)), max_size=8),
)
def test_destinations_are_what_is_named_but_for_the_exceptions(version: int, drawn: list[tuple[int, int]]) -> None:
    nets = [drawn_network(version, first, length if version == 4 else 4 * length) for first, length in drawn]
    named, excluded = nets[::2], nets[1::2]
    rules = [{"cidrs": [str(net) for net in named], "except": [str(net) for net in excluded]}] if named else []
    for allowance in policy(rules=rules).allowances:
        found = allowance.destinations(version)
        for net in nets:
            for address in (net[0], net[-1], *(net[0] + step for step in (-1, 1) if 0 <= int(net[0]) + step < 1 << net.max_prefixlen)):
                meant = any(address in item for item in named) and not any(address in item for item in excluded)
                assert (IPAddress(int(address), version) in found, allowance.covers(address)) == (meant, meant)
        # The fewest networks, which share no address.
        cidrs = found.iter_cidrs()
        assert cidrs == cidr_merge(cidrs) and found.size == sum(net.size for net in cidrs)


def test_the_order_of_what_is_said_does_not_matter() -> None:
    one = policy(allowed_cidrs=["10.0.0.0/8", "2001:db8::1"], allowed_tcp_ports=[443, "80-90", "85"], rules=[])
    other = policy(allowed_cidrs=["2001:db8::1/128", "10.0.0.0/8", "10.0.0.0/8"], allowed_tcp_ports=["80-90", "443"])
    assert one == other
    assert (one.allowed_tcp_ports, Policy.from_record(one.as_record())) == (("80-90", "443"), one)


@pytest.mark.parametrize(
    ("options", "named"),
    (
        ({"allowed_cidrs": ["10.0.0.1/8"]}, "10.0.0.0/8"),
        ({"allowed_tcp_ports": [True]}, "True"),
        ({"allowed_tcp_ports": ["0"]}, "'0'"),
        ({"rules": [{"cidrs": ["::/0"], "port": ["1/tcp"]}]}, "'port'"),
        ({"rules": [{}]}, "rules.cidrs"),
        ({"max_connections": 1 << 32}, "max_connections"),
    ),
)
def test_what_is_no_policy_is_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidArgument, match=named.replace("[", r"\[")):
        policy(**options)


@pytest.mark.parametrize("word", (" } }; flush ruleset; #", '"; flush ruleset; "', "\nflush ruleset\n", "\\", "$x", "@metadata4", "*"))
def test_nothing_means_more_to_nft_than_it_says(word: str) -> None:
    for options in (
        {"name": f"x{word}"},
        {"sandbox": f"web{word}"},
        {"allowed_cidrs": [f"10.0.0.0/8{word}"]},
        {"allowed_tcp_ports": [f"80{word}"]},
        {"rules": [{"cidrs": ["::/0"], "ports": [f"80/tcp{word}"]}]},
        {"rules": [{"cidrs": ["::/0"], "except": [f"::1{word}"]}]},
        {"mode": f"audit{word}"},
    ):
        with pytest.raises(InvalidArgument):
            policy(**options)
    for where in ("name", "hostname", "network"):
        with pytest.raises(InvalidArgument):
            SandboxRequest.from_options({"name": "web", "network": "pods0", where: f"web{word}"})
    with pytest.raises(InvalidArgument):
        NetworkRequest.from_options({"name": f"p{word}", "subnets": ["10.0.0.0/24"]})


def test_a_policy_brings_its_chains_and_takes_them_along(pods0: World) -> None:
    world = made(pods0, sandbox={"name": "web", "network": "pods0"})
    plan = policies(world, {"sandbox": "web", "allowed_cidrs": ["192.0.2.0/24"]})
    (change,) = (operation for operation in plan.operations if isinstance(operation, ChangeRules))
    key = sandbox_named(world, "web").id[:8]
    assert change.parts[f"inet chain deny_{key}"] == (f'counter name "denied_{key}"', f"jump log_{key}", "drop")
    bound = apply(world, plan)
    assert not policies(bound, {"sandbox": "web", "allowed_cidrs": ["192.0.2.0/24"]}).changed
    lifted = policies(bound, {"sandbox": "web", "state": "absent"})
    assert "web" in lifted.warnings[0]
    assert apply(bound, lifted).rules == world.rules


@pytest.mark.parametrize("cidr", ["192.0.2.0/24", "0.0.0.0/0", "fc00::/7"])
def test_the_same_destinations_are_one_set_that_goes_with_the_last(pods0: World, cidr: str) -> None:
    """Also those of which metadata is left out."""
    world = pods0
    for name in ("a", "b"):
        world = made(world, sandbox={"name": name, "network": "pods0", "egress": {"allowed_cidrs": [cidr]}})

    def sets(now: World) -> list[str]:
        return [block for block in now.rules.parts or {} if block.startswith("inet set to")]

    assert len(sets(world)) == 1
    world = apply(world, policies(world, {"sandbox": "a", "state": "absent"}))
    assert len(sets(world)) == 1
    world = apply(world, sandboxes(world, {"name": "b", "state": "absent"}))
    assert sets(world) == []


def test_what_is_claimed_is_what_the_rules_use(pods0: World) -> None:
    own = {"allowed_cidrs": ["0.0.0.0/0", "::/0"], "allowed_tcp_ports": [443]}
    for more in ({}, {"allow_metadata": True}):
        world = made(pods0, sandbox={"name": "web", "network": "pods0", "egress": {**own, **more}})
        used = {block.rpartition(" ")[2] for block in world.rules.parts or {} if is_shared_set(block)}
        assert used == Bound(sandbox_named(world, "web").policies).set_names()


def test_what_only_audits_allows_nothing_beside_what_is_enforced(pods0: World) -> None:
    world = made(pods0, sandbox={"name": "web", "network": "pods0"})
    closed = {"sandbox": "web", "name": "closed", "allow_dns": False}
    alone = apply(world, policies(world, closed))
    lax = {"sandbox": "web", "name": "lax", "mode": "audit", "allow_dns": True, "allow_metadata": True, "allowed_cidrs": ["0.0.0.0/0"]}
    both = apply(alone, policies(alone, lax))
    chain = f"inet chain sandbox_{sandbox_named(world, 'web').id[:8]}"
    assert (both.rules.parts or {})[chain] == (alone.rules.parts or {})[chain]
    assert not Bound(sandbox_named(both, "web").policies).allows_metadata


def test_chains_are_there_before_elements_of_an_older_frame_that_jump_to_them() -> None:
    old = "table inet podnet {\n\tmap limits4 {\n\t\ttype ifname . ipv4_addr : verdict\n\t}\n}\n"
    text = anew(Ruleset(old, {"inet chain limit_1": ("drop",)}))
    assert text.index("add chain inet podnet limit_1") < text.index("map limits4")


def test_rules_are_loaded_before_the_interface_is_made(pods0: World) -> None:
    plan = sandboxes(pods0, {"name": "web", "network": "pods0", "egress": {}})
    phases = {type(operation): phase for phase, operation in plan.steps}
    assert phases[ChangeRules] == Phase.RULES < Phase.BUILD


def test_exclusive_spares_what_pod_sandbox_declared(pods0: World) -> None:
    world = made(pods0, sandbox={"name": "web", "network": "pods0", "egress": {}})
    world = apply(world, policies(world, {"sandbox": "web", "name": "mine"}, {"network": "pods0"}))
    world = apply(world, policies(world, {"network": "pods0", "name": "other"}, exclusive=True))
    assert [item.name for item in sandbox_named(world, "web").policies] == ["default"]
    assert [item.name for item in world.networks()["pods0"].policies] == ["other"]


def test_connections_that_a_tightened_policy_forbids_are_cut(pods0: World) -> None:
    world = made(pods0, sandbox={"name": "web", "network": "pods0"})
    for options, cut in (({"established": "keep"}, False), ({"established": "drop"}, True), ({"mode": "audit"}, False)):
        plan = policies(world, {"sandbox": "web", **options})
        flushes = [operation for operation in plan.operations if isinstance(operation, FlushConntrack)]
        assert bool(flushes) is cut, options
        world = apply(world, plan)


def test_a_note_of_connections_to_cut_goes_though_nothing_is_left_to_cut(pods0: World) -> None:
    pods0.unflushed = Unflushed((), ("0123456789abcdef",))
    plan = policies(pods0, {"network": "pods0", "name": "x", "state": "absent"})
    assert plan.operations == (FlushConntrack((), ()),) and plan.changed
    assert apply(pods0, plan).unflushed == Unflushed()


def test_what_is_cut_is_what_the_rules_forbid() -> None:
    served = (ip_address("192.0.2.53"),)
    flat = policy(allowed_cidrs=["198.51.100.0/24"], allowed_tcp_ports=["80-90"])
    cases = (
        ((6, "198.51.100.7", 85), True),
        ((6, "198.51.100.7", 91), False),
        ((17, "198.51.100.7", 85), False),
        ((132, "198.51.100.7", 85), False),
        ((6, "203.0.113.1", 85), False),
        ((17, "192.0.2.53", 53), True),
        ((17, "192.0.2.54", 53), False),
        ((1, "198.51.100.7", 0), False),
    )
    for (protocol, target, port), allowed in cases:
        connection = Connection(protocol, ip_address("10.90.0.2"), ip_address(target), port)
        assert permits([flat], served, connection) is allowed, connection
    metadata = Connection(6, ip_address("10.90.0.2"), ip_address("169.254.169.254"), 80)
    assert not permits([policy(allowed_cidrs=["0.0.0.0/0"])], (), metadata)
    assert permits([policy(allowed_cidrs=["0.0.0.0/0"], allow_metadata=True)], (), metadata)
    assert Allowance(("::/0",), icmp=True).any_protocol is False
