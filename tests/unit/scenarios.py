# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hypothesis draws: tasks as users write them, and damage as hosts suffer it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from ansible_collections.podnet.linux.plugins.module_utils._errors import PodnetError
from ansible_collections.podnet.linux.plugins.module_utils._plan.draft import Plan
from hypothesis import strategies as st
from kernel import NetNamespace
from model import World, apply
from runs import networks, sandboxes
from state import DROPIN, FOREIGN_NETNS, UPLINK, Process

NETWORKS = ("pods0", "pods", "back")
SANDBOXES = ("web", "web-1", "db")
ROOTS = {name: (f"/srv/{name}/a", f"/srv/{name}/b") for name in SANDBOXES}
NAMESPACES = (["net", "ipc", "uts"], ["net"], ["net", "uts"], ["ipc", "uts"], ["net", "ipc", "uts", "pid"], ["ipc"])

_FREE_OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "nat": st.booleans(),
        "internal": st.booleans(),
        "isolation": st.sampled_from(("strict", "normal", "none")),
        "inter_pod": st.booleans(),
        "host_access": st.booleans(),
        "dns_search": st.sampled_from(([], ["pods.example"])),
        "dns_options": st.sampled_from(([], ["ndots:2"])),
    },
)

Damage = Callable[[World, st.DataObject], None]


@cache
def hosts() -> st.SearchStrategy[World]:
    """Hosts before anything was declared: with and without forwarding, accept_ra, a namespace of somebody else."""
    return st.builds(_host, st.booleans(), st.booleans(), st.sampled_from("012"), st.booleans(), st.booleans())


@cache
def network_options(name: str) -> st.SearchStrategy[dict[str, Any]]:
    return _network_options(name)


@st.composite
def _network_options(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """Values that fit together; on an existing network they may still be refused."""
    number = 90 + NETWORKS.index(name)
    v4, v6 = f"10.{number}.0.0/27", f"fd00:{number}::/64"
    # One network stays below what IPv6 needs; crossing that line has tests of its own.
    small = name == "back"
    subnets = draw(st.sampled_from(([v4], [v4, f"10.{number}.1.0/28"], *(() if small else ([v4, v6], [v6], [v6, v4])))))
    options = draw(_FREE_OPTIONS)
    if draw(st.booleans()):
        options["dns"] = draw(st.sampled_from(([], [f"10.{number}.0.1"], ["198.51.100.1"])))
    if small or draw(st.booleans()):
        options["mtu"] = draw(st.sampled_from((600, 1000) if small else (1280, 1400, 9000)))
    if draw(st.booleans()):
        options["gateways"] = [*([f"10.{number}.0.9"] if v4 in subnets else []), *([f"fd00:{number}::9"] if v6 in subnets else [])]
    if draw(st.booleans()):
        options["reserved"] = draw(st.sampled_from(([], [f"10.{number}.0.4"], [f"10.{number}.0.2/31", f"fd00:{number}::2"])))
    if v4 in subnets and draw(st.booleans()):
        options["ranges"] = draw(st.sampled_from(([], [{"start": f"10.{number}.0.3", "end": f"10.{number}.0.12"}])))
    return {"name": name, "subnets": subnets, **options}


@cache
def sandbox_options(name: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"name": st.just(name)},
        optional={
            "networks": st.lists(_attachment(), max_size=3, unique_by=lambda item: item["name"]),
            "hostname": st.sampled_from((name, "other")),
            "namespaces": st.sampled_from(NAMESPACES),
            "pause": st.booleans(),
            "dns": st.sampled_from(([], ["198.51.100.7"])),
            "dns_search": st.sampled_from(([], ["web.example"])),
            "hosts": st.sampled_from(([], ["peer:10.0.0.1", "peer6:fd00::1"])),
            "sysctls": st.sampled_from(({}, {"net.core.somaxconn": 1024}, {"kernel.shmmax": 65536, "net.core.somaxconn": 1})),
            "labels": st.sampled_from(({}, {"team": "ci"})),
            "persistent": st.booleans(),
            "rootfs": st.sampled_from(([], list(ROOTS[name][:1]), list(ROOTS[name]))),
            **({"netns": st.just(FOREIGN_NETNS)} if name == "db" else {}),
            "stop_timeout": st.sampled_from((0, 2)),
        },
    ).map(_fitting)


@dataclass(frozen=True)
class Task:
    """What a playbook's task says, and how it is planned."""

    plan_with: Callable[..., Plan]
    items: tuple[dict[str, Any], ...]

    def plan(self, world: World, *, check: bool = False) -> Plan:
        return self.plan_with(world, *self.items, check=check)

    def again(self) -> Task:
        """The task whose second run must change nothing: recreated always changes."""
        return replace(self, items=tuple({**item, "state": item["state"].replace("recreated", "present")} for item in self.items))


def task(world: World, data: st.DataObject) -> Task:
    """A task that may follow on this host: one or several networks or sandboxes, in any state."""
    if data.draw(st.booleans() if world.networks() else st.just(True), label="networks"):
        names = data.draw(st.lists(st.sampled_from(NETWORKS), min_size=1, unique=True))
        items = [data.draw(_with_state(network_options(name), ("present",) * 5 + ("absent",))) for name in names]
        return Task(networks, tuple(items))
    return sandbox_task(data)


def sandbox_task(data: st.DataObject) -> Task:
    names = data.draw(st.lists(st.sampled_from(SANDBOXES), min_size=1, unique=True))
    items = [data.draw(_with_state(sandbox_options(name), ("present",) * 4 + ("absent", "recreated"))) for name in names]
    return Task(sandboxes, tuple(items))


def lived_in(data: st.DataObject, *, tasks: int = 2) -> World:
    """A host on which some tasks were run; what is refused changes nothing."""
    world = data.draw(hosts(), label="host")
    first = [data.draw(network_options(name)) for name in NETWORKS]
    world = apply(world, networks(world, *first))
    pods = [
        data.draw(sandbox_options(name)) for name in data.draw(st.lists(st.sampled_from(SANDBOXES), min_size=1, unique=True), label="pods")
    ]
    for pod in pods:
        world = attempt(world, Task(sandboxes, (pod,)).plan)
    for _number in range(data.draw(st.integers(0, tasks), label="tasks")):
        world = attempt(world, task(world, data).plan)
    return world


def attempt(world: World, run: Callable[[World], Plan]) -> World:
    try:
        plan = run(world)
    except PodnetError:
        return world
    return apply(world, plan)


def repair(world: World) -> World:
    """Every network, then every sandbox, declared as they are recorded."""
    world = apply(world, networks(world, *({"name": name} for name in world.networks())))
    return apply(world, sandboxes(world, *({"id": item} for item in world.sandboxes())))


def damaged(world: World, data: st.DataObject, among: tuple[Damage, ...]) -> World:
    world = world.copy()
    for damage in data.draw(st.lists(st.sampled_from(among), min_size=2, max_size=8), label="damage"):
        damage(world, data)
    return world


def _host(forwards: bool, forces: bool, accept_ra: str, v4: bool, theirs: bool) -> World:
    world = World()
    settings = world.host.sysctls
    if forces:
        settings.update({f"net/ipv6/conf/{item}/force_forwarding": "0" for item in ("all", "default", UPLINK, "docker0")})
    settings[f"net/ipv6/conf/{UPLINK}/accept_ra"] = settings["net/ipv6/conf/default/accept_ra"] = accept_ra
    if forwards:
        world.host.set_sysctl("net/ipv6/conf/all/forwarding", "1")
    if v4:
        world.host.set_sysctl("net/ipv4/ip_forward", "1")
    if theirs:
        world.add_netns(FOREIGN_NETNS)
    world.roots.update({roots[0]: "nameserver 203.0.113.1\n" for roots in ROOTS.values()})
    return world


@cache
def _attachment() -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(
        st.fixed_dictionaries(
            {"name": st.just(name)},
            optional={
                "addresses": st.sampled_from(([f"10.{number}.0.5"], [f"10.{number}.0.6", f"fd00:{number}::6"], [f"fd00:{number}::7"])),
                "mac": st.sampled_from(("02:00:00:00:00:01", "02:00:00:00:00:02")),
                "interface": st.sampled_from(("eth0", "eth1", "net0")),
            },
        )
        for number, name in enumerate(NETWORKS, 90)
    )


def _fitting(options: dict[str, Any]) -> dict[str, Any]:
    """Without what a sandbox with these namespaces cannot have."""
    kinds = options.get("namespaces", ["net", "ipc", "uts"])
    dropped: set[str] = set()
    if "net" not in kinds and "netns" not in options:
        dropped |= {"networks", "dns", "dns_search", "hosts", "rootfs", "sysctls"}
    if "ipc" not in kinds and any(name.startswith("kernel.") for name in options.get("sysctls", {})):
        dropped.add("sysctls")
    if "uts" not in kinds:
        dropped.add("hostname")
    if "pid" in kinds:
        dropped.add("pause")
    return {key: value for key, value in options.items() if key not in dropped}


@cache
def _with_state(options: st.SearchStrategy[dict[str, Any]], states: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    """A removal or a recreation says no more than the name, half of the time."""
    return st.builds(
        lambda item, state, bare: {**({"name": item["name"]} if bare and state != "present" else item), "state": state, "force": bare},
        options,
        st.sampled_from(states),
        st.booleans(),
    )


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


def _add_foreign_address(world: World, inside: NetNamespace, name: str, data: st.DataObject) -> None:
    """On a bridge or in a sandbox; an address on a port is nothing that was declared."""
    if inside is world.host and name not in world.networks():
        return
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
        if "isolated" not in drawn or inside.links[name].master is not None:
            inside.set_link(name, drawn)

    return _link(change)


def _change_mac(world: World, inside: NetNamespace, name: str, _data: st.DataObject) -> None:
    """The host end is told by its MAC where it has lost its alias; without both it is no longer ours."""
    if inside is not world.host or name in world.networks():
        inside.set_link(name, {"mac": "02:00:00:00:00:99"})


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
    world.rules = data.draw(st.sampled_from(("", "table inet podnet {\n}")))


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
    _link(lambda _world, inside, name, _data: inside.set_link(name, {"alias": None}), bridges=False),
    _master,
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
)
"""Damage whose repair can be taken back."""

ANY: tuple[Damage, ...] = (*REVERSIBLE, _empty_roots, _lose_runtime, _forget_namespaces)
"""With damage behind which nobody can tell any more what was there."""
