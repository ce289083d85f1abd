# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Getting past a firewall of somebody else that drops by default what is forwarded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._errors import BlockedByFirewall, NotOurs, PodnetError
from .._spec import claims
from .._spec.network import Network
from .draft import Change, Draft
from .foreign import ForeignChain, Match, Packet, Rule
from .operations import BindZone, Phase, SetForward

KIND = "firewall"
MARK = 0x1000
"""What our rules let through carries it, so that one rule says it all in somebody else's chain."""

COMMENT = "podnet.linux"
ZONE = "podnet"
"""Of firewalld; interfaces in it are let through, to the host and to others: our own rules decide about them."""

FIREWALLD = "firewalld"
"""What manages the chains that go by zones."""

_OURS = Rule((Match("mark", (MARK,), mask=MARK),), "accept")


def plan_firewall(draft: Draft, *, strict: bool, firewalld: bool = True) -> None:
    """One accept in the chain that such a firewall offers for it, gone with the last network.

    ``strict``: raise BlockedByFirewall where it offers none, and would drop; else that is a warning.
    ``firewalld``: plan the zone of firewalld, and look at its chains.
    """
    networks = [network for network in draft.networks.values() if not network.removing and network.firewall == "auto"]
    if firewalld:
        _plan_zone(draft, {network.name for network in networks}, strict=strict)
    if not networks and not draft.observed.networks:
        return
    zones = draft.observed.firewalld.get("zones") if firewalld else None
    settled = zones.ours | zones.others if zones is not None and zones.sound else frozenset()
    for chain in draft.observed.foreign_chains["forward"]:
        if chain.tool == FIREWALLD and not firewalld:
            continue
        # What is only going to be bound to a zone will be let through by that.
        seen = [network for network in networks if chain.tool != FIREWALLD or network.name in settled]
        packets = [packet for network in seen for packet in _packets(draft, network, chain)]
        if all(chain.lets(packet) for packet in packets):
            if chain.ours and not packets:
                _change(draft, chain, Phase.DESTROY, allow=False)
        elif chain.offer is not None and all(chain.lets(packet, {chain.offer: (_OURS,)}) for packet in packets):
            # Missing, or not ahead of what drops.
            _change(draft, chain, Phase.HOST, allow=True)
        else:
            _refuse(draft, BlockedByFirewall(_blocked(chain)), strict=strict)


def _refuse(draft: Draft, error: PodnetError, *, strict: bool) -> None:
    if strict:
        raise error
    draft.warn(str(error))


def _packets(draft: Draft, network: Network, chain: ForeignChain) -> Iterator[Packet]:
    """What the chain has to let through: from the network to where the default route leads, in to what it publishes, and
    the answers to both."""
    if network.internal:
        return
    mark = MARK if chain.marked else 0
    publishes = any(not draft.sandboxes[key].removing for key in draft.sandboxes.holders(claims.publisher(network.name)))
    for subnet in network.subnets:
        version = subnet.version
        if version not in chain.versions:
            continue
        uplink = draft.observed.uplink(version)
        out: dict[str, Any] = {"iifname": network.name, "iifkind": "bridge", "saddr": subnet, "oifname": uplink}
        back: dict[str, Any] = {"oifname": network.name, "oifkind": "bridge", "daddr": subnet, "iifname": uplink}
        for status, first, second in (("", out, back), ("dnat", back, out))[: 1 + publishes]:
            yield Packet(version, state="new", status=status, mark=mark, **first)
            yield Packet(version, state="established", direction="reply", status=status, mark=mark, **second)


def _change(draft: Draft, chain: ForeignChain, phase: Phase, *, allow: bool) -> None:
    offer = str(chain.offer)
    draft.add(phase, *(SetForward(chain.tool, offer, allowed=False) for _copy in range(chain.ours)))
    if allow:
        draft.add(phase, SetForward(chain.tool, offer, allowed=True))
    states = [f"drops what networks forward ({chain.title})", f"{offer} accepts what podnet.linux lets through"]
    before, after = states if allow else reversed(states)
    draft.changes.append(Change(KIND, chain.title, {"forward": before}, {"forward": after}))


def _blocked(chain: ForeignChain) -> str:
    if chain.marked:
        way = f"let it accept packets with the mark {MARK:#x}/{MARK:#x}, which those carry that podnet.linux lets through"
    else:
        way = "let it accept what comes in on the networks' bridges or goes out by them"
    return f"firewall: {chain.title} drops what the networks forward; {way}, or say firewall: none"


def _plan_zone(draft: Draft, names: set[str], *, strict: bool) -> None:
    """Bridges in a zone of ours; those that somebody has put into another stay there."""
    concerns = bool(names or draft.observed.networks or draft.observed.zone_is_kept)
    zones = draft.observed.firewalld.get("zones") if concerns else None
    if zones is None:
        return
    wanted = names - zones.others
    if zones.taken:
        if wanted:
            text = f"firewall: firewalld has a zone {ZONE} that podnet.linux did not make; rename it, or say firewall: none"
            _refuse(draft, NotOurs(text), strict=strict)
        return
    last = not names
    if wanted == zones.ours and (zones.sound or not wanted) and not (last and zones.kept):
        return
    added, removed = tuple(sorted(wanted - zones.ours)), tuple(sorted(zones.ours - wanted))
    draft.add(Phase.HOST if wanted else Phase.DESTROY, BindZone(added, removed, last=last))
    before: list[str] = sorted(zones.ours) if zones.sound else [f"{name} (not let through)" for name in sorted(zones.ours)]
    draft.changes.append(Change(KIND, "firewalld", {f"zone {ZONE}": before}, {f"zone {ZONE}": sorted(wanted)}))
