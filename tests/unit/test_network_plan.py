# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning bridge networks: what is refused, what a change brings along, and how it is taken back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.podnet.linux.plugins.module_utils._errors import AddressInUse, InUse, InvalidArgument, KernelUnsupported, NotOurs
from ansible_collections.podnet.linux.plugins.module_utils._plan.observed import Link
from ansible_collections.podnet.linux.plugins.module_utils._plan.operations import Phase
from model import World, apply, undo
from runs import made, networks, sandbox_named, sandboxes


def removal_begun(world: World, name: str) -> World:
    """As after a removal of this sandbox that was killed behind its mark."""
    plan = sandboxes(world, {"name": name, "state": "absent"})
    return apply(world, [operation for phase, operation in plan.steps if phase <= Phase.MARK])


def test_a_foreign_bridge_of_the_name_is_an_error(world: World) -> None:
    with pytest.raises(NotOurs, match="an interface docker0 exists"):
        networks(world, {"name": "docker0", "subnets": ["10.90.0.0/24"]})


def test_a_foreign_bridge_is_not_removed(world: World) -> None:
    with pytest.raises(NotOurs, match="docker0"):
        networks(world, {"name": "docker0", "state": "absent", "force": True})


def test_a_foreign_bridge_in_place_of_a_deleted_one_is_an_error(pods0: World) -> None:
    pods0.host.delete_link("pods0")
    pods0.host.add_link(Link("pods0", kind="bridge", mac="52:54:00:00:00:09"))
    with pytest.raises(NotOurs):
        networks(pods0, {"name": "pods0"})


def test_a_bridge_that_a_killed_run_left_without_alias_is_taken_up(pods0: World) -> None:
    pods0.host.set_link("pods0", {"alias": None})
    assert apply(pods0, networks(pods0, {"name": "pods0"})).host.links["pods0"].alias == pods0.networks()["pods0"].alias


@pytest.mark.parametrize(
    ("subnet", "error"), (("10.90.0.128/25", "overlaps 10.90.0.0/24 of network pods0"), ("172.17.0.0/24", "overlaps the host's route"))
)
def test_an_overlap_is_refused(pods0: World, subnet: str, error: str) -> None:
    with pytest.raises(InvalidArgument, match=error):
        networks(pods0, {"name": "other", "subnets": [subnet]})


def test_a_gateway_that_the_host_carries_is_refused(world: World) -> None:
    world.host.set_link("docker0", {"up": False})
    with pytest.raises(AddressInUse, match=r"172\.17\.0\.1"):
        networks(world, {"name": "a", "subnets": ["172.17.0.0/24"]})


def test_ipv6_on_a_host_without_it_is_refused(world: World) -> None:
    world.host.set_sysctl("net/ipv6/conf/all/disable_ipv6", "1")
    with pytest.raises(KernelUnsupported, match="wants IPv6"):
        networks(world, {"name": "a", "subnets": ["fd00::/64"]})


def test_a_subnet_with_leases_cannot_be_dropped(web: World) -> None:
    with pytest.raises(InUse, match="of a dropped subnet is leased by sandbox web"):
        networks(web, {"name": "pods0", "subnets": ["fd00:90::/64"]})


def test_a_leased_address_cannot_become_the_gateway(web: World) -> None:
    with pytest.raises(AddressInUse, match=r"10\.90\.0\.2 is leased by sandbox web"):
        networks(web, {"name": "pods0", "gateways": ["10.90.0.2"]})


def test_a_network_in_use_is_not_removed(web: World) -> None:
    with pytest.raises(InUse, match="network pods0 is used by sandbox web"):
        networks(web, {"name": "pods0", "state": "absent"})


def test_force_removes_the_sandboxes_too(web: World) -> None:
    after = apply(web, networks(web, {"name": "pods0", "state": "absent", "force": True}))
    assert not after.records and not after.pins


def test_exclusive_removes_what_is_not_listed(pods0: World) -> None:
    world = made(pods0, network={"name": "pods", "subnets": ["10.91.0.0/24"]})
    after = apply(world, networks(world, {"name": "pods"}, exclusive=True))
    assert set(after.networks()) == {"pods"}


def test_a_network_listed_twice_is_refused(world: World) -> None:
    with pytest.raises(InvalidArgument, match="networks: 'a' is listed twice"):
        networks(world, {"name": "a", "subnets": ["10.90.0.0/24"]}, {"name": "a", "subnets": ["10.90.0.0/24"]})


def test_what_is_removed_can_be_used_by_the_same_task(pods0: World) -> None:
    plan = networks(pods0, {"name": "pods0", "state": "absent"}, {"name": "other", "subnets": ["10.90.0.0/24"]})
    assert set(apply(pods0, plan).networks()) == {"other"}


def test_undoing_a_removal_leaves_the_gateways_on_the_bridge(pods0: World) -> None:
    plan = networks(pods0, {"name": "pods0", "state": "absent"})
    before_mark = [operation for phase, operation in plan.steps if phase < Phase.MARK]
    undone = undo(apply(pods0, before_mark), before_mark)
    assert undone.host.links["pods0"] == pods0.host.links["pods0"]


def test_undoing_an_mtu_without_ipv6_gives_the_ipv6_gateway_back(pods0: World) -> None:
    steps = networks(pods0, {"name": "pods0", "subnets": ["10.90.0.0/24"], "mtu": 1000}).operations
    assert undo(apply(pods0, steps), steps).host.links["pods0"] == pods0.host.links["pods0"]


@pytest.mark.parametrize("mtu", (1400, 9000))
def test_another_mtu_reaches_both_ends_of_every_sandbox(web: World, mtu: int) -> None:
    after = apply(web, networks(web, {"name": "pods0", "mtu": mtu}))
    sandbox = sandbox_named(after, "web")
    assert [after.host.links[sandbox.veth_host(0)].mtu, after.net_of(sandbox.id).links["eth0"].mtu] == [mtu, mtu]


def test_another_gateway_reaches_the_routes_of_every_sandbox(web: World) -> None:
    after = apply(web, networks(web, {"name": "pods0", "gateways": ["10.90.0.9"]}))
    routes = after.net_of(sandbox_named(after, "web").id).routes
    assert {route.gateway for route in routes} == {"10.90.0.9", "fd00:90::1"}


def test_several_changed_networks_of_one_sandbox_are_planned_once(pods0: World) -> None:
    world = made(pods0, network={"name": "back", "subnets": ["10.91.0.0/24"]})
    world = made(world, sandbox={"name": "web", "networks": [{"name": "back"}, {"name": "pods0"}]})
    plan = networks(world, {"name": "back", "internal": True}, {"name": "pods0", "gateways": ["10.90.0.9"]})
    after = apply(world, plan)
    assert not networks(after, {"name": "back"}, {"name": "pods0"}).steps
    assert not sandboxes(after, {"name": "web"}).steps


def test_a_bridge_that_is_made_again_gets_its_ports_back(web: World) -> None:
    web.delete_link(web.host, "pods0")
    after = apply(web, networks(web, {"name": "pods0"}))
    assert after.host.links[sandbox_named(after, "web").veth_host(0)].master == "pods0"


def test_a_change_does_not_bring_back_a_sandbox_whose_removal_was_begun(web: World) -> None:
    begun = removal_begun(web, "web")
    begun.processes.clear()
    plan = networks(begun, {"name": "pods0", "mtu": 1400})
    assert not [operation for operation in plan.operations if getattr(operation, "where", None)]


@pytest.mark.parametrize("first", ("10.90.0.99/24", "10.90.0.77/24"))
def test_a_foreign_first_address_goes_and_the_gateway_stays(pods0: World, first: str) -> None:
    pods0.host.remove_address("pods0", "10.90.0.1/24")
    pods0.host.add_address("pods0", first)
    pods0.host.add_address("pods0", "10.90.0.1/24")
    after = apply(pods0, networks(pods0, {"name": "pods0"}))
    assert "10.90.0.1/24" in after.host.links["pods0"].addresses


def test_a_foreign_port_keeps_the_bridge(pods0: World) -> None:
    pods0.host.add_link(Link("tap0", master="pods0"))
    with pytest.raises(InUse, match="also carries tap0"):
        networks(pods0, {"name": "pods0", "state": "absent"})


def test_look_alike_networks_are_told_apart(pods0: World) -> None:
    world = made(pods0, network={"name": "pods", "subnets": ["10.91.0.0/24"]})
    after = apply(world, networks(world, {"name": "pods", "state": "absent"}))
    assert set(after.networks()) == {"pods0"} and "pods0" in after.host.links


@pytest.mark.parametrize(
    "change", ({"mtu": 1400}, {"inter_pod": False}, {"gateways": ["10.90.0.9"]}, {"internal": True}, {"dns": ["192.0.2.1"]})
)
def test_a_change_is_reported_with_what_differs(web: World, change: dict[str, Any]) -> None:
    diff = networks(web, {"name": "pods0", **change}).changes_of("network")["pods0"].as_diff()
    assert set(diff["after"]) >= set(change)


def test_drift_is_reported_as_problems(pods0: World) -> None:
    pods0.host.set_link("pods0", {"mtu": 1300})
    assert networks(pods0, {"name": "pods0"}).changes_of("network")["pods0"].before["problems"] == ["mtu of pods0 is 1300"]


def test_check_mode_does_not_tell_a_mac_that_only_the_run_will_know(world: World) -> None:
    change = networks(world, {"name": "a", "subnets": ["10.90.0.0/24"]}, check=True).changes_of("network")["a"]
    assert change.after["mac"] == "(known after apply)"


def test_a_network_whose_removal_was_begun_comes_back_whole(pods0: World) -> None:
    plan = networks(pods0, {"name": "pods0", "state": "absent"})
    begun = apply(pods0, [operation for phase, operation in plan.steps if phase <= Phase.MARK])
    after = apply(begun, networks(begun, {"name": "pods0"}))
    assert replace(after.networks()["pods0"], removing=False) == pods0.networks()["pods0"] and not after.networks()["pods0"].removing
