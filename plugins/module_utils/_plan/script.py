# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nft statements (nft(8)) that make a ruleset of another; each text is one transaction.

Tables and chains are emptied and filled again, not deleted and made anew: rules that see packets one after the other then
change at the same moment, and counters stay.
"""

from __future__ import annotations

import re

from .egress import is_dynamic, set_type
from .observed import Parts, Ruleset
from .ruleset import COMMENT, FAMILIES, NAME

_BLOCK = re.compile(r"^\t(\w+ \S+) \{$", re.MULTILINE)
_SET = re.compile(r"^\t(set|map) (\S+) \{$", re.MULTILINE)
_ITEMS_AT_ONCE = 1000
"""What nft takes in one statement without its parser slowing down."""


def anew(ruleset: Ruleset) -> str:
    """Whatever there was before; an empty frame leaves nothing."""
    gone = "".join(f"table {family} {NAME}\ndelete table {family} {NAME}\n" for family in FAMILIES)
    parts = ruleset.parts or {}
    # Ahead of the frame, which may be one of an older release, with elements that jump to them.
    tables = "".join(f'add table {family} {NAME} {{ comment "{COMMENT}"; }}\n' for family in FAMILIES)
    chains = "".join(_declaration(block) for block in parts if is_dynamic(block) and _kind(block) == "chain")
    return f"{gone}{tables}{chains}{ruleset.frame}\n{between({}, parts)}" if ruleset.frame else gone


def is_alike(ruleset: Ruleset, other: Ruleset) -> bool:
    """Whether both consist of the same tables with the same sets and chains, whatever is in them."""
    return bool(_names(ruleset.frame)) and _names(ruleset.frame) == _names(other.frame)


def over(ruleset: Ruleset, previous: Ruleset) -> str:
    """In place of one of the same sets and chains, if with other contents. nft refuses it where they are of other types."""
    known = {block for block in previous.parts or {} if is_dynamic(block)}
    emptied = [f"flush table {family} {NAME}\n" for family in FAMILIES]
    for family, text in _tables(previous.frame):
        emptied += [f"flush {kind} {family} {NAME} {name}\n" for kind, name in _SET.findall(text)]
    left = {block: () if _kind(block) != "set" else frozenset[str]() for block in known}
    emptied += [f"flush set {_place(block)}\n" for block in known if _kind(block) == "set"]
    return "".join(emptied) + f"{ruleset.frame}\n" + between(left, ruleset.parts or {}, whole=True)


def between(before: Parts, after: Parts, *, whole: bool = False) -> str:
    """From these parts to those; ``whole``: chains that are the same have lost their rules."""
    gone = [block for block in before if is_dynamic(block) and block not in after]
    new = [block for block in after if is_dynamic(block) and block not in before]
    chains = [block for block in after if _kind(block) == "chain" and (whole or after[block] != before.get(block))]
    lines = [_declaration(block) for block in sorted(new, key=_kind, reverse=True)]
    lines += [f"flush chain {_place(block)}\n" for block in (*chains, *gone) if _kind(block) == "chain" and block not in new]
    lines += [f"add rule {_place(block)} {rule}\n" for block in chains for rule in after[block]]
    for verb, items, others in (("delete", before, after), ("add", after, before)):
        for block, held in items.items():
            if isinstance(held, frozenset) and not (verb == "delete" and block in gone):
                known = others.get(block)
                lines += _elements(verb, block, held - known if isinstance(known, frozenset) else held)
    lines += [f"delete {_kind(block)} {_place(block)}\n" for block in sorted(gone, key=_kind)]
    return "".join(lines)


def _elements(verb: str, block: str, items: frozenset[str]) -> list[str]:
    ordered = sorted(items)
    steps = range(0, len(ordered), _ITEMS_AT_ONCE)
    return [f"{verb} element {_place(block)} {{ {', '.join(ordered[at : at + _ITEMS_AT_ONCE])} }}\n" for at in steps]


def _declaration(block: str) -> str:
    if _kind(block) == "set":
        return f"add set {_place(block)} {{ type {set_type(block)}; flags interval; }}\n"
    return f"add {_kind(block)} {_place(block)}\n"


def _kind(block: str) -> str:
    return block.split(" ", 2)[1]


def _place(block: str) -> str:
    family, _kind_of, name = block.split(" ", 2)
    return f"{family} {NAME} {name}"


def _names(frame: str) -> list[tuple[str, list[str]]]:
    return [(family, sorted(_BLOCK.findall(text))) for family, text in _tables(frame)]


def _tables(frame: str) -> list[tuple[str, str]]:
    return re.findall(r"^table (\w+) \S+ \{\n(.*?)^\}", frame, re.DOTALL | re.MULTILINE)
