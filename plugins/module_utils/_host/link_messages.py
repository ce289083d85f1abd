# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encode and decode messages of rtnetlink(7): links, addresses, routes and FDB entries."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pyroute2.netlink.rtnl import rt_proto
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import IFF_UP, ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import NTF_MASTER, NUD_NOARP, ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from .._spec.fields import IPNetwork
from .messages import LOOPBACK_IFINDEX, RT_TABLE_MAIN, Attributes, Message, RouteMessage, read

FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
PORT_FLAGS = {
    "isolated": "IFLA_BRPORT_ISOLATED",
    "hairpin": "IFLA_BRPORT_MODE",
    "learning": "IFLA_BRPORT_LEARNING",
    "flood": "IFLA_BRPORT_UNICAST_FLOOD",
}
"""Attributes of a bridge port, by the names that Link uses."""


class LinkFacts(NamedTuple):
    """The decoded message of a link. ``flags``: the flags of a bridge port, in the order of PORT_FLAGS."""

    ifindex: int
    up: bool
    name: str
    kind: str
    mac: str
    mtu: int
    master: int
    alias: str
    peer: int
    flags: Sequence[bool]

    @property
    def shown(self) -> str:
        """The name; ``lo`` for the loopback, which is the first link of a namespace, even if it has been renamed."""
        return "lo" if self.ifindex == LOOPBACK_IFINDEX else self.name


class RouteFacts(NamedTuple):
    """The decoded message of a route. ``odd``: it has several next hops, a nexthop object, or an encapsulation."""

    family: int
    length: int
    tos: int
    type: int
    table: int
    priority: int
    out: int
    destination: str
    gateway: str
    odd: bool


def new_message(kind: Any, words: Mapping[str, Any] | None = None, **fixed: int) -> Message:
    return Message(kind, tuple((words or {}).items()), tuple(fixed.items()))


def nested(words: Mapping[str, Any]) -> dict[str, Any]:
    return {"attrs": list(words.items())}


def packed_name(name: str) -> bytes:
    return name.encode(errors="surrogateescape")


def link_facts(message: bytes) -> list[Any]:
    """Decode a pruned message of a link as the fields of LinkFacts."""
    found = read(ifinfmsg, message)
    words = Attributes(found)
    info = words.nested("IFLA_LINKINFO")
    port = info.nested("IFLA_INFO_SLAVE_DATA") if info.text("IFLA_INFO_SLAVE_KIND") == "bridge" else Attributes(None)
    return [
        found["index"],
        bool(found["flags"] & IFF_UP),
        words.text("IFLA_IFNAME"),
        info.text("IFLA_INFO_KIND"),
        words.text("IFLA_ADDRESS"),
        words.number("IFLA_MTU"),
        words.number("IFLA_MASTER"),
        words.text("IFLA_IFALIAS"),
        words.number("IFLA_LINK"),
        [bool(port.number(name)) for name in PORT_FLAGS.values()],
    ]


def route_facts(message: bytes) -> list[Any]:
    """Decode a pruned message of a route as the fields of RouteFacts."""
    found = read(RouteMessage, message)
    words = Attributes(found)
    return [
        found["family"],
        found["dst_len"],
        found["tos"],
        found["type"],
        words.number("RTA_TABLE") or found["table"],
        words.number("RTA_PRIORITY"),
        words.number("RTA_OIF"),
        words.text("RTA_DST") or ("::" if found["family"] == socket.AF_INET6 else "0.0.0.0"),
        words.text("RTA_GATEWAY"),
        any(name in words for name in ("RTA_MULTIPATH", "RTA_NH_ID", "RTA_ENCAP_TYPE")),
    ]


def carried_address(message: bytes) -> str:
    """Decode as ``address/length`` or ``address/length peer address``; empty if the message has no address."""
    found = read(ifaddrmsg, message)
    words = Attributes(found)
    far = words.text("IFA_ADDRESS")
    own = words.text("IFA_LOCAL") or far
    return f"{own}/{found['prefixlen']}" + ("" if far in ("", own) else f" peer {far}") if own else ""


def neighbour_mac(message: bytes) -> str:
    return Attributes(read(ndmsg, message)).text("NDA_LLADDR")


def station_message(index: int, mac: str) -> Message:
    return new_message(ndmsg, {"NDA_LLADDR": mac}, family=socket.AF_BRIDGE, ifindex=index, state=NUD_NOARP, flags=NTF_MASTER)


def address_message(index: int, address: str, flags: int) -> Message:
    """Encode ``address/length`` or ``address/length peer address``."""
    own, _peer, far = address.partition(" peer ")
    here = ipaddress.ip_interface(own)
    words = {"IFA_LOCAL": str(here.ip), "IFA_ADDRESS": far or str(here.ip)}
    return new_message(ifaddrmsg, words, family=FAMILIES[here.version], prefixlen=here.network.prefixlen, flags=flags, index=index)


def route_message(network: IPNetwork, words: Mapping[str, Any], **fixed: int) -> Message:
    known = {"family": FAMILIES[network.version], "dst_len": network.prefixlen, "table": RT_TABLE_MAIN, "proto": rt_proto["unspec"]}
    return new_message(rtmsg, words, **{**known, **fixed})
