# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our nftables tables: listed once, replaced in one transaction."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import cache, lru_cache

from .._errors import KernelError, KernelUnsupported, MissingDependency, NotOurs
from .._plan.rules import COMMENT, FAMILIES, NAME
from . import namespaces, programs

OLDEST = (1, 0, 2)

_ELEMENTS = re.compile(r"elements = \{(.*?)\}", re.DOTALL)


def listed() -> str:
    """What the kernel holds, in a canonical form; empty where there is none of our tables. Raises NotOurs for a foreign one."""
    found = _list(FAMILIES)
    if found is None:
        # Not all of them are there.
        found = "".join(_list((family,)) or "" for family in FAMILIES)
    for table in found.split("\ntable "):
        if table.strip() and f'comment "{COMMENT}"' not in table:
            family = table.removeprefix("table ").split()[0]
            raise NotOurs(f"the nftables table {family} {NAME} was not made by podnet.linux; rename or delete it")
    return _canonical(found)


@lru_cache(maxsize=8)
def canonical(ruleset: str) -> str:
    """The ruleset as this nft lists it on this kernel, found out in an empty network namespace."""

    def load_and_list() -> None:
        load(ruleset)
        found.append(listed())

    found: list[str] = []
    for fd in namespaces.create(("net",), load_and_list).values():
        os.close(fd)
    return found[0]


def load(ruleset: str) -> None:
    """Replace our tables, or remove them where the ruleset is empty: one transaction, all or nothing."""
    script = "".join(f"table {family} {NAME}\ndelete table {family} {NAME}\n" for family in FAMILIES) + ruleset
    result = programs.run([_nft(), "--file", "-"], script)
    if result.returncode:
        raise KernelError(f"nft refuses the ruleset: {_first_line(result.stderr)}")


def _list(families: Sequence[str]) -> str | None:
    """None where one of the tables is missing."""
    result = programs.run([_nft(), "--stateless", "--file", "-"], "".join(f"list table {family} {NAME}\n" for family in families))
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


def _canonical(listing: str) -> str:
    """Set elements come in no fixed order; everything else does."""

    def ordered(match: re.Match[str]) -> str:
        return "elements = { " + ", ".join(sorted(" ".join(item.split()) for item in match[1].split(","))) + " }"

    return _ELEMENTS.sub(ordered, listing.strip())


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")
