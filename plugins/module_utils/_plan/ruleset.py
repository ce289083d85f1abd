# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What networks and sandboxes mean in nftables: text, the same for the same declarations."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address

from .._spec.bound import METADATA
from .._spec.fields import IPAddress
from .._spec.network import Network
from .._spec.sandbox import Sandbox
from . import egress
from .firewall import MARK
from .observed import Flow, Parts, Ruleset
from .publishing import published, targets
from .resolver import resolvers

NAME = "podnet"
FAMILIES = ("inet", "bridge")
COMMENT = "podnet.linux"

PRIORITY = -5
"""Of our chain at the forward hook: ahead of other firewalls, which may go by the mark (NF_IP_PRI_FILTER is 0)."""

_KINDS = ("host", "any")
PRIVATE = "bridge set private"
GUARDED = "bridge set guarded"
SENDERS = "bridge set senders"
SENDERS_OF = {4: "bridge set senders4", 6: "bridge set senders6"}
TARGETS = "bridge set targets6"
BESIDE = {4: "inet set beside4", 6: "inet set beside6"}
MAPS = {(kind, version): f"inet map {kind}{version}" for kind in _KINDS for version in (4, 6)}
HOMES = "bridge map homes"
HOST_ENDS = "inet set host_ends"
SHARED = (*MAPS.values(), *BESIDE.values(), HOST_ENDS, PRIVATE, GUARDED, SENDERS, *SENDERS_OF.values(), TARGETS, HOMES, *egress.BLOCKS)
"""The blocks of the frame whose elements come and go with sandboxes and policies; there may be thousands."""

_TABLE = re.compile(r"table (\w+) \S+ \{\n(.*?)\n\}", re.DOTALL)
_BLOCK = re.compile(r"\t(\w+ \S+) \{\n(.*?)\n?\t\}", re.DOTALL)
_ELEMENTS = re.compile(r"\n?\t\telements = \{ (.*?) \}", re.DOTALL)
_ITEM = re.compile(r'(?:[^,"]|"[^"]*")+')
_UDP = re.compile(r"(?:(\S+) \. )?udp \. (\d+)(?: .*)? : (\S+) \. (\d+)")
_PROTOCOLS = {"6": "tcp", "17": "udp", "132": "sctp"}


def frame(networks: Iterable[Network]) -> str:
    """Both tables but for the parts; empty text where there is no network.

    Everything is decided in constant time, by sets and maps. Forwarding is a matter of pairs of bridges: ``may_pass`` holds
    those that may talk (a bridge with itself where ``inter_pod`` is true). What comes from outside is dropped unless it
    answers, or was published (``ct status dnat``). Masquerade applies to what leaves for anything but another of our
    bridges; and, in ``inward``, to what would be answered past this host: published ports of a neighbour or of one's own
    (``beside``: also on a network to which they do not lead), and what comes from 127.0.0.1. Only what is addressed to this
    host is published (``fib daddr type local``).

    What is let through is marked, so that others can tell: an accept in a foreign firewall; and the bridge table. Between
    ports of one bridge the inet table sees nothing, unless br_netfilter is on. So the bridge table keeps private ports
    apart, but for what br_netfilter has made of a published port, which the inet table has seen and marked.
    """
    ours = sorted((network for network in networks if not network.removing), key=lambda network: network.name)
    if not ours:
        return ""
    closed = [network for network in ours if not network.host_access]
    return "\n".join(
        (
            f"table inet {NAME} {{",
            f'\tcomment "{COMMENT}"',
            _set("bridges", "ifname", (_quote(n.name) for n in ours)),
            _set("internal", "ifname", (_quote(n.name) for n in ours if n.internal)),
            _set("may_pass", "ifname . ifname", (f"{_quote(a)} . {_quote(b)}" for a, b in _may_pass(ours))),
            _set("nat4", "ipv4_addr", _nat(ours, 4), interval=True),
            _set("nat6", "ipv6_addr", _nat(ours, 6), interval=True),
            _set("home4", "ifname . ipv4_addr", _home(ours, 4), interval=True),
            _set("home6", "ifname . ipv6_addr", _home(ours, 6), interval=True),
            _set("closed", "ifname", (_quote(n.name) for n in closed)),
            _set("dns4", "ifname . ipv4_addr", _gateway_dns(closed, 4)),
            _set("dns6", "ifname . ipv6_addr", _gateway_dns(closed, 6)),
            *(_map(f"{kind}{version}", _KEYS[kind].format(version), f"ipv{version}_addr . inet_service") for kind, version in MAPS),
            *(_set(f"beside{version}", f"ipv{version}_addr . ipv{version}_addr", (), interval=True) for version in BESIDE),
            *(_set(f"metadata{version}", f"ipv{version}_addr", sorted(known)) for version, known in METADATA.items()),
            *(_map(f"{kind}{version}", f"ifname . ipv{version}_addr", "verdict") for kind, version in egress.DISPATCH),
            _map("ceilings", "ifname", "verdict"),
            *(_set(f"resolvers{version}", f"ifname . ipv{version}_addr . ipv{version}_addr", ()) for version in egress.RESOLVERS),
            _set("host_ends", "ifname", ()),
            *_INET,
            "}",
            f"table bridge {NAME} {{",
            f'\tcomment "{COMMENT}"',
            _set("private", "ifname", ()),
            _set("guarded", "ifname", ()),
            _set("senders", "ifname . ether_addr", ()),
            _set("senders4", "ifname . ipv4_addr", ()),
            _set("senders6", "ifname . ipv6_addr", ()),
            # nft knows the target of a neighbour advertisement by name from 1.0.8 on.
            "\tset targets6 {\n\t\ttypeof iifname . @th,64,128\n\t}",
            _map("homes", "ifname", "ether_addr"),
            _set("routed", "ifname", ()),
            _set("routed_macs", "ether_addr", ()),
            _map("crowds", "ifname", "verdict"),
            *_BRIDGE,
            "}",
            "",
        )
    )


def parts(sandboxes: Iterable[Sandbox], networks: Mapping[str, Network], upstream: Sequence[IPAddress]) -> Parts:
    """What these sandboxes add, and all that the networks' policies do. ``upstream``: the host's resolvers."""
    elements: dict[str, set[str]] = {block: set() for block in SHARED}
    chains: dict[str, tuple[str, ...]] = {}

    def merge(more: Parts) -> None:
        for block, items in more.items():
            if isinstance(items, frozenset):
                elements.setdefault(block, set()).update(items)
            else:
                chains[block] = items

    merge(egress.network_parts(networks))
    closed = {name for name, network in networks.items() if not network.inter_pod}
    for sandbox in sandboxes:
        if not sandbox.removing:
            merge(_sandbox_parts(sandbox, networks, closed))
            merge(egress.sandbox_parts(sandbox, networks, resolvers(sandbox, networks, upstream)))
    return {**{block: frozenset(items) for block, items in elements.items()}, **chains}


def _sandbox_parts(sandbox: Sandbox, networks: Mapping[str, Network], closed: Collection[str]) -> Parts:
    found = egress.Collected()
    for item in sandbox.attachments:
        peer = _quote(sandbox.veth_host(item.position))
        found.add(GUARDED, peer)
        found.add(HOST_ENDS, peer)
        found.add(SENDERS, f"{peer} . {item.mac}")
        if item.network in closed:
            found.add(PRIVATE, peer)
        if item.network in networks:
            found.add(HOMES, f"{peer} : {networks[item.network].mac}")
        for own in item.senders():
            found.add(SENDERS_OF[own.version], f"{peer} . {own}")
            if own.version == 6:
                found.add(TARGETS, f"{peer} . {int(own):#x}")
    for version, (home, address) in targets(sandbox, networks).items() if sandbox.port_forwards else ():
        others = {item.network for item in sandbox.attachments} & networks.keys() - {home.name}
        for subnet in (subnet for name in others for subnet in networks[name].subnets):
            if subnet.version == version:
                found.add(BESIDE[version], f"{address} . {subnet}")
    for forward, version, address in published(sandbox, networks):
        where = "" if forward.anywhere else f"{forward.host_address} . "
        block = MAPS["any" if forward.anywhere else "host", version]
        for offset in range(forward.count):
            port = f"{forward.protocol} . {forward.host_port + offset}"
            found.add(block, f"{where}{port} : {address} . {forward.container_port + offset}")
    return found.parts()


def parsed(listing: str) -> Ruleset:
    """What nft lists of our tables. Set elements come in no fixed order; everything else does."""
    found: dict[str, frozenset[str] | tuple[str, ...]] = dict.fromkeys(SHARED, frozenset())
    tables = []
    for table in _TABLE.finditer(listing):
        kept = []
        for match in _BLOCK.finditer(table[2]):
            name, text = f"{table[1]} {match[1]}", match[2]
            held = _ELEMENTS.search(text)
            items = frozenset(" ".join(item.split()) for item in _ITEM.findall(held[1])) if held else frozenset()
            if egress.is_dynamic(name):
                found[name] = items if match[1].startswith("set") else _lines(match[1], text)
                continue
            if name in SHARED:
                found[name] = frozenset(map(_named, items)) if name in MAPS.values() else items
                text = text.replace(held[0], "") if held else text
            elif held:
                text = text.replace(held[1], ", ".join(sorted(items)))
            kept.append(f"\t{match[1]} {{\n{text}\n\t}}")
        comment = next((line for line in table[2].splitlines() if line.startswith("\tcomment ")), "")
        tables.append("\n".join((f"table {table[1]} {NAME} {{", comment, *kept, "}")))
    return Ruleset("\n".join(tables), found)


def _lines(block: str, text: str) -> tuple[str, ...]:
    """Of a chain; a counter has none that matter."""
    return tuple(line.strip() for line in text.splitlines()) if block.startswith("chain") else ()


def udp_flows(items: Parts) -> Iterator[Flow]:
    """Where elements of the ports' maps lead UDP."""
    for (_kind, version), block in MAPS.items():
        for match in filter(None, map(_UDP.fullmatch, items.get(block, ()))):
            host, port, address, at = match.groups()
            yield Flow(version, ip_address(host) if host else None, int(port), (ip_address(address), int(at)))


def blocks(ruleset: Ruleset) -> dict[str, list[str]]:
    """By what it consists of: the elements of each set and map, the lines of each chain."""
    found: dict[str, list[str]] = {}
    for table in _TABLE.finditer(ruleset.frame):
        for block in _BLOCK.finditer(table[2]):
            held = _ELEMENTS.search(block[2])
            lines = held[1].split(", ") if held else [line.strip() for line in block[2].splitlines()]
            found[f"{table[1]} {block[1]}"] = [] if not held and not block[1].startswith("chain") else lines
    for name, items in (ruleset.parts or {}).items():
        if name in found or egress.is_dynamic(name):
            found[name] = list(items) if isinstance(items, tuple) else sorted(items)
    return found


_KEYS = {"host": "ipv{}_addr . inet_proto . inet_service", "any": "inet_proto . inet_service"}
"""Of published ports: those of one address of the host, and those of all."""

_MARK = f"{MARK:#010x}"

_INET = (
    "\tchain guard {",
    "\t\ttype filter hook prerouting priority raw; policy accept;",
    # Frames to 01:80:c2:00:00:00-0f a bridge hands to its port, past all of its hooks (IEEE 802.1Q, 8.6.3).
    "\t\tiifname @host_ends counter drop",
    # CVE-2020-8558: with route_localnet, 127/8 could come in from outside.
    '\t\tiifname != "lo" ip daddr 127.0.0.0/8 drop',
    '\t\tiifname != "lo" ip saddr 127.0.0.0/8 drop',
    "\t}",
    "\tchain prerouting {",
    "\t\ttype nat hook prerouting priority dstnat; policy accept;",
    "\t\tfib daddr type local jump publish",
    "\t}",
    "\tchain output {",
    "\t\ttype nat hook output priority -100; policy accept;",
    "\t\tfib daddr type local jump publish",
    "\t}",
    "\tchain publish {",
    "\t\tmeta nfproto ipv4 dnat ip to ip daddr . meta l4proto . th dport map @host4",
    "\t\tmeta nfproto ipv4 dnat ip to meta l4proto . th dport map @any4",
    "\t\tmeta nfproto ipv6 dnat ip6 to ip6 daddr . meta l4proto . th dport map @host6",
    "\t\tmeta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @any6",
    "\t}",
    "\tchain forward {",
    f"\t\ttype filter hook forward priority filter - {-PRIORITY}; policy accept;",
    "\t\tiifname @bridges jump egress",
    "\t\tiifname @internal goto within",
    "\t\toifname @internal drop",
    "\t\tiifname @bridges oifname @bridges goto between",
    "\t\tiifname @bridges goto through",
    "\t\toifname @bridges goto inbound",
    "\t}",
    # Not even to a published port by an address of the host.
    "\tchain within {",
    "\t\tiifname . oifname @may_pass goto through",
    "\t\tdrop",
    "\t}",
    "\tchain between {",
    "\t\tct status dnat goto through",
    "\t\tiifname . oifname @may_pass goto through",
    "\t\tdrop",
    "\t}",
    "\tchain inbound {",
    "\t\tct state established,related goto through",
    "\t\tct status dnat goto through",
    "\t\tdrop",
    "\t}",
    "\tchain through {",
    f"\t\tmeta mark set meta mark | {_MARK} accept",
    "\t}",
    "\tchain input {",
    "\t\ttype filter hook input priority filter; policy accept;",
    "\t\tiifname @bridges jump egress",
    "\t\tiifname @closed jump to_host",
    "\t}",
    # What the policies say of it; see egress.py. The networks' are a ceiling for those of their sandboxes.
    "\tchain egress {",
    "\t\tct direction reply return",
    # To many at once: the bridge table has seen to it.
    "\t\tmeta pkttype { broadcast, multicast } return",
    # Neighbour discovery that was not forwarded (RFC 4861), and what never is.
    "\t\tip6 hoplimit 255 icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } return",
    "\t\tct state related meta l4proto { icmp, ipv6-icmp } return",
    "\t\tiifname vmap @ceilings",
    "\t\tiifname . ip saddr vmap @policies4",
    "\t\tiifname . ip6 saddr vmap @policies6",
    "\t}",
    "\tchain output_filter {",
    "\t\ttype filter hook output priority filter; policy accept;",
    # That neighbours are reached by way of the host is meant.
    "\t\toifname @bridges icmp type redirect drop",
    "\t\toifname @bridges icmpv6 type nd-redirect drop",
    "\t}",
    "\tchain to_host {",
    "\t\tct direction reply accept",
    "\t\ticmp type { destination-unreachable, time-exceeded, parameter-problem } accept",
    "\t\ticmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept",
    "\t\ticmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
    "\t\tmeta l4proto { tcp, udp } th dport 53 iifname . ip daddr @dns4 accept",
    "\t\tmeta l4proto { tcp, udp } th dport 53 iifname . ip6 daddr @dns6 accept",
    "\t\tdrop",
    "\t}",
    "\tchain postrouting {",
    "\t\ttype nat hook postrouting priority srcnat; policy accept;",
    # What the host says to itself, by a gateway's address too.
    '\t\toifname "lo" accept',
    "\t\toifname @bridges jump inward",
    "\t\tip saddr @nat4 masquerade",
    "\t\tip6 saddr @nat6 masquerade",
    "\t}",
    "\tchain inward {",
    "\t\tip saddr 127.0.0.0/8 masquerade",
    "\t\tct status dnat oifname . ip saddr @home4 masquerade",
    "\t\tct status dnat oifname . ip6 saddr @home6 masquerade",
    "\t\tct status dnat ip daddr . ip saddr @beside4 masquerade",
    "\t\tct status dnat ip6 daddr . ip6 saddr @beside6 masquerade",
    "\t\taccept",
    "\t}",
)

_BRIDGE = (
    "\tchain prerouting {",
    # Ahead of br_netfilter, and of what the bridge learns.
    "\t\ttype filter hook prerouting priority -350; policy accept;",
    "\t\tiifname @guarded jump sender",
    # What is for the bridge itself needs no other way; the kernel has told by the MAC (br_handle_frame).
    "\t\tmeta pkttype host return",
    "\t\tiifname @routed goto from_routed",
    "\t\tether daddr @routed_macs goto to_routed",
    "\t}",
    # What a bound sandbox exchanges with neighbours goes through the host, which tracks it in both directions.
    "\tchain from_routed {",
    "\t\tether type arp return",
    # As it has to look for anybody to take it (RFC 4861).
    "\t\tip6 hoplimit 255 icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } return",
    "\t\tether daddr & 01:00:00:00:00:00 == 01:00:00:00:00:00 goto to_many",
    "\t\tether daddr set iifname map @homes meta pkttype set host",
    "\t}",
    "\tchain to_many {",
    "\t\tiifname vmap @crowds",
    "\t}",
    "\tchain to_routed {",
    "\t\tether type arp return",
    "\t\tip6 hoplimit 255 icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } return",
    "\t\tip6 daddr fe80::/10 return",
    "\t\tether daddr set iifname map @homes meta pkttype set host",
    "\t}",
    # What a sandbox sends, raw frames too: from its own MAC and addresses, or not at all.
    "\tchain sender {",
    "\t\tiifname . ether saddr != @senders counter drop",
    "\t\tether type arp goto sender_arp",
    "\t\tether type ip goto sender4",
    "\t\tether type ip6 goto sender6",
    "\t\tcounter drop",
    "\t}",
    "\tchain sender_arp {",
    "\t\tiifname . arp saddr ether != @senders counter drop",
    "\t\tiifname . arp saddr ip @senders4 return",
    # Asking whether somebody has an address (RFC 5227).
    "\t\tarp saddr ip 0.0.0.0 arp operation request return",
    "\t\tcounter drop",
    "\t}",
    "\tchain sender4 {",
    # Answers of a server of DHCP, from whatever port (RFC 2131).
    "\t\tudp sport 67 counter drop",
    "\t\tudp dport 68 counter drop",
    # Of a packet that is not whole nobody could tell.
    "\t\tiifname . ip saddr @senders4 meta l4proto != 255 return",
    "\t\tcounter drop",
    "\t}",
    "\tchain sender6 {",
    "\t\tudp sport 547 counter drop",
    "\t\tudp dport 546 counter drop",
    # Who listens to which groups, asked and answered (RFC 3810): the bridge floods groups to all and asks nobody, and four such
    # packets of each interface that comes up would go to all the others.
    "\t\ticmpv6 type { mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report } drop",
    "\t\ticmpv6 type { nd-router-advert, nd-redirect } counter drop",
    "\t\ticmpv6 type nd-neighbor-advert iifname . @th,64,128 != @targets6 counter drop",
    "\t\tiifname . ip6 saddr @senders6 meta l4proto != 255 return",
    # Duplicate address detection (RFC 4862).
    "\t\tip6 saddr :: icmpv6 type nd-neighbor-solicit return",
    "\t\tcounter drop",
    "\t}",
    "\tchain forward {",
    # Behind br_netfilter, which is at 0.
    "\t\ttype filter hook forward priority 100; policy accept;",
    f"\t\tiifname @private oifname @private meta mark & {_MARK} != {_MARK} drop",
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


def _home(networks: list[Network], version: int) -> list[str]:
    return [f"{_quote(network.name)} . {subnet}" for network in networks for subnet in network.subnets if subnet.version == version]


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
        lines.append("\t\tflags interval")
    if interval and " . " not in kind:
        lines.append("\t\tauto-merge")
    return _closed(lines, elements)


def _map(name: str, key: str, value: str) -> str:
    return _closed([f"\tmap {name} {{", f"\t\ttype {key} : {value}"], ())


def _closed(lines: list[str], elements: Iterable[str]) -> str:
    items = ", ".join(elements)
    if items:
        lines.append(f"\t\telements = {{ {items} }}")
    return "\n".join([*lines, "\t}"])


def _quote(text: str) -> str:
    return f'"{text}"'


def _named(element: str) -> str:
    """Of a port's map: the protocol by its name, which nft knows only on hosts that have /etc/protocols."""
    key, colon, value = element.partition(" : ")
    words = key.split(" . ")
    return " . ".join([*words[:-2], *(_PROTOCOLS.get(word, word) for word in words[-2:-1]), words[-1]]) + colon + value
