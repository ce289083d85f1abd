# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Damage as hosts suffer it behind our back, drawn by hypothesis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.podnet.linux.plugins.module_utils._plan.observed import Ruleset
from ansible_collections.podnet.linux.plugins.module_utils._plan.ruleset import PRIVATE, SHARED
from hypothesis import strategies as st
from kernel import NetNamespace
from model import World
from state import DROPIN, Process

Damage = Callable[[World, st.DataObject], None]


def damaged(world: World, data: st.DataObject, among: tuple[Damage, ...]) -> World:
    world = world.copy()
    for damage in data.draw(st.lists(st.sampled_from(among), min_size=2, max_size=8), label="damage"):
        damage(world, data)
    return world


def _insides(world: World) -> list[NetNamespace]:
    return [world.nets[number] for number, _interface in world.veths.values()]


def _ours(world: World, data: st.DataObject, *, bridges: bool = True) -> tuple[NetNamespace, str] | None:
    """A link that we made, on the host or in a sandbox."""
    found = [(world.host, name) for name in world.networks() if bridges and name in world.host.links]
    found += [(world.host, name) for name in world.veths]
    found += [(world.nets[number], name) for number, name in world.veths.values()]
    return found[data.draw(st.integers(0, len(found) - 1))] if found else None


def _link(change: Callable[[World, NetNamespace, str, st.DataObject], None], *, bridges: bool = True) -> Damage:
    def damage(world: World, data: st.DataObject) -> None:
        chosen = _ours(world, data, bridges=bridges)
        if chosen is not None:
            change(world, chosen[0], chosen[1], data)

    return damage


def _add_foreign_address(_world: World, inside: NetNamespace, name: str, data: st.DataObject) -> None:
    address = data.draw(st.sampled_from(("10.90.0.30/27", "10.99.0.1/24", "10.91.0.30/27")))
    first = data.draw(st.booleans())
    kept = inside.links[name].addresses
    for item in kept if first else ():
        inside.remove_address(name, item)
    inside.add_address(name, address)
    for item in kept if first else ():
        inside.add_address(name, item)


def _drop_address(_world: World, inside: NetNamespace, name: str, data: st.DataObject) -> None:
    if inside.links[name].addresses:
        inside.remove_address(name, data.draw(st.sampled_from(inside.links[name].addresses)))


def _change_routes(world: World, data: st.DataObject) -> None:
    for inside in _insides(world):
        inside.routes = [route for route in inside.routes if data.draw(st.booleans())]
        for name, link in inside.links.items():
            if link.up and any(address.startswith("10.90.0.") for address in link.addresses) and data.draw(st.booleans()):
                inside.routes = [route for route in inside.routes if route.destination != "0.0.0.0/0"]
                inside.add_route("0.0.0.0/0", "10.90.0.20", name)


def _set(**settings: tuple[Any, ...]) -> Damage:
    def change(_world: World, inside: NetNamespace, name: str, data: st.DataObject) -> None:
        drawn = {key: data.draw(st.sampled_from(values)) for key, values in settings.items()}
        if not {"isolated", "hairpin", "learning", "flood"} & set(drawn) or inside.links[name].master is not None:
            inside.set_link(name, drawn)

    return _link(change)


def _change_mac(world: World, inside: NetNamespace, name: str, _data: st.DataObject) -> None:
    """The host end is told by its MAC where it has lost its alias; without both it is no longer ours."""
    if inside is not world.host or name in world.networks():
        inside.set_link(name, {"mac": "02:00:00:00:00:99"})


def _stations(world: World, data: st.DataObject) -> None:
    for peer in world.veths:
        if peer in world.host.links and world.host.links[peer].master:
            for mac in data.draw(st.sets(st.sampled_from((*world.host.links[peer].stations, "02:00:00:00:00:77")))):
                change = world.host.remove_station if mac in world.host.links[peer].stations else world.host.add_station
                change(peer, mac)


def _master(world: World, data: st.DataObject) -> None:
    for peer in world.veths:
        world.host.set_link(peer, {"master": data.draw(st.sampled_from((None, "docker0")))})
        if world.host.links[peer].master and data.draw(st.booleans()):
            world.host.set_link(peer, {"isolated": True})


def _kill_pause(world: World, data: st.DataObject) -> None:
    for state in world.states.values():
        if data.draw(st.booleans()):
            world.processes.pop(state["pause"], None)
    world.collect()


def _stray_pause(world: World, data: st.DataObject) -> None:
    for state in world.states.values():
        if state["pause"] in world.processes and data.draw(st.booleans()):
            world.processes[state["pause"]] = Process({})
    world.collect()


def _unpin(world: World, data: st.DataObject) -> None:
    for key in [key for key in world.pins if data.draw(st.booleans())]:
        del world.pins[key]
    world.collect()


def _change_files(world: World, data: st.DataObject) -> None:
    for path in [path for path in world.files if path != DROPIN]:
        if data.draw(st.booleans()):
            del world.files[path]
        else:
            world.files[path] += "# altered\n"


def _change_roots(world: World, data: st.DataObject) -> None:
    for root in world.roots:
        if data.draw(st.booleans()):
            world.roots[root] = "nameserver 203.0.113.2\n"


def _empty_roots(world: World, _data: st.DataObject) -> None:
    """Taking the repair back puts there what was there before the sandbox."""
    world.roots = dict.fromkeys(world.roots)


def _change_state(world: World, data: st.DataObject) -> None:
    for where, state in world.states.items():
        state["container_ip"] = "203.0.113.3"
        if data.draw(st.booleans()):
            world.runtimes.discard(where)


def _lose_leases(world: World, data: st.DataObject) -> None:
    for held in world.leases.values():
        for address in [address for address in held if data.draw(st.booleans())]:
            del held[address]
    if data.draw(st.booleans()):
        world.cursors.clear()


def _change_rules(world: World, data: st.DataObject) -> None:
    damaged = [Ruleset(), Ruleset("table inet podnet {\n}", {})]
    if world.rules.frame:
        emptied = {block: frozenset[str]() for block in SHARED}
        damaged += [
            Ruleset(world.rules.frame, emptied),
            Ruleset(world.rules.frame, {**emptied, PRIVATE: frozenset(('"foreign"',))}),
            Ruleset(world.rules.frame.replace("drop", "accept", 1), world.rules.parts),
        ]
    world.rules = data.draw(st.sampled_from(damaged))


def _change_inside(world: World, data: st.DataObject) -> None:
    for number in world.uts:
        world.uts[number] = "altered"
    for inside in _insides(world):
        inside.sysctls["net.core.somaxconn"] = "17"
        inside.set_link("lo", {"up": data.draw(st.booleans())})


def _change_host(world: World, data: st.DataObject) -> None:
    for name in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
        if data.draw(st.booleans()):
            world.host.set_sysctl(name, "0")
    for name in [name for name in world.host.sysctls if name.endswith("/accept_ra")]:
        world.host.sysctls[name] = data.draw(st.sampled_from("012"))
    if data.draw(st.booleans()):
        world.files.pop(DROPIN, None)


def _disable_ipv6(world: World, data: st.DataObject) -> None:
    for name in world.networks():
        if f"net/ipv6/conf/{name}/disable_ipv6" in world.host.sysctls and data.draw(st.booleans()):
            world.host.set_sysctl(f"net/ipv6/conf/{name}/disable_ipv6", "1")


def _disable_ipv6_inside(world: World, data: st.DataObject) -> None:
    for inside in _insides(world):
        if data.draw(st.booleans()):
            inside.set_sysctl(f"net/ipv6/conf/{data.draw(st.sampled_from(('all', 'default')))}/disable_ipv6", "1")


def _rename_loopback(world: World, data: st.DataObject) -> None:
    """In a namespace of somebody else it is theirs to name."""
    theirs = [world.nets[number] for number in world.paths.values()]
    for inside in [item for item in _insides(world) if item not in theirs]:
        inside.set_link("lo", {"up": False})
        inside.set_link("lo", {"name": data.draw(st.sampled_from(("lo", "loo")))})


def _lose_runtime(world: World, data: st.DataObject) -> None:
    for where in [where for where in world.states if data.draw(st.booleans())]:
        for kind in ("ipc", "uts"):
            world.pins.pop((where, kind), None)
        del world.states[where]
        world.runtimes.discard(where)
    world.collect()


def _forget_namespaces(world: World, data: st.DataObject) -> None:
    """As after a run that was killed between pinning and writing down."""
    for state in world.states.values():
        if data.draw(st.booleans()):
            state["namespaces"] = {}


REVERSIBLE: tuple[Damage, ...] = (
    _link(lambda world, inside, name, _data: world.delete_link(inside, name)),
    _link(_drop_address),
    _link(_add_foreign_address),
    _change_routes,
    _set(up=(False,)),
    _set(mtu=(1300, 1500)),
    _link(_change_mac),
    _set(isolated=(True, False)),
    _set(hairpin=(True, False)),
    _set(learning=(True, False)),
    _set(flood=(True, False)),
    _link(lambda _world, inside, name, _data: inside.set_link(name, {"alias": None}), bridges=False),
    _master,
    _stations,
    _kill_pause,
    _stray_pause,
    _unpin,
    _change_files,
    _change_roots,
    _change_state,
    _lose_leases,
    _change_rules,
    _change_inside,
    _change_host,
    _disable_ipv6,
    _disable_ipv6_inside,
    _rename_loopback,
)
"""Damage whose repair can be taken back."""

ANY: tuple[Damage, ...] = (*REVERSIBLE, _empty_roots, _lose_runtime, _forget_namespaces)
"""With damage behind which nobody can tell any more what was there."""
