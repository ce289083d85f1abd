# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning sandboxes in a network namespace of somebody else: furnished, never taken over."""

from __future__ import annotations

import pytest
from ansible_collections.podnet.linux.plugins.module_utils._errors import (
    InUse,
    InvalidArgument,
)
from ansible_collections.podnet.linux.plugins.module_utils._plan.observed import Link, Route
from ansible_collections.podnet.linux.plugins.module_utils._plan.operations import (
    PinNamespace,
)
from model import World, apply, undo
from runs import inside, made, reversible, sandbox_named, sandboxes
from state import FOREIGN_NETNS, POD_SYSCTLS

WEB = {"name": "web"}


def test_recreated_works_on_a_given_namespace(theirs: World) -> None:
    world = made(theirs, sandbox={"name": "web", "network": "pods0", "netns": FOREIGN_NETNS})
    after = apply(world, sandboxes(world, {"name": "web", "state": "recreated"}))
    assert "eth0" in inside(after).links


def test_a_given_namespace_outlives_its_sandbox(theirs: World) -> None:
    world = made(theirs, sandbox={"name": "web", "network": "pods0", "netns": FOREIGN_NETNS})
    after = apply(world, sandboxes(world, {"name": "web", "state": "absent"}))
    assert set(after.nets[after.paths[FOREIGN_NETNS]].links) == {"lo"}


def test_a_given_namespace_keeps_its_own_default_route(theirs: World) -> None:
    target = theirs.nets[theirs.paths[FOREIGN_NETNS]]
    target.add_link(Link("wan0", up=True))
    target.add_address("wan0", "203.0.113.2/24")
    target.add_route("0.0.0.0/0", "203.0.113.1", "wan0")
    plan = sandboxes(theirs, {"name": "web", "network": "pods0", "netns": FOREIGN_NETNS})
    after = apply(theirs, plan)
    assert Route("0.0.0.0/0", "203.0.113.1", "wan0") in inside(after).routes and "wan0" in plan.warnings[0]


def test_a_given_namespace_keeps_an_interface_of_the_name(theirs: World) -> None:
    theirs.nets[theirs.paths[FOREIGN_NETNS]].add_link(Link("eth0"))
    with pytest.raises(InUse, match="eth0 exists already"):
        sandboxes(theirs, {"name": "web", "network": "pods0", "netns": FOREIGN_NETNS})


def test_a_given_namespace_that_is_gone_is_an_error(pods0: World) -> None:
    with pytest.raises(InvalidArgument, match=r"netns: .*does not exist"):
        sandboxes(pods0, {"name": "web", "network": "pods0", "netns": FOREIGN_NETNS})


def test_undoing_gives_a_given_namespace_its_settings_back(theirs: World) -> None:
    steps = reversible(theirs, {"name": "web", "network": "pods0", "netns": FOREIGN_NETNS, "sysctls": {"net.core.somaxconn": 7}})
    undone = undo(apply(theirs, steps), steps)
    assert undone.nets[undone.paths[FOREIGN_NETNS]].sysctls == POD_SYSCTLS


def test_a_sysctl_that_a_given_namespace_does_not_have_is_refused(theirs: World) -> None:
    with pytest.raises(InvalidArgument, match=r"'net\.core\.nothing' does not exist"):
        sandboxes(theirs, {"name": "web", "network": "pods0", "netns": FOREIGN_NETNS, "sysctls": {"net.core.nothing": 7}})


def test_a_given_namespace_with_settings_is_pinned_again(theirs: World) -> None:
    world = made(
        theirs, sandbox={"name": "web", "network": "pods0", "netns": FOREIGN_NETNS, "pause": False, "sysctls": {"net.core.somaxconn": 7}}
    )
    del world.pins[sandbox_named(world, "web").id, "net"]
    assert [type(operation) for operation in sandboxes(world, WEB).operations] == [PinNamespace]
