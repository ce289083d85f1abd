# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Firewalls of somebody else: what is asked of them, what is refused, and what their chains mean."""

from __future__ import annotations

import pytest
from ansible_collections.podnet.linux.plugins.module_utils._errors import BlockedByFirewall
from ansible_collections.podnet.linux.plugins.module_utils._host.firewall import _drops_at_its_end
from ansible_collections.podnet.linux.plugins.module_utils._plan.draft import Draft
from ansible_collections.podnet.linux.plugins.module_utils._plan.firewall import plan_firewall
from ansible_collections.podnet.linux.plugins.module_utils._plan.observed import ForeignChain, Observed
from ansible_collections.podnet.linux.plugins.module_utils._plan.operations import AllowForward, DenyForward, Phase
from ansible_collections.podnet.linux.plugins.module_utils._spec.network import Network, NetworkRequest

DOCKER = ForeignChain("chain FORWARD of nftables table ip filter", (4,), "iptables-nft", "DOCKER-USER", False)
OURS = ForeignChain(DOCKER.title, (4,), DOCKER.tool, DOCKER.offer, True)
FOREIGN = ForeignChain("chain forward of nftables table inet other", (4, 6), "nft", None, False)


def network(*subnets: str, firewall: str = "auto") -> Network:
    request = NetworkRequest.from_options({"name": "pods0", "subnets": list(subnets or ("10.90.0.0/24",)), "firewall": firewall})
    return request.resolve(None, new_id="a" * 16, default_mtu=1500)


def planned(chain: ForeignChain, now: Network | None = None, *, before: bool = True, strict: bool = True) -> Draft:
    draft = Draft.of(Observed(networks={"old": network()} if before else {}, foreign_chains={"forward": (chain,)}), lambda: "")
    draft.networks = {} if now is None else {now.name: now}
    plan_firewall(draft, strict=strict)
    return draft


def test_a_chain_that_is_offered_gets_one_accept_and_loses_it_with_the_last_network() -> None:
    assert planned(DOCKER, network()).steps == [(Phase.HOST, AllowForward("iptables-nft", "DOCKER-USER"))]
    assert not planned(OURS, network()).steps
    assert planned(OURS).steps == [(Phase.FORGET, DenyForward("iptables-nft", "DOCKER-USER"))]
    assert planned(OURS, network(firewall="none")).steps == planned(OURS).steps
    assert not planned(DOCKER, before=False).steps


def test_a_chain_of_another_family_is_no_concern() -> None:
    assert not planned(DOCKER, network("fd00:90::/64")).steps


def test_where_nothing_is_offered_the_chain_is_named() -> None:
    with pytest.raises(BlockedByFirewall, match=r"chain forward of nftables table inet other.* 0x1000/0x1000"):
        planned(FOREIGN, network())
    assert "inet other" in planned(FOREIGN, network(), strict=False).warnings[0]
    assert not planned(FOREIGN, network(firewall="none")).warnings
    assert not planned(FOREIGN).warnings


@pytest.mark.parametrize(
    ("rules", "passes"),
    (
        (("meta mark & 0x00001000 == 0x00001000 accept",), True),
        (('iifname "pods0" accept', 'oifname "pods0" accept'), True),
        (('iifname "pods0" drop',), False),
        (('iifname "pods00" accept',), False),
        (("ct state established accept",), False),
    ),
)
def test_whoever_rules_there_can_let_us_through(rules: tuple[str, ...], passes: bool) -> None:
    chain = ForeignChain(FOREIGN.title, FOREIGN.versions, "nft", None, False, rules)
    assert bool(planned(chain, network(), strict=False).warnings) != passes


@pytest.mark.parametrize(
    ("rule", "drops"),
    (
        ("drop", True),
        ("counter packets 7 bytes 420 drop", True),
        ("counter drop", True),
        ('log prefix "x: " reject with icmpx admin-prohibited', True),
        ('counter drop comment "the end"', True),
        ('iifname "eth0" drop', False),
        ("accept", False),
        ("jump more", False),
    ),
)
def test_what_drops_at_its_end(rule: str, drops: bool) -> None:
    assert _drops_at_its_end(("ct state established accept", rule)) == drops


def test_an_empty_chain_drops_nothing() -> None:
    assert not _drops_at_its_end(())
