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

from . import netlink

_SUBSYSTEM = 10 << 8
_GET_CHAIN, _GET_GENERATION, _GET_OBJECT = _SUBSYSTEM | 4, _SUBSYSTEM | 16, _SUBSYSTEM | 19
_HEADER = 4
"""Bytes of struct nfgenmsg, of which the first says the family, and 0 all of them."""

_GENERATION_ID = 1
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY, _CHAIN_TYPE = 1, 3, 4, 5, 7
_HOOK_NUMBER, _HOOK_PRIORITY = 1, 2
_OBJECT_TABLE, _OBJECT_NAME, _OBJECT_TYPE, _OBJECT_DATA = 1, 2, 3, 4
_COUNTER, _COUNTER_PACKETS = 1, 2

FAMILIES = {1: "inet", 2: "ip", 10: "ip6"}
"""Those that see what is routed, by the number that linux/netfilter.h gives them."""

FORWARD, POSTROUTING = 2, 4
"""Hooks of these families (linux/netfilter.h)."""

_DROP = 0
_SO_NETNS_COOKIE = 71


class Chain(NamedTuple):
    """``hook`` and ``priority``: of one that packets come to by themselves; ``drops``: what it leaves undecided."""

    family: str
    table: str
    name: str
    kind: str = ""
    hook: int | None = None
    priority: int = 0
    drops: bool = False


def chains() -> list[Chain]:
    """Those of the families that see what is routed, of everybody."""
    with contextlib.closing(netlink.Socket(netlink.NETFILTER)) as nftables:
        bodies = nftables.dump(_GET_CHAIN, bytes(_HEADER))
    return [_chain(FAMILIES[body[0]], netlink.attributes(body, _HEADER)) for body in bodies if body[0] in FAMILIES]


def _chain(family: str, told: dict[int, bytes]) -> Chain:
    table, name = netlink.as_text(told[_CHAIN_TABLE]), netlink.as_text(told[_CHAIN_NAME])
    if _CHAIN_HOOK not in told:
        return Chain(family, table, name)
    hook = netlink.attributes(told[_CHAIN_HOOK])
    return Chain(
        family,
        table,
        name,
        netlink.as_text(told.get(_CHAIN_TYPE)),
        int.from_bytes(hook[_HOOK_NUMBER], "big"),
        int.from_bytes(hook[_HOOK_PRIORITY], "big", signed=True),
        _CHAIN_POLICY in told and int.from_bytes(told[_CHAIN_POLICY], "big") == _DROP,
    )


def counters(table: str) -> dict[str, int]:
    """Packets, by the name of each counter in tables of this name."""
    with contextlib.closing(netlink.Socket(netlink.NETFILTER)) as nftables:
        bodies = nftables.dump(_GET_OBJECT, bytes(_HEADER) + netlink.text(_OBJECT_TABLE, table))
    found = {}
    for item in (netlink.attributes(body, _HEADER) for body in bodies):
        if int.from_bytes(item[_OBJECT_TYPE], "big") == _COUNTER and netlink.as_text(item[_OBJECT_TABLE]) == table:
            packets = netlink.attributes(item[_OBJECT_DATA])[_COUNTER_PACKETS]
            found[netlink.as_text(item[_OBJECT_NAME])] = int.from_bytes(packets, "big")
    return found


def generation() -> int | None:
    """The number of the last transaction in this network namespace; None where the kernel does not tell namespaces apart."""
    if namespace_cookie() is None:
        return None
    with contextlib.closing(netlink.Socket(netlink.NETFILTER)) as nftables:
        (answer,) = nftables.ask(_GET_GENERATION, bytes(_HEADER))
    return int.from_bytes(netlink.attributes(answer, _HEADER)[_GENERATION_ID], "big")


def namespace_cookie() -> int | None:
    """What no other network namespace of this boot has or had (Linux 5.14)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as any_socket:
        try:
            return int.from_bytes(any_socket.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8), "little")
        except OSError:
            return None
