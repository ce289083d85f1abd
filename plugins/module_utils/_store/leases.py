# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases on disk: one small file per lease, named by what is leased and telling who has it.

Beside them lie ``owners/``, a file per owner that lists what it may hold, and a cursor per IP version and block size. The
list of an owner is written before a lease and shortened after it, so that it never lacks one; what counts is the lease. Thus
neither a lease nor an owner is ever looked for by a walk through all of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import os
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, unquote

from .._errors import StateCorrupt
from .._plan.books import Held, addresses_of, blocks_of
from .._spec.fields import ADDRESSES, IPAddress, IPNetwork
from .._spec.pool import pool_key, pool_of_key
from . import files, paths

RECORD = "pool.json"
_CURSOR = "cursor"
_OWNERS = "owners"
_BLOCKS = "blocks"
_LONGEST = 200
"""Bytes of a quoted owner that become a file's name; the file system takes 255."""


class Shelf:
    """The leases of one pool; each file is read once at most. Raises StateCorrupt naming what cannot be understood."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._directory = directory(key)
        self._read: dict[Held, dict[str, Any] | None] = {}
        self._names: list[Held] | None = None
        self._blocks: list[IPNetwork] | None = None

    def owner_of(self, held: Held) -> str | None:
        lease = self.lease(held)
        return None if lease is None else str(lease["owner"])

    def lease(self, held: Held) -> dict[str, Any] | None:
        """Owner, time (seconds since 1970) and boot_id; None where it is not leased."""
        if held not in self._read:
            self._read[held] = _read_lease(_path(self._key, held), held)
        return self._read[held]

    def held_by(self, owner: str) -> list[Held]:
        if os.path.isdir(f"{self._directory}/{_OWNERS}"):
            return [held for held in _listed(self._key, owner) if self.owner_of(held) == owner]
        return [held for held, holder in self.everything().items() if holder == owner]

    def blocks(self) -> list[IPNetwork]:
        if self._blocks is None:
            found = [_parsed(f"{self._directory}/{_BLOCKS}", name) for name in _names(f"{self._directory}/{_BLOCKS}")]
            self._blocks = blocks_of(found)
        return self._blocks

    def addresses(self) -> list[IPAddress]:
        if self._names is None:
            known = (_CURSOR, _OWNERS, _BLOCKS, RECORD)
            self._names = [_parsed(self._directory, name) for name in _names(self._directory) if not name.startswith(known)]
        return addresses_of(self._names)

    def everything(self) -> dict[Held, str]:
        found: dict[Held, str] = {}
        for held in (*self.addresses(), *self.blocks()):
            owner = self.owner_of(held)
            if owner is not None:
                found[held] = owner
        return found

    def cursor(self, key: str) -> IPAddress | None:
        path = f"{self._directory}/{_CURSOR}{key}"
        text = files.read(path)
        if text is None:
            return None
        try:
            address = ipaddress.ip_address(text.strip())
            if not key.startswith(str(address.version)):
                raise ValueError(key)
        except ValueError:
            raise StateCorrupt(f"{path} is no cursor; remove it, and leasing starts from the first address again") from None
        return address

    def misfiled(self) -> dict[str, list[Held]]:
        """What owners hold whose list says something else: after a killed run, or when files were lost."""
        found: dict[str, list[Held]] = {}
        for held, owner in self.everything().items():
            found.setdefault(owner, []).append(held)
        for name in _names(f"{self._directory}/{_OWNERS}"):
            found.setdefault(_read_list(f"{self._directory}/{_OWNERS}/{name}")[0], [])
        return {owner: held for owner, held in found.items() if set(_listed(self._key, owner)) != set(held)}


def load() -> dict[str, Shelf]:
    """By the key of the pool. Raises StateCorrupt."""
    keys = [unquote(name) for name in _pools(paths.LEASES)]
    keys += [pool_key(unquote(name)) for name in _names(paths.pools()) if os.path.isdir(f"{paths.pools()}/{name}")]
    return {key: Shelf(key) for key in keys}


def take(key: str, held: Held, owner: str, previous: str | None, boot_id: str) -> None:
    """Write the lease; ``previous`` is the owner who hands it over."""
    _list(key, owner, (*_listed(key, owner), held))
    value = {"held": str(held), "owner": owner, "time": int(time.time()), "boot_id": boot_id}
    files.write_json_line(_path(key, held), value)
    if previous is not None:
        _list(key, previous, [item for item in _listed(key, previous) if item != held])


def release(key: str, held: Held, owner: str) -> None:
    """Remove the lease if it is this owner's."""
    path = _path(key, held)
    lease = _read_lease(path, held)
    if lease is not None and lease["owner"] == owner:
        files.unlink(path)
    _list(key, owner, [item for item in _listed(key, owner) if item != held])
    _tidy(key)


def relist(key: str, owner: str, held: Iterable[Held]) -> None:
    """Write anew what an owner holds."""
    _list(key, owner, held)
    _tidy(key)


def set_cursor(key: str, cursor: str, address: IPAddress | None) -> None:
    path = f"{directory(key)}/{_CURSOR}{cursor}"
    if address is None:
        files.unlink(path)
        _tidy(key)
    else:
        files.write(path, f"{address}\n")


def forget(key: str) -> None:
    """Remove the books of a pool; raises OSError while a lease is left in them."""
    root = directory(key)
    for name in _names(root):
        if name.startswith(_CURSOR):
            files.unlink(f"{root}/{name}")
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(root)
    files.remove_empty(os.path.dirname(root))


def _tidy(key: str) -> None:
    """Remove directories that are empty by now."""
    for name in (_OWNERS, _BLOCKS):
        with contextlib.suppress(OSError):
            os.rmdir(f"{directory(key)}/{name}")
    files.remove_empty(directory(key))


def directory(key: str) -> str:
    """Quoted, so that no pool's name leads anywhere else."""
    pool = pool_of_key(key)
    name = quote(key if pool is None else pool, safe="")
    quoted = name.replace(".", "%2E", 1) if name.startswith(".") else name
    return f"{paths.LEASES if pool is None else paths.pools()}/{quoted}"


def _pools(root: str) -> list[str]:
    names = _names(root)
    for name in names:
        if not os.path.isdir(f"{root}/{name}"):
            raise StateCorrupt(f"{root}/{name} is no pool; remove it")
    return names


def _names(directory: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(directory) if not name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _path(key: str, held: Held) -> str:
    if isinstance(held, ADDRESSES):
        return f"{directory(key)}/{held}"
    return f"{directory(key)}/{_BLOCKS}/{held.network_address}_{held.prefixlen}"


def _parsed(directory: str, name: str) -> Held:
    address, slash, length = name.partition("_")
    try:
        return ipaddress.ip_network(f"{address}/{length}") if slash else ipaddress.ip_address(address)
    except ValueError:
        raise StateCorrupt(f"{directory}/{name} is no lease and no cursor; restore it, or remove it if nobody uses the address") from None


def _read_lease(path: str, held: Held) -> dict[str, Any] | None:
    """White space around the values does not count."""
    lease = files.read_json(path)
    if lease is None:
        return None
    named, owner = lease.get("held"), lease.get("owner")
    if not isinstance(named, str) or named.strip() != str(held) or not isinstance(owner, str) or not owner.strip():
        raise StateCorrupt(f"{path} is empty or garbled: it names no owner of {held}; restore it, or remove it if nobody uses the address")
    return {**lease, "held": named.strip(), "owner": owner.strip()}


def _owner_path(key: str, owner: str) -> str:
    name = quote(owner, safe="")
    if len(name) > _LONGEST or name.startswith("."):
        name = f"{name[:_LONGEST].lstrip('.')}~{hashlib.sha256(owner.encode()).hexdigest()[:24]}"
    return f"{directory(key)}/{_OWNERS}/{name}"


def _listed(key: str, owner: str) -> list[Held]:
    return _read_list(_owner_path(key, owner))[1]


def _read_list(path: str) -> tuple[str, list[Held]]:
    """The owner, and what it may hold."""
    value = files.read_json(path)
    if value is None:
        return "", []
    owner, held = value.get("owner"), value.get("held")
    if not isinstance(owner, str) or not isinstance(held, list):
        raise StateCorrupt(f"{path} is empty or garbled; remove it if its owner holds nothing")
    try:
        return owner, [ipaddress.ip_network(item) if "/" in item else ipaddress.ip_address(item) for item in held]
    except (ValueError, TypeError):
        raise StateCorrupt(f"{path} is empty or garbled; remove it if its owner holds nothing") from None


def _list(key: str, owner: str, held: Iterable[Held]) -> None:
    path = _owner_path(key, owner)
    names = sorted({str(item) for item in held})
    if names:
        files.write_json_line(path, {"owner": owner, "held": names})
    else:
        files.unlink(path)
