# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's own settings: changed only where that is needed, so that nothing else on the host notices."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.podnet.linux.plugins.module_utils._errors import NotPermitted
from ansible_collections.podnet.linux.plugins.module_utils._plan.draft import Draft
from ansible_collections.podnet.linux.plugins.module_utils._plan.forwarding import DROPIN
from ansible_collections.podnet.linux.plugins.module_utils._plan.observed import Link, Observed, Sysctl
from ansible_collections.podnet.linux.plugins.module_utils._plan.operations import Operation, Phase, SetSysctl, WriteFile
from ansible_collections.podnet.linux.plugins.module_utils._plan.planner import plan_networks
from ansible_collections.podnet.linux.plugins.module_utils._spec.network import NetworkRequest
from model import World, apply, undo
from runs import Options, networks

V4 = {"name": "a", "subnets": ["10.90.0.0/24"]}
V6 = {"name": "a", "subnets": ["fd00:90::/64"]}
DUAL = {"name": "a", "subnets": ["10.90.0.0/24", "fd00:90::/64"]}
FORWARDING = "net/ipv6/conf/all/forwarding"


def settings(world: World, options: Options) -> list[tuple[str, str]]:
    """What is set on the host, in order, apart from the bridge's own."""
    return [(item.name, item.value) for item in host_steps(world, options) if isinstance(item, SetSysctl)]


def host_steps(world: World, options: Options) -> list[Operation]:
    return [operation for phase, operation in networks(world, options).steps if phase == Phase.HOST]


def dropin(world: World, options: Options) -> list[str]:
    content = next((item.content for item in host_steps(world, options) if isinstance(item, WriteFile)), "")
    return [line for line in content.splitlines() if not line.startswith("#")]


def forcing(world: World) -> World:
    """A host whose kernel has force_forwarding (Linux 6.17)."""
    world.host.sysctls.update({f"net/ipv6/conf/{item}/force_forwarding": "0" for item in ("all", "default", "lo", "ens3", "docker0")})
    return world


def read_only(world: World) -> Observed:
    seen = world.observe()
    return replace(seen, sysctls={name: Sysctl(setting.value, False) for name, setting in seen.sysctls.items() if setting})


def plan_on(observed: Observed, options: Options) -> Draft:
    draft = Draft.of(observed, lambda: "0123456789abcdef")
    plan_networks(draft, [NetworkRequest.from_options(options)])
    return draft


def test_ipv4_forwarding_is_switched_on(world: World) -> None:
    assert settings(world, V4) == [("net/ipv4/ip_forward", "1")]


def test_ipv4_forwarding_that_is_on_is_left_alone(world: World) -> None:
    world.host.set_sysctl("net/ipv4/ip_forward", "1")
    assert not host_steps(world, V4)


@pytest.mark.parametrize("options", (V4, V6, DUAL))
def test_an_internal_network_needs_no_forwarding(world: World, options: Options) -> None:
    assert not host_steps(world, {**options, "internal": True})


def test_an_ipv6_network_leaves_ipv4_alone(world: World) -> None:
    assert "net/ipv4/ip_forward" not in dict(settings(world, V6))


def test_an_ipv4_network_leaves_ipv6_alone(world: World) -> None:
    assert not [name for name, _value in settings(world, V4) if "ipv6" in name]


def test_without_force_forwarding_router_advertisements_are_kept_first(world: World) -> None:
    assert settings(world, V6) == [
        ("net/ipv6/conf/ens3/accept_ra", "2"),
        ("net/ipv6/conf/docker0/accept_ra", "2"),
        ("net/ipv6/conf/default/accept_ra", "2"),
        (FORWARDING, "1"),
    ]


@pytest.mark.parametrize("value", ("0", "2"))
def test_accept_ra_is_raised_only_where_it_is_1(world: World, value: str) -> None:
    world.host.set_sysctl("net/ipv6/conf/ens3/accept_ra", value)
    assert "net/ipv6/conf/ens3/accept_ra" not in dict(settings(world, V6))


def test_with_force_forwarding_interfaces_stay_hosts(world: World) -> None:
    assert settings(forcing(world), V6) == [(f"net/ipv6/conf/{item}/force_forwarding", "1") for item in ("ens3", "docker0", "default")]


def test_ipv6_forwarding_of_somebody_else_is_left_alone(world: World) -> None:
    world.host.set_sysctl(FORWARDING, "1")
    assert not host_steps(world, V6)


def test_an_interface_that_came_later_keeps_its_router_advertisements(world: World) -> None:
    world = apply(world, networks(world, V6))
    world.host.add_link(Link("ens4"))
    world.host.set_sysctl("net/ipv6/conf/ens4/accept_ra", "1")
    assert settings(world, V6) == [("net/ipv6/conf/ens4/accept_ra", "2")]


def test_forwarding_stands_last_in_the_dropin(world: World) -> None:
    world = apply(world, networks(world, V6))
    world.host.add_link(Link("ens4"))
    world.host.set_sysctl("net/ipv6/conf/ens4/accept_ra", "1")
    lines = dropin(world, V6)
    assert (lines[-1], "net/ipv6/conf/ens4/accept_ra = 2" in lines) == (f"{FORWARDING} = 1", True)


def test_what_the_dropin_says_is_kept(world: World) -> None:
    world = apply(world, networks(world, V4))
    assert dropin(world, DUAL)[0] == "net/ipv4/ip_forward = 1"


def test_the_dropin_is_written_before_the_kernel_is_told(world: World) -> None:
    steps = host_steps(world, DUAL)
    assert isinstance(steps[0], WriteFile) and steps[0].path == DROPIN


def test_forwarding_is_never_switched_off(world: World) -> None:
    world = apply(world, networks(world, DUAL))
    assert not host_steps(world, {"name": "a", "state": "absent"})


def test_forwarding_that_was_switched_off_is_repaired(world: World) -> None:
    world = apply(world, networks(world, DUAL))
    world.host.set_sysctl("net/ipv4/ip_forward", "0")
    assert settings(world, DUAL) == [("net/ipv4/ip_forward", "1")]


def test_read_only_settings_that_would_have_to_change_are_named(world: World) -> None:
    world.host.set_sysctl("net/ipv6/conf/default/accept_ra", "0")
    with pytest.raises(NotPermitted, match=r"net\.ipv4\.ip_forward is 0 and /proc/sys is read-only"):
        plan_on(read_only(world), V4)


def test_read_only_settings_that_are_right_do_not_matter(world: World) -> None:
    world.host.set_sysctl("net/ipv4/ip_forward", "1")
    assert plan_on(read_only(world), {**V4, "mtu": 1000}).steps


def test_a_bridge_that_would_take_router_advertisements_needs_a_writable_host(world: World) -> None:
    world.host.set_sysctl("net/ipv4/ip_forward", "1")
    with pytest.raises(NotPermitted, match=r"net\.ipv6\.conf\.default\.accept_ra is 1"):
        plan_on(read_only(world), V4)


def test_a_network_below_the_mtu_of_ipv6_has_no_ipv6_settings(world: World) -> None:
    apply(world, networks(world, {**V4, "mtu": 1000}))


def test_a_bridge_that_grows_into_ipv6_takes_no_router_advertisements(world: World) -> None:
    world = apply(world, networks(world, {**V4, "mtu": 1000}))
    world = apply(world, networks(world, {**V4, "mtu": 1500}))
    assert world.host.sysctls["net/ipv6/conf/a/accept_ra"] == "0"


@pytest.mark.parametrize("item", ("ens3", "default"))
def test_undoing_gives_an_interface_its_own_ipv6_forwarding_back(world: World, item: str) -> None:
    name = f"net/ipv6/conf/{item}/forwarding"
    world.host.set_sysctl(name, "1")
    steps = host_steps(world, V6)
    assert undo(apply(world, steps), steps).host.sysctls[name] == "1"


def test_undoing_gives_a_port_its_own_ipv6_forwarding_back(world: World) -> None:
    world.host.add_link(Link("tap0", master="docker0"))
    world.host.set_sysctl("net/ipv6/conf/tap0/forwarding", "1")
    steps = host_steps(world, V6)
    assert undo(apply(world, steps), steps).host.sysctls["net/ipv6/conf/tap0/forwarding"] == "1"


@pytest.mark.parametrize("name", ("net/ipv4/conf/ens3/forwarding", "net/ipv4/conf/default/forwarding"))
def test_undoing_gives_an_interface_its_own_ipv4_forwarding_back(world: World, name: str) -> None:
    world.host.set_sysctl(name, "1")
    steps = host_steps(world, V4)
    assert undo(apply(world, steps), steps).host.sysctls[name] == "1"


def test_undoing_gives_back_what_redirects_were(world: World) -> None:
    world.host.set_sysctl("net/ipv4/conf/all/accept_redirects", "0")
    steps = host_steps(world, V4)
    assert undo(apply(world, steps), steps).host.sysctls["net/ipv4/conf/all/accept_redirects"] == "0"
