# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nftables ruleset that the declared networks mean: text, the same for the same networks."""

from __future__ import annotations

from collections.abc import Iterable

from .._spec.network import Network
from .draft import Draft, TextChange
from .operations import LoadRules, Phase

TABLE = "podnet"
FAMILY = "inet"
COMMENT = "podnet.linux"


def plan_rules(draft: Draft) -> None:
    """One transaction, where what is loaded differs from what the networks mean."""
    ruleset = render(draft.networks.values())
    wanted = draft.canonical(ruleset) if ruleset else ""
    if wanted == draft.observed.rules:
        return
    draft.add(Phase.RULES, LoadRules(ruleset, draft.observed.rules))
    draft.changes.append(TextChange(f"nftables table {FAMILY} {TABLE}", draft.observed.rules, wanted))


def render(networks: Iterable[Network]) -> str:
    """The whole table; empty text where there is no network.

    Forwarding is decided per pair of bridges in constant time: ``may_pass`` holds the pairs that may talk (a bridge
    with itself where ``inter_pod`` is true). What comes from outside is dropped unless it answers, or was published
    (``ct status dnat``). Masquerade applies to what leaves for anything but another of our bridges.
    """
    ours = sorted((network for network in networks if not network.removing), key=lambda network: network.name)
    if not ours:
        return ""
    closed = [network for network in ours if not network.host_access]
    return "\n".join(
        (
            f"table {FAMILY} {TABLE} {{",
            f'\tcomment "{COMMENT}"',
            _set("bridges", "ifname", (_quote(n.name) for n in ours)),
            _set("internal", "ifname", (_quote(n.name) for n in ours if n.internal)),
            _set("may_pass", "ifname . ifname", (f"{_quote(a)} . {_quote(b)}" for a, b in _may_pass(ours))),
            _set("nat4", "ipv4_addr", _nat(ours, 4), interval=True),
            _set("nat6", "ipv6_addr", _nat(ours, 6), interval=True),
            _set("closed", "ifname", (_quote(n.name) for n in closed)),
            _set("dns4", "ifname . ipv4_addr", _gateway_dns(closed, 4)),
            _set("dns6", "ifname . ipv6_addr", _gateway_dns(closed, 6)),
            *_CHAINS,
            "}",
            "",
        )
    )


_CHAINS = (
    "\tchain forward {",
    "\t\ttype filter hook forward priority filter; policy accept;",
    "\t\tiifname @bridges oifname @bridges jump between",
    "\t\tiifname @internal drop",
    "\t\toifname @bridges iifname != @bridges jump inbound",
    "\t}",
    "\tchain between {",
    "\t\tiifname . oifname @may_pass accept",
    "\t\tdrop",
    "\t}",
    "\tchain inbound {",
    "\t\toifname @internal drop",
    "\t\tct state established,related accept",
    "\t\tct status dnat accept",
    "\t\tdrop",
    "\t}",
    "\tchain input {",
    "\t\ttype filter hook input priority filter; policy accept;",
    "\t\tiifname @closed jump to_host",
    "\t}",
    "\tchain to_host {",
    "\t\tct state established,related accept",
    "\t\ticmp type { destination-unreachable, time-exceeded, parameter-problem } accept",
    "\t\ticmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept",
    "\t\ticmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, mld-listener-report, mld2-listener-report } accept",
    "\t\tmeta l4proto { tcp, udp } th dport 53 iifname . ip daddr @dns4 accept",
    "\t\tmeta l4proto { tcp, udp } th dport 53 iifname . ip6 daddr @dns6 accept",
    "\t\tdrop",
    "\t}",
    "\tchain postrouting {",
    "\t\ttype nat hook postrouting priority srcnat; policy accept;",
    "\t\toifname @bridges return",
    "\t\tip saddr @nat4 masquerade",
    "\t\tip6 saddr @nat6 masquerade",
    "\t}",
)


def _may_pass(networks: list[Network]) -> list[tuple[str, str]]:
    """``none`` talks to none and normal, ``normal`` to none, ``strict`` and internal ones to nobody; both directions."""
    pairs = [(network.name, network.name) for network in networks if network.inter_pod]
    for first in networks:
        for second in networks:
            if (
                first is not second
                and not first.internal
                and not second.internal
                and {first.isolation, second.isolation} in ({"none"}, {"none", "normal"})
            ):
                pairs.append((first.name, second.name))
    return pairs


def _nat(networks: list[Network], version: int) -> list[str]:
    return [str(subnet) for n in networks if n.nat and not n.internal for subnet in n.subnets if subnet.version == version]


def _gateway_dns(networks: list[Network], version: int) -> list[str]:
    return [
        f"{_quote(network.name)} . {gateway}"
        for network in networks
        for gateway in network.gateways
        if gateway.version == version and gateway in (network.dns or ())
    ]


def _set(name: str, kind: str, elements: Iterable[str], *, interval: bool = False) -> str:
    lines = [f"\tset {name} {{", f"\t\ttype {kind}"]
    if interval:
        lines += ["\t\tflags interval", "\t\tauto-merge"]
    items = ", ".join(elements)
    if items:
        lines.append(f"\t\telements = {{ {items} }}")
    return "\n".join([*lines, "\t}"])


def _quote(text: str) -> str:
    return f'"{text}"'
