# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our nftables rules, as declared beside as loaded: one transaction for what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from .._spec.sandbox import Sandbox
from .draft import UNKNOWN, Change, Draft
from .observed import Elements, Flow, Ruleset
from .operations import ChangeElements, FlushConntrack, LoadRules, NoteFlows, Phase
from .ruleset import NAME, blocks, elements, frame, udp_flows


def plan_rules(draft: Draft) -> None:
    """Elements where only those differ, else all of the rules; and what conntrack remembers of UDP ports that then lead elsewhere."""
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
    gone, new = _without(before, after), _without(items=after, others=before)
    stale = (*draft.observed.unflushed, *_led_elsewhere(gone, new))
    if not same or gone or new:
        loaded, wanted = Ruleset(seen.frame, before), Ruleset(wanted_frame, after)
        draft.add(Phase.RULES, *([NoteFlows(stale, tuple(_led_elsewhere(gone=new, new=gone)))] if stale else []))
        draft.add(Phase.RULES, ChangeElements(new, gone) if same else LoadRules(Ruleset(text, after), loaded))
        draft.changes.append(_change(blocks(loaded), blocks(wanted), _unknown(draft, changed)))
    elif stale:
        ports = sorted({f"udp {flow.port}" for flow in stale})
        draft.changes.append(Change("conntrack", "published ports", {"flows left over": ports}, {"flows left over": []}))
    if stale:
        draft.add(Phase.RULES, FlushConntrack(stale))


def rule_problems(draft: Draft) -> Callable[[Sandbox], list[str]]:
    """What a run would repair of the rules of each sandbox, in words."""
    seen = draft.observed.tables[NAME]
    altered = seen.frame != draft.canonical(frame(draft.networks.values()))
    foreign = {} if seen.elements is None else _without(seen.elements, elements(draft.sandboxes.values(), draft.networks))

    def found(sandbox: Sandbox) -> list[str]:
        own = elements((sandbox,), draft.networks)
        names = {str(address) for item in sandbox.attachments for address in item.addresses}
        names.update(f'"{sandbox.veth_host(item.position)}"' for item in sandbox.attachments)
        faults = {
            "nftables rules are missing or altered": altered and bool(sandbox.attachments),
            "nftables sets and maps lack elements": seen.elements is not None and bool(_without(own, seen.elements)),
            "nftables sets and maps have foreign elements": any(names & set(item.split()) for held in foreign.values() for item in held),
        }
        return [text for text, there in faults.items() if there]

    return found


def _led_elsewhere(gone: Elements, new: Elements) -> Iterator[Flow]:
    """Flows that go where elements led that are gone, or nowhere, since they began before there was an element."""
    yield from udp_flows(gone)
    for flow in udp_flows(new):
        yield replace(flow, target=None)


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
