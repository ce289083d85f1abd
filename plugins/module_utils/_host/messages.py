# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encode and decode netlink messages by pyroute2's classes, and define the few that pyroute2 0.7.2 lacks, each with its source.

Messages of rtnetlink are pruned to the attributes that the engine uses before pyroute2 decodes them. A bridge port has a hundred
attributes, and counters among them: without those, messages of an unchanged link are equal. Pruning also protects from the
workload of a sandbox: an RTA_ENCAP in a route of its namespace can make pyroute2's rtmsg loop forever.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import cache
from itertools import count
from typing import Any, NamedTuple

from pyroute2.netlink import NLA_F_NESTED, NLA_F_NET_BYTEORDER, NLM_F_DUMP, NLM_F_REQUEST, nla, nlmsg
from pyroute2.netlink.nfnetlink import nfgen_msg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfbase, ifinfmsg, protinfo_bridge
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg_base

RTEXT_FILTER_SKIP_STATS = 1 << 3
"""Of IFLA_EXT_MASK (include/uapi/linux/rtnetlink.h)."""

RT_TABLE_MAIN = 254
"""include/uapi/linux/rtnetlink.h"""

IN6_ADDR_GEN_MODE_NONE = 1
"""Of IFLA_INET6_ADDR_GEN_MODE (include/uapi/linux/if_link.h)."""

NF_DROP = 0
"""A verdict (include/uapi/linux/netfilter.h)."""

NFT_OBJECT_COUNTER = 1
"""Of NFTA_OBJ_TYPE (include/uapi/linux/netfilter/nf_tables.h)."""

SO_NETNS_COOKIE = 71
"""Of SOL_SOCKET (include/uapi/asm-generic/socket.h)."""

_RTA_NH_ID = 30
"""include/uapi/linux/rtnetlink.h"""

LOOPBACK_IFINDEX = 1
"""The first link of every network namespace (include/net/flow.h)."""


HEADER = struct.Struct("=" + "".join(code for _name, code in nlmsg.header))
"""The header of a netlink message, as pyroute2 defines it: length, type, flags, sequence number, port id."""

_attribute = struct.Struct("=" + "".join(code for _name, code in nla.header))
_CACHED = 1024
_INDEXES = ("index", "ifindex")
_encoded: dict[str, bytes] = {}
_sequence = count(1)
_KIND = ~(NLA_F_NESTED | NLA_F_NET_BYTEORDER)


def _numbers(kind: Any, names: str) -> dict[int, Any]:
    """Return the numbers of these attributes, as a class of pyroute2 defines them."""
    wanted = names.split()
    return {number: None for number, item in enumerate(kind.nla_map) if item[0] in wanted}


class RouteMessage(rtmsg_base, nlmsg):  # type: ignore[misc]  # pyroute2 states no types
    """RTM_NEWROUTE, with an attribute that pyroute2 0.7.2 does not define."""

    nla_map = (*((number, *item[:2]) for number, item in enumerate(rtmsg_base.nla_map)), (_RTA_NH_ID, "RTA_NH_ID", "uint32"))


_PORT = _numbers(protinfo_bridge, "IFLA_BRPORT_ISOLATED IFLA_BRPORT_MODE IFLA_BRPORT_LEARNING IFLA_BRPORT_UNICAST_FLOOD")
_INFO = {
    **_numbers(ifinfbase.ifinfo, "IFLA_INFO_KIND IFLA_INFO_SLAVE_KIND"),
    **dict.fromkeys(_numbers(ifinfbase.ifinfo, "IFLA_INFO_SLAVE_DATA"), _PORT),
}
_PRUNED: dict[Any, dict[int, Any]] = {
    ifinfmsg: {
        **_numbers(ifinfbase, "IFLA_ADDRESS IFLA_IFNAME IFLA_MTU IFLA_LINK IFLA_MASTER IFLA_IFALIAS"),
        **dict.fromkeys(_numbers(ifinfbase, "IFLA_LINKINFO"), _INFO),
    },
    ifaddrmsg: _numbers(ifaddrmsg, "IFA_ADDRESS IFA_LOCAL"),
    ndmsg: _numbers(ndmsg, "NDA_LLADDR"),
    RouteMessage: {
        **_numbers(rtmsg_base, "RTA_DST RTA_OIF RTA_GATEWAY RTA_PRIORITY RTA_MULTIPATH RTA_TABLE RTA_ENCAP_TYPE"),
        _RTA_NH_ID: None,
    },
}
"""The attributes to keep, by message class; None for an attribute that is kept whole."""


class ObjectMessage(nfgen_msg):  # type: ignore[misc]  # pyroute2 states no types
    """NFT_MSG_NEWOBJ and NFT_MSG_GETOBJ (include/uapi/linux/netfilter/nf_tables.h), for counters."""

    nla_map = (
        ("NFTA_OBJ_UNSPEC", "none"),
        ("NFTA_OBJ_TABLE", "asciiz"),
        ("NFTA_OBJ_NAME", "asciiz"),
        ("NFTA_OBJ_TYPE", "be32"),
        ("NFTA_OBJ_DATA", "counter"),
    )

    class counter(nla):  # type: ignore[misc]  # pyroute2 states no types
        """NFTA_OBJ_DATA of a counter; nla_map refers to the class by its name."""

        nla_map = (
            ("NFTA_COUNTER_UNSPEC", "none"),
            ("NFTA_COUNTER_BYTES", "be64"),
            ("NFTA_COUNTER_PACKETS", "be64"),
        )


class Attributes:
    """The attributes of a message or of a nested attribute, decoded on access. Of repeated attributes the last one is used."""

    def __init__(self, message: Any) -> None:
        self._slots = {slot[0]: slot for slot in message["attrs"]} if message else {}

    def __contains__(self, name: str) -> bool:
        return name in self._slots

    def get(self, name: str, default: Any = None) -> Any:
        slot = self._slots.get(name)
        return default if slot is None else slot[1]

    def number(self, name: str) -> int:
        """Return 0 if the attribute is absent."""
        return int(self.get(name, 0))

    def text(self, name: str) -> str:
        """Return an empty string if the attribute is absent; invalid UTF-8 is escaped as in file names (PEP 383)."""
        value = self.get(name, "")
        return value.decode(errors="surrogateescape") if isinstance(value, bytes) else str(value)

    def nested(self, name: str) -> Attributes:
        return Attributes(self.get(name))


def field(kind: Any, name: str) -> Callable[[bytes], int]:
    """Return a function that reads one field of the fixed part of such messages, without decoding the rest."""
    code, offset = _place(kind, name)
    unpack = struct.Struct(code).unpack_from
    return lambda message: int(unpack(message, offset)[0])


class Message(NamedTuple):
    """A message to the kernel: a class of pyroute2, attributes by name, and fields of the fixed part."""

    kind: Any
    words: tuple[tuple[str, Any], ...] = ()
    fixed: tuple[tuple[str, int], ...] = ()


class Request(NamedTuple):
    """An encoded message. ``sequence``: the sequence number, which its answers carry too."""

    data: bytes
    sequence: int


def encoded(kind: int, message: Message, flags: int) -> Request:
    """Encode a message. ``kind``: the message type, such as RTM_NEWLINK.

    pyroute2 takes 0.1 ms to encode a message, and most messages differ only in the interface index. The encoded form is cached,
    and only the index and the sequence number are filled in.
    """
    indexes = [(name, value) for name, value in message.fixed if name in _INDEXES]
    others = tuple(item for item in message.fixed if item[0] not in _INDEXES)
    key = repr((kind, message.kind, message.words, others, flags))
    if key not in _encoded:
        if len(_encoded) >= _CACHED:
            _encoded.clear()
        made = message.kind()
        made.update(others, attrs=list(message.words), header={"type": kind, "flags": NLM_F_REQUEST | flags})
        made.encode()
        _encoded[key] = bytes(made.data)
    data, sequence = bytearray(_encoded[key]), next(_sequence)
    for name, value in (*indexes, ("sequence_number", sequence)):
        code, offset = _place(message.kind, name)
        struct.pack_into(code, data, offset, value)
    return Request(bytes(data), sequence)


def question(kind: int, message: Message) -> Request:
    """Encode a dump request. ``kind``: the message type, such as RTM_GETLINK."""
    return encoded(kind, message, NLM_F_DUMP)


def attribute_bytes(message: Message) -> bytes:
    """Return the encoded attributes, without header and fixed part."""
    return encoded(0, message, 0).data[_fixed_size(message.kind) :]


def pruned(kind: Any, message: bytes) -> bytes:
    """Return the message with only the attributes that the engine uses."""
    start = _fixed_size(kind)
    left = _pruned(message, start, len(message), _PRUNED[kind])
    _length, *header = HEADER.unpack_from(message)
    return HEADER.pack(start + len(left), *header) + message[HEADER.size : start] + left


def _pruned(data: bytes, start: int, end: int, wanted: Mapping[int, Any]) -> bytes:
    unpack, least = _attribute.unpack_from, _attribute.size
    left = []
    while start + least <= end:
        length, code = unpack(data, start)
        if length < least:
            break
        following = start + (length + 3 & ~3)
        if code & _KIND in wanted:
            within = wanted[code & _KIND]
            if within is None:
                left.append(data[start:following])
            else:
                inner = _pruned(data, start + least, start + length, within)
                left.append(_attribute.pack(least + len(inner), code) + inner)
        start = following
    return b"".join(left)


@cache
def _place(kind: Any, name: str) -> tuple[str, int]:
    """Return format and offset of a field, as a class of pyroute2 defines it. A field of the fixed part hides one of the header."""
    places, offset = {}, 0
    for known, code in (*nlmsg.header, *kind.fields):
        places[known] = _plain(code), offset
        offset += struct.calcsize(_plain(code))
    return places[name]


@cache
def _fixed_size(kind: Any) -> int:
    return sum(struct.calcsize(_plain(code)) for _name, code in (*nlmsg.header, *kind.fields))


def _plain(code: str) -> str:
    """Return a struct format without native alignment. Some fields are in network byte order already."""
    return code if code[0] in "<>!" else f"={code}"


def body(message: bytes) -> bytes:
    """Return the message without its header, which contains the sequence number."""
    return message[HEADER.size :]


def read(kind: Any, message: bytes) -> Any:
    """Decode a message from the kernel as an object of that class of pyroute2."""
    found = kind(message)
    found.decode()
    return found
