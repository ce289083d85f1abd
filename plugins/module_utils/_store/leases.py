# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases on disk: one small file per lease, named by address and owner, so that a listing is one directory read."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import time
from urllib.parse import quote, unquote

from .._errors import StateCorrupt
from .._spec.fields import IPAddress
from . import files, paths

_CURSOR = "cursor"


def load() -> tuple[dict[str, dict[IPAddress, str]], dict[str, dict[int, IPAddress]]]:
    """Per pool: owner by address, and where sequential leasing stands. Raises StateCorrupt naming the file."""
    leases: dict[str, dict[IPAddress, str]] = {}
    cursors: dict[str, dict[int, IPAddress]] = {}
    with contextlib.suppress(FileNotFoundError):
        for name in sorted(os.listdir(paths.LEASES)):
            if not os.path.isdir(f"{paths.LEASES}/{name}"):
                raise StateCorrupt(f"{paths.LEASES}/{name} is no pool; remove it")
            pool = unquote(name)
            leases[pool], cursors[pool] = _load_pool(pool)
    return leases, cursors


def take(pool: str, address: IPAddress, owner: str, previous: str | None, boot_id: str) -> None:
    """Write the lease; ``previous`` is the owner who hands it over."""
    value = {"address": str(address), "owner": owner, "time": int(time.time()), "boot_id": boot_id}
    files.write_json(_path(pool, address, owner), value)
    if previous is not None:
        files.remove(_path(pool, address, previous))


def release(pool: str, address: IPAddress, owner: str) -> None:
    files.remove(_path(pool, address, owner))


def set_cursor(pool: str, version: int, address: IPAddress | None) -> None:
    path = f"{_directory(pool)}/{_CURSOR}{version}"
    if address is None:
        files.remove(path)
    else:
        files.write(path, f"{address}\n")


def forget(pool: str) -> None:
    """Remove the books of a pool; raises OSError while a lease is left in them."""
    for version in (4, 6):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{_directory(pool)}/{_CURSOR}{version}")
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(_directory(pool))
    files.remove_empty(paths.LEASES)


def _directory(pool: str) -> str:
    """Quoted, so that no pool's name leads anywhere else."""
    name = quote(pool, safe="")
    return f"{paths.LEASES}/{name.replace('.', '%2E', 1) if name.startswith('.') else name}"


def _path(pool: str, address: IPAddress, owner: str) -> str:
    return f"{_directory(pool)}/{address}~{quote(owner, safe='')}"


def _load_pool(pool: str) -> tuple[dict[IPAddress, str], dict[int, IPAddress]]:
    held: dict[IPAddress, str] = {}
    cursor: dict[int, IPAddress] = {}
    for name in os.listdir(_directory(pool)):
        if name.startswith("."):
            continue
        path = f"{_directory(pool)}/{name}"
        try:
            if name.startswith(_CURSOR):
                at = ipaddress.ip_address((files.read(path) or "").strip())
                if name != f"{_CURSOR}{at.version}":
                    raise ValueError(name)
                cursor[at.version] = at
                continue
            address, tilde, owner = name.partition("~")
            if not tilde:
                raise ValueError(name)
            held[ipaddress.ip_address(address)] = unquote(owner)
        except ValueError:
            raise StateCorrupt(f"{path} is no lease and no cursor; restore it, or remove it if nobody uses the address") from None
    return held, cursor
