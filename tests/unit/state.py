# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model of a host: its kernel, files and processes, and what the engine would observe of them."""

from __future__ import annotations

import copy
import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ansible_collections.podnet.linux.plugins.module_utils._plan.books import Held, Listing
from ansible_collections.podnet.linux.plugins.module_utils._plan.observed import (
    Link,
    Listener,
    NetnsTarget,
    Observed,
    Pause,
    Pin,
    Ruleset,
    SandboxView,
    Sysctl,
    Unflushed,
)
from ansible_collections.podnet.linux.plugins.module_utils._plan.registry import Known
from ansible_collections.podnet.linux.plugins.module_utils._plan.ruleset import NAME, parts
from ansible_collections.podnet.linux.plugins.module_utils._spec.fields import IPAddress
from ansible_collections.podnet.linux.plugins.module_utils._spec.network import Network
from ansible_collections.podnet.linux.plugins.module_utils._spec.pool import Pool
from ansible_collections.podnet.linux.plugins.module_utils._spec.sandbox import Sandbox
from kernel import CONF, CONF4, ModelError, NetNamespace

UPLINK = "ens3"
FOREIGN_NETNS = "/run/netns/theirs"
DROPIN = "/etc/sysctl.d/60-podnet.conf"
POD_SYSCTLS = {
    "net.core.somaxconn": "4096",
    "net.ipv4.ip_unprivileged_port_start": "1024",
    **{f"{CONF}/{item}/disable_ipv6": "0" for item in ("all", "default")},
    f"{CONF4}/default/rp_filter": "0",
}
IPC_SYSCTLS = {"kernel.shmmax": "18446744073692774399", "kernel.sem": "32000 1024000000 500 32000"}
HOST = 0
S = TypeVar("S", bound="State")


@dataclass(frozen=True)
class Process:
    """``namespaces``: by kind the number of the namespace it lives in; HOST for the host's."""

    namespaces: dict[str, int]


def host_namespace() -> NetNamespace:
    """A host with an uplink, forwarding off."""
    settings = {"net/ipv4/ip_forward": "0", f"{CONF4}/all/accept_redirects": "1"}
    settings.update({f"{CONF4}/{item}/{key}": "0" for item in ("default", "lo") for key in ("forwarding", "route_localnet")})
    for item in ("all", "default", "lo"):
        settings.update({f"{CONF}/{item}/{key}": value for key, value in (("forwarding", "0"), ("accept_ra", "1"), ("disable_ipv6", "0"))})
    host = NetNamespace(settings)
    host.add_link(Link(UPLINK, mac="52:54:00:00:00:01", up=True))
    host.add_address(UPLINK, "192.0.2.10/24")
    host.add_link(Link("docker0", kind="bridge", mac="52:54:00:00:00:02", up=True))
    host.add_address("docker0", "172.17.0.1/16")
    return host


@dataclass
class State:
    """The host as the kernel and the files have it; mutable, copied where a test goes two ways from one state."""

    host: NetNamespace = field(default_factory=host_namespace)
    nets: dict[int, NetNamespace] = field(default_factory=dict)
    uts: dict[int, str] = field(default_factory=dict)
    ipcs: dict[int, dict[str, str]] = field(default_factory=dict)
    pins: dict[tuple[str, str], int] = field(default_factory=dict)
    paths: dict[str, int] = field(default_factory=dict)
    unflushed: Unflushed = field(default_factory=Unflushed)
    processes: dict[int, Process] = field(default_factory=dict)
    veths: dict[str, tuple[int, str]] = field(default_factory=dict)
    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    runtimes: set[str] = field(default_factory=set)
    records: dict[tuple[str, str], str] = field(default_factory=dict)
    leases: dict[str, dict[Held, str]] = field(default_factory=dict)
    cursors: dict[str, dict[str, IPAddress]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    roots: dict[str, str | None] = field(default_factory=dict)
    kept: dict[tuple[str, str], str | None] = field(default_factory=dict)
    rules: Ruleset = field(default_factory=Ruleset)
    listeners: Mapping[str, tuple[Listener, ...]] = field(default_factory=lambda: dict.fromkeys(("tcp", "udp", "sctp"), ()))
    resolvers: tuple[IPAddress, ...] = (ipaddress.ip_address("192.0.2.53"), ipaddress.ip_address("2001:db8::53"))
    counter: int = 1000

    def copy(self: S) -> S:
        other = copy.copy(self)
        other.host = self.host.copy()
        other.nets = {number: net.copy() for number, net in self.nets.items()}
        for name in ("ipcs", "states", "leases", "cursors"):
            setattr(other, name, {key: dict(value) for key, value in getattr(self, name).items()})
        for name in ("uts", "pins", "paths", "processes", "veths", "records", "files", "roots", "kept"):
            setattr(other, name, dict(getattr(self, name)))
        other.runtimes = set(self.runtimes)
        return other

    def number(self) -> int:
        self.counter += 1
        return self.counter

    def add_netns(self, path: str) -> NetNamespace:
        """A network namespace that somebody else made."""
        self.paths[path] = self.number()
        self.nets[self.paths[path]] = NetNamespace(POD_SYSCTLS)
        return self.nets[self.paths[path]]

    def net_of(self, where: str | None) -> NetNamespace:
        if where is None:
            return self.host
        if (where, "net") not in self.pins:
            raise ModelError(f"the net namespace of {where} is not pinned")
        return self.nets[self.pins[where, "net"]]

    def networks(self) -> dict[str, Network]:
        return {key: Network.from_record(json.loads(text)) for (kind, key), text in self.records.items() if kind == "network"}

    def sandboxes(self) -> dict[str, Sandbox]:
        return {key: Sandbox.from_record(json.loads(text)) for (kind, key), text in self.records.items() if kind == "sandbox"}

    def state_of(self, where: str) -> dict[str, Any]:
        """state.json, made where there is none."""
        return self.states.setdefault(where, {"id": where, "namespaces": {}, "pause": None})

    def holder(self, kind: str, number: int | None) -> int:
        """A process in that namespace, 0 for none."""
        return next((pid for pid, process in self.processes.items() if number and process.namespaces.get(kind) == number), 0)

    def collect(self) -> None:
        """A namespace that neither a pin, a path nor a process holds is gone, and its interfaces with it."""
        live = {*self.pins.values(), *self.paths.values()}
        live.update(number for process in self.processes.values() for number in process.namespaces.values())
        for number in set(self.nets) - live:
            for interface in list(self.nets[number].links):
                self.delete_link(self.nets[number], interface)
            del self.nets[number]
        for table in (self.uts, self.ipcs):
            for number in set(table) - live:
                del table[number]

    def delete_link(self, inside: NetNamespace, name: str) -> None:
        """Both ends of a veth pair go together."""
        for peer, (number, interface) in list(self.veths.items()):
            if (inside is self.host and peer == name) or (self.nets.get(number) is inside and interface == name):
                del self.veths[peer]
                self.host.delete_link(peer)
                self.nets[number].delete_link(interface)
                return
        inside.delete_link(name)

    def observe(self) -> Observed:
        networks, sandboxes = self.networks(), self.sandboxes()
        bridges = [link for link in self.host.links.values() if link.name not in networks]
        routes = [
            (ipaddress.ip_interface(address).network, link.name)
            for link in self.host.links.values()
            if link.up
            for address in link.addresses
        ]
        routes.append((ipaddress.ip_network("0.0.0.0/0"), UPLINK))
        return Observed(
            networks=networks,
            sandboxes=Known(sandboxes),
            pools={key: Pool.from_record(json.loads(text)) for (kind, key), text in self.records.items() if kind == "pool"},
            shelves={pool: Listing(self.leases.get(pool), self.cursors.get(pool)) for pool in {*self.leases, *self.cursors}},
            links=dict(self.host.links),
            host_addresses=frozenset(ipaddress.ip_interface(address).ip for link in bridges for address in link.addresses),
            routes=tuple(routes),
            sysctls={name: Sysctl(value) for name, value in self.host.sysctls.items()},
            resolvers=self.resolvers,
            sysctl_dropin=self.files.get(DROPIN),
            tables={NAME: self._tables(sandboxes, networks)},
            unflushed=self.unflushed,
            listeners=self.listeners,
            pinned={f"psb-{where[:8]}": True for where, kind in self.pins if kind == "net"},
            views={key: self.view(sandbox) for key, sandbox in sandboxes.items()},
            pauses={key: self.view(sandbox).pause for key, sandbox in sandboxes.items()},
            occupants={key: self.occupants(sandbox) for key, sandbox in sandboxes.items()},
            targets={
                FOREIGN_NETNS: NetnsTarget("missing"),
                **{path: NetnsTarget("good", self._seen(number)) for path, number in self.paths.items()},
            },
        )

    def _tables(self, sandboxes: Mapping[str, Sandbox], networks: Mapping[str, Network]) -> Ruleset:
        """Not listed where nothing but our runs has touched them."""
        return Ruleset(self.rules.frame, None) if self.rules.parts == parts(sandboxes.values(), networks, self.resolvers) else self.rules

    def view(self, sandbox: Sandbox) -> SandboxView:
        state = self.states.get(sandbox.id)
        recorded: Mapping[str, int] = (state or {}).get("namespaces", {})
        pins = {kind: self._pin(sandbox.id, kind, recorded.get(kind)) for kind in sandbox.pins}
        # What is only unpinned is looked into through a process that lives in it.
        reachable = {kind: recorded[kind] for kind, pin in pins.items() if pin.state == "good" or pin.holder}
        inside = self._seen(reachable["net"]) if "net" in reachable else SandboxView()
        ipc = self.ipcs[reachable["ipc"]] if "ipc" in reachable else {}
        files = {f"/etc/netns/{sandbox.ns_name}/{name}" for name in ("resolv.conf", "hosts")} if sandbox.has_net else set()
        return SandboxView(
            pins=pins,
            hostname=self.uts[reachable["uts"]] if "uts" in reachable else None,
            sysctls={**inside.sysctls, **ipc},
            links=inside.links,
            routes=inside.routes,
            pause=self._pause(sandbox, (state or {}).get("pause"), recorded),
            files={path: self.files.get(path) for path in files},
            rootfs={root: self.roots.get(root) for root in sandbox.rootfs},
            state=None if state is None else dict(state),
            runtime=sandbox.id in self.runtimes,
        )

    def occupants(self, sandbox: Sandbox) -> tuple[int, ...]:
        state = self.states.get(sandbox.id, {})
        recorded = {kind: number for kind, number in state.get("namespaces", {}).items() if kind != "net" or sandbox.owns_net}
        inside = [pid for pid, process in self.processes.items() if any(process.namespaces.get(k) == n for k, n in recorded.items())]
        return tuple(pid for pid in inside if pid != state.get("pause"))

    def _pin(self, where: str, kind: str, recorded: int | None) -> Pin:
        here = self.pins.get((where, kind))
        if here is None:
            return Pin("missing", self.holder(kind, recorded))
        return Pin("good" if here == recorded else "unverified" if recorded is None else "replaced")

    def _pause(self, sandbox: Sandbox, pid: int | None, recorded: Mapping[str, int]) -> Pause:
        if pid is None:
            return Pause()
        process = self.processes.get(pid)
        if process is None:
            return Pause("dead", pid)
        inside = all(process.namespaces.get(kind) == recorded.get(kind) for kind in sandbox.pins)
        own_pid = process.namespaces.get("pid", HOST) != HOST
        return Pause("running" if inside and own_pid == ("pid" in sandbox.namespaces) else "astray", pid)

    def _seen(self, number: int) -> SandboxView:
        inside = self.nets[number]
        return SandboxView(
            links=dict(inside.links),
            routes=tuple(route for route in inside.routes if route.destination in ("0.0.0.0/0", "::/0")),
            sysctls={name.replace("/", "."): value for name, value in inside.sysctls.items() if name.startswith("net")},
        )
