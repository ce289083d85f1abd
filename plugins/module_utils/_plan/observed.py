# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machine shows: plain values that the planner compares with what is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, Union

from .._spec.fields import IPAddress, IPNetwork
from .._spec.network import Network
from .._spec.pool import Pool
from .books import Held, Shelf
from .foreign import ForeignChain
from .registry import Known, Registry

V = TypeVar("V")

BRIDGE_PORTS = 1023
"""What one bridge takes (BR_MAX_PORTS is 1 << 10, port 0 is the bridge's own)."""


@dataclass(frozen=True)
class Link:
    """One interface; ``addresses`` are its global ones, written as address/prefix length.

    Of a bridge port: ``isolated``, ``hairpin``, ``learning`` and ``flood`` (unicast) are its flags (bridge(8)); ``stations``
    are the MACs that the bridge has been told to find there.

    ``peer``: for a veth, the index of its other end, in whatever namespace that is; 0 where unknown. ``renamed``: what
    somebody has called the loopback, which is known by its index and always named lo here.
    """

    name: str
    index: int = 0
    renamed: str = ""
    kind: str = ""
    mac: str = ""
    mtu: int = 1500
    up: bool = False
    master: str | None = None
    alias: str | None = None
    isolated: bool = False
    hairpin: bool = False
    learning: bool = False
    flood: bool = False
    stations: tuple[str, ...] = ()
    peer: int = 0
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Route:
    """One route of the main table.

    ``odd``: (type, tos, priority) of one that is none of those we make (blackhole, multipath, other metric, ...); it has
    neither gateway nor link here.
    """

    destination: str
    gateway: str | None
    link: str
    odd: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Sysctl:
    """A kernel setting as read; ``writable`` is False where /proc/sys is mounted read-only."""

    value: str
    writable: bool = True


@dataclass(frozen=True)
class Listener:
    """A socket of the host that waits for others; ``addresses``: unspecified ones stand for every address of that version."""

    protocol: str
    addresses: tuple[IPAddress, ...]
    port: int

    def __str__(self) -> str:
        return f"{self.addresses[0]} port {self.port}/{self.protocol}"


@dataclass(frozen=True)
class Zones:
    """firewalld, which lets interfaces through by the zone that they are bound to.

    ``ours``: those in the zone that is ours, ``others``: those that somebody has bound to another. ``kept``: it keeps a zone
    of ours; ``taken``: a zone of that name is somebody else's. ``sound``: our zone lets through what it is there for.
    """

    ours: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    kept: bool = False
    taken: bool = False
    sound: bool = True


Parts = Mapping[str, Union[frozenset[str], tuple[str, ...]]]
"""What comes and goes with sandboxes and policies, by the block of the ruleset: elements of sets and maps, lines of chains."""


@dataclass(frozen=True)
class Ruleset:
    """Our nftables tables.

    ``frame``: all but the parts, empty where there is no table. ``parts``: None for what the records on disk mean, where that
    is known to be what is loaded.
    """

    frame: str = ""
    parts: Parts | None = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Flow:
    """UDP flows to a port of the host: those that were led to ``target``, or None for those that were led nowhere.

    ``host``: None for every address of the host of that IP version.
    """

    version: int
    host: IPAddress | None
    port: int
    target: tuple[IPAddress, int] | None


@dataclass(frozen=True)
class Unflushed:
    """What a run that was killed has left: flows to forget, and the sandboxes whose connections were to be cut."""

    flows: tuple[Flow, ...] = ()
    sandboxes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Connection:
    """What conntrack knows of one: whom it was meant for when it began. ``protocol`` is the IP protocol's number."""

    protocol: int
    sender: IPAddress
    target: IPAddress
    port: int


@dataclass(frozen=True)
class Pin:
    """A namespace's bind mount.

    ``state``: good (there, with the recorded identity), missing, unverified (a namespace that no record
    identifies: what a killed creation left), replaced (somebody else's namespace), occupied (something that is no
    namespace). ``holder``: a live process of ours that still is in the recorded namespace, 0 for none. ``identity``: of a
    good one.
    """

    state: str = "missing"
    holder: int = 0
    identity: tuple[int, int] | None = None


@dataclass(frozen=True)
class Pause:
    """The pause process: ``state`` none, running, dead, or astray (alive, but not in our namespaces)."""

    state: str = "none"
    pid: int = 0


@dataclass(frozen=True)
class SandboxView:
    """What the kernel and the files show of one sandbox.

    ``changing``: links and routes are unknown, since they changed each time they were read.
    """

    pins: Mapping[str, Pin] = field(default_factory=dict)
    hostname: str | None = None
    sysctls: Mapping[str, str | None] = field(default_factory=dict)
    links: Mapping[str, Link] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    pause: Pause = Pause()
    files: Mapping[str, str | None] = field(default_factory=dict)
    rootfs: Mapping[str, str | None] = field(default_factory=dict)
    state: Mapping[str, Any] | None = None
    runtime: bool = False
    changing: bool = False


@dataclass(frozen=True)
class NetnsTarget:
    """A network namespace given by the ``netns`` option: state good, missing, host, or no_namespace."""

    state: str
    view: SandboxView = SandboxView()
    identity: tuple[int, int] | None = None


@dataclass(frozen=True)
class Debris:
    """What carries our mark but belongs to no record; see the module prune.

    ``lists``: per pool the owners of whose leases the list is wrong, and what they hold.
    """

    links: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    lists: tuple[tuple[str, str, tuple[Held, ...]], ...] = ()


class Lazy(Mapping[str, V]):
    """A mapping that looks at the machine when a key is first asked for: what no plan needs is never read."""

    def __init__(self, load: Callable[[str], V]) -> None:
        self._load = load
        self._seen: dict[str, V] = {}

    def __getitem__(self, key: str) -> V:
        if key not in self._seen:
            self._seen[key] = self._load(key)
        return self._seen[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._seen)

    def __len__(self) -> int:
        return len(self._seen)


@dataclass(frozen=True)
class Observed:
    """Everything a plan may depend on, read under the host lock."""

    networks: Mapping[str, Network] = field(default_factory=dict)
    sandboxes: Registry = field(default_factory=Known)
    pools: Mapping[str, Pool | None] = field(default_factory=dict)
    shelves: Mapping[str, Shelf] = field(default_factory=dict)
    links: Mapping[str, Link] = field(default_factory=dict)
    host_addresses: frozenset[IPAddress] = frozenset()
    routes: tuple[tuple[IPNetwork, str], ...] = ()
    sysctls: Mapping[str, Sysctl | None] = field(default_factory=dict)
    resolvers: tuple[IPAddress, ...] = ()
    machine_id: str = ""
    sysctl_dropin: str | None = None
    tables: Mapping[str, Ruleset] = field(default_factory=dict)
    unflushed: Unflushed = Unflushed()
    counters: Mapping[str, int] = field(default_factory=dict)
    pinned: Mapping[str, bool] = field(default_factory=dict)
    views: Mapping[str, SandboxView] = field(default_factory=dict)
    pauses: Mapping[str, Pause] = field(default_factory=dict)
    occupants: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    targets: Mapping[str, NetnsTarget] = field(default_factory=dict)
    listeners: Mapping[str, tuple[Listener, ...]] = field(default_factory=dict)
    foreign_chains: Mapping[str, tuple[ForeignChain, ...]] = field(default_factory=lambda: {"forward": ()})
    firewalld: Mapping[str, Zones | None] = field(default_factory=dict)
    zone_is_kept: bool = False
    root_obstacles: Mapping[str, str | None] = field(default_factory=dict)
    debris: Debris = Debris()

    def uplink(self, version: int) -> str | None:
        """The link that the best default route of this IP version leads to."""
        return next((name for network, name in self.routes if network.version == version and not network.prefixlen), None)

    @property
    def default_mtu(self) -> int:
        """That of the default route, v4 first."""
        link = self.links.get(self.uplink(4) or self.uplink(6) or "")
        return 1500 if link is None else link.mtu

    def ports_of(self, bridge: str) -> list[Link]:
        return [link for link in self.links.values() if link.master == bridge]
