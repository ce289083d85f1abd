# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables that iptables manages (iptables(8), iptables-extensions(8)): their rules, and the one that we may have there."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import shlex
from dataclasses import dataclass, field

from .._errors import KernelError
from .._plan.firewall import COMMENT, MARK
from .._plan.foreign import WHOLE, Match, Rule
from . import programs

OURS = ("-m", "mark", "--mark", f"{MARK:#x}/{MARK:#x}", "-m", "comment", "--comment", COMMENT, "-j", "ACCEPT")

_VERDICTS = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "drop", "RETURN": "return"}
_NAMES = {"-i": "iifname", "-o": "oifname"}
_ADDRESSES = {"-s": "saddr", "-d": "daddr"}
_LISTS = {"--ctstate": "state", "--state": "state", "--ctstatus": "status"}


_INCOMPATIBLE = "contains incompatible"
_LINE = re.compile(r"\n(?=-[PNA] |#|\Z)")
"""Where a line ends: a comment may hold more than one."""


@dataclass
class Table:
    """``policies`` and ``chains`` by name; ``ours``: how many times our rule is in a chain."""

    policies: dict[str, str] = field(default_factory=dict)
    chains: dict[str, tuple[Rule, ...]] = field(default_factory=dict)
    ours: dict[str, int] = field(default_factory=dict)


def table(tool: str, name: str = "filter") -> Table | None:
    """None where this tool is not installed, or the table is not one of its making."""
    path = _path(tool)
    if path is None:
        return None
    result = programs.run([path, "--wait", "10", "--table", name, "--list-rules"])
    return None if result.returncode or _INCOMPATIBLE in result.stdout else _read(result.stdout)


def insert(tool: str, chain: str) -> None:
    """Put our rule ahead of the others. Raises KernelError, MissingDependency."""
    _change(tool, "--insert", chain)


def delete(tool: str, chain: str) -> None:
    """Take one copy of it out."""
    _change(tool, "--delete", chain)


def _path(tool: str) -> str | None:
    """Where only one kind is installed, it may go by its plain name."""
    return programs.find(tool) or programs.find(tool.partition("-")[0])


def _read(listing: str) -> Table:
    found = Table()
    for verb, chain, *words in filter(None, map(_words, _LINE.split(listing))):
        if verb == "-P":
            found.policies[chain] = words[0]
        rules = found.chains.setdefault(chain, ())
        if verb == "-A":
            found.chains[chain] = (*rules, _rule(words))
            found.ours[chain] = found.ours.get(chain, 0) + (tuple(words) == OURS)
    return found


def _words(line: str) -> list[str]:
    """Nothing for what is no rule, and for quotes that iptables has not closed."""
    with contextlib.suppress(ValueError):
        words = shlex.split(line)
        return words if words[:1] and words[0].startswith("-") else []
    return [*line.split()[:2], "--unreadable"]


def _rule(words: list[str]) -> Rule:
    """Of an option that is not known here nothing is known: neither whether it matches, nor how many words it takes."""
    matches: list[Match] = []
    negated = False
    module = ""
    at = 0
    while at < len(words):
        word, value = words[at], words[at + 1] if at + 1 < len(words) else ""
        at += 2
        if word == "!":
            negated = True
            at -= 1
            continue
        if word in ("-j", "-g"):
            if value in _VERDICTS:
                return Rule(tuple(matches), _VERDICTS[value])
            # A target that is neither a verdict nor a chain (LOG, MARK) leads to no rules.
            return Rule(tuple(matches), "goto" if word == "-g" else "jump", value)
        if word == "-m":
            module = value
        elif word != "--comment":
            matches.append(_match(word, value, negated, module))
            # Up to the next option, whatever this one takes.
            while at < len(words) and not words[at].startswith("-") and words[at] != "!":
                at += 1
        negated = False
    return Rule(tuple(matches))


def _match(option: str, value: str, negated: bool, module: str) -> Match:
    """``module``: the extension that the option belongs to, where it is not iptables' own."""
    if option in _NAMES:
        return Match(_NAMES[option], (value[:-1] + "*" if value.endswith("+") else value,), negated)
    if option in _ADDRESSES:
        with contextlib.suppress(ValueError):  # a mask with holes
            return Match(_ADDRESSES[option], (ipaddress.ip_network(value),), negated)
    if option in _LISTS:
        return Match(_LISTS[option], tuple(value.lower().split(",")), negated)
    if option == "--mark" and module == "mark":
        number, _slash, mask = value.partition("/")
        return Match("mark", (int(number, 0),), negated, int(mask, 0) if mask else WHOLE)
    return Match("")


def _change(tool: str, verb: str, chain: str) -> None:
    path = _path(tool) or programs.required(tool, "iptables")
    result = programs.run([path, "--wait", "10", verb, chain, *OURS])
    if result.returncode:
        raise KernelError(f"{path} {verb} {chain}: {result.stderr.strip()[:200]}")
