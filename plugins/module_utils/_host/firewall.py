# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Firewalls of somebody else: which of their chains see what is forwarded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._plan.foreign import ForeignChain
from .._plan.observed import Lazy
from .._plan.ruleset import NAME, PRIORITY
from .._store import files
from . import firewalld, iptables, nft_json, programs

OFFERS = ("DOCKER-USER", "ufw-user-forward", "ufw6-user-forward")
"""Chains that are there for an administrator's own rules, looked at ahead of the rest."""

Chain = dict[str, Any]

_VERSIONS = {"ip": (4,), "ip6": (6,), "inet": (4, 6)}
_TOOLS = {"ip": "iptables-nft", "ip6": "ip6tables-nft"}
_LEGACY = (("iptables-legacy", 4, "ip_tables_names"), ("ip6tables-legacy", 6, "ip6_tables_names"))


def listed_chains() -> list[Chain]:
    """All of nftables, without their rules."""
    return [item for kind, item in nft_json.listed("chains") if kind == "chain"]


def forward_chains(chains: list[Chain]) -> tuple[ForeignChain, ...]:
    """Those that see what is forwarded, out of ``chains`` and of the older tables that nftables knows nothing of."""
    return (*(_nftables(chain, chains) for chain in chains if _sees_forwarded(chain)), *_legacy())


def _sees_forwarded(chain: Chain) -> bool:
    family, table = chain["family"], chain["table"]
    ours = table == NAME or (family, table) == firewalld.TABLE
    return family in _VERSIONS and not ours and chain.get("type") == "filter" and chain["hook"] in ("forward", "postrouting")


def _nftables(chain: Chain, chains: list[Chain]) -> ForeignChain:
    family, table, name = chain["family"], chain["table"], chain["name"]
    title = f"chain {name} of nftables table {family} {table}"
    marked = chain["hook"] == "postrouting" or chain["prio"] > PRIORITY
    drops = chain.get("policy") == "drop"
    if table == "filter" and name == "FORWARD" and family in _TOOLS:
        tool = _TOOLS[family]
        known = iptables.table(tool)
        if known is not None:
            return _of_iptables(known, title, _VERSIONS[family], tool, marked)
        if any(item["name"] in OFFERS for item in chains if (item["family"], item["table"]) == (family, table)):
            programs.required(tool, "iptables")
    rules = Lazy(lambda target: nft_json.rules(family, table, target))
    return ForeignChain(title, _VERSIONS[family], "nft", name, drops, marked, chains=rules)


def _legacy() -> Iterator[ForeignChain]:
    """Asked about only where they are in use."""
    for tool, version, names in _LEGACY:
        if "filter" not in _tables(names):
            continue
        known = iptables.table(tool)
        if known is None:
            programs.required(tool, "iptables")
        else:
            yield _of_iptables(known, f"chain FORWARD of table filter of {tool}", (version,), tool, marked=True)


def _of_iptables(known: iptables.Table, title: str, versions: tuple[int, ...], tool: str, marked: bool) -> ForeignChain:
    offer = next((offer for offer in OFFERS if offer in known.chains), None)
    drops = known.policies["FORWARD"] == "DROP"
    return ForeignChain(title, versions, tool, "FORWARD", drops, marked, offer, known.ours.get(offer or "", 0), known.chains)


def _tables(names: str) -> list[str]:
    """Those in use; none where the kernel does not tell, as in a user namespace. Asking iptables itself would make them."""
    try:
        return (files.read(f"/proc/thread-self/net/{names}") or "").split()
    except PermissionError:
        return []
