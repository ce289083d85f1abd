# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The leases of one pool: as they are on disk, and as they will be when the plan is carried out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol, Union

from .._spec.fields import ADDRESSES, IPAddress, IPNetwork

Held = Union[IPAddress, IPNetwork]
"""What can be leased: an address, or a block of them."""


class Shelf(Protocol):
    """The leases of one pool on disk. What costs a walk through all of them is asked for only where it must be."""

    def owner_of(self, held: Held) -> str | None: ...

    def held_by(self, owner: str) -> Collection[Held]: ...

    def blocks(self) -> Collection[IPNetwork]: ...

    def addresses(self) -> Collection[IPAddress]:
        """Every leased address: a walk."""

    def everything(self) -> Mapping[Held, str]:
        """Every lease and its owner: a walk that opens every file."""

    def cursor(self, key: str) -> IPAddress | None:
        """The last address leased, per IP version and block size; see cursor_key()."""


class Listing:
    """A shelf that is known by heart."""

    def __init__(self, leases: Mapping[Held, str] | None = None, cursors: Mapping[str, IPAddress] | None = None) -> None:
        self._leases = dict(leases or {})
        self._cursors = dict(cursors or {})

    def owner_of(self, held: Held) -> str | None:
        return self._leases.get(held)

    def held_by(self, owner: str) -> list[Held]:
        return [held for held, holder in self._leases.items() if holder == owner]

    def blocks(self) -> list[IPNetwork]:
        return blocks_of(self._leases)

    def addresses(self) -> list[IPAddress]:
        return addresses_of(self._leases)

    def everything(self) -> dict[Held, str]:
        return dict(self._leases)

    def cursor(self, key: str) -> IPAddress | None:
        return self._cursors.get(key)


class Book:
    """A shelf, and what the plan adds to it and takes away."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._changes: dict[Held, str | None] = {}
        self._gained: dict[str, dict[Held, None]] = {}
        self._new_blocks: dict[IPNetwork, None] = {}
        self.cursors: dict[str, IPAddress] = {}

    def owner_of(self, held: Held) -> str | None:
        return self._changes[held] if held in self._changes else self._shelf.owner_of(held)

    def owner_before(self, held: Held) -> str | None:
        """Who has it on disk."""
        return self._shelf.owner_of(held)

    def held_by(self, owner: str) -> list[Held]:
        kept = [held for held in self._shelf.held_by(owner) if held not in self._changes]
        return kept + list(self._gained.get(owner, ()))

    def blocks(self) -> list[IPNetwork]:
        kept = [block for block in self._shelf.blocks() if block not in self._changes]
        return kept + list(self._new_blocks)

    def addresses(self) -> list[IPAddress]:
        kept = [address for address in self._shelf.addresses() if address not in self._changes]
        return kept + addresses_of(held for held, holder in self._changes.items() if holder is not None)

    def everything(self) -> dict[Held, str]:
        now = {**self._shelf.everything(), **self._changes}
        return {held: owner for held, owner in now.items() if owner is not None}

    def cursor(self, key: str) -> IPAddress | None:
        return self.cursors.get(key) or self._shelf.cursor(key)

    def cursor_before(self, key: str) -> IPAddress | None:
        return self._shelf.cursor(key)

    def set(self, held: Held, owner: str | None) -> None:
        """From now on it is this owner's, or nobody's."""
        before = self._changes.get(held)
        if before is not None:
            del self._gained[before][held]
        self._changes[held] = owner
        if owner is not None:
            self._gained.setdefault(owner, {})[held] = None
        if not isinstance(held, ADDRESSES):
            self._new_blocks.pop(held, None)
            self._new_blocks.update({held: None} if owner is not None else {})


def cursor_key(version: int, prefix_length: int | None = None) -> str:
    return str(version) if prefix_length is None else f"{version}-{prefix_length}"


def blocks_of(held: Iterable[Held]) -> list[IPNetwork]:
    return [item for item in held if not isinstance(item, ADDRESSES)]


def addresses_of(held: Iterable[Held]) -> list[IPAddress]:
    return [item for item in held if isinstance(item, ADDRESSES)]
