# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our nftables tables: listed where they may have changed, replaced or amended in one transaction."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from functools import cache, cached_property
from typing import Any

from .._errors import KernelError, KernelUnsupported, MissingDependency, NotOurs, StateCorrupt
from .._plan import script
from .._plan.observed import Parts, Ruleset
from .._plan.ruleset import COMMENT, FAMILIES, NAME, parsed
from .._spec.fields import IPAddress
from .._store import files, paths
from . import namespaces, nf_tables, programs

OLDEST = (1, 0, 2)

_NOTE = f"{paths.RUN}/rules.json"
_KEYS = {"boot_id", "netns", "generation", "records", "resolvers", "nft", "frame", "canonical"}


class Tables:
    """What one run sees and makes of them.

    Listing thousands of elements takes longer than adding one. The kernel counts the transactions of each network namespace
    (NFT_MSG_GETGEN); a run that ends well writes down at which count the tables were what the records mean. As long as
    neither the count nor the records have changed, there is nothing to list.
    """

    def __init__(self, boot_id: str) -> None:
        self._boot_id = boot_id
        self._seen_at: int | None = None
        self._resolvers: list[str] = []
        self._commits = 0
        self._wanted: tuple[str, str] | None = None

    def seen(self, signature: int, resolvers: Sequence[IPAddress]) -> Ruleset:
        """What is loaded; ``signature`` is that of the records, ``resolvers`` are the host's.

        Raises NotOurs for a foreign table of our name.
        """
        self._seen_at, self._commits = nf_tables.generation(), 0
        self._resolvers = [str(address) for address in resolvers]
        same = {"generation": self._seen_at, "records": signature, "resolvers": self._resolvers}
        if self._seen_at is not None and same.items() <= self._note.items():
            return Ruleset(self._note["canonical"], None)
        return _listed()

    @cached_property
    def _note(self) -> dict[str, Any]:
        """Empty where there is none that holds for this boot and namespace."""
        with contextlib.suppress(StateCorrupt):
            note = files.read_json(_NOTE) or {}
            whole = note.keys() == _KEYS and isinstance(note["frame"], str) and isinstance(note["canonical"], str)
            if whole and note["boot_id"] == self._boot_id and note["netns"] and note["netns"] == nf_tables.namespace_cookie():
                return note
        return {}

    def canonical(self, ruleset: Ruleset) -> Ruleset:
        """As this nft lists it on this kernel, found out in an empty network namespace."""
        frame, parts = ruleset.frame, ruleset.parts or {}
        if self._wanted is None or self._wanted[0] != frame:
            known = self._note.get("frame") == frame and self._note.get("nft") == _nft_file()
            self._wanted = frame, self._note["canonical"] if known else _as_listed(Ruleset(frame)).frame if frame else ""
        chains = {block: lines for block, lines in parts.items() if isinstance(lines, tuple)}
        if not any(chains.values()) or not frame:
            return Ruleset(self._wanted[1], parts)
        # What chains refer to has to be there; what is in it does not matter.
        empty = {block: frozenset[str]() for block, items in parts.items() if isinstance(items, frozenset)}
        listed = _as_listed(Ruleset(frame, {**empty, **chains})).parts or {}
        return Ruleset(self._wanted[1], {**parts, **{block: listed[block] for block in chains}})

    def load(self, ruleset: Ruleset, previous: Ruleset) -> None:
        """Make our tables this, or remove them where the frame is empty."""
        self._commits += 1
        if ruleset.frame and script.is_alike(ruleset, previous):
            try:
                _commit(script.over(ruleset, previous))
            except KernelError:
                # Somebody has made them otherwise.
                _commit(script.anew(ruleset))
        else:
            _commit(script.anew(ruleset))

    def change(self, parts: Parts, previous: Parts) -> None:
        _commit(script.between(previous, parts))
        self._commits += 1

    @staticmethod
    def counters() -> dict[str, int]:
        """Packets, by the name of each counter of our tables; asked of the kernel, since nft reads all sets before it answers."""
        return nf_tables.counters(NAME)

    def remember(self, signature: int) -> None:
        """Note that the tables are what the records of this signature mean, if nobody else has touched any since."""
        if self._wanted is None or self._seen_at is None:
            return
        frame, canonical = self._wanted
        count = self._seen_at + self._commits
        if not frame or count != nf_tables.generation():
            files.remove(_NOTE)
            return
        note = {
            "generation": count,
            "records": signature,
            "resolvers": self._resolvers,
            "nft": _nft_file(),
            "frame": frame,
            "canonical": canonical,
        }
        if note != {key: self._note.get(key) for key in note}:
            files.write_json(_NOTE, {**note, "boot_id": self._boot_id, "netns": nf_tables.namespace_cookie()})


def _listed() -> Ruleset:
    found = _list(FAMILIES)
    if found is None:
        # Not all of them are there.
        found = "".join(_list((family,)) or "" for family in FAMILIES)
    for table in found.split("\ntable "):
        if table.strip() and f'comment "{COMMENT}"' not in table:
            family = table.removeprefix("table ").split()[0]
            raise NotOurs(f"the nftables table {family} {NAME} was not made by podnet.linux; rename or delete it")
    return parsed(found)


def _as_listed(ruleset: Ruleset) -> Ruleset:
    def load_and_list() -> None:
        _commit(script.anew(ruleset))
        found.append(_listed())

    found: list[Ruleset] = []
    for fd in namespaces.create(("net",), load_and_list).values():
        os.close(fd)
    return found[0]


def _commit(text: str) -> None:
    """One transaction, all or nothing."""
    result = programs.run([_nft(), "--file", "-"], text)
    if result.returncode:
        raise KernelError(f"nft refuses the ruleset: {_first_line(result.stderr)}")


def _list(families: Sequence[str]) -> str | None:
    """None where one of the tables is missing."""
    argv = [_nft(), "--stateless", "--numeric-protocol", "--file", "-"]
    result = programs.run(argv, "".join(f"list table {family} {NAME}\n" for family in families))
    if not result.returncode:
        return result.stdout
    if "No such file" in result.stderr:
        return None
    if "not supported" in result.stderr:
        raise KernelUnsupported("this kernel has no nf_tables for the families inet and bridge; load the modules, or use one that has")
    raise KernelError(f"nft cannot list the tables {NAME}: {_first_line(result.stderr)}")


@cache
def _nft() -> str:
    path = programs.required("nft", "nftables")
    found = re.search(r"v(\d+)\.(\d+)\.(\d+)", programs.run([path, "--version"]).stdout)
    version = tuple(int(part) for part in found.groups()) if found else (0, 0, 0)
    if version < OLDEST:
        text = ".".join(str(part) for part in version)
        raise MissingDependency(f"{path} is version {text}: install nftables {'.'.join(str(part) for part in OLDEST)} or newer")
    return path


def _nft_file() -> list[int]:
    """What changes when another nft is installed, which may list the same otherwise."""
    status = os.stat(programs.required("nft", "nftables"))
    return [status.st_mtime_ns, status.st_size]


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")
