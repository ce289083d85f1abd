# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records: what is wanted, one JSON file per object, with a schema version and the boot it was written in."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import Any

from .._errors import PodnetError, StateCorrupt
from .._spec.network import Network
from .._spec.pool import Pool, pool_key
from .._spec.sandbox import Sandbox
from . import files, leases, paths

SCHEMA = 1

MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""By the schema that it reads: makes of a record the one of the next schema."""

_PLURAL = {"network": "networks", "sandbox": "sandboxes"}
_Version = tuple[int, int, int]
"""Inode, bytes, nanoseconds: every write makes a new file."""

_name = attrgetter("name")


class Records:
    """The records of networks and sandboxes. A file is read once, and again when it was replaced or written to."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[_Version, Any]] = {}

    def networks(self) -> dict[str, Network]:
        """By name. Raises StateCorrupt naming the file that cannot be understood."""
        return {network.name: network for network in self._load("network", Network.from_record)}

    def sandboxes(self) -> dict[str, Sandbox]:
        """By id; those that a reboot forgets included. Raises StateCorrupt."""
        return {sandbox.id: sandbox for sandbox in self._load("sandbox", Sandbox.from_record)}

    def signature(self) -> str:
        """What changes with any of them."""
        versions = sorted((path, version) for kind in _PLURAL for path, _key, version in _files(kind))
        return hashlib.sha256(repr(versions).encode()).hexdigest()

    def _load(self, kind: str, parse: Callable[[Mapping[str, Any]], Any]) -> list[Any]:
        found = []
        for path, key, version in _files(kind):
            if self._known.get(path, (None, None))[0] != version:
                self._known[path] = version, _parsed(path, key, parse)
            found.append(self._known[path][1])
        return found


def load_pool(name: str) -> Pool | None:
    """None where it was never used. Raises StateCorrupt, also where there are leases and no record of what they are of."""
    path = _path("pool", name, True)
    if os.path.lexists(path):
        pool: Pool = _parsed(path, name, Pool.from_record)
        return pool
    if leases.Shelf(pool_key(name)).everything():
        raise StateCorrupt(f"{path} is missing, and the pool has leases; restore it, or remove {os.path.dirname(path)} if nobody uses them")
    return None


def write(kind: str, key: str, record: Mapping[str, Any], boot_id: str) -> None:
    """Records that are not persistent go below /run, and never lie in both places."""
    kept, other = _path(kind, key, bool(record.get("persistent", True))), _path(kind, key, not record.get("persistent", True))
    files.write_json(kept, {**record, "schema": SCHEMA, "boot_id": boot_id})
    if other != kept:
        files.remove(other)


def delete(kind: str, key: str) -> None:
    for persistent in (True, False):
        files.remove(_path(kind, key, persistent))


def _path(kind: str, key: str, persistent: bool) -> str:
    if kind == "pool":
        return f"{leases.directory(pool_key(key))}/{leases.RECORD}"
    return f"{paths.LIB if persistent else paths.VOLATILE}/{_PLURAL[kind]}/{key}.json"


def _files(kind: str) -> Iterator[tuple[str, str, _Version]]:
    """Path, key and version of every record, sorted."""
    for root in (paths.LIB, paths.VOLATILE):
        try:
            with os.scandir(f"{root}/{_PLURAL[kind]}") as entries:
                found = sorted((entry for entry in entries if entry.name.endswith(".json") and not entry.name.startswith(".")), key=_name)
                for entry in found:
                    status = entry.stat(follow_symlinks=False)
                    yield entry.path, entry.name[: -len(".json")], (status.st_ino, status.st_size, status.st_mtime_ns)
        except FileNotFoundError:
            continue


def _parsed(path: str, key: str, parse: Callable[[Mapping[str, Any]], Any]) -> Any:
    record = files.read_json(path)
    if record is None:
        raise StateCorrupt(f"{path} vanished while it was read; run again")
    schema = record.get("schema")
    if schema is None:
        raise StateCorrupt(f"{path} does not hold a whole record; restore it, or remove it if nothing depends on it")
    if not isinstance(schema, int) or not 1 <= schema <= SCHEMA:
        raise StateCorrupt(f"{path} has schema {schema!r} and this podnet.linux knows up to {SCHEMA}; use the newer release that wrote it")
    try:
        parsed = parse(_migrated(record, schema))
    except (PodnetError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise StateCorrupt(f"{path} does not hold a whole record ({error}); restore it, or remove it if nothing depends on it") from None
    if key not in (record.get("id"), parsed.name):
        raise StateCorrupt(f"{path} holds the record of {parsed.name}, not of {key}; restore it")
    return parsed


def _migrated(record: dict[str, Any], schema: int) -> dict[str, Any]:
    for step in range(schema, SCHEMA):
        record = MIGRATIONS[step](record)
    return record
