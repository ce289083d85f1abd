# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sandboxes by id and by what they claim: those on record, and the same as planned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Protocol

from .._spec.sandbox import Sandbox


class Registry(Protocol):
    """By id. Going through all of them reads every record; asking who holds something does not."""

    def __getitem__(self, key: str) -> Sandbox: ...

    def __iter__(self) -> Iterator[str]: ...

    def __len__(self) -> int: ...

    def __contains__(self, key: object) -> bool: ...

    def get(self, key: str) -> Sandbox | None: ...

    def values(self) -> Iterable[Sandbox]: ...

    def holders(self, claim: str) -> Iterable[str]:
        """The ids of those that make this claim; see claims.py."""


class Known(dict[str, Sandbox]):
    """Sandboxes that are known by heart."""

    def __init__(self, sandboxes: Mapping[str, Sandbox] | None = None) -> None:
        super().__init__(sandboxes or {})
        self._holders: dict[str, dict[str, None]] = {}
        for key, sandbox in self.items():
            for claim in sandbox.claims():
                self._holders.setdefault(claim, {})[key] = None

    def holders(self, claim: str) -> list[str]:
        return list(self._holders.get(claim, ()))


class Planned(MutableMapping[str, Sandbox]):
    """What is on record, and over it what the plan changes."""

    def __init__(self, recorded: Registry) -> None:
        self._recorded = recorded
        self._new: dict[str, Sandbox | None] = {}
        self._holders: dict[str, dict[str, None]] = {}

    @property
    def changed(self) -> list[str]:
        """The ids of those that are not any more, or not yet, what is on record."""
        return list(self._new)

    def holders(self, claim: str) -> list[str]:
        kept = [key for key in self._recorded.holders(claim) if key not in self._new]
        return kept + list(self._holders.get(claim, ()))

    def __getitem__(self, key: str) -> Sandbox:
        if key not in self._new:
            return self._recorded[key]
        sandbox = self._new[key]
        if sandbox is None:
            raise KeyError(key)
        return sandbox

    def __setitem__(self, key: str, sandbox: Sandbox) -> None:
        self._withdraw(key)
        if self._recorded.get(key) == sandbox:
            self._new.pop(key, None)
            return
        self._new[key] = sandbox
        for claim in sandbox.claims():
            self._holders.setdefault(claim, {})[key] = None

    def __delitem__(self, key: str) -> None:
        self._withdraw(key)
        self._new[key] = None

    def __contains__(self, key: object) -> bool:
        return self._new[key] is not None if key in self._new else key in self._recorded

    def __iter__(self) -> Iterator[str]:
        yield from (key for key in self._recorded if self._new.get(key, "") is not None)
        yield from (key for key, sandbox in self._new.items() if sandbox is not None and key not in self._recorded)

    def __len__(self) -> int:
        return sum(1 for _key in self)

    def _withdraw(self, key: str) -> None:
        sandbox = self._new.get(key)
        for claim in sandbox.claims() if sandbox is not None else ():
            self._holders[claim].pop(key, None)
