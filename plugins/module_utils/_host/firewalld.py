# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""firewalld (firewalld.zone(5), firewall-cmd(1)): which zone interfaces are bound to, and a zone of ours."""

from __future__ import annotations

import contextlib
import os
import re

from .._errors import KernelError
from .._plan.firewall import ZONE
from .._plan.foreign import Rule
from .._plan.observed import Zones
from .._store import files
from . import nft_json, programs
from .nf_tables import Chain

TABLE = ("inet", "firewalld")
_CMD = "firewall-cmd"
_OFFLINE = "firewall-offline-cmd"
_BINDS = re.compile(r"filter_FORWARD\w*ZONES")
_ZONE_OF = re.compile(r"filter_FWD[A-Z]*_(\S+)")
_FILE = f"/etc/firewalld/zones/{ZONE}.xml"
_BACKUP = f"{_FILE}.old"
_DESCRIPTION = "Networks of podnet.linux, whose own rules decide about them"
_INTERFACE = re.compile(r'<interface name="([^"]+)"')


def zones(chains: list[Chain]) -> Zones | None:
    """What its rules say now, without asking the daemon; ``chains``: all of nftables.

    Where it is not running, what it keeps of our zone; None where there is nothing of that either. Raises MissingDependency
    where there is something, and firewall-cmd is not installed.
    """
    kept = files.read(_FILE)
    names = [chain.name for chain in chains if (chain.family, chain.table) == TABLE]
    own = kept is not None and _DESCRIPTION in kept
    if not names and not own:
        return None
    programs.required(_CMD, "firewalld")
    if not names:
        return Zones(frozenset(_INTERFACE.findall(kept or "")), frozenset(), own)
    listing = nft_json.Table(*TABLE)
    bound: dict[str, str] = {}
    for name in filter(_BINDS.fullmatch, names):
        for rule in _rules(listing, name):
            zone = _ZONE_OF.fullmatch(rule.target)
            if zone is not None:
                bound.update((value, zone[1]) for match in rule.matches if match.key == "iifname" for value in match.values)
    ours = frozenset(name for name, zone in bound.items() if zone == ZONE)
    last = _rules(listing, f"filter_FWD_{ZONE}")[-1:] if f"filter_FWD_{ZONE}" in names else ()
    sound = not last or last[0] == Rule(verdict="accept")
    return Zones(ours, frozenset(bound) - ours, own, taken=kept is not None and not own, sound=sound)


def is_kept() -> bool:
    """Whether there may be a zone of ours; cheaper than zones()."""
    return os.path.lexists(_FILE)


def bind(added: tuple[str, ...], removed: tuple[str, ...], *, last: bool) -> None:
    """Now and for good: in what firewalld keeps, and in what it has loaded. Where it is not running, in what it keeps.

    A new zone, and another target of ours, are loaded by a reload, which firewalld has no other way for. Raises KernelError
    with its own words.
    """
    before = files.read(_FILE)
    running = programs.run([programs.required(_CMD, "firewalld"), "--state"]).returncode == 0
    try:
        _bind(added, removed, last=last, running=running, load=running)
    except KernelError:
        # It may refuse in the middle, as in panic mode.
        with contextlib.suppress(KernelError):
            _bind((), added, last=before is None, running=running, load=False)
        raise


def _bind(added: tuple[str, ...], removed: tuple[str, ...], *, last: bool, running: bool, load: bool) -> None:
    """``load``: change what it has loaded too."""
    tool = (_CMD, "--permanent") if running or programs.find(_OFFLINE) is None else (_OFFLINE,)
    kept = _ask(*tool, "--get-zones").split()
    if not last:
        if ZONE not in kept:
            _ask(*tool, f"--new-zone={ZONE}")
            _ask(*tool, f"--zone={ZONE}", f"--set-description={_DESCRIPTION}")
        _ask(*tool, f"--zone={ZONE}", "--set-target=ACCEPT")
    for name in added:
        _ask(*tool, f"--zone={ZONE}", f"--add-interface={name}")
    if load and not last and (ZONE not in _ask(_CMD, "--get-zones").split() or not (added or removed)):
        _ask(_CMD, "--reload")
    for name in added if load else ():
        _ask(_CMD, f"--zone={ZONE}", f"--change-interface={name}")
    for name in removed:
        if load:
            _ask(_CMD, f"--zone={ZONE}", f"--remove-interface={name}")
        if ZONE in kept:
            _ask(*tool, f"--zone={ZONE}", f"--remove-interface={name}")
    if last and ZONE in kept:
        _ask(*tool, f"--delete-zone={ZONE}")
        files.unlink(_BACKUP)


def _rules(listing: nft_json.Table, chain: str) -> list[Rule]:
    return [rule for rules in listing.rules(chain) for rule in rules or ()]


def _ask(tool: str, *words: str) -> str:
    path = programs.required(tool, "firewalld")
    result = programs.run([path, *words])
    if result.returncode:
        raise KernelError(f"{path} {' '.join(words)}: {(result.stderr or result.stdout).strip()[:200]}")
    return result.stdout
