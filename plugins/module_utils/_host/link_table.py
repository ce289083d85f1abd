# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The links of a network namespace by name, read on access."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from .._plan.observed import Link
from .links import Links, link_of
from .messages import LOOPBACK_IFINDEX

_ONE_BY_ONE = 24
"""From this number of links on, a dump of all links takes less time than single requests."""


class Table(Mapping[str, Link]):
    """The links of the namespace by name. A few are read by single requests, many by one dump.

    ``expected``: the number of links that will be read, if known.
    """

    def __init__(self, links: Links, expected: int = 0) -> None:
        self._links = links
        self._one_by_one = _ONE_BY_ONE if expected < _ONE_BY_ONE else 0
        self._known: dict[str, Link | None] = {}
        self._names = {0: ""}
        self._whole = False
        self._addresses: dict[int, list[str]] = {}
        for index, address in links.addresses():
            self._addresses.setdefault(index, []).append(address)

    @property
    def addresses(self) -> Iterator[tuple[str, str]]:
        """Name of the link and address/length of every address but link-local ones."""
        return ((self.name_of(index), address) for index, addresses in self._addresses.items() for address in addresses)

    def name_of(self, index: int) -> str:
        """Return an empty string if there is no such link."""
        if index not in self._names:
            found = self._links.one(index=index)
            self._names[index] = "" if found is None else found.shown
        return self._names[index]

    def __getitem__(self, name: str) -> Link:
        if name not in self._known and not self._whole:
            if len(self._known) < self._one_by_one and self._loopback_is_lo:
                self._known[name] = self._read(name)
            else:
                self._read_all()
        link = self._known.get(name)
        if link is None:
            raise KeyError(name)
        return link

    def __iter__(self) -> Iterator[str]:
        if not self._whole and self._loopback_is_lo:
            return iter(self._listed)
        self._read_all()
        return (name for name, link in self._known.items() if link is not None)

    def __len__(self) -> int:
        return sum(1 for _name in self)

    @cached_property
    def _listed(self) -> list[str]:
        """Here the kernel lists names much faster than as netlink messages (proc_pid_net(5))."""
        with open("/proc/thread-self/net/dev", encoding="utf-8", errors="surrogateescape") as file:
            return [line.split(":", 1)[0].strip() for line in file][2:]

    @cached_property
    def _loopback_is_lo(self) -> bool:
        found = self._links.one(index=LOOPBACK_IFINDEX)
        return found is not None and found.name == "lo"

    def _read(self, name: str) -> Link | None:
        found = self._links.one(name)
        if found is None:
            return None
        names = {index: self.name_of(index) for index in (found.ifindex, found.master)}
        stations = [mac for _index, mac in self._links.stations(found.ifindex)] if found.master else ()
        return link_of(found, names, self._addresses.get(found.ifindex, ()), stations)

    def _read_all(self) -> None:
        if not self._whole:
            self._known = dict(self._links.all())
            self._whole = True
