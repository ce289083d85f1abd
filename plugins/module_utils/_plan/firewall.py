# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Getting past a firewall of somebody else that drops by default what is forwarded."""

from __future__ import annotations

from collections.abc import Iterable

from .._errors import BlockedByFirewall
from .._spec.network import Network
from .draft import Change, Draft
from .observed import ForeignChain
from .operations import AllowForward, BindZone, DenyForward, Phase

KIND = "firewall"
MARK = 0x1000
"""What our rules let through carries it, so that one rule says it all in somebody else's chain."""

COMMENT = "podnet.linux"
ZONE = "podnet"
"""Of firewalld; interfaces in it are let through, to the host and to others: our own rules decide about them."""


def plan_firewall(draft: Draft, *, strict: bool) -> None:
    """One accept in the chain that such a firewall offers for it, gone with the last network.

    ``strict``: raise BlockedByFirewall where it offers none, and would drop; else that is a warning.
    """
    networks = [network for network in draft.networks.values() if not network.removing and network.firewall == "auto"]
    if not networks and not draft.observed.networks:
        return
    _plan_zone(draft, {network.name for network in networks})
    versions = {subnet.version for network in networks for subnet in network.subnets}
    for chain in draft.observed.foreign_chains["forward"]:
        concerns = bool(versions & set(chain.versions))
        if chain.offer is not None and concerns != chain.accepts:
            operation = AllowForward(chain.tool, chain.offer) if concerns else DenyForward(chain.tool, chain.offer)
            draft.add(Phase.HOST if concerns else Phase.FORGET, operation)
            states = [f"drops what networks forward ({chain.title})", f"{chain.offer} accepts what podnet.linux lets through"]
            before, after = states if concerns else reversed(states)
            draft.changes.append(Change(KIND, chain.title, {"forward": before}, {"forward": after}))
        elif chain.offer is None and concerns and not _lets_pass(chain, networks):
            text = (
                f"firewall: {chain.title} drops what the networks forward; let it accept packets with the mark {MARK:#x}/{MARK:#x}, "
                "which those carry that podnet.linux lets through, or say firewall: none"
            )
            if strict:
                raise BlockedByFirewall(text)
            draft.warn(text)


def _plan_zone(draft: Draft, names: set[str]) -> None:
    """Bridges in a zone of ours; those that somebody has put into another stay there."""
    zones = draft.observed.firewalld.get("zones")
    if zones is None or names - zones.others == zones.ours:
        return
    wanted = names - zones.others
    added, removed = tuple(sorted(wanted - zones.ours)), tuple(sorted(zones.ours - wanted))
    draft.add(Phase.HOST if added else Phase.FORGET, BindZone(added, removed, last=not wanted))
    draft.changes.append(Change(KIND, "firewalld", {f"zone {ZONE}": sorted(zones.ours)}, {f"zone {ZONE}": sorted(wanted)}))


def _lets_pass(chain: ForeignChain, networks: Iterable[Network]) -> bool:
    """Whether somebody has seen to it: accepts that go by our mark, or by the names of all the bridges."""
    accepts = " ".join(line for line in chain.rules if line.split()[-1:] == ["accept"] or " accept " in line)
    return f"{MARK:#010x}" in accepts or all(f'"{network.name}"' in accepts for network in networks)
