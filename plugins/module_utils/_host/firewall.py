# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Firewalls of somebody else: which of their chains see what is forwarded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

from .._plan.firewall import FIREWALLD
from .._plan.foreign import ForeignChain, Match, Rule
from .._plan.observed import Lazy
from .._plan.ruleset import NAME, PRIORITY
from .._store import files
from . import firewalld, iptables, nft_json, programs
from .nf_tables import FORWARD, POSTROUTING, Chain

OFFERS = ("DOCKER-USER", "ufw-user-forward", "ufw6-user-forward")
"""Chains that are there for an administrator's own rules, looked at ahead of the rest."""

_VERSIONS = {"ip": (4,), "ip6": (6,), "inet": (4, 6)}
_TOOLS = {"ip": "iptables-nft", "ip6": "ip6tables-nft"}
_LEGACY_CHAINS = {"mangle": (("FORWARD", False), ("POSTROUTING", True)), "filter": (("FORWARD", True),), "security": (("FORWARD", True),)}
"""Per table those that see what is forwarded, and whether they come behind our own chain (NF_IP_PRI_MANGLE is -150)."""

_LEGACY = (("iptables-legacy", 4, "ip_tables_names"), ("ip6tables-legacy", 6, "ip6_tables_names"))


def forward_chains(chains: list[Chain]) -> tuple[ForeignChain, ...]:
    """Those that see what is forwarded, out of ``chains``, all of nftables, and of the older tables that nftables knows nothing of."""
    tables: dict[tuple[str, str], nft_json.Table] = {}
    seeing = [chain for chain in chains if _sees_forwarded(chain)]
    for chain in seeing:
        tables.setdefault((chain.family, chain.table), nft_json.Table(chain.family, chain.table))
    return (*(_nftables(chain, chains, tables[chain.family, chain.table]) for chain in seeing), *_legacy())


def _sees_forwarded(chain: Chain) -> bool:
    return chain.table != NAME and chain.kind == "filter" and chain.hook in (FORWARD, POSTROUTING)


def _nftables(chain: Chain, chains: list[Chain], listing: nft_json.Table) -> ForeignChain:
    family, table, name = chain.family, chain.table, chain.name
    marked = chain.hook == POSTROUTING or chain.priority > PRIORITY
    others = {item.name for item in chains if (item.family, item.table) == (family, table)}
    tool = _TOOLS.get(family, "nft") if name in ("FORWARD", "POSTROUTING") else "nft"
    offer = next((offer for offer in OFFERS if offer in others), None) if tool != "nft" and table == "filter" else None
    if offer is not None:
        programs.required(tool, "iptables")
    told = cache(lambda: iptables.table(tool, table) if tool != "nft" else None)
    known = told() if offer is not None else None
    return ForeignChain(
        title=f"chain {name} of nftables table {family} {table}",
        versions=_VERSIONS[family],
        tool=FIREWALLD if (family, table) == firewalld.TABLE else tool,
        name=name,
        drops=chain.drops,
        marked=marked,
        offer=offer if known is not None else None,
        ours=known.ours.get(offer or "", 0) if known is not None else 0,
        # A target that is no chain (LOG, MARK) leads to no rules.
        chains=Lazy(lambda target: _rules(listing.rules(target), target, told) if target in others else ()),
    )


def _rules(found: list[tuple[Rule, ...] | None], chain: str, told: Callable[[], iptables.Table | None]) -> tuple[Rule, ...]:
    """``told``: what iptables says, which alone knows what its own extensions mean."""
    if None not in found:
        return tuple(rule for rules in found for rule in rules or ())
    known = told()
    theirs = known.chains.get(chain, ()) if known is not None else ()
    if len(theirs) != len(found):
        theirs = (Rule((Match(""),)),) * len(found)
    return tuple(rule for rules, other in zip(found, theirs) for rule in (rules if rules is not None else (other,)))


def _legacy() -> Iterator[ForeignChain]:
    """Asked about only where they are in use."""
    for tool, version, names in _LEGACY:
        for table in _tables(names):
            for name, marked in _LEGACY_CHAINS.get(table, ()):
                known = iptables.table(tool, table)
                if known is None:
                    programs.required(tool, "iptables")
                    continue
                offer = next((offer for offer in OFFERS if offer in known.chains), None) if table == "filter" else None
                yield ForeignChain(
                    title=f"chain {name} of table {table} of {tool}",
                    versions=(version,),
                    tool=tool,
                    name=name,
                    drops=known.policies[name] == "DROP",
                    marked=marked,
                    offer=offer,
                    ours=known.ours.get(offer or "", 0),
                    chains=known.chains,
                )


def _tables(names: str) -> list[str]:
    """Those in use; none where the kernel does not tell, as in a user namespace. Asking iptables itself would make them."""
    try:
        return (files.read(f"/proc/thread-self/net/{names}") or "").split()
    except PermissionError:
        return []
