# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking: records, kernel and files into one Observed. Nothing here changes anything."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import stat
from collections.abc import Callable, Mapping
from functools import cache

from .._plan.forwarding import DROPIN
from .._plan.observed import Debris, Lazy, Link, Listener, NetnsTarget, Observed, Pause, Pin, Route, SandboxView, Sysctl
from .._plan.resolver import MARK, resolver_paths
from .._plan.ruleset import NAME
from .._spec.fields import IPAddress, sysctl_home
from .._spec.sandbox import Sandbox
from .._store import files, flows, leases, paths, records
from . import firewall, firewalld, namespaces, nf_tables, processes, rootfs
from .identities import owned_identities, pause_process, recorded_identities
from .link_table import Table
from .machine import Machine, net_pin, pin
from .processes import Census

_RESOLVER_FILES = ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf")


def observe(machine: Machine, *, debris: bool = False, expected: int = 0) -> Observed:
    """Everything a plan may need; what lies inside sandboxes is looked at when asked for. ``expected``: how many, if that is known."""
    networks = machine.records.networks()
    sandboxes = machine.records.sandboxes()
    shelves = leases.load()
    links = Table(machine.host, expected)
    chains = Lazy(lambda _all: nf_tables.chains(but=NAME))
    routes = tuple((network, links.name_of(index)) for network, index in machine.host.destinations())

    resolvers = _resolvers()
    counters = cache(machine.tables.counters)
    census = cache(processes.Census)

    def view(sandbox_id: str) -> SandboxView:
        return _view(machine, sandboxes[sandbox_id], pauses[sandbox_id], census)

    def pause(sandbox_id: str) -> Pause:
        state = machine.state(sandbox_id) or {}
        return _pause(sandboxes[sandbox_id], pause_process(state), recorded_identities(state))

    pauses = Lazy(pause)

    def occupants(sandbox_id: str) -> tuple[int, ...]:
        return _occupants(machine, sandboxes[sandbox_id], census())

    return Observed(
        networks=networks,
        sandboxes=sandboxes,
        pools=Lazy(records.load_pool),
        shelves=shelves,
        links=links,
        host_addresses=frozenset(_ip(address) for name, address in links.addresses if name not in networks),
        routes=routes,
        sysctls=Lazy(_sysctl),
        resolvers=resolvers,
        sysctl_dropin=files.read(DROPIN),
        tables=Lazy(lambda _name: machine.tables.seen(machine.records.signature, resolvers)),
        unflushed=flows.read(),
        counters=Lazy(lambda name: counters().get(name, 0)),
        pinned=Lazy(lambda name: os.path.lexists(f"{paths.NETNS}/{name}")),
        views=Lazy(view),
        pauses=pauses,
        occupants=Lazy(occupants),
        targets=Lazy(lambda text: _target(machine, text)),
        root_obstacles=Lazy(rootfs.obstacle),
        listeners=Lazy(_listeners),
        foreign_chains=Lazy(lambda _hook: firewall.forward_chains(chains[""])),
        zone_is_kept=firewalld.is_kept(),
        firewalld=Lazy(lambda _zones: firewalld.zones(chains[""])),
        machine_id=(files.read("/etc/machine-id") or machine.boot_id).strip(),
        debris=_debris(sandboxes, {network.alias for network in networks.values()}, links, shelves) if debris else Debris(),
    )


def _view(machine: Machine, sandbox: Sandbox, pause: Pause, census: Callable[[], Census]) -> SandboxView:
    state = machine.state(sandbox.id)
    recorded = recorded_identities(state or {})
    keeper = pause.pid if pause.state in ("running", "astray") else 0
    pins = {kind: _pin(machine, sandbox, kind, recorded.get(kind), keeper, census) for kind in sandbox.pins}
    reachable = {kind: pin(sandbox.id, kind) for kind, at in pins.items() if at.state == "good"}
    reachable.update({kind: f"/proc/{at.holder}/ns/{kind}" for kind, at in pins.items() if at.holder})

    def sysctl(name: str) -> str | None:
        home = sysctl_home(name)
        if home not in reachable:
            return None
        with namespaces.entered({home: reachable[home]}):
            value = namespaces.read_sysctl(name)
        # What we wrote, where the kernel shows just what it made of that then.
        written, shown = (state or {}).get("sysctls", {}).get(name, (None, None))
        return written if written is not None and value == shown else value

    hostname: str | None = None
    links: dict[str, Link] = {}
    routes: tuple[Route, ...] = ()
    if "uts" in reachable:
        with namespaces.entered({"uts": reachable["uts"]}):
            hostname = os.uname().nodename
    changing = False
    if "net" in reachable:
        inside = machine.links_of(sandbox.id, reachable["net"])
        try:
            links = inside.all(ports=False)
            routes = inside.default_routes(links.values())
        except BlockingIOError:
            # A process inside keeps changing them. Other sandboxes, and the removal of this one, do not depend on them.
            changing = True
    return SandboxView(
        pins=pins,
        hostname=hostname,
        sysctls=Lazy(sysctl),
        links=links,
        routes=routes,
        pause=pause,
        files={path: files.read(path) for path in resolver_paths(sandbox).values()},
        rootfs=Lazy(rootfs.read),
        state=state,
        runtime=_runtime_is_whole(sandbox),
        changing=changing,
    )


def _runtime_is_whole(sandbox: Sandbox) -> bool:
    directory = paths.sandbox_directory(sandbox.id)
    wanted = {"name": sandbox.name, "ns_name": sandbox.ns_name}
    return all((files.read(f"{directory}/{name}") or "").strip() == text for name, text in wanted.items())


def _pin(
    machine: Machine, sandbox: Sandbox, kind: str, recorded: namespaces.Identity | None, pause: int, census: Callable[[], Census]
) -> Pin:
    path = pin(sandbox.id, kind)
    here = namespaces.identity(path)
    if here is not None:
        if here == recorded:
            return Pin("good", identity=here)
        return Pin("unverified" if recorded is None else "replaced")
    with contextlib.suppress(FileNotFoundError):
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_size:
            return Pin("occupied")
    if recorded is None:
        return Pin("missing")
    if pause and processes.namespace_of(pause, kind) == recorded:
        return Pin("missing", pause)
    return Pin("missing", next(iter(census().living_in({kind: recorded})), 0))


def _pause(sandbox: Sandbox, pause: processes.Process | None, recorded: Mapping[str, namespaces.Identity]) -> Pause:
    if pause is None:
        return Pause()
    if not pause.alive:
        return Pause("dead", pause.pid)
    inside = all(processes.namespace_of(pause.pid, kind) == recorded.get(kind) for kind in sandbox.pins)
    own_pid = processes.namespace_of(pause.pid, "pid") != namespaces.host_identity("pid")
    return Pause("running" if inside and own_pid == ("pid" in sandbox.namespaces) else "astray", pause.pid)


def _occupants(machine: Machine, sandbox: Sandbox, census: Census) -> tuple[int, ...]:
    wanted = owned_identities(machine, sandbox)
    pause = pause_process(machine.state(sandbox.id) or {})
    spare = pause.pid if pause is not None and pause.alive else 0
    return tuple(pid for pid in census.living_in(wanted) if pid != spare) if wanted else ()


def _target(machine: Machine, text: str) -> NetnsTarget:
    path = f"/proc/{text}/ns/net" if text.isdigit() else text
    if not os.path.lexists(path):
        return NetnsTarget("missing")
    here = namespaces.identity(path)
    if here is None:
        return NetnsTarget("no_namespace")
    if here == namespaces.host_identity("net"):
        return NetnsTarget("host")

    def sysctl(name: str) -> str | None:
        with namespaces.entered({"net": path}):
            return namespaces.read_sysctl(name)

    try:
        with namespaces.entered({"net": path}):
            inside = machine.links_here()
    except OSError:
        # A namespace of another kind.
        return NetnsTarget("no_namespace")
    try:
        links = inside.all(ports=False)
        view = SandboxView(links=links, routes=inside.default_routes(links.values()), sysctls=Lazy(sysctl))
        return NetnsTarget("good", view, here)
    finally:
        inside.close()


def _listeners(protocol: str) -> tuple[Listener, ...]:
    # Imported on use: only published ports need it.
    from .sockets import listeners

    return listeners(protocol)


def _sysctl(name: str) -> Sysctl | None:
    value = namespaces.read_sysctl(name)
    return None if value is None else Sysctl(value, namespaces.sysctl_writable(name))


def _resolvers() -> tuple[IPAddress, ...]:
    """The host's upstream resolvers: those behind a local stub where resolv.conf names loopback only."""
    for path in _RESOLVER_FILES:
        found: list[IPAddress] = []
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                words = line.split()
                if len(words) > 1 and words[0] == "nameserver":
                    with contextlib.suppress(ValueError):
                        found.append(ipaddress.ip_address(words[1].partition("%")[0]))
        usable = [address for address in found if not address.is_loopback and not address.is_link_local]
        if usable:
            return tuple(dict.fromkeys(usable))
    return ()


def _ip(address: str) -> IPAddress:
    return ipaddress.ip_interface(address.split()[0]).ip


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _debris(sandboxes: Mapping[str, Sandbox], aliases: set[str], links: Mapping[str, Link], shelves: Mapping[str, leases.Shelf]) -> Debris:
    """What carries our mark and belongs to no record: by alias on links, by our own runtime directory elsewhere."""
    known = aliases | {sandbox.alias for sandbox in sandboxes.values()}
    orphans = [link for link in links.values() if (link.alias or "").startswith("podnet:") and link.alias not in known]
    lost = {link.alias[len("podnet:") :] for link in orphans if link.alias and link.kind == "veth"}
    lost |= {name for name in _names(paths.SANDBOXES) if name not in sandboxes}
    namespaces_left = [pin(name, kind) for name in sorted(lost) for kind in ("net", "ipc", "uts") if namespaces.identity(pin(name, kind))]
    taken = {sandbox.ns_name for sandbox in sandboxes.values()}
    etc = [
        f"{paths.ETC_NETNS}/{name}"
        for name in sorted(_names(paths.ETC_NETNS))
        if name.startswith("psb-") and name not in taken and (files.read(f"{paths.ETC_NETNS}/{name}/resolv.conf") or "").startswith(MARK)
    ]
    return Debris(
        links=tuple(sorted(link.name for link in orphans)),
        namespaces=tuple(path for path in namespaces_left if path not in {net_pin(item) for item in sandboxes}),
        directories=tuple([paths.sandbox_directory(name) for name in sorted(_names(paths.SANDBOXES)) if name not in sandboxes] + etc),
        lists=tuple((key, owner, tuple(held)) for key, shelf in shelves.items() for owner, held in shelf.misfiled().items()),
    )
