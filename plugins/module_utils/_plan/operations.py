# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Operations: each is data that says one change of the machine, and which operations take it back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

from .._spec.fields import IPAddress
from .._spec.policy import Policy
from .books import Held
from .observed import Flow, Link, Parts, Ruleset


class Phase(IntEnum):
    """The order of a run. What happens in MARK and DESTROY cannot be taken back, nor can anything behind it.

    NAMESPACES of new sandboxes come early: at each mount systemd reads all there are, 30 ms where there are thousands of them,
    and answers nobody before. When it is asked for the pauses' scopes, at the end of BUILD, that is over.
    """

    RECORD = 1
    LEASE = 2
    QUIESCE = 3
    NAMESPACES = 4
    RULES = 5
    HOST = 6
    BUILD = 7
    MARK = 8
    DESTROY = 9
    FORGET = 10

    @property
    def commits(self) -> bool:
        return self in (Phase.MARK, Phase.DESTROY)


@dataclass(frozen=True)
class Operation:
    """One change."""

    def inverse(self) -> tuple[Operation, ...]:
        """What undoes it, in order; nothing for what cannot be undone."""
        return ()


@dataclass(frozen=True)
class WriteRecord(Operation):
    """The desired state of one object; ``persistent`` records survive a reboot."""

    kind: str
    key: str
    record: Mapping[str, Any] = field(hash=False)
    previous: Mapping[str, Any] | None = field(default=None, hash=False)

    def inverse(self) -> tuple[Operation, ...]:
        if self.previous is None:
            return (DeleteRecord(self.kind, self.key),)
        return (WriteRecord(self.kind, self.key, self.previous),)


@dataclass(frozen=True)
class DeleteRecord(Operation):
    kind: str
    key: str


@dataclass(frozen=True)
class TakeLease(Operation):
    """``pool``: the key of its books. ``previous``: the owner whom this run removes, where the lease is handed over."""

    pool: str
    held: Held
    owner: str
    previous: str | None = None

    def inverse(self) -> tuple[Operation, ...]:
        if self.previous is not None:
            return (TakeLease(self.pool, self.held, self.previous, self.owner),)
        return (ReleaseLease(self.pool, self.held, self.owner),)


@dataclass(frozen=True)
class ReleaseLease(Operation):
    pool: str
    held: Held
    owner: str

    def inverse(self) -> tuple[Operation, ...]:
        return (TakeLease(self.pool, self.held, self.owner),)


@dataclass(frozen=True)
class Relist(Operation):
    """What an owner holds, written down anew after it got lost."""

    pool: str
    owner: str
    held: tuple[Held, ...]


@dataclass(frozen=True)
class SetCursor(Operation):
    """Where sequential leasing goes on; ``key``: see cursor_key()."""

    pool: str
    key: str
    address: IPAddress | None
    previous: IPAddress | None

    def inverse(self) -> tuple[Operation, ...]:
        return (SetCursor(self.pool, self.key, self.previous, self.address),)


@dataclass(frozen=True)
class ForgetPool(Operation):
    """Remove the (empty) books of a network that is gone."""

    pool: str


@dataclass(frozen=True)
class WriteFile(Operation):
    path: str
    content: str
    previous: str | None = None

    def inverse(self) -> tuple[Operation, ...]:
        return (RemoveFile(self.path),) if self.previous is None else (WriteFile(self.path, self.previous),)


@dataclass(frozen=True)
class RemoveFile(Operation):
    path: str


@dataclass(frozen=True)
class SetSysctl(Operation):
    """``where``: a sandbox's id, or None for the host. ``previous`` None: of an interface that is made in the same plan."""

    where: str | None
    name: str
    value: str
    previous: str | None

    def inverse(self) -> tuple[Operation, ...]:
        return () if self.previous is None else (SetSysctl(self.where, self.name, self.previous, self.value),)


@dataclass(frozen=True)
class CreateBridge(Operation):
    name: str
    mac: str
    mtu: int

    def inverse(self) -> tuple[Operation, ...]:
        return (DeleteLink(self.name),)


@dataclass(frozen=True)
class DeleteLink(Operation):
    """``index``: tells a link that has taken the name of another."""

    name: str
    where: str | None = None
    index: int = 0


@dataclass(frozen=True)
class SetLink(Operation):
    """Settings of a link: any of up, mtu, mac, alias, master, isolated, hairpin, learning, flood, name."""

    where: str | None
    name: str
    settings: tuple[tuple[str, Any], ...]
    previous: tuple[tuple[str, Any], ...]

    def inverse(self) -> tuple[Operation, ...]:
        return (SetLink(self.where, dict(self.settings).get("name", self.name), self.previous, self.settings),)


def set_link(where: str | None, link: Link, settings: Mapping[str, Any]) -> list[Operation]:
    """The one SetLink that brings these settings about, or nothing where they are so already."""
    changed = [(key, value) for key, value in settings.items() if getattr(link, key) != value]
    if not changed:
        return []
    return [SetLink(where, link.name, tuple(changed), tuple((key, getattr(link, key)) for key, _value in changed))]


@dataclass(frozen=True)
class SetStation(Operation):
    """Tell a bridge for good whether a MAC is behind one of its ports; fine where that is no port any more, and it is not."""

    port: str
    mac: str
    known: bool

    def inverse(self) -> tuple[Operation, ...]:
        return (replace(self, known=not self.known),)


@dataclass(frozen=True)
class AddAddress(Operation):
    where: str | None
    link: str
    address: str

    def inverse(self) -> tuple[Operation, ...]:
        return (RemoveAddress(self.where, self.link, self.address),)


@dataclass(frozen=True)
class RemoveAddress(Operation):
    where: str | None
    link: str
    address: str

    def inverse(self) -> tuple[Operation, ...]:
        return (AddAddress(self.where, self.link, self.address),)


@dataclass(frozen=True)
class AddRoute(Operation):
    where: str | None
    destination: str
    gateway: str | None
    link: str

    def inverse(self) -> tuple[Operation, ...]:
        return (RemoveRoute(self.where, self.destination, self.gateway, self.link),)


@dataclass(frozen=True)
class RemoveRoute(Operation):
    """``odd``: as in Route; such a route is somebody's trick, and is not put back."""

    where: str | None
    destination: str
    gateway: str | None
    link: str
    odd: tuple[int, int, int] | None = None

    def inverse(self) -> tuple[Operation, ...]:
        return () if self.odd else (AddRoute(self.where, self.destination, self.gateway, self.link),)


@dataclass(frozen=True)
class CreateVeth(Operation):
    """The sandbox's interface, born in its namespace with the peer born on the host."""

    where: str
    interface: str
    mac: str
    mtu: int
    peer: str
    peer_mac: str

    def inverse(self) -> tuple[Operation, ...]:
        return (DeleteLink(self.peer),)


@dataclass(frozen=True)
class DeleteVeth(Operation):
    """``restore``: what builds the pair as it was."""

    peer: str
    restore: tuple[Operation, ...] = ()

    def inverse(self) -> tuple[Operation, ...]:
        return self.restore


@dataclass(frozen=True)
class DeleteVeths(Operation):
    """Many at once, for good: the kernel waits for all of them together, and not for one after the other."""

    peers: tuple[str, ...]


@dataclass(frozen=True)
class LoadRules(Operation):
    """Make our nftables tables what they are to be, in one transaction; an empty frame removes them."""

    ruleset: Ruleset
    previous: Ruleset

    def inverse(self) -> tuple[Operation, ...]:
        return (LoadRules(self.previous, self.ruleset),)


@dataclass(frozen=True)
class ChangeRules(Operation):
    """Make parts of our tables what they are to be, in one transaction; both hold those only that differ."""

    parts: Parts = field(hash=False)
    previous: Parts = field(hash=False)

    def inverse(self) -> tuple[Operation, ...]:
        return (ChangeRules(self.previous, self.parts),)


@dataclass(frozen=True)
class Cut:
    """Connections of one sandbox from these addresses that one of these groups of policies does not allow.

    ``servers``: its resolvers.
    """

    sandbox: str
    senders: tuple[IPAddress, ...]
    policies: tuple[tuple[Policy, ...], ...]
    servers: tuple[IPAddress, ...]


@dataclass(frozen=True)
class NoteFlows(Operation):
    """Write down what is to be forgotten behind the rules' next change, and of which sandboxes connections are to be cut.

    ``back``: what is to be forgotten should that change be undone.
    """

    flows: tuple[Flow, ...]
    back: tuple[Flow, ...]
    sandboxes: tuple[str, ...] = ()

    def inverse(self) -> tuple[Operation, ...]:
        return (FlushConntrack(self.back),)


@dataclass(frozen=True)
class FlushConntrack(Operation):
    """Make the kernel forget flows, so that their next packet meets the rules as they are now; and the note of them.

    What is allowed, and was forgotten all the same, is tracked again with its next packet. ``addresses``: those that somebody
    else had before, of whom nothing may be left.
    """

    flows: tuple[Flow, ...]
    cuts: tuple[Cut, ...] = ()
    addresses: tuple[IPAddress, ...] = ()


@dataclass(frozen=True)
class SetForward(Operation):
    """Whether there is one accept of ours in the chain that a firewall of somebody else offers for it."""

    tool: str
    chain: str
    allowed: bool

    def inverse(self) -> tuple[Operation, ...]:
        return (replace(self, allowed=not self.allowed),)


@dataclass(frozen=True)
class BindZone(Operation):
    """Put interfaces into our zone of firewalld, which goes with the last of them, and take others out."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    last: bool = False

    def inverse(self) -> tuple[Operation, ...]:
        return (BindZone(self.removed, self.added, last=not self.removed),)


@dataclass(frozen=True)
class CreateNamespaces(Operation):
    """New namespaces, furnished with hostname and sysctls before the pin lets anybody in."""

    where: str
    kinds: tuple[str, ...]
    hostname: str
    sysctls: tuple[tuple[str, str], ...]

    def inverse(self) -> tuple[Operation, ...]:
        return (RemovePins(self.where, self.kinds),)


@dataclass(frozen=True)
class PinNamespace(Operation):
    """Bind an existing namespace (of a process, or at a path) to our own name for it."""

    where: str
    kind: str
    source: str

    def inverse(self) -> tuple[Operation, ...]:
        return (RemovePins(self.where, (self.kind,)),)


@dataclass(frozen=True)
class RemovePins(Operation):
    """Unpin; a namespace that nothing else holds is gone with that."""

    where: str
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class SetHostname(Operation):
    where: str
    hostname: str
    previous: str

    def inverse(self) -> tuple[Operation, ...]:
        return (SetHostname(self.where, self.previous, self.hostname),)


@dataclass(frozen=True)
class StartPause(Operation):
    where: str
    name: str
    kinds: tuple[str, ...]
    new_pid_namespace: bool

    def inverse(self) -> tuple[Operation, ...]:
        return (StopPause(self.where, 0.0),)


@dataclass(frozen=True)
class StartPauses(Operation):
    """Many at once, which become pauses while others are started."""

    pauses: tuple[StartPause, ...]

    def inverse(self) -> tuple[Operation, ...]:
        return tuple(inverse for pause in self.pauses for inverse in pause.inverse())


@dataclass(frozen=True)
class StopPause(Operation):
    where: str
    timeout: float


@dataclass(frozen=True)
class EndProcesses(Operation):
    """TERM, ``timeout`` seconds, KILL, for every process in the sandbox's own namespaces."""

    where: str
    timeout: float


@dataclass(frozen=True)
class FurnishRootfs(Operation):
    """Give a container root our resolv.conf; what was there is kept for RestoreRootfs."""

    where: str
    root: str
    content: str
    previous: str | None

    def inverse(self) -> tuple[Operation, ...]:
        if self.previous is None:
            return (RestoreRootfs(self.where, self.root, None),)
        return (FurnishRootfs(self.where, self.root, self.previous, self.content),)


@dataclass(frozen=True)
class RestoreRootfs(Operation):
    where: str
    root: str
    content: str | None

    def inverse(self) -> tuple[Operation, ...]:
        return () if self.content is None else (FurnishRootfs(self.where, self.root, self.content, None),)


@dataclass(frozen=True)
class MakeRuntime(Operation):
    """The sandbox's directory below /run with the files other programs read; ``fresh``: there was none."""

    where: str
    name: str
    ns_name: str
    fresh: bool

    def inverse(self) -> tuple[Operation, ...]:
        return (RemoveRuntime(self.where, self.ns_name),) if self.fresh else ()


@dataclass(frozen=True)
class SaveState(Operation):
    """state.json: what is, beside the record of what is wanted."""

    where: str
    fields: tuple[tuple[str, Any], ...]
    previous: tuple[tuple[str, Any], ...] | None

    def inverse(self) -> tuple[Operation, ...]:
        return () if self.previous is None else (SaveState(self.where, self.previous, self.fields),)


@dataclass(frozen=True)
class RemoveRuntime(Operation):
    """The sandbox's directories below /run and /etc/netns."""

    where: str
    ns_name: str


@dataclass(frozen=True)
class RemoveOrphan(Operation):
    """A namespace file or a directory of ours that belongs to no record."""

    path: str
