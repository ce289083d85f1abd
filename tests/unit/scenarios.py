# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hypothesis draws: tasks as users write them, and the hosts they run on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from ansible_collections.podnet.linux.plugins.module_utils._errors import PodnetError
from ansible_collections.podnet.linux.plugins.module_utils._plan.draft import Plan
from hypothesis import strategies as st
from model import World, apply
from runs import networks, sandboxes
from state import FOREIGN_NETNS, UPLINK

NETWORKS = ("pods0", "pods", "back")
SANDBOXES = ("web", "web-1", "db")
ROOTS = {name: (f"/srv/{name}/a", f"/srv/{name}/b") for name in SANDBOXES}
SYSCTLS: tuple[dict[str, int], ...] = (
    {},
    {"net.core.somaxconn": 1024},
    {"kernel.shmmax": 65536, "net.core.somaxconn": 1},
    {"net.ipv4.conf.eth0.rp_filter": 2},
)
FORWARDS: tuple[list[Any], ...] = ([], ["8080:80"], ["0.0.0.0:53:53/udp"], [{"host_port": "9000-9002"}, "127.0.0.1:8081:81"])
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
            "sysctls": st.sampled_from(SYSCTLS),
            "port_forwards": st.sampled_from(FORWARDS),
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
        dropped |= {"networks", "dns", "dns_search", "hosts", "rootfs", "sysctls", "port_forwards"}
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
