# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Firewalls of somebody else: which of their chains drop what is forwarded, and the one rule that we may have in them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .._errors import KernelError
from .._plan.firewall import COMMENT, MARK
from .._plan.observed import ForeignChain
from .._plan.ruleset import NAME
from .._store import files
from . import firewalld, programs

OFFERS = ("DOCKER-USER", "ufw-user-forward", "ufw6-user-forward")
"""Chains that are there for an administrator's own rules, looked at ahead of the rest."""

RULE = ("-m", "mark", "--mark", f"{MARK:#x}/{MARK:#x}", "-m", "comment", "--comment", COMMENT, "-j", "ACCEPT")

_VERSIONS = {"ip": (4,), "ip6": (6,), "inet": (4, 6)}
_TOOLS = {"ip": "iptables-nft", "ip6": "ip6tables-nft"}
_TABLE = re.compile(r"^table (\w+) (\S+) \{\n(.*?)^\}", re.DOTALL | re.MULTILINE)
_CHAIN = re.compile(r"^\tchain (\S+) \{\n(.*?)^\t\}", re.DOTALL | re.MULTILINE)


def forward_chains(chains: str) -> tuple[ForeignChain, ...]:
    """Those that drop what none of their rules accepts; ``chains``: as nft lists them."""
    found = []
    for table in _TABLE.finditer(chains):
        family, name = table[1], table[2]
        if family not in _VERSIONS or name == NAME or (family, name) == firewalld.TABLE:
            continue
        heads = {chain[1]: chain[2] for chain in _CHAIN.finditer(table[3])}
        offer = next((offer for offer in OFFERS if offer in heads and family in _TOOLS and name == "filter"), None)
        for chain, head in heads.items():
            if "type filter hook forward" not in head:
                continue
            rules = _rules(family, name, chain)
            if "policy drop" not in head and not _drops_at_its_end(rules):
                continue
            tool = _TOOLS.get(family, "nft")
            accepts = offer is not None and _accepts(tool, offer)
            found.append(ForeignChain(f"chain {chain} of nftables table {family} {name}", _VERSIONS[family], tool, offer, accepts, rules))
    return (*found, *_legacy_chains())


def listed_chains() -> str:
    """As nft lists them all, without their rules."""
    return _nft("list", "chains")


def allow(tool: str, chain: str) -> None:
    """Put our rule ahead of the others. Raises KernelError, MissingDependency."""
    _iptables(tool, "--insert", chain, *RULE)


def deny(tool: str, chain: str) -> None:
    _iptables(tool, "--delete", chain, *RULE)


def _legacy_chains() -> Iterator[ForeignChain]:
    """Those of the older tables that nftables knows nothing of; asked about only where they are in use."""
    for tool, version, names in (("iptables-legacy", 4, "ip_tables_names"), ("ip6tables-legacy", 6, "ip6_tables_names")):
        if "filter" not in _tables(names):
            continue
        lines = _iptables(tool, "--list-rules").splitlines()
        rules = [line.removeprefix("-A FORWARD ") for line in lines if line.startswith("-A FORWARD ")]
        if "-P FORWARD DROP" not in lines and not (rules and rules[-1].startswith(("-j DROP", "-j REJECT"))):
            continue
        offer = next((offer for offer in OFFERS if f"-N {offer}" in lines), None)
        accepts = any(line.startswith(f"-A {offer} ") and COMMENT in line for line in lines)
        title = f"chain FORWARD of table filter of {tool}"
        yield ForeignChain(title, (version,), tool, offer, accepts, tuple(_as_nft(rule) for rule in rules))


def _tables(names: str) -> list[str]:
    """Those in use; none where the kernel does not tell, as in a user namespace. Asking iptables itself would make them."""
    try:
        return (files.read(f"/proc/thread-self/net/{names}") or "").split()
    except PermissionError:
        return []


def _as_nft(rule: str) -> str:
    """As far as it matters for letting interfaces or marks pass."""
    words = re.sub(r"-([io]) (\S+)", r'\1ifname "\2"', rule).replace(f"{MARK:#x}/{MARK:#x}", f"{MARK:#010x}")
    return words.replace("-j ACCEPT", "accept")


def _accepts(tool: str, chain: str) -> bool:
    return any(f"{COMMENT}" in line for line in _iptables(tool, "--list-rules", chain).splitlines())


def _rules(family: str, table: str, chain: str) -> tuple[str, ...]:
    text = _nft("list", "chain", family, table, chain)
    lines = [line.strip() for line in text.splitlines() if line.startswith("\t\t")]
    return tuple(line for line in lines if not line.startswith("type "))


def _drops_at_its_end(rules: tuple[str, ...]) -> bool:
    """Whether the last rule drops or rejects whatever comes to it."""
    words = re.sub(r"counter( packets \d+ bytes \d+)?|comment \"[^\"]*\"|log( prefix \"[^\"]*\")?", "", rules[-1]).split() if rules else []
    return words[:1] in (["drop"], ["reject"])


def _nft(*words: str) -> str:
    result = programs.run([programs.required("nft", "nftables"), "--stateless", *words])
    if result.returncode:
        raise KernelError(f"nft cannot list what other firewalls do: {result.stderr.strip()[:200]}")
    return result.stdout


def _iptables(tool: str, *words: str) -> str:
    path = programs.find(tool) or programs.required(tool.partition("-")[0], "iptables")
    result = programs.run([path, "--wait", "10", *words])
    if result.returncode:
        raise KernelError(f"{path} {' '.join(words)}: {result.stderr.strip()[:200]}")
    return result.stdout
