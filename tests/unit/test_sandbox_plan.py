# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning sandboxes: what is made, what is refused, what damage costs, and how it is taken back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.podnet.linux.plugins.module_utils._errors import (
    AddressInUse,
    AtCapacity,
    InUse,
    InvalidArgument,
    NotFound,
    NotOurs,
)
from ansible_collections.podnet.linux.plugins.module_utils._plan.observed import BRIDGE_PORTS, Link, Route
from ansible_collections.podnet.linux.plugins.module_utils._plan.operations import (
    ChangeRules,
    CreateNamespaces,
    CreateVeth,
    DeleteVeth,
    MakeRuntime,
    Phase,
    PinNamespace,
    RemoveAddress,
    SetLink,
    StartPauses,
)
from kernel import NetNamespace
from model import World, apply, undo
from runs import inside, made, networks, peer, reversible, sandbox_named, sandboxes
from state import FOREIGN_NETNS, Process

WEB = {"name": "web"}


def test_a_sandbox_gets_one_address_per_subnet(web: World) -> None:
    assert inside(web).links["eth0"].addresses == ("10.90.0.2/24", "fd00:90::2/64")


def test_a_sandbox_routes_through_its_gateways(web: World) -> None:
    assert inside(web).routes == [Route("0.0.0.0/0", "10.90.0.1", "eth0"), Route("::/0", "fd00:90::1", "eth0")]


def test_an_internal_network_carries_no_default_route(pods0: World) -> None:
    world = made(pods0, network={"name": "back", "subnets": ["10.91.0.0/24"], "internal": True})
    world = made(world, sandbox={"name": "web", "networks": [{"name": "back"}, {"name": "pods0"}]})
    assert {route.link for route in inside(world).routes} == {"eth1"}


def test_without_a_network_the_default_one_is_made(world: World) -> None:
    after = made(world, sandbox=WEB)
    assert str(after.networks()["podnet0"].subnets[0]) == "10.89.0.0/24"


def test_no_networks_at_all_can_be_said(world: World) -> None:
    assert not made(world, sandbox={"name": "web", "networks": []}).networks()


def test_a_run_that_was_killed_before_the_default_bridge_is_finished(world: World) -> None:
    plan = sandboxes(world, WEB)
    killed = apply(world, [operation for phase, operation in plan.steps if phase < Phase.BUILD])
    after = apply(killed, sandboxes(killed, WEB))
    assert peer(after).master == "podnet0"


def test_a_bridge_that_somebody_deleted_is_made_again(web: World) -> None:
    web.delete_link(web.host, "pods0")
    after = apply(web, sandboxes(web, WEB))
    assert peer(after).master == "pods0" and after.host.links["pods0"].up


def test_new_namespaces_are_made_ahead_of_what_takes_time(pods0: World) -> None:
    """By the time that systemd is asked for scopes, at the end of BUILD, it has read the mounts."""
    phases = {type(operation): phase for phase, operation in sandboxes(pods0, {**WEB, "network": "pods0"}).steps}
    assert phases[MakeRuntime] == phases[CreateNamespaces] == Phase.NAMESPACES < phases[ChangeRules] < phases[StartPauses]


def test_a_network_that_is_not_declared_is_an_error(world: World) -> None:
    with pytest.raises(NotFound, match="network: pods9 is not declared"):
        sandboxes(world, {"name": "web", "network": "pods9"})


def test_in_check_mode_it_is_a_warning(world: World) -> None:
    plan = sandboxes(world, {"name": "web", "network": "pods9"}, check=True)
    assert len(plan.warnings) == 1 and "pods9 is not declared" in plan.warnings[0]


def test_more_neighbours_than_the_kernel_keeps_is_a_warning(pods0: World) -> None:
    pods0.host.sysctls["net/ipv4/neigh/default/gc_thresh3"] = "4"
    assert not sandboxes(pods0, {"name": "a"}, {"name": "b"}).warnings
    (warning,) = sandboxes(pods0, {"name": "a"}, {"name": "b"}, {"name": "c"}).warnings
    assert "3 sandboxes" in warning and "net.ipv4.neigh.default.gc_thresh3" in warning


def test_an_unknown_id_is_an_error(world: World) -> None:
    with pytest.raises(NotFound, match="no sandbox 0123456789abcdef"):
        sandboxes(world, {"id": "0123456789abcdef"})


def test_removing_what_is_not_there_changes_nothing(world: World) -> None:
    assert not sandboxes(world, {"name": "web", "state": "absent"}, {"id": "0123456789abcdef", "state": "absent"}).steps


def test_look_alike_sandboxes_are_told_apart(pods0: World) -> None:
    world = made(made(pods0, sandbox={"name": "pod-1", "network": "pods0"}), sandbox={"name": "pod-10", "network": "pods0"})
    after = apply(world, sandboxes(world, {"name": "pod-1", "state": "absent"}))
    assert [sandbox.name for sandbox in after.sandboxes().values()] == ["pod-10"]


def test_a_sandbox_listed_twice_is_refused(web: World) -> None:
    with pytest.raises(InvalidArgument, match="is listed twice"):
        sandboxes(web, WEB, {"id": sandbox_named(web, "web").id})


@pytest.mark.parametrize("option", ("namespaces", "netns"))
def test_what_cannot_change_in_place_asks_for_recreated(theirs: World, option: str) -> None:
    world = made(theirs, sandbox={"name": "web", "network": "pods0"})
    change: dict[str, Any] = {"namespaces": ["net", "uts"], "netns": FOREIGN_NETNS}
    with pytest.raises(InvalidArgument, match=f"{option}: .*use state: recreated"):
        sandboxes(world, {"name": "web", option: change[option]})


def test_recreated_keeps_id_leases_and_macs(web: World) -> None:
    after = apply(web, sandboxes(web, {"name": "web", "state": "recreated"}))
    assert after.sandboxes() == web.sandboxes() and after.leases == web.leases


def test_recreated_makes_new_namespaces(web: World) -> None:
    after = apply(web, sandboxes(web, {"name": "web", "state": "recreated"}))
    assert not set(after.pins.values()) & set(web.pins.values())


def test_a_sysctl_may_join_later(web: World) -> None:
    after = apply(web, sandboxes(web, {"name": "web", "sysctls": {"net.core.somaxconn": 7, "kernel.shmmax": 65536}}))
    assert inside(after).sysctls["net.core.somaxconn"] == "7"


def test_a_sysctl_that_does_not_exist_is_refused_by_name(web: World) -> None:
    with pytest.raises(InvalidArgument, match=r"sysctls: 'net\.core\.nothing' does not exist in sandbox web"):
        sandboxes(web, {"name": "web", "sysctls": {"net.core.nothing": 7}})


def test_an_unpinned_namespace_that_lives_on_is_only_pinned_again(web: World) -> None:
    del web.pins[sandbox_named(web, "web").id, "net"]
    assert [type(operation) for operation in sandboxes(web, WEB).operations] == [PinNamespace]


def test_a_dead_pause_is_started_without_touching_the_network(web: World) -> None:
    web.processes.clear()
    plan = sandboxes(web, WEB)
    assert [type(operation).__name__ for operation in plan.operations] == ["StartPauses"]


def test_an_astray_pause_is_replaced_behind_everything_else(web: World) -> None:
    (pid,) = web.processes
    web.processes[pid] = Process({})
    assert {phase for phase, _operation in sandboxes(web, WEB).steps} == {Phase.DESTROY}


def test_a_pin_that_somebody_replaced_is_an_error(web: World) -> None:
    number = web.number()
    web.nets[number] = NetNamespace()
    web.pins[sandbox_named(web, "web").id, "net"] = number
    with pytest.raises(NotOurs, match="is another namespace"):
        sandboxes(web, WEB)


def test_an_interface_with_a_foreign_mark_is_an_error(web: World) -> None:
    web.host.set_link(peer(web).name, {"alias": "theirs"})
    with pytest.raises(NotOurs, match=peer(web).name):
        sandboxes(web, WEB)


def test_a_sandbox_with_processes_inside_is_not_removed(web: World) -> None:
    web.processes[4711] = Process({"net": web.pins[sandbox_named(web, "web").id, "net"]})
    with pytest.raises(InUse, match="pid 4711"):
        sandboxes(web, {"name": "web", "state": "absent"})


def test_force_ends_the_processes_inside(web: World) -> None:
    web.processes[4711] = Process({"net": web.pins[sandbox_named(web, "web").id, "net"]})
    assert not apply(web, sandboxes(web, {"name": "web", "state": "absent", "force": True})).processes


def test_an_address_of_another_sandbox_is_refused(web: World) -> None:
    with pytest.raises(AddressInUse, match="held by sandbox web"):
        sandboxes(web, {"name": "db", "network": "pods0", "addresses": ["10.90.0.2"]})


def test_an_address_is_handed_over_in_one_task(web: World) -> None:
    plan = sandboxes(web, {"name": "web", "state": "absent"}, {"name": "db", "network": "pods0", "addresses": ["10.90.0.2"]})
    assert "10.90.0.2/24" in inside(apply(web, plan), "db").links["eth0"].addresses


def test_an_address_whose_lease_got_lost_is_not_leased_to_another(web: World) -> None:
    web.leases.clear()
    web.cursors.clear()
    after = made(web, sandbox={"name": "db", "network": "pods0"})
    assert not set(inside(after).links["eth0"].addresses) & set(inside(after, "db").links["eth0"].addresses)


def test_an_address_whose_lease_got_lost_cannot_be_asked_for(web: World) -> None:
    web.leases.clear()
    with pytest.raises(AddressInUse):
        sandboxes(web, {"name": "db", "network": "pods0", "addresses": ["10.90.0.2"]})


def test_two_addresses_of_one_subnet_are_refused(pods0: World) -> None:
    with pytest.raises(InvalidArgument, match="one per subnet"):
        sandboxes(pods0, {"name": "web", "network": "pods0", "addresses": ["10.90.0.5", "10.90.0.6"]})


def test_a_bridge_without_a_free_port_is_refused(pods0: World) -> None:
    for number in range(BRIDGE_PORTS):
        pods0.host.links[f"tap{number}"] = Link(f"tap{number}", number + 100, master="pods0")
    with pytest.raises(AtCapacity, match=f"a bridge takes {BRIDGE_PORTS} ports"):
        sandboxes(pods0, {"name": "web", "network": "pods0"})


def test_the_last_port_of_a_bridge_can_be_used(pods0: World) -> None:
    for number in range(BRIDGE_PORTS - 1):
        pods0.host.links[f"tap{number}"] = Link(f"tap{number}", number + 100, master="pods0")
    assert sandboxes(pods0, {"name": "web", "network": "pods0"}).steps


def test_a_container_root_belongs_to_one_sandbox(pods0: World) -> None:
    world = made(pods0, sandbox={"name": "web", "network": "pods0", "rootfs": ["/srv/a"]})
    with pytest.raises(InUse, match="/srv/a"):
        sandboxes(world, {"name": "db", "network": "pods0", "rootfs": ["/srv/a"]})


def test_a_container_root_gets_back_what_was_there(pods0: World) -> None:
    pods0.roots["/srv/a"] = "nameserver 203.0.113.1\n"
    world = made(pods0, sandbox={"name": "web", "network": "pods0", "rootfs": ["/srv/a"]})
    after = apply(world, sandboxes(world, {"name": "web", "state": "absent"}))
    assert after.roots["/srv/a"] == "nameserver 203.0.113.1\n"


def test_a_port_that_was_moved_comes_back_with_its_flags(web: World) -> None:
    web.host.set_link(peer(web).name, {"master": "docker0", "isolated": True})
    after = apply(web, sandboxes(web, WEB))
    assert (peer(after).master, peer(after).isolated, peer(after).hairpin) == ("pods0", False, True)


@pytest.mark.parametrize(("master", "isolated"), ((None, False), ("docker0", True), ("docker0", False)))
@pytest.mark.parametrize("inter_pod", (True, False))
def test_undoing_gives_a_port_back_where_it_was(pods0: World, inter_pod: bool, master: str | None, isolated: bool) -> None:
    world = made(pods0, network={"name": "pods0", "inter_pod": inter_pod}, sandbox={"name": "web", "network": "pods0"})
    world.host.set_link(peer(world).name, {"master": master})
    if master:
        world.host.set_link(peer(world).name, {"isolated": isolated})
    steps = reversible(world, WEB)
    assert peer(undo(apply(world, steps), steps)) == peer(world)


def test_undoing_a_new_isolated_port_asks_for_nothing_that_the_kernel_refuses(pods0: World) -> None:
    world = made(pods0, network={"name": "pods0", "inter_pod": False})
    steps = reversible(world, {"name": "web", "network": "pods0"})
    assert not undo(apply(world, steps), steps).veths


def test_foreign_addresses_go_and_our_own_stay(web: World) -> None:
    net = inside(web)
    net.remove_address("eth0", "10.90.0.2/24")
    for address in ("10.90.0.99/24", "10.90.0.2/24"):
        net.add_address("eth0", address)
    after = apply(web, sandboxes(web, WEB))
    assert inside(after).links["eth0"].addresses == ("fd00:90::2/64", "10.90.0.2/24")


def test_undoing_gives_addresses_back_in_their_order(web: World) -> None:
    net = inside(web)
    net.remove_address("eth0", "10.90.0.2/24")
    for address in ("10.90.0.99/24", "10.90.0.2/24", "10.90.0.98/24"):
        net.add_address("eth0", address)
    steps = reversible(web, WEB)
    assert inside(undo(apply(web, steps), steps)).links["eth0"].addresses == net.links["eth0"].addresses


def test_a_foreign_second_address_goes_alone(web: World) -> None:
    inside(web).add_address("eth0", "10.90.0.99/24")
    removed = [operation.address for operation in sandboxes(web, WEB).operations if isinstance(operation, RemoveAddress)]
    assert removed == ["10.90.0.99/24"]


def test_another_address_keeps_the_default_route(web: World) -> None:
    after = apply(web, sandboxes(web, {"name": "web", "addresses": ["10.90.0.9"]}))
    assert Route("0.0.0.0/0", "10.90.0.1", "eth0") in inside(after).routes


def test_a_foreign_default_route_is_replaced(web: World) -> None:
    net = inside(web)
    net.remove_route("0.0.0.0/0", "10.90.0.1", "eth0")
    net.add_route("0.0.0.0/0", "10.90.0.66", "eth0")
    after = apply(web, sandboxes(web, WEB))
    assert [route.gateway for route in inside(after).routes if route.destination == "0.0.0.0/0"] == ["10.90.0.1"]


def test_an_altered_host_name_is_set_right(web: World) -> None:
    web.uts[web.pins[sandbox_named(web, "web").id, "uts"]] = "altered"
    assert apply(web, sandboxes(web, WEB)).uts == {web.pins[sandbox_named(web, "web").id, "uts"]: "web"}


def test_an_interface_is_built_before_it_comes_up(pods0: World) -> None:
    steps = [
        operation
        for operation in sandboxes(pods0, {"name": "web", "network": "pods0"}).operations
        if isinstance(operation, (SetLink, CreateVeth))
    ]
    ups = [number for number, item in enumerate(steps) if isinstance(item, SetLink) and item.name != "lo" and ("up", True) in item.settings]
    assert ups == [len(steps) - 2, len(steps) - 1]


def test_a_second_network_leaves_the_first_interface_alone(web: World) -> None:
    world = made(web, network={"name": "back", "subnets": ["10.91.0.0/24"]})
    plan = sandboxes(world, {"name": "web", "networks": [{"name": "pods0"}, {"name": "back"}]})
    assert not [item for item in plan.operations if isinstance(item, DeleteVeth)]
    assert [item.interface for item in plan.operations if isinstance(item, CreateVeth)] == ["eth1"]


def test_a_network_that_goes_gives_its_lease_back(web: World) -> None:
    world = made(
        web,
        network={"name": "back", "subnets": ["10.91.0.0/24"]},
        sandbox={"name": "web", "networks": [{"name": "pods0"}, {"name": "back"}]},
    )
    after = apply(world, sandboxes(world, {"name": "web", "networks": [{"name": "pods0"}]}))
    assert not after.leases["back"] and set(inside(after).links) == {"lo", "eth0"}


def test_a_network_without_sandboxes_goes_without_force(web: World) -> None:
    world = made(
        web,
        network={"name": "back", "subnets": ["10.91.0.0/24"]},
        sandbox={"name": "web", "networks": [{"name": "pods0"}, {"name": "back"}]},
    )
    after = apply(world, sandboxes(world, {"name": "web", "networks": [{"name": "pods0"}]}))
    assert networks(after, {"name": "back", "state": "absent"}).steps


def test_the_result_tells_how_to_join(web: World) -> None:
    change = sandboxes(web, {"name": "web", "hostname": "other"}).changes_of("sandbox")["web"]
    sandbox = sandbox_named(web, "web")
    assert change.after["namespace_paths"] == {
        "net": f"/run/netns/{sandbox.ns_name}",
        "ipc": f"/run/podnet/sandboxes/{sandbox.id}/ipc",
        "uts": f"/run/podnet/sandboxes/{sandbox.id}/uts",
    }


def test_check_mode_masks_what_only_the_run_will_know(pods0: World) -> None:
    change = sandboxes(pods0, {"name": "web", "networks": [{"name": "pods0", "addresses": ["10.90.0.9"]}]}, check=True).changes_of(
        "sandbox"
    )["web"]
    unknown = "(known after apply)"
    assert change.after["addresses"] == ["10.90.0.9", unknown] and change.after["id"] == unknown


def test_a_failed_removal_leaves_the_sandbox_up(web: World) -> None:
    steps = reversible(web, {"name": "web", "state": "absent"})
    assert replace(peer(undo(apply(web, steps), steps)), index=0) == replace(peer(web), index=0)
