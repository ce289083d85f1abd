# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our nftables rules, as declared beside as loaded: one transaction for what differs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from ipaddress import ip_interface

from .._spec import claims
from .._spec.fields import IPAddress
from .._spec.sandbox import Sandbox
from .cuts import planned_cuts
from .draft import UNKNOWN, Change, Draft
from .egress import is_dynamic, is_shared_set
from .observed import Flow, Parts, Ruleset
from .operations import AddAddress, ChangeRules, FlushConntrack, LoadRules, NoteFlows, Phase
from .publishing import check_records
from .ruleset import NAME, blocks, frame, parts, udp_flows

_BY_ID = re.compile(r"(?<=_)[0-9a-f]{8}\b")


def plan_rules(draft: Draft) -> None:
    """Parts where only those differ, else all of the rules; and what conntrack remembers of UDP ports that then lead elsewhere."""
    seen = draft.observed.tables[NAME]
    text = frame(draft.networks.values())
    wanted = draft.canonical(Ruleset(text, {})).frame
    same = seen.frame == wanted
    if seen.parts is None and same:
        # What is loaded is what the records mean: what did not change since need not be looked at.
        changed = draft.concerned()
        before, after = _recorded(draft, changed), _planned(draft, changed)
        before, after = _not_shared(draft, before, after)
    else:
        check_records(draft)
        before = _recorded(draft, draft.observed.sandboxes) if seen.parts is None else seen.parts
        after = draft.canonical(Ruleset(text, _planned(draft, draft.sandboxes))).parts or {} if wanted else {}
    gone, new = _differences(before, after)
    left = draft.observed.unflushed
    stale = (*left.flows, *_led_elsewhere(gone, new))
    cuts = planned_cuts(draft)
    inherited = tuple(_given_anew(draft))
    if not same or gone or new:
        loaded, meant = Ruleset(seen.frame, before), Ruleset(wanted, after)
        if stale or cuts:
            sandboxes = tuple(dict.fromkeys(cut.sandbox for cut in cuts))
            draft.add(Phase.RULES, NoteFlows(stale, tuple(_led_elsewhere(gone=new, new=gone)), sandboxes))
        draft.add(Phase.RULES, ChangeRules(new, gone) if same else LoadRules(Ruleset(text, after), loaded))
        draft.changes.append(_change(_titled(draft, blocks(loaded)), _titled(draft, blocks(meant)), _unknown(draft)))
    elif left.flows or left.sandboxes or cuts:
        names = {draft.sandboxes[key].name if key in draft.sandboxes else key for key in left.sandboxes}
        names |= {draft.sandboxes[cut.sandbox].name for cut in cuts} | {f"udp {flow.port}" for flow in stale}
        draft.changes.append(Change("conntrack", "connections", {"left over": sorted(names)}, {"left over": []}))
    if stale or cuts or left.sandboxes or inherited:
        draft.add(Phase.RULES, FlushConntrack(stale, cuts, inherited))


def _given_anew(draft: Draft) -> Iterator[IPAddress]:
    """What sandboxes are about to have, and others had before."""
    for _phase, operation in draft.steps:
        if isinstance(operation, AddAddress) and operation.where is not None:
            yield ip_interface(operation.address.split()[0]).ip


def _recorded(draft: Draft, keys: Iterable[str]) -> Parts:
    known = draft.observed.sandboxes
    return parts((known[key] for key in keys if key in known), draft.observed.networks, draft.observed.resolvers)


def _planned(draft: Draft, keys: Iterable[str]) -> Parts:
    known = draft.sandboxes
    return parts((known[key] for key in keys if key in known), draft.networks, draft.observed.resolvers)


def _not_shared(draft: Draft, before: Parts, after: Parts) -> tuple[Parts, Parts]:
    """Without sets that policies of others use too, which were there and stay there."""
    kept = {}
    for block in (block for block in {**before, **after} if is_shared_set(block) and (block in before) != (block in after)):
        holders = draft.observed.sandboxes.holders(claims.destinations(block.rpartition(" ")[2]))
        if any(key not in draft.sandboxes.changed for key in holders):
            kept[block] = before.get(block, after.get(block, frozenset()))
    return {**before, **kept}, {**after, **kept}


def rule_problems(draft: Draft) -> Callable[[Sandbox], list[str]]:
    """What a run would repair of the rules of each sandbox, in words."""
    seen = draft.observed.tables[NAME]
    text = frame(draft.networks.values())
    altered = seen.frame != draft.canonical(Ruleset(text, {})).frame
    loaded = seen.parts or {}
    wanted = loaded if seen.parts is None else draft.canonical(Ruleset(text, _planned(draft, draft.sandboxes))).parts or {}
    foreign = _without(loaded, wanted)
    lacking = _without(wanted, loaded)

    def found(sandbox: Sandbox) -> list[str]:
        own = _planned(draft, (sandbox.id,)) if lacking else {}
        names = {str(address) for item in sandbox.attachments for address in item.addresses}
        names.update(f'"{sandbox.veth_host(item.position)}"' for item in sandbox.attachments)
        faults = {
            "nftables rules are missing or altered": altered and bool(sandbox.attachments),
            "nftables sets and maps lack elements": any(_meet(items, own[block]) for block, items in lacking.items() if block in own),
            "nftables sets and maps have foreign elements": any(names & set(item.split()) for held in foreign.values() for item in held),
        }
        return [text for text, there in faults.items() if there]

    return found


def _meet(lacking: frozenset[str] | tuple[str, ...], own: frozenset[str] | tuple[str, ...]) -> bool:
    """A chain of one's own that differs does so as a whole."""
    return not (isinstance(lacking, frozenset) and isinstance(own, frozenset)) or bool(lacking & own)


def _led_elsewhere(gone: Parts, new: Parts) -> Iterator[Flow]:
    """Flows that go where elements led that are gone, or nowhere, since they began before there was an element."""
    yield from udp_flows(gone)
    for flow in udp_flows(new):
        yield replace(flow, target=None)


def _differences(before: Parts, after: Parts) -> tuple[Parts, Parts]:
    """What goes, and what comes. A set that policies brought and that only loses or gets elements is in both."""
    gone, new = dict(_without(before, after)), dict(_without(items=after, others=before))
    for block in (block for block in {**gone, **new} if is_shared_set(block) and block in before and block in after):
        gone.setdefault(block, frozenset())
        new.setdefault(block, frozenset())
    return gone, new


def _without(items: Parts, others: Parts) -> Parts:
    """By block: elements that the others lack, chains that they have otherwise or not at all."""
    found: dict[str, frozenset[str] | tuple[str, ...]] = {}
    for block, held in items.items():
        known = others.get(block)
        if isinstance(held, frozenset) and isinstance(known, frozenset):
            if held - known:
                found[block] = held - known
        elif held != known and (held or is_dynamic(block)):
            found[block] = held
    return found


def _change(before: dict[str, list[str]], after: dict[str, list[str]], unknown: list[str]) -> Change:
    removed, added = {}, {}
    for name in {**before, **after}:
        gone, new = _missing(before.get(name, ()), after.get(name, ())), _missing(after.get(name, ()), before.get(name, ()))
        if gone or new or (name in before) != (name in after):
            removed[name] = gone
            added[name] = [UNKNOWN if any(word in item for word in unknown) else item for item in new]
    return Change("nftables", f"tables {NAME}", removed, added)


def _titled(draft: Draft, found: dict[str, list[str]]) -> dict[str, list[str]]:
    """With a sandbox's name where the block is named by its id, which a new one gets when it is made."""
    short = {item.id[:8]: item.name for item in (draft.sandboxes.get(key) for key in draft.sandboxes.changed) if item is not None}
    return {_BY_ID.sub(lambda match: short.get(match[0], match[0]), name): items for name, items in found.items()}


def _missing(items: Iterable[str], others: Iterable[str]) -> list[str]:
    left_out = set(others)
    return [item for item in items if item not in left_out]


def _unknown(draft: Draft) -> list[str]:
    """What only a real run would know of sandboxes that are still to be made: names derived from ids, and addresses."""
    if not draft.check:
        return []
    changed = draft.sandboxes.changed
    fresh = [draft.sandboxes[key] for key in changed if key in draft.sandboxes and key not in draft.observed.sandboxes]
    words = [word for item in fresh for at in item.attachments for word in (at.mac, *(f"{address} . " for address in at.addresses))]
    return [*words, *(item.id[:8] for item in fresh)]
