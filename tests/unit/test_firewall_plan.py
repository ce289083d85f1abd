# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Firewalls of somebody else: what is asked of them, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest
from ansible_collections.podnet.linux.plugins.module_utils._errors import BlockedByFirewall
from ansible_collections.podnet.linux.plugins.module_utils._plan.draft import Draft
from ansible_collections.podnet.linux.plugins.module_utils._plan.firewall import MARK, plan_firewall
from ansible_collections.podnet.linux.plugins.module_utils._plan.foreign import ForeignChain, Match, Packet, Rule
from ansible_collections.podnet.linux.plugins.module_utils._plan.observed import Observed
from ansible_collections.podnet.linux.plugins.module_utils._plan.operations import Phase, SetForward
from ansible_collections.podnet.linux.plugins.module_utils._spec.network import Network, NetworkRequest

ACCEPT = Rule((Match("mark", (MARK,), mask=MARK),), "accept")
RETURN, DROP = Rule(verdict="return"), Rule(verdict="drop")
TO_USER = Rule(verdict="jump", target="DOCKER-USER")


def docker(*user: Rule, forward: tuple[Rule, ...] = (TO_USER,), drops: bool = True) -> ForeignChain:
    chains = {"FORWARD": forward, "DOCKER-USER": user}
    title = "chain FORWARD of nftables table ip filter"
    return ForeignChain(title, (4,), "iptables-nft", "FORWARD", drops, True, "DOCKER-USER", user.count(ACCEPT), chains)


DOCKER, OURS = docker(RETURN), docker(ACCEPT, RETURN)
FOREIGN = ForeignChain("chain forward of nftables table inet other", (4, 6), "nft", "forward", drops=True)
ALLOW, DENY = (SetForward("iptables-nft", "DOCKER-USER", allowed) for allowed in (True, False))


def network(*subnets: str, firewall: str = "auto", internal: bool = False) -> Network:
    options = {"name": "pods0", "subnets": list(subnets or ("10.90.0.0/24",)), "firewall": firewall, "internal": internal}
    return NetworkRequest.from_options(options).resolve(None, new_id="a" * 16, default_mtu=1500)


def planned(chain: ForeignChain, now: Network | None = None, *, before: bool = True, strict: bool = True) -> Draft:
    routes = ((ip_network("0.0.0.0/0"), "eth0"),)
    observed = Observed(networks={"old": network()} if before else {}, foreign_chains={"forward": (chain,)}, routes=routes)
    draft = Draft.of(observed, lambda: "")
    draft.networks = {} if now is None else {now.name: now}
    plan_firewall(draft, strict=strict)
    return draft


def passes(*rules: Rule, now: Network | None = None) -> bool:
    chain = replace(FOREIGN, chains={"forward": rules})
    return not planned(chain, now or network(), strict=False).warnings


def test_a_chain_that_is_offered_gets_one_accept_and_loses_it_with_the_last_network() -> None:
    assert planned(DOCKER, network()).steps == [(Phase.HOST, ALLOW)]
    assert not planned(OURS, network()).steps
    assert planned(OURS).steps == [(Phase.DESTROY, DENY)]
    assert planned(OURS, network(firewall="none")).steps == planned(OURS).steps
    assert planned(OURS, network(internal=True)).steps == planned(OURS).steps
    assert not planned(DOCKER, before=False).steps


def test_it_goes_with_the_last_network_also_where_nothing_is_dropped_by_now() -> None:
    assert planned(docker(ACCEPT, drops=False)).steps == [(Phase.DESTROY, DENY)]


def test_an_accept_that_comes_too_late_is_put_first() -> None:
    assert planned(docker(RETURN, ACCEPT), network()).steps == [(Phase.HOST, DENY), (Phase.HOST, ALLOW)]


def test_an_offer_that_is_not_asked_any_more_does_not_help() -> None:
    for chain in (docker(ACCEPT, forward=()), docker(RETURN, forward=(DROP, TO_USER))):
        with pytest.raises(BlockedByFirewall, match="chain FORWARD of nftables table ip filter"):
            planned(chain, network())


def test_a_chain_of_another_family_is_no_concern() -> None:
    assert not planned(DOCKER, network("fd00:90::/64")).steps


def test_where_nothing_is_offered_the_chain_is_named() -> None:
    with pytest.raises(BlockedByFirewall, match=r"chain forward of nftables table inet other.* 0x1000/0x1000"):
        planned(FOREIGN, network())
    assert "inet other" in planned(FOREIGN, network(), strict=False).warnings[0]
    assert not planned(FOREIGN, network(firewall="none")).warnings
    assert not planned(FOREIGN, network(internal=True)).warnings
    assert not planned(FOREIGN).warnings


def test_a_chain_ahead_of_ours_knows_no_mark() -> None:
    early = replace(FOREIGN, marked=False, chains={"forward": (ACCEPT,)})
    with pytest.raises(BlockedByFirewall, match="comes in on the networks' bridges"):
        planned(early, network())


def test_only_what_surely_matches_counts() -> None:
    out, back = Match("iifname", ("pods0",)), Match("oifname", ("pods*",))
    port, answers = Match(""), Rule((Match("state", ("established", "related")),), "accept")
    assert passes(Rule((out,), "accept"), Rule((back,), "accept"))
    assert passes(answers, Rule((out,), "accept"))
    assert not passes(Rule((out,), "accept"))
    assert not passes(answers, Rule((out, port), "accept"))
    assert not passes(answers, Rule((Match("iifname", ("pods",)),), "accept"))
    assert passes(Rule((port,), "drop"), ACCEPT)
    assert not passes(Rule((Match("saddr", (ip_network("10.0.0.0/8"),)),), "drop"), ACCEPT)
    assert passes(Rule((Match("saddr", (ip_network("10.90.0.128/25"),)),), "drop"), ACCEPT)
    assert passes(answers, Rule((out, Match("oifname", ("eth0",))), "accept"))
    assert not passes(answers, Rule((out, Match("oifname", ("eth0",), negated=True)), "accept"))


def test_verdicts_of_other_chains_count() -> None:
    chains = {"forward": (Rule(verdict="jump", target="more"), ACCEPT), "more": (RETURN, DROP)}
    packet = Packet(4, mark=MARK)
    assert replace(FOREIGN, chains=chains).lets(packet)
    assert not replace(FOREIGN, chains={**chains, "more": (DROP,)}).lets(packet)
    assert not replace(FOREIGN, chains={**chains, "forward": (Rule(verdict="goto", target="more"), ACCEPT)}).lets(packet)
    assert not replace(FOREIGN, chains={"forward": (Rule(verdict="jump", target="forward"),)}).lets(packet)
