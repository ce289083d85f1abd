# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""firewalld (firewalld.zone(5), firewall-cmd(1)): which zone interfaces are bound to, and a zone of ours."""

from __future__ import annotations

import re
from typing import Any

from .._errors import KernelError
from .._plan.firewall import ZONE
from .._plan.observed import Zones
from .._store import files
from . import nft_json, programs

TABLE = ("inet", "firewalld")
_CMD = "firewall-cmd"
_BINDS = re.compile(r"filter_FORWARD\w*ZONES")
_ZONE_OF = re.compile(r"filter_FWD[A-Z]*_(\S+)")
_BACKUP = f"/etc/firewalld/zones/{ZONE}.xml.old"


def zones(chains: list[dict[str, Any]]) -> Zones | None:
    """What its rules say now, without asking the daemon; ``chains``: all of nftables. None where it is not running.

    Raises MissingDependency where it is, and firewall-cmd is not installed.
    """
    names = [chain["name"] for chain in chains if (chain["family"], chain["table"]) == TABLE]
    if not names:
        return None
    programs.required(_CMD, "firewalld")
    bound: dict[str, str] = {}
    for name in filter(_BINDS.fullmatch, names):
        for rule in nft_json.rules(*TABLE, name):
            zone = _ZONE_OF.fullmatch(rule.target)
            if zone is not None:
                bound.update((value, zone[1]) for match in rule.matches if match.key == "iifname" for value in match.values)
    ours = frozenset(name for name, zone in bound.items() if zone == ZONE)
    return Zones(ours, frozenset(bound) - ours)


def bind(added: tuple[str, ...], removed: tuple[str, ...], *, last: bool) -> None:
    """Now and for good: in what firewalld keeps, and in what it has loaded.

    A new zone is loaded by a reload, which firewalld has no other way for. Raises KernelError with its own words.
    """
    kept = _ask("--permanent", "--get-zones").split()
    if added:
        if ZONE not in kept:
            _ask("--permanent", f"--new-zone={ZONE}")
            _ask("--permanent", f"--zone={ZONE}", "--set-target=ACCEPT")
            _ask("--permanent", f"--zone={ZONE}", "--set-description=Networks of podnet.linux, whose own rules decide about them")
        for name in added:
            _ask("--permanent", f"--zone={ZONE}", f"--add-interface={name}")
        if ZONE not in _ask("--get-zones").split():
            _ask("--reload")
        for name in added:
            _ask(f"--zone={ZONE}", f"--change-interface={name}")
    for name in removed:
        _ask(f"--zone={ZONE}", f"--remove-interface={name}")
        if ZONE in kept:
            _ask("--permanent", f"--zone={ZONE}", f"--remove-interface={name}")
    if last and ZONE in kept:
        _ask("--permanent", f"--delete-zone={ZONE}")
        files.unlink(_BACKUP)


def _ask(*words: str) -> str:
    path = programs.required(_CMD, "firewalld")
    result = programs.run([path, *words])
    if result.returncode:
        raise KernelError(f"{path} {' '.join(words)}: {(result.stderr or result.stdout).strip()[:200]}")
    return result.stdout
