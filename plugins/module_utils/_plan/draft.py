# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan while it is made: objects are planned one after another against what the records will then say."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._errors import NotFound
from .._spec import claims
from .._spec.fields import ADDRESSES, IPAddress
from .._spec.network import Network
from .._spec.pool import Pool, pool_of_key
from .._spec.sandbox import Sandbox
from .books import Book, Held, Listing
from .observed import Link, Observed, Ruleset
from .operations import Operation, Phase, SetCursor
from .registry import Known, Planned
from .together import together

VETH = re.compile(r"vh\d*-([0-9a-f]{8})\Z")
"""The host ends of sandboxes' interfaces."""

UNKNOWN = "(known after apply)"


@dataclass(frozen=True)
class Change:
    """What one object was and becomes, in the shape of the module's return value."""

    kind: str
    name: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]

    def as_diff(self) -> dict[str, Any]:
        """Ansible's diff of what differs."""
        keys = [key for key in {**self.before, **self.after} if self.before.get(key) != self.after.get(key)]
        return {
            "before_header": f"{self.kind} {self.name}",
            "after_header": f"{self.kind} {self.name}",
            "before": {key: self.before[key] for key in keys if key in self.before},
            "after": {key: self.after[key] for key in keys if key in self.after},
        }


@dataclass(frozen=True)
class Plan:
    """Operations in the order of their phases, and what they mean to the user."""

    steps: tuple[tuple[Phase, Operation], ...]
    changes: tuple[Change, ...]
    warnings: tuple[str, ...]

    @property
    def operations(self) -> tuple[Operation, ...]:
        return tuple(operation for _phase, operation in self.steps)

    def changes_of(self, kind: str) -> dict[str, Change]:
        """By name."""
        return {change.name: change for change in self.changes if change.kind == kind}

    @property
    def changed(self) -> bool:
        """A run that is predicted to fail has changes and no steps."""
        return bool(self.steps or self.changes)


def _as_it_is(ruleset: Ruleset) -> Ruleset:
    return Ruleset(ruleset.frame.strip(), ruleset.parts)


@dataclass
class Draft:
    """Collects steps; ``networks``, ``sandboxes``, ``pools`` and ``books`` run ahead of ``observed``.

    ``fresh_id``: gives a new random id of 16 hexadecimal digits. ``random_below``: a random number from 0 to one less than
    what it is given. ``canonical``: tables as nft lists them once loaded. ``check``: a network that is still missing is a
    warning.
    """

    observed: Observed
    fresh_id: Callable[[], str]
    canonical: Callable[[Ruleset], Ruleset] = _as_it_is
    check: bool = False
    networks: dict[str, Network] = field(default_factory=dict)
    sandboxes: Planned = field(default_factory=lambda: Planned(Known()))
    pools: dict[str, Pool | None] = field(default_factory=dict)
    books: dict[str, Book] = field(default_factory=dict)
    random_below: Callable[[int], int] = secrets.randbelow
    leaving: set[str] = field(default_factory=set)
    ports: dict[str, int] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    steps: list[tuple[Phase, Operation]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    _veths: dict[str, list[str]] | None = None

    @classmethod
    def of(cls, observed: Observed, fresh_id: Callable[[], str], **settings: Any) -> Draft:
        return cls(
            observed,
            fresh_id,
            networks=dict(observed.networks),
            sandboxes=Planned(observed.sandboxes),
            **settings,
        )

    def add(self, phase: Phase, *operations: Operation) -> None:
        self.steps.extend((phase, operation) for operation in operations)

    def link(self, name: str) -> Link | None:
        """A link of the host, unless this plan deletes it."""
        return None if name in self.gone else self.observed.links.get(name)

    def veths(self, sandbox_id: str) -> list[Link]:
        """The host ends of a sandbox's interfaces, by their names; also those that no record names any more."""
        if self._veths is None:
            self._veths = {}
            for name in self.observed.links:
                match = VETH.match(name)
                if match:
                    self._veths.setdefault(match[1], []).append(name)
        links = (self.link(name) for name in self._veths.get(sandbox_id[:8], ()))
        return [link for link in links if link is not None]

    def users(self, network: str) -> list[Sandbox]:
        """The sandboxes on the network, those about to be removed included."""
        return [self.sandboxes[key] for key in self.sandboxes.holders(claims.network(network))]

    def concerned(self) -> list[str]:
        """The ids of the sandboxes that changed, or whose networks did."""
        before = self.observed.networks
        names = [name for name in {**self.networks, **before} if self.networks.get(name) != before.get(name)]
        followers = [key for name in names for key in self.sandboxes.holders(claims.network(name))]
        return list(dict.fromkeys((*self.sandboxes.changed, *followers)))

    def claimant(self, network: str, address: IPAddress) -> str | None:
        """The sandbox that stays and has the address by its record: its own, even where the lease got lost."""
        holders = self.observed.sandboxes.holders(claims.address(network, address))
        return next((key for key in holders if key not in self.leaving), None)

    def claimed(self, network: str) -> dict[IPAddress, str]:
        """All such addresses, and whose they are: a walk through the records."""
        seen = self.observed.sandboxes
        users = [seen[key] for key in seen.holders(claims.network(network)) if key not in self.leaving]
        return {address: user.id for user in users for item in user.attachments if item.network == network for address in item.addresses}

    def network(self, name: str) -> Network | None:
        """A declared network; None in check mode where it is still missing. Raises NotFound."""
        network = self.networks.get(name)
        if network is not None and not network.removing:
            return network
        self.missing(f"network: {name} is not declared on this host; declare it with podnet.linux.bridge_network first")
        return None

    def missing(self, text: str) -> None:
        """What an earlier task would have made, had it not been a dry run: a warning then, else NotFound."""
        if not self.check:
            raise NotFound(text)
        self.warn(text + " (a real run fails here)")

    def pool(self, key: str) -> Pool | None:
        """The pool of a network or a free-standing one, by the key of its books."""
        name = pool_of_key(key)
        if name is None:
            network = self.networks.get(key)
            return network.pool if network is not None else None
        if name not in self.pools:
            self.pools[name] = self.observed.pools.get(name)
        return self.pools[name]

    def book(self, key: str) -> Book:
        """The leases of a pool; see Pool.key."""
        if key not in self.books:
            self.books[key] = Book(self.observed.shelves.get(key) or Listing())
        return self.books[key]

    def holder(self, key: str, held: Held) -> str | None:
        """Who has the address or block, by lease or by record."""
        owner = self.book(key).owner_of(held)
        if owner is None and isinstance(held, ADDRESSES):
            owner = self.claimant(key, held)
        return owner

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def new_id(self) -> str:
        """An id whose first eight digits, which name links and namespaces, are free on this host."""
        while True:
            candidate = self.fresh_id()
            short = candidate[:8]
            if any(known[:8] == short for known in self.sandboxes) or any(net.id == candidate for net in self.networks.values()):
                continue
            if self.observed.pinned.get(f"psb-{short}") or f"vh-{short}" in self.observed.links:
                continue
            return candidate

    def finish(self) -> Plan:
        steps = [*self.steps, *((Phase.LEASE, operation) for operation in self._cursors())]
        return Plan(
            steps=tuple(together(sorted(steps, key=lambda step: step[0]))),
            changes=tuple(self.changes),
            warnings=tuple(self.warnings),
        )

    def _cursors(self) -> list[SetCursor]:
        """Once per pool, however many leases it gave."""
        return [
            SetCursor(key, cursor, address, book.cursor_before(cursor))
            for key, book in self.books.items()
            for cursor, address in book.cursors.items()
            if address != book.cursor_before(cursor)
        ]
