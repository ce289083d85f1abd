# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chains of other firewalls: what would become in them of a packet of which only some things are known.

Only rules that surely match count. A rule for one port neither lets a network through nor keeps it out: that is what its
administrator wanted for that port.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from .._spec.fields import IPNetwork

WHOLE = 0xFFFFFFFF
_DEEPEST = 16
"""More than the kernel allows jumps to be nested (NFT_JUMP_STACK_SIZE)."""


@dataclass(frozen=True)
class Match:
    """One condition of a rule.

    ``key``: a field of Packet; any other is one of which nothing is known. ``values``: it is one of these; names may end in
    ``*``. ``mask``: for a mark.
    """

    key: str
    values: tuple[Any, ...] = ()
    negated: bool = False
    mask: int = WHOLE


@dataclass(frozen=True)
class Rule:
    """``verdict``: accept, drop, return, jump or goto (to ``target``), or empty for a rule that decides nothing."""

    matches: tuple[Match, ...] = ()
    verdict: str = ""
    target: str = ""


@dataclass(frozen=True)
class Packet:
    """What is known of one; None stands for anything, an address is that of somebody in this network."""

    version: int
    iifname: str | None = None
    oifname: str | None = None
    saddr: IPNetwork | None = None
    daddr: IPNetwork | None = None
    iifkind: str | None = None
    oifkind: str | None = None
    state: str = "new"
    direction: str = "original"
    status: str = ""
    mark: int | None = None


@dataclass(frozen=True)
class ForeignChain:
    """A base chain of somebody else that sees what is forwarded.

    ``tool``: what manages it. ``marked``: it comes behind our own, which marks what it lets through. ``offer``: the chain of
    that firewall that is there for rules of an administrator, None for none; ``ours``: how many times our rule is in it.
    ``chains``: the rules of this chain and of those that it leads to.
    """

    title: str
    versions: tuple[int, ...]
    tool: str
    name: str
    drops: bool
    marked: bool = True
    offer: str | None = None
    ours: int = 0
    chains: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict, hash=False)

    def lets(self, packet: Packet, first: Mapping[str, tuple[Rule, ...]] | None = None) -> bool:
        """Whether the packet surely passes; ``first``: rules put ahead of those of some chains."""
        verdict = self._walk(self.name, packet, first or {}, 0)
        return verdict == "accept" if verdict else not self.drops

    def _walk(self, chain: str, packet: Packet, first: Mapping[str, tuple[Rule, ...]], depth: int) -> str:
        """Empty where the chain ends without a verdict."""
        if depth > _DEEPEST:
            return ""
        for rule in (*first.get(chain, ()), *self.chains.get(chain, ())):
            if not all(_matches(match, packet) for match in rule.matches):
                continue
            if rule.verdict in ("accept", "drop"):
                return rule.verdict
            if rule.verdict == "return":
                return ""
            verdict = self._walk(rule.target, packet, first, depth + 1) if rule.target else ""
            if verdict or rule.verdict == "goto":
                return verdict
        return ""


def _matches(match: Match, packet: Packet) -> bool | None:
    """None for what is not known."""
    known = getattr(packet, match.key, None) if match.key in Packet.__dataclass_fields__ else None
    if known is None:
        return None
    found = [_equals(match, known, value) for value in match.values]
    if True in found:
        return not match.negated
    return None if None in found else match.negated


def _equals(match: Match, known: Any, value: Any) -> bool | None:
    if isinstance(known, (IPv4Network, IPv6Network)):
        if not isinstance(value, (IPv4Network, IPv6Network)):
            return None
        if known.version != value.version or not known.overlaps(value):
            return False
        return True if value.prefixlen <= known.prefixlen else None
    if match.key == "mark":
        return known & match.mask == value if isinstance(value, int) else None
    if match.key in ("iifname", "oifname") and str(value).endswith("*"):
        return bool(known.startswith(value[:-1]))
    return bool(known == value)
