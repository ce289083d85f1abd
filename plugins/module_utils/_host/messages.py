# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How messages of the kernel are read, and the few things that pyroute2 0.7.2 lacks, each with its source.

Links and routes are read by classes that know only the attributes that are used. The workload of a sandbox has a say in the
others, and pyroute2 looks at all of a message to choose a class for some: one RTA_ENCAP can keep it from ever ending.
"""

from __future__ import annotations

import struct
from typing import Any

from pyroute2.netlink import nla, nlmsg
from pyroute2.netlink.nfnetlink import nfgen_msg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfbase
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


_HEADER_SIZE = struct.calcsize("=" + "".join(code for _name, code in nlmsg.header))


def _only(base: Any, names: str) -> tuple[tuple[int, str, str], ...]:
    """Of the attributes that a class of pyroute2 knows, these: number, name, type."""
    wanted = names.split()
    return tuple((number, item[0], item[1]) for number, item in enumerate(base.nla_map) if item[0] in wanted)


class LinkMessage(ifinfbase, nlmsg):  # type: ignore[misc]  # pyroute2 states no types
    """RTM_NEWLINK, as it is answered."""

    nla_map = _only(ifinfbase, "IFLA_ADDRESS IFLA_IFNAME IFLA_MTU IFLA_LINK IFLA_MASTER IFLA_LINKINFO IFLA_IFALIAS")


class RouteMessage(rtmsg_base, nlmsg):  # type: ignore[misc]
    """RTM_NEWROUTE, as it is answered."""

    nla_map = (
        *_only(rtmsg_base, "RTA_DST RTA_OIF RTA_GATEWAY RTA_PRIORITY RTA_TABLE"),
        *((number, name, "hex") for number, name, _kind in _only(rtmsg_base, "RTA_MULTIPATH")),
        # include/uapi/linux/rtnetlink.h
        (30, "RTA_NH_ID", "uint32"),
    )


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


class Fixed:
    """The part of a kind of messages that all of them have, for those that are not worth taking apart further."""

    def __init__(self, kind: Any) -> None:
        self._names = [name for name, code in kind.fields if "x" not in code]
        self._layout = struct.Struct("=" + "".join(code for _name, code in (*nlmsg.header, *kind.fields)))

    def of(self, message: bytes) -> dict[str, int]:
        return dict(zip(self._names, self._layout.unpack_from(message)[len(nlmsg.header) :]))


def body(message: bytes) -> bytes:
    """A message without its header: the same whenever the kernel says the same."""
    return message[_HEADER_SIZE:]


def read(kind: Any, message: bytes) -> Any:
    """A message from the kernel, as an object of that class of pyroute2's."""
    found = kind(message)
    found.decode()
    return found
