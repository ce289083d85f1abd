# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every plan, whatever is declared and whatever state the host is in."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import damages
import scenarios
from ansible_collections.podnet.linux.plugins.module_utils._errors import PodnetError
from ansible_collections.podnet.linux.plugins.module_utils._plan.draft import Plan
from ansible_collections.podnet.linux.plugins.module_utils._plan.observed import Link, Pause
from ansible_collections.podnet.linux.plugins.module_utils._plan.operations import Operation, Phase, ReleaseLease
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from model import World, apply, undo
from runs import back, networks, restore, sandboxes

COMMITTING = (Phase.MARK, Phase.DESTROY)


@given(st.data())
def test_a_second_run_changes_nothing(data: st.DataObject) -> None:
    world = scenarios.lived_in(data)
    task = scenarios.task(world, data)
    plan = _accepted(task, world)
    assert not task.again().plan(apply(world, plan)).steps


@given(st.data())
def test_a_second_run_on_a_damaged_host_changes_nothing(data: st.DataObject) -> None:
    world = damages.damaged(scenarios.lived_in(data), data, damages.ANY)
    world = apply(world, networks(world, *({"name": name} for name in world.networks())))
    task = scenarios.task(world, data)
    plan = _accepted(task, world)
    assert not task.again().plan(apply(world, plan)).steps


@given(st.data())
def test_a_run_repairs_any_damage(data: st.DataObject) -> None:
    world = scenarios.lived_in(data)
    repaired = scenarios.repair(damages.damaged(world, data, damages.ANY))
    assert not networks(repaired, *({"name": name} for name in repaired.networks())).steps
    assert not sandboxes(repaired, *({"id": item} for item in repaired.sandboxes())).steps


@given(st.data())
def test_a_restore_repairs_any_damage_too(data: st.DataObject) -> None:
    world = scenarios.repair(scenarios.lived_in(data))
    damaged = damages.damaged(world, data, damages.ANY)
    restored = apply(damaged, restore(damaged))
    assert not restore(restored).steps
    assert not networks(restored, *({"name": name} for name in restored.networks())).steps
    assert not sandboxes(restored, *({"id": item} for item in restored.sandboxes())).steps
    assert not list(_differences(_declared(world), _declared(restored)))


@given(st.data())
def test_going_back_gives_back_what_was_declared(data: st.DataObject) -> None:
    world = scenarios.repair(scenarios.lived_in(data))
    later = world
    for _number in range(data.draw(st.integers(1, 3), label="tasks")):
        later = apply(later, _accepted(scenarios.task(later, data), later))
    returned = apply(later, back(later, world))
    assert not list(_differences(_declared(world), _declared(returned)))
    assert not back(returned, world).steps and not restore(returned).steps


@given(st.data())
def test_a_repaired_host_is_as_it_was(data: st.DataObject) -> None:
    world = scenarios.repair(scenarios.lived_in(data))
    repaired = scenarios.repair(damages.damaged(world, data, damages.ANY))
    assert not list(_differences(_declared(world), _declared(repaired)))


@given(st.data())
def test_undoing_gives_back_what_was(data: st.DataObject) -> None:
    world = scenarios.lived_in(data)
    if data.draw(st.booleans(), label="damaged"):
        world = damages.damaged(world, data, damages.REVERSIBLE)
        world = apply(world, networks(world, *({"name": name} for name in world.networks())))
    done = _reversible(_accepted(scenarios.task(world, data), world))
    done = done[: data.draw(st.integers(0, len(done)), label="performed")]
    undone = undo(apply(world, done), done)
    assert not list(_differences(_comparable(world), _comparable(undone)))


@settings(max_examples=100)
@given(st.data())
def test_check_mode_plans_the_same(data: st.DataObject) -> None:
    world = scenarios.lived_in(data, tasks=0)
    task = scenarios.sandbox_task(data)
    plan = _accepted(task, world)
    assert task.plan(world, check=True).steps == plan.steps


@settings(max_examples=50)
@given(st.data())
def test_a_plan_has_steps_exactly_where_it_reports_changes(data: st.DataObject) -> None:
    world = damages.damaged(scenarios.lived_in(data), data, damages.ANY)
    world = apply(world, networks(world, *({"name": name} for name in world.networks())))
    plan = _accepted(scenarios.task(world, data), world)
    assert bool(plan.steps) == bool(plan.changes)


@settings(max_examples=50)
@given(st.data())
def test_a_removal_ends_nothing_before_its_mark(data: st.DataObject) -> None:
    world = scenarios.lived_in(data)
    names = {sandbox.name for sandbox in world.sandboxes().values()}
    assume(names)
    plan = sandboxes(world, *({"name": name, "state": "absent"} for name in sorted(names)))
    assert all(operation.inverse() or _is_restore(operation) for phase, operation in plan.steps if phase < Phase.MARK)
    assert {phase for phase, operation in plan.steps if isinstance(operation, ReleaseLease)} <= {Phase.FORGET}
    assert Phase.MARK in {phase for phase, _operation in plan.steps}


@settings(max_examples=50)
@given(st.data())
def test_a_removal_leaves_nothing_behind(data: st.DataObject) -> None:
    world = scenarios.lived_in(data)
    emptied = apply(world, networks(world, *({"name": name, "state": "absent", "force": True} for name in sorted(world.networks()))))
    emptied = apply(emptied, sandboxes(emptied, *({"id": item, "state": "absent"} for item in emptied.sandboxes())))
    for left in (emptied.records, emptied.pins, emptied.states, emptied.runtimes, emptied.veths, emptied.processes, emptied.rules.frame):
        assert not left
    assert not _leased(emptied) and not any(emptied.cursors.values())
    assert set(emptied.host.links) == {"lo", "ens3", "docker0"}


@settings(max_examples=50)
@given(st.data())
def test_what_is_foreign_stays_as_it_was(data: st.DataObject) -> None:
    world = scenarios.lived_in(data)
    after = apply(world, _accepted(scenarios.task(world, data), world))
    for name in ("lo", "ens3", "docker0"):
        assert after.host.links[name] == world.host.links[name]
    for path, number in world.paths.items():
        assert after.paths[path] == number
        assert {"lo"} <= set(after.nets[number].links)


@given(st.data())
def test_a_killed_run_is_finished_by_the_next(data: st.DataObject) -> None:
    world = scenarios.lived_in(data)
    task = scenarios.task(world, data)
    plan = _accepted(task, world)
    killed = apply(world, plan.operations[: data.draw(st.integers(0, len(plan.operations)), label="performed")])
    finished = apply(killed, task.plan(killed))
    assert not task.again().plan(finished).steps
    assert _named(finished) == _named(apply(world, plan))


def _accepted(task: scenarios.Task, world: World) -> Plan:
    """The plan; a refused task is no example."""
    try:
        return task.plan(world)
    except PodnetError:
        assume(False)
    raise AssertionError


def _reversible(plan: Plan) -> list[Operation]:
    return [operation for _phase, operation in itertools.takewhile(lambda step: step[0] not in COMMITTING, plan.steps)]


def _is_restore(operation: Operation) -> bool:
    """Putting back what was never replaced has nothing to undo."""
    return getattr(operation, "content", "") is None


def _leased(world: World) -> dict[str, Any]:
    return {pool: dict(held) for pool, held in world.leases.items() if held}


def _books(world: World) -> dict[str, Any]:
    """Of every pool that has leases or a cursor."""
    keys = {*_leased(world), *(key for key, cursors in world.cursors.items() if cursors)}
    return {key: dict(world.leases.get(key, {})) for key in keys}


def _named(world: World) -> set[str]:
    return {sandbox.name for sandbox in world.sandboxes().values()} | set(world.networks())


def _comparable(world: World) -> Any:
    """What is observed, apart from numbers that the kernel gives anew."""
    seen = world.observe()
    return replace(
        seen,
        routes=frozenset(seen.routes),
        shelves={key: (held, {name: at for name, at in world.cursors.get(key, {}).items() if at}) for key, held in _books(world).items()},
        # A port has no IPv6 of its own.
        sysctls={name: value for name, value in seen.sysctls.items() if "/vh" not in name},
        links=_links(seen.links),
        views={key: _view(view) for key, view in seen.views.items()},
        targets={path: replace(target, view=_view(target.view)) for path, target in seen.targets.items()},
    )


def _declared(world: World) -> Any:
    """What tasks have made: what is observed, apart from what depends on the order of things, and the host's own settings."""
    seen = _comparable(world)
    ours = {name: link for name, link in seen.links.items() if name in seen.networks or name in world.veths}
    pauses = {key: view.pause.state for key, view in seen.views.items()}
    said = {key: {name for name, _value in sandbox.sysctls} for key, sandbox in seen.sandboxes.items()}
    views = {
        key: replace(view, pause=None, sysctls={name: value for name, value in view.sysctls.items() if name in said[key]})
        for key, view in seen.views.items()
    }
    books = {key: held for key, (held, _cursors) in seen.shelves.items() if held}
    seen = replace(seen, links=ours, views=views, sysctls={}, shelves=books, sysctl_dropin=None, targets={})
    return {**vars(seen), "pauses": pauses}


def _view(view: Any) -> Any:
    return replace(
        view,
        links=_links(view.links),
        routes=tuple(sorted(view.routes, key=str)),
        # A pause that is dead, and none: the same to everybody.
        pause=Pause() if view.pause.state == "dead" else view.pause,
        # Its files say what the record says, so they may stay.
        runtime=view.runtime or view.state is not None,
        state=view.state and {key: value for key, value in view.state.items() if key not in ("namespaces", "pause")},
    )


def _links(links: Mapping[str, Link]) -> dict[str, Link]:
    """The order of IPv4 addresses matters within a subnet only, that of IPv6 addresses not at all."""
    return {name: replace(link, index=0, addresses=tuple(sorted(link.addresses, key=_rank))) for name, link in links.items()}


def _rank(address: str) -> str:
    return address if ":" in address else str(ipaddress.ip_interface(address).network)


def _differences(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Where two values part, deep down."""
    if is_dataclass(before) and type(before) is type(after):
        for item in fields(before):
            yield from _differences(getattr(before, item.name), getattr(after, item.name), f"{path}.{item.name}")
    elif isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in {**before, **after}:
            yield from _differences(before.get(key), after.get(key), f"{path}.{key}")
    elif before != after:
        yield f"{path}: {before!r} != {after!r}"
