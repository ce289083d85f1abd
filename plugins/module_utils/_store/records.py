# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records: what is wanted, one JSON file per object, with a schema version and the boot it was written in."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from operator import itemgetter
from typing import Any

from .._errors import PodnetError, StateCorrupt
from .._spec.network import Network
from .._spec.pool import Pool, pool_key
from .._spec.sandbox import Sandbox
from . import files, index, leases, paths
from .index import Index

SCHEMA = 2

MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    # Nothing was bound by policies.
    1: lambda record: {**record, "policies": []},
}
"""By the schema that it reads: makes of a record the one of the next schema."""

_PLURAL = {"network": "networks", "sandbox": "sandboxes"}

Version = tuple[int, int, int]
"""Inode, bytes, and nanoseconds of the last change of a file (st_ctime, which no copying tool sets back)."""


class Records:
    """The records of networks and sandboxes. A file is read when it is asked for, and again when it was written anew."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[Version, Any]] = {}
        self._signature: int | None = None
        self._index: Index | None = None
        self._saved: int | None = None
        self._written: set[str] = set()

    @cached_property
    def _files(self) -> dict[str, dict[str, tuple[str, Version]]]:
        """By kind and key."""
        return {kind: _files(kind) for kind in _PLURAL}

    @property
    def signature(self) -> int:
        """What changes with any of them."""
        if self._signature is None:
            self._signature = hash(tuple(sorted(version for known in self._files.values() for _path, version in known.values())))
        return self._signature

    def networks(self) -> dict[str, Network]:
        """By name. Raises StateCorrupt naming the file that cannot be understood."""
        return {key: self._one("network", key, Network.from_record) for key in self._files["network"]}

    def sandboxes(self) -> Sandboxes:
        """Raises StateCorrupt."""
        return Sandboxes(dict(self._files["sandbox"]), self.sandbox, self._current_index())

    def sandbox(self, key: str) -> Sandbox:
        """Raises KeyError where there is none, and StateCorrupt."""
        sandbox: Sandbox = self._one("sandbox", key, Sandbox.from_record)
        return sandbox

    def set_aside(self, kind: str, key: str) -> None:
        """Go on as if there were no such record, and leave the file as it is."""
        self._files[kind].pop(key, None)
        self._signature = self._index = None

    def unreadable(self) -> dict[tuple[str, str], PodnetError]:
        """Kind and key of the records that cannot be understood, and why: reads all of them."""
        found: dict[tuple[str, str], PodnetError] = {}
        for kind, parse in (("network", Network.from_record), ("sandbox", Sandbox.from_record)):
            for key in self._files[kind]:
                try:
                    self._one(kind, key, parse)
                except PodnetError as error:
                    found[kind, key] = error
        return found

    def write(self, kind: str, key: str, record: Mapping[str, Any], boot_id: str) -> None:
        """Those that are not persistent go below /run, and never lie in both places."""
        places = _paths(kind, key)
        kept = places[0] if record.get("persistent", True) else places[-1]
        files.write_json_line(kept, {**record, "schema": SCHEMA, "boot_id": boot_id})
        for other in places:
            if other != kept:
                files.remove(other)
        self._look_again(kind, key)

    def delete(self, kind: str, key: str) -> None:
        for path in _paths(kind, key):
            files.remove(path)
        self._look_again(kind, key)

    def save_index(self) -> None:
        """For the next run, where this one has asked for sandboxes."""
        if self._index is None:
            return
        current = self._current_index()
        if self._saved != self.signature:
            index.save(self.signature, current)
            self._saved = self.signature

    def _look_again(self, kind: str, key: str) -> None:
        if kind not in _PLURAL:
            return
        found = [(path, _version(os.lstat(path))) for path in _paths(kind, key) if os.path.lexists(path)]
        self._files[kind].pop(key, None)
        if found:
            self._files[kind][key] = found[-1]
        self._signature = None
        if kind == "sandbox":
            self._written.add(key)

    def _current_index(self) -> Index:
        known = self._files["sandbox"]
        if self._index is None:
            self._index = index.load(self.signature) if not self._written else None
            self._saved = None if self._index is None else self.signature
            if self._index is None:
                self._index = Index().amended(known, self._claims, ())
        elif self._written:
            self._index = self._index.amended([key for key in self._written if key in known], self._claims, self._written)
        self._written.clear()
        return self._index

    def _claims(self, key: str) -> Iterator[str]:
        return self.sandbox(key).claims()

    def _one(self, kind: str, key: str, parse: Callable[[Mapping[str, Any]], Any]) -> Any:
        path, version = self._files[kind][key]
        known = self._read.get(path)
        if known is None or known[0] != version:
            known = self._read[path] = version, _parsed(path, key, parse)
        return known[1]


class Sandboxes(Mapping[str, Sandbox]):
    """By id, those that a reboot forgets included; found by what they claim without reading their records.

    Raises StateCorrupt naming the file that cannot be understood.
    """

    def __init__(self, known: Mapping[str, object], load: Callable[[str], Sandbox], index: Index) -> None:
        self._known = known
        self._load = load
        self._index = index

    def holders(self, claim: str) -> list[str]:
        return self._index.holders(claim)

    def __getitem__(self, key: str) -> Sandbox:
        if key not in self._known:
            raise KeyError(key)
        return self._load(key)

    def __contains__(self, key: object) -> bool:
        return key in self._known

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


def load_pool(name: str) -> Pool | None:
    """None where it was never used. Raises StateCorrupt, also where there are leases and no record of what they are of."""
    (path,) = _paths("pool", name)
    if os.path.lexists(path):
        pool: Pool = _parsed(path, name, Pool.from_record)
        return pool
    if leases.Shelf(pool_key(name)).everything():
        raise StateCorrupt(f"{path} is missing, and the pool has leases; restore it, or remove {os.path.dirname(path)} if nobody uses them")
    return None


def _paths(kind: str, key: str) -> tuple[str, ...]:
    """Where it may lie: what outlives a reboot, and what does not."""
    if kind == "pool":
        return (f"{leases.directory(pool_key(key))}/{leases.RECORD}",)
    return tuple(f"{root}/{_PLURAL[kind]}/{key}.json" for root in (paths.LIB, paths.VOLATILE))


def _files(kind: str) -> dict[str, tuple[str, Version]]:
    """Path and version of every record, by key."""
    found = []
    for root in (paths.LIB, paths.VOLATILE):
        with contextlib.suppress(FileNotFoundError), os.scandir(f"{root}/{_PLURAL[kind]}") as entries:
            for entry in entries:
                if entry.name.endswith(".json") and not entry.name.startswith("."):
                    found.append((entry.name[:-5], (entry.path, _version(entry.stat(follow_symlinks=False)))))
    return dict(sorted(found, key=itemgetter(0)))


def _version(status: os.stat_result) -> Version:
    return status.st_ino, status.st_size, status.st_ctime_ns


def from_parts(path: str, kept: Mapping[str, Any], kind: str, parse: Callable[[Mapping[str, Any]], Any]) -> dict[str, Any]:
    """The records of one kind that a file with many of them holds, by key. Raises StateCorrupt."""
    records, schema = kept.get(kind), kept.get("schema")
    if not isinstance(records, dict):
        raise StateCorrupt(f"{path} does not hold whole records; take it anew")
    return {key: _understood(path, key, {**record, "schema": schema}, parse) for key, record in records.items()}


def _parsed(path: str, key: str, parse: Callable[[Mapping[str, Any]], Any]) -> Any:
    record = files.read_json(path)
    if record is None:
        raise StateCorrupt(f"{path} vanished while it was read; run again")
    return _understood(path, key, record, parse)


def _understood(path: str, key: str, record: dict[str, Any], parse: Callable[[Mapping[str, Any]], Any]) -> Any:
    schema = record.get("schema")
    if schema is None:
        raise StateCorrupt(f"{path} does not hold a whole record; restore it, or remove it if nothing depends on it")
    if not isinstance(schema, int) or not 1 <= schema <= SCHEMA:
        raise StateCorrupt(f"{path} has schema {schema!r} and this podnet.linux knows up to {SCHEMA}; use the newer release that wrote it")
    try:
        parsed = parse(_migrated(record, schema))
    except (PodnetError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise StateCorrupt(f"{path} does not hold a whole record ({error}); restore it, or remove it if nothing depends on it") from None
    if key != (parsed.id if isinstance(parsed, Sandbox) else parsed.name):
        raise StateCorrupt(f"{path} holds the record of {parsed.name}, not of {key}; restore it")
    return parsed


def _migrated(record: dict[str, Any], schema: int) -> dict[str, Any]:
    for step in range(schema, SCHEMA):
        record = MIGRATIONS[step](record)
    return record
