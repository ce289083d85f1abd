# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel itself tells of nftables (linux/netfilter/nf_tables.h), where nft would list far more, or take longer.

Functions raise OSError with the kernel's errno.
"""

from __future__ import annotations

import contextlib
import socket
from typing import NamedTuple

from pyroute2.netlink import NETLINK_NETFILTER
from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_NFTABLES
from pyroute2.netlink.nfnetlink.nftsocket import NFT_MSG_GETCHAIN, NFT_MSG_GETGEN, NFT_MSG_GETOBJ, nft_chain_msg, nft_gen_msg

from . import netlink
from .messages import NF_DROP, NFT_OBJECT_COUNTER, SO_NETNS_COOKIE, Attributes, Message, ObjectMessage, attribute_bytes, question, read

FAMILIES = {1: "inet", 2: "ip", 10: "ip6"}
"""Those that see what is routed, by the number that linux/netfilter.h gives them."""

FORWARD, POSTROUTING = 2, 4
"""Hooks of these families (linux/netfilter.h)."""


class Chain(NamedTuple):
    """``hook`` and ``priority``: of one that packets come to by themselves; ``drops``: what it leaves undecided."""

    family: str
    table: str
    name: str
    kind: str = ""
    hook: int | None = None
    priority: int = 0
    drops: bool = False


def chains(but: str = "") -> list[Chain]:
    """Return the chains of the families inet, ip and ip6; ``but``: except those of tables of this name."""
    # There may be thousands of them. The encoded name of their table tells them without decoding.
    ours = attribute_bytes(Message(nft_chain_msg, (("NFTA_CHAIN_TABLE", but),)))
    with contextlib.closing(netlink.Socket(NETLINK_NETFILTER)) as nftables:
        messages = nftables.dump(question(_kind(NFT_MSG_GETCHAIN), Message(nft_chain_msg)))
    found = [read(nft_chain_msg, message) for message in messages if not but or ours not in message]
    return [_chain(FAMILIES[item["nfgen_family"]], Attributes(item)) for item in found if item["nfgen_family"] in FAMILIES]


def _chain(family: str, told: Attributes) -> Chain:
    table, name = told.text("NFTA_CHAIN_TABLE"), told.text("NFTA_CHAIN_NAME")
    if "NFTA_CHAIN_HOOK" not in told:
        return Chain(family, table, name)
    hook = told.nested("NFTA_CHAIN_HOOK")
    return Chain(
        family,
        table,
        name,
        told.text("NFTA_CHAIN_TYPE"),
        hook.number("NFTA_HOOK_HOOKNUM"),
        hook.number("NFTA_HOOK_PRIORITY"),
        "NFTA_CHAIN_POLICY" in told and told.number("NFTA_CHAIN_POLICY") == NF_DROP,
    )


def counters(table: str) -> dict[str, int]:
    """Packets, by the name of each counter in tables of this name."""
    asked = Message(ObjectMessage, (("NFTA_OBJ_TABLE", table),))
    with contextlib.closing(netlink.Socket(NETLINK_NETFILTER)) as nftables:
        found = [Attributes(read(ObjectMessage, message)) for message in nftables.dump(question(_kind(NFT_MSG_GETOBJ), asked))]
    return {
        item.text("NFTA_OBJ_NAME"): item.nested("NFTA_OBJ_DATA").number("NFTA_COUNTER_PACKETS")
        for item in found
        if item.number("NFTA_OBJ_TYPE") == NFT_OBJECT_COUNTER and item.text("NFTA_OBJ_TABLE") == table
    }


def generation() -> int | None:
    """The number of the last transaction in this network namespace; None where the kernel does not tell namespaces apart."""
    if namespace_cookie() is None:
        return None
    with contextlib.closing(netlink.Socket(NETLINK_NETFILTER)) as nftables:
        (answer,) = nftables.ask(_kind(NFT_MSG_GETGEN), Message(nft_gen_msg))
    return Attributes(read(nft_gen_msg, answer)).number("NFTA_GEN_ID")


def _kind(message: int) -> int:
    return int(NFNL_SUBSYS_NFTABLES) << 8 | message


def namespace_cookie() -> int | None:
    """What no other network namespace of this boot has or had (Linux 5.14)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as any_socket:
        try:
            return int.from_bytes(any_socket.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8), "little")
        except OSError:
            return None
