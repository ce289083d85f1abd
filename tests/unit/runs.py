# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task on the model of a host: options in, plan out, as the engine does it; ids are the same for the same host."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from typing import Any

from ansible_collections.podnet.linux.plugins.module_utils._plan.draft import Draft, Plan
from ansible_collections.podnet.linux.plugins.module_utils._plan.observed import Link
from ansible_collections.podnet.linux.plugins.module_utils._plan.operations import Operation, Phase
from ansible_collections.podnet.linux.plugins.module_utils._plan.planner import (
    plan_networks,
    plan_prune,
    plan_restore,
    plan_return,
    plan_sandboxes,
)
from ansible_collections.podnet.linux.plugins.module_utils._spec.network import NetworkRequest
from ansible_collections.podnet.linux.plugins.module_utils._spec.sandbox import Sandbox, SandboxRequest
from kernel import NetNamespace
from model import World, apply

Options = dict[str, Any]


def draft_of(world: World, *, check: bool = False) -> Draft:
    return Draft.of(world.observe(), _ids(world), check=check)


def networks(world: World, *options: Options, check: bool = False, **settings: Any) -> Plan:
    """The plan of a bridge_network task with these items."""
    draft = draft_of(world, check=check)
    plan_networks(draft, [NetworkRequest.from_options(item) for item in options], **settings)
    return draft.finish()


def sandboxes(world: World, *options: Options, check: bool = False, **settings: Any) -> Plan:
    """The plan of a pod_sandbox task with these items."""
    draft = draft_of(world, check=check)
    plan_sandboxes(draft, [SandboxRequest.from_options(item) for item in options], **settings)
    return draft.finish()


def prune(world: World) -> Plan:
    draft = draft_of(world)
    plan_prune(draft)
    return draft.finish()


def restore(world: World) -> Plan:
    """The plan of a boot, or of a repair."""
    draft = draft_of(world)
    plan_restore(draft, world.networks(), world.sandboxes(), ())
    return draft.finish()


def back(world: World, before: World) -> Plan:
    """The plan of going back to what another world has on record."""
    draft = draft_of(world)
    plan_return(draft, before.networks(), before.sandboxes())
    return draft.finish()


def made(world: World, *, network: Options | None = None, sandbox: Options | None = None) -> World:
    """The host after declaring this network, this sandbox, or both."""
    if network is not None:
        world = apply(world, networks(world, network))
    return world if sandbox is None else apply(world, sandboxes(world, sandbox))


def sandbox_named(world: World, name: str) -> Sandbox:
    return next(sandbox for sandbox in world.sandboxes().values() if sandbox.name == name)


def inside(world: World, name: str = "web") -> NetNamespace:
    """The network namespace of a sandbox."""
    return world.net_of(sandbox_named(world, name).id)


def peer(world: World, name: str = "web") -> Link:
    """The host end of its first interface."""
    return world.host.links[sandbox_named(world, name).veth_host(0)]


def reversible(world: World, *options: Options) -> list[Operation]:
    """What a pod_sandbox task does before its point of no return."""
    steps = itertools.takewhile(lambda step: step[0] not in (Phase.MARK, Phase.DESTROY), sandboxes(world, *options).steps)
    return [operation for _phase, operation in steps]


def _ids(world: World) -> Callable[[], str]:
    numbers = itertools.count()
    return lambda: hashlib.sha256(f"{world.counter}-{len(world.records)}-{next(numbers)}".encode()).hexdigest()[:16]
