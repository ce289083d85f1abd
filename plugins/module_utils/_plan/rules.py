# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our nftables rules, as declared beside as loaded: one transaction for what differs."""

from __future__ import annotations

from collections.abc import Iterable

from .draft import UNKNOWN, Change, Draft
from .observed import Elements, Ruleset
from .operations import ChangeElements, LoadRules, Phase
from .ruleset import NAME, blocks, elements, frame


def plan_rules(draft: Draft) -> None:
    """Elements where only those differ, else all of the rules."""
    seen = draft.observed.tables[NAME]
    text = frame(draft.networks.values())
    wanted_frame = draft.canonical(text)
    same = seen.frame == wanted_frame
    changed = draft.sandboxes.changed
    if seen.elements is None and same:
        # What is loaded is what the records mean: what did not change since need not be looked at.
        before = elements((draft.observed.sandboxes[key] for key in changed if key in draft.observed.sandboxes), draft.observed.networks)
        after = elements((draft.sandboxes[key] for key in changed if key in draft.sandboxes), draft.networks)
    else:
        before = elements(draft.observed.sandboxes.values(), draft.observed.networks) if seen.elements is None else seen.elements
        after = elements(draft.sandboxes.values(), draft.networks) if wanted_frame else {}
    gone, new = _without(before, after), _without(after, before)
    if same and not gone and not new:
        return
    loaded, wanted = Ruleset(seen.frame, before), Ruleset(wanted_frame, after)
    draft.add(Phase.RULES, ChangeElements(new, gone) if same else LoadRules(Ruleset(text, after), loaded))
    draft.changes.append(_change(blocks(loaded), blocks(wanted), _unknown(draft, changed)))


def _without(items: Elements, others: Elements) -> Elements:
    """By block; blocks without any are left out."""
    found = {block: held - others.get(block, frozenset()) for block, held in items.items()}
    return {block: held for block, held in found.items() if held}


def _change(before: dict[str, list[str]], after: dict[str, list[str]], unknown: list[str]) -> Change:
    removed, added = {}, {}
    for name in {**before, **after}:
        gone, new = _missing(before.get(name, ()), after.get(name, ())), _missing(after.get(name, ()), before.get(name, ()))
        if gone or new or (name in before) != (name in after):
            removed[name] = gone
            added[name] = [UNKNOWN if any(word in item for word in unknown) else item for item in new]
    return Change("nftables", f"tables {NAME}", removed, added)


def _missing(items: Iterable[str], others: Iterable[str]) -> list[str]:
    left_out = set(others)
    return [item for item in items if item not in left_out]


def _unknown(draft: Draft, changed: list[str]) -> list[str]:
    """What only a real run would know of sandboxes that are still to be made: names derived from ids, and addresses."""
    if not draft.check:
        return []
    fresh = [draft.sandboxes[key] for key in changed if key in draft.sandboxes and key not in draft.observed.sandboxes]
    return [word for item in fresh for word in (item.id[:8], *(f"{a} . " for at in item.attachments for a in at.addresses))]
