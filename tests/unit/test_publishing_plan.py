# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Published ports: what can be declared, where each leads, and who is in the way."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from ansible_collections.podnet.linux.plugins.module_utils._errors import InvalidArgument, PortInUse
from ansible_collections.podnet.linux.plugins.module_utils._plan.draft import UNKNOWN
from ansible_collections.podnet.linux.plugins.module_utils._plan.observed import Flow, Listener, Ruleset, Unflushed
from ansible_collections.podnet.linux.plugins.module_utils._plan.operations import ChangeRules, FlushConntrack, NoteFlows, SetSysctl
from ansible_collections.podnet.linux.plugins.module_utils._plan.ruleset import MAPS, blocks
from ansible_collections.podnet.linux.plugins.module_utils._spec.forward import PortForward, port_forwards
from hypothesis import given
from hypothesis import strategies as st
from model import World, apply
from runs import made, networks, sandbox_named, sandboxes

ADDRESSES = st.sampled_from((None, "0.0.0.0", "192.0.2.1", "192.0.2.2", "127.0.0.1", "::", "2001:db8::1"))


def parsed(*values: Any) -> tuple[PortForward, ...]:
    return port_forwards("port_forwards", values)


def published(world: World, kind: str) -> list[str]:
    return blocks(world.rules)[f"inet map {kind}"]


def operations(plan: Any, kind: type) -> list[Any]:
    return [operation for operation in plan.operations if isinstance(operation, kind)]


@pytest.mark.parametrize(
    ("short", "long"),
    (
        ("8080:80", {"host_port": 8080, "container_port": 80}),
        ("8080:80/udp", {"host_port": "8080", "container_port": "80", "protocol": "udp"}),
        ("127.0.0.1:80:80", {"host_port": 80, "host_address": "127.0.0.1"}),
        ("[2001:db8:0::1]:80:80/sctp", {"host_port": 80, "host_address": "2001:db8::1", "protocol": "sctp"}),
        ("8000-8010:9000-9010", {"host_port": "8000-8010", "container_port": "9000-9010"}),
        ("80-80:81", {"host_port": 80, "container_port": 81}),
    ),
)
def test_both_forms_say_the_same(short: str, long: dict[str, Any]) -> None:
    assert parsed(short) == parsed(long)


@pytest.mark.parametrize(
    "value",
    (
        "80",
        "80:",
        ":80:80",
        "1:2:3:4",
        "2001:db8::1:80:80",
        "80:80/",
        "80:80/TCP",
        "80:80/icmp",
        "70000:80",
        "80-70:80-70",
        "1-2:1-3",
        "[]:80:80",
    ),
)
def test_what_is_no_port_forward_is_refused(value: str) -> None:
    with pytest.raises(InvalidArgument, match="port_forwards"):
        parsed(value)


@pytest.mark.parametrize(
    "address",
    ("::1", "ff02::1", "224.0.0.1", "255.255.255.255", "240.0.0.1", "0.0.0.1", "fe80::1", "::ffff:127.0.0.1", "::1.2.3.4", "localhost"),
)
def test_addresses_that_cannot_be_published_are_refused(address: str) -> None:
    with pytest.raises(InvalidArgument, match="host_address"):
        parsed({"host_port": 80, "host_address": address})


def test_a_protocol_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="0 is none of tcp"):
        parsed({"host_port": 80, "protocol": 0})


def test_4096_ports_are_the_most() -> None:
    assert parsed("1-4096:1-4096")[0].count == 4096
    with pytest.raises(InvalidArgument, match="4096"):
        parsed("1-4096:1-4096", "5000:80")


@given(st.tuples(ADDRESSES, st.integers(1, 9), st.integers(1, 4)), st.tuples(ADDRESSES, st.integers(1, 9), st.integers(1, 4)))
def test_two_forwards_meet_where_a_packet_could_be_meant_for_both(one: Any, other: Any) -> None:
    first, second = (
        PortForward("tcp", None if address is None else ip_address(address), port, 80, count) for address, port, count in (one, other)
    )

    def packets(forward: PortForward) -> set[tuple[str, int]]:
        mine = {str(forward.host_address)}
        if forward.host_address is None or str(forward.host_address) == "0.0.0.0":
            mine |= {"192.0.2.1", "192.0.2.2", "127.0.0.1", "any v4"}
        if forward.host_address is None or str(forward.host_address) == "::":
            mine |= {"2001:db8::1", "any v6"}
        return {(address, port) for address in mine - {"None", "0.0.0.0", "::"} for port in forward.host_ports}

    assert first.meets(second) == second.meets(first) == bool(packets(first) & packets(second))


@given(st.lists(st.tuples(ADDRESSES, st.integers(1, 65000), st.integers(1, 5), st.sampled_from(("tcp", "udp", "sctp"))), max_size=3))
def test_what_is_recorded_reads_back(values: list[Any]) -> None:
    given_ones = [
        {"host_address": address, "host_port": f"{port}-{port + count}", "container_port": f"{port}-{port + count}", "protocol": protocol}
        for address, port, count, protocol in values
    ]
    try:
        found = parsed(*given_ones)
    except InvalidArgument:
        return
    assert parsed(*(item.as_dict() for item in found)) == found


def test_a_port_leads_to_both_addresses(pods0: World) -> None:
    world = made(pods0, sandbox={"name": "web", "network": "pods0", "port_forwards": ["8080:80", "192.0.2.10:53-54:1053-1054/udp"]})
    assert published(world, "any4") == ["tcp . 8080 : 10.90.0.2 . 80"]
    assert published(world, "any6") == ["tcp . 8080 : fd00:90::2 . 80"]
    assert published(world, "host4") == ["192.0.2.10 . udp . 53 : 10.90.0.2 . 1053", "192.0.2.10 . udp . 54 : 10.90.0.2 . 1054"]


def test_an_internal_network_publishes_nothing(pods0: World) -> None:
    world = made(pods0, network={"name": "back", "subnets": ["10.91.0.0/24"], "internal": True})
    with pytest.raises(InvalidArgument, match="internal ones publish nothing"):
        sandboxes(world, {"name": "web", "network": "back", "port_forwards": ["8080:80"]})
    both = [{"name": "back"}, {"name": "pods0"}]
    world = made(world, sandbox={"name": "web", "networks": both, "port_forwards": ["8080:80"]})
    assert published(world, "any4") == ["tcp . 8080 : 10.90.0.2 . 80"]
    with pytest.raises(InvalidArgument, match="port_forwards: sandbox web"):
        networks(world, {"name": "pods0", "internal": True})


def test_a_port_of_a_family_that_the_sandbox_lacks_is_refused(world: World) -> None:
    world = made(world, network={"name": "v4", "subnets": ["10.91.0.0/24"]})
    with pytest.raises(InvalidArgument, match="IPv6"):
        sandboxes(world, {"name": "web", "network": "v4", "port_forwards": ["[::]:8080:80"]})
    assert published(made(world, sandbox={"name": "web", "network": "v4", "port_forwards": ["8080:80"]}), "any6") == []


@pytest.mark.parametrize(
    ("other", "refused"),
    (("8080:81", True), ("192.0.2.1:8080:81", True), ("8079-8081:1-3", True), ("8080:81/udp", False), ("8081:80", False)),
)
def test_a_port_belongs_to_one_sandbox(pods0: World, other: str, refused: bool) -> None:
    world = made(pods0, sandbox={"name": "web", "network": "pods0", "port_forwards": ["8080:80"]})
    options = {"name": "db", "network": "pods0", "port_forwards": [other]}
    if refused:
        with pytest.raises(PortInUse, match=r"sandbox web as 8080/tcp|sandbox db as"):
            sandboxes(world, options)
    else:
        assert sandboxes(world, options).changed


def test_two_sandboxes_may_change_places(pods0: World) -> None:
    items = [{"name": name, "network": "pods0", "port_forwards": [f"{port}:80"]} for name, port in (("a", 1), ("b", 2))]
    world = apply(pods0, sandboxes(pods0, *items))
    swapped = [{"name": "a", "port_forwards": ["2:80"]}, {"name": "b", "port_forwards": ["1:80"]}]
    assert published(apply(world, sandboxes(world, *swapped)), "any4") == ["tcp . 1 : 10.90.0.3 . 80", "tcp . 2 : 10.90.0.2 . 80"]


@pytest.mark.parametrize(
    ("address", "port", "refused"),
    (("0.0.0.0", 8080, True), ("127.0.0.1", 8080, True), ("::", 8080, True), ("0.0.0.0", 8081, False)),
)
def test_a_socket_of_the_host_is_in_the_way(pods0: World, address: str, port: int, refused: bool) -> None:
    pods0.listeners = {"tcp": (Listener("tcp", (ip_address(address),), port),), "udp": (), "sctp": ()}
    options = {"name": "web", "network": "pods0", "port_forwards": ["8080:80"]}
    if refused:
        with pytest.raises(PortInUse, match="a socket of the host listens"):
            sandboxes(pods0, options)
    else:
        assert sandboxes(pods0, options).changed


def test_what_is_published_already_is_not_looked_at_again(pods0: World) -> None:
    world = made(pods0, sandbox={"name": "web", "network": "pods0", "port_forwards": ["8080:80"]})
    world.listeners = {"tcp": (Listener("tcp", (ip_address("0.0.0.0"),), 8080),), "udp": (), "sctp": ()}
    assert not sandboxes(world, {"name": "web"}).changed


def test_udp_flows_are_forgotten_where_a_port_leads_elsewhere(pods0: World) -> None:
    options = [{"name": name, "network": "pods0"} for name in ("a", "b")]
    world = apply(pods0, sandboxes(pods0, {**options[0], "port_forwards": ["0.0.0.0:53:53/udp"]}, options[1]))
    plan = sandboxes(world, {"name": "a", "port_forwards": []}, {"name": "b", "port_forwards": ["0.0.0.0:53:5353/udp"]})
    (flush,) = operations(plan, FlushConntrack)
    assert flush.flows == (Flow(4, None, 53, (ip_address("10.90.0.2"), 53)), Flow(4, None, 53, None))
    kinds = [type(operation) for operation in plan.operations]
    assert kinds.index(NoteFlows) < kinds.index(ChangeRules) < kinds.index(FlushConntrack)
    assert not operations(sandboxes(world, {"name": "a", "labels": {"x": "y"}}), FlushConntrack)
    # Undone, what went to b since then has to come back.
    (note,) = operations(plan, NoteFlows)
    assert note.inverse() == (FlushConntrack((Flow(4, None, 53, (ip_address("10.90.0.3"), 5353)), Flow(4, None, 53, None))),)


def test_flows_that_a_killed_run_left_are_forgotten_by_the_next(pods0: World) -> None:
    world = made(pods0, sandbox={"name": "a", "network": "pods0"})
    world.unflushed = Unflushed((Flow(4, None, 53, None),))
    plan = sandboxes(world, {"name": "a"})
    assert plan.operations == (FlushConntrack(world.unflushed.flows),)
    assert [change.kind for change in plan.changes] == ["conntrack"]
    assert not sandboxes(apply(world, plan), {"name": "a"}).changed


@pytest.mark.parametrize("host", ("", "192.0.2.10:"))
@pytest.mark.parametrize("damage", ("{}", '{} comment "x"'))
def test_repaired_elements_move_flows_too(pods0: World, host: str, damage: str) -> None:
    world = made(pods0, sandbox={"name": "a", "network": "pods0", "port_forwards": [f"{host}53:53/udp"]})
    block = MAPS["host" if host else "any", 4]
    key = f"{host[:-1]} . udp . 53" if host else "udp . 53"
    foreign = f"{damage.format(key)} : 192.0.2.99 . 5"
    world.rules = Ruleset(world.rules.frame, {**(world.rules.parts or {}), block: frozenset({foreign})})
    (flush,) = operations(sandboxes(world, {"name": "a"}), FlushConntrack)
    at = ip_address(host[:-1]) if host else None
    assert set(flush.flows) >= {Flow(4, at, 53, (ip_address("192.0.2.99"), 5)), Flow(4, at, 53, None)}


def test_route_localnet_comes_and_goes_with_what_needs_it(pods0: World) -> None:
    name = "net/ipv4/conf/pods0/route_localnet"
    plan = sandboxes(pods0, {"name": "web", "network": "pods0", "port_forwards": ["192.0.2.10:80:80", "[::]:80:80"]})
    assert not [operation for operation in operations(plan, SetSysctl) if operation.name == name]
    world = made(pods0, sandbox={"name": "web", "network": "pods0", "port_forwards": ["80:80"]})
    assert world.host.sysctls[name] == "1"
    assert made(world, sandbox={"name": "web", "port_forwards": []}).host.sysctls[name] == "0"


def test_private_ports_are_those_of_networks_that_keep_pods_apart(pods0: World) -> None:
    world = made(pods0, sandbox={"name": "web", "network": "pods0"})
    assert blocks(world.rules)["bridge set private"] == []
    world = made(world, network={"name": "pods0", "inter_pod": False})
    assert blocks(world.rules)["bridge set private"] == [f'"{sandbox_named(world, "web").veth_host(0)}"']


def test_the_difference_of_the_rules_is_what_comes_and_what_goes(pods0: World) -> None:
    world = made(pods0, sandbox={"name": "web", "network": "pods0", "port_forwards": ["80:80", "81:81"]})
    plan = sandboxes(world, {"name": "web", "port_forwards": ["80:80", "82:82"]})
    (change,) = (change for change in plan.changes if change.kind == "nftables")
    assert change.before["inet map any4"] == ["tcp . 81 : 10.90.0.2 . 81"]
    assert change.after["inet map any4"] == ["tcp . 82 : 10.90.0.2 . 82"]
    plan = sandboxes(world, {"name": "db", "network": "pods0", "port_forwards": ["90:90"]}, check=True)
    (change,) = (change for change in plan.changes if change.kind == "nftables")
    assert change.after["inet map any4"] == [UNKNOWN]
