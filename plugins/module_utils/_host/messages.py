# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How messages are put together and taken apart, and the few things that pyroute2 0.7.2 lacks, each with its source.

Messages of rtnetlink are pruned before pyroute2 takes them apart. A bridge's port has a hundred attributes, of which a dozen are
used, and some count packets and time: without them, messages of an unchanged link are the same. And the workload of a sandbox has a
say in others: one RTA_ENCAP can keep pyroute2 from ever ending.
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

LOOPBACK_IFINDEX = 1
"""The first link of every network namespace (include/net/flow.h)."""


_header = struct.Struct("=" + "".join(code for _name, code in nlmsg.header))
_attribute = struct.Struct("=" + "".join(code for _name, code in nla.header))
_KEPT = 1024
_INDEXES = ("index", "ifindex")
_encoded: dict[str, bytes] = {}
_sequence = count(1)
_KIND = ~(NLA_F_NESTED | NLA_F_NET_BYTEORDER)


def _numbers(kind: Any, names: str) -> dict[int, Any]:
    """Of the attributes that a class of pyroute2 knows, the numbers of these."""
    wanted = names.split()
    return {number: None for number, item in enumerate(kind.nla_map) if item[0] in wanted}


class RouteMessage(rtmsg_base, nlmsg):  # type: ignore[misc]  # pyroute2 states no types
    """RTM_NEWROUTE, with an attribute that pyroute2 0.7.2 does not know (include/uapi/linux/rtnetlink.h)."""

    nla_map = (*((number, *item[:2]) for number, item in enumerate(rtmsg_base.nla_map)), (30, "RTA_NH_ID", "uint32"))


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
    RouteMessage: {**_numbers(rtmsg_base, "RTA_DST RTA_OIF RTA_GATEWAY RTA_PRIORITY RTA_MULTIPATH RTA_TABLE"), 30: None},
}
"""What is wanted of each kind."""


class ObjectMessage(nfgen_msg):  # type: ignore[misc]
    """NFT_MSG_NEWOBJ and NFT_MSG_GETOBJ (include/uapi/linux/netfilter/nf_tables.h), for counters."""

    nla_map = (
        ("NFTA_OBJ_UNSPEC", "none"),
        ("NFTA_OBJ_TABLE", "asciiz"),
        ("NFTA_OBJ_NAME", "asciiz"),
        ("NFTA_OBJ_TYPE", "be32"),
        ("NFTA_OBJ_DATA", "counter"),
    )

    class counter(nla):  # type: ignore[misc]  # nla_map finds it by this name
        """NFTA_OBJ_DATA of a counter."""

        nla_map = (
            ("NFTA_COUNTER_UNSPEC", "none"),
            ("NFTA_COUNTER_BYTES", "be64"),
            ("NFTA_COUNTER_PACKETS", "be64"),
        )


class Attributes:
    """The attributes of a message or of one of its attributes, taken apart when they are asked for; the last of a kind counts."""

    def __init__(self, message: Any) -> None:
        self._slots = {slot[0]: slot for slot in message["attrs"]} if message else {}

    def __contains__(self, name: str) -> bool:
        return name in self._slots

    def get(self, name: str, default: Any = None) -> Any:
        slot = self._slots.get(name)
        return default if slot is None else slot[1]

    def number(self, name: str) -> int:
        """0 where there is none."""
        return int(self.get(name, 0))

    def text(self, name: str) -> str:
        """Empty where there is none; what is no UTF-8 as Python has it in file names."""
        value = self.get(name, "")
        return value.decode(errors="surrogateescape") if isinstance(value, bytes) else str(value)

    def nested(self, name: str) -> Attributes:
        return Attributes(self.get(name))


def field(kind: Any, name: str) -> Callable[[bytes], int]:
    """Reads one number of the fixed part of such messages, for those that are not worth taking apart further."""
    code, offset = _place(kind, name)
    unpack = struct.Struct(code).unpack_from
    return lambda message: int(unpack(message, offset)[0])


class Message(NamedTuple):
    """What is said to the kernel: attributes by name, and the fixed part, of a class of pyroute2's."""

    kind: Any
    words: tuple[tuple[str, Any], ...] = ()
    fixed: tuple[tuple[str, int], ...] = ()


class Request(NamedTuple):
    """``sequence``: which answers belong to it."""

    data: bytes
    sequence: int


def encoded(kind: int, message: Message, flags: int) -> Request:
    """``kind``: such as RTM_NEWLINK.

    Most sandboxes are told the same of another interface, and pyroute2 takes a tenth of a millisecond to encode it: what it made
    is kept, and told again with another index.
    """
    indexes = [(name, value) for name, value in message.fixed if name in _INDEXES]
    others = tuple(item for item in message.fixed if item[0] not in _INDEXES)
    key = repr((kind, message.kind, message.words, others, flags))
    if key not in _encoded:
        if len(_encoded) >= _KEPT:
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
    """For a dump. ``kind``: such as RTM_GETLINK."""
    return encoded(kind, message, NLM_F_DUMP)


def attribute_bytes(message: Message) -> bytes:
    """The attributes as they stand in messages."""
    return encoded(0, message, 0).data[_fixed_size(message.kind) :]


def pruned(kind: Any, message: bytes) -> bytes:
    """The message with the attributes alone that are used of its kind."""
    start = _fixed_size(kind)
    left = _pruned(message, start, len(message), _PRUNED[kind])
    _length, *header = _header.unpack_from(message)
    return _header.pack(start + len(left), *header) + message[_header.size : start] + left


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
    """As what a class of pyroute2 has this field, and where; of the header, unless the kind has one of that name."""
    places, offset = {}, 0
    for known, code in (*nlmsg.header, *kind.fields):
        places[known] = _plain(code), offset
        offset += struct.calcsize(_plain(code))
    return places[name]


@cache
def _fixed_size(kind: Any) -> int:
    return sum(struct.calcsize(_plain(code)) for _name, code in (*nlmsg.header, *kind.fields))


def _plain(code: str) -> str:
    """Without the alignment that the compiler of Python would add; some are in network byte order."""
    return code if code[0] in "<>!" else f"={code}"


def body(message: bytes) -> bytes:
    """A message without its header: the same whenever the kernel says the same."""
    return message[_header.size :]


def read(kind: Any, message: bytes) -> Any:
    """A message from the kernel, as an object of that class of pyroute2's."""
    found = kind(message)
    found.decode()
    return found
