# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connection tracking: what the kernel is to forget, since the rules lead it elsewhere or do not allow it any more."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from pyroute2.netlink import NETLINK_NETFILTER
from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_CTNETLINK
from pyroute2.netlink.nfnetlink.nfctsocket import IPCTNL_MSG_CT_DELETE, IPCTNL_MSG_CT_GET, nfct_msg

from .._plan.cuts import permits
from .._plan.observed import Connection, Flow
from .._plan.operations import Cut
from .._spec.fields import IPAddress
from . import netlink
from .messages import Attributes, Message, question, read

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_NAMED_BY = ("CTA_TUPLE_ORIG", "CTA_ID", "CTA_ZONE")


class Entry(NamedTuple):
    """A connection, the source of its replies, and the attributes that identify it for deletion."""

    connection: Connection
    answered: tuple[IPAddress, int]
    name: list[tuple[str, Any]]


def flush(flows: Collection[Flow], local: frozenset[IPAddress]) -> None:
    """Forget these UDP flows; ``local``: the host's own addresses. Nobody else's flows are touched. Raises OSError."""
    chosen: dict[tuple[int, int], list[Flow]] = {}
    for flow in flows:
        chosen.setdefault((flow.version, flow.port), []).append(flow)

    def is_stale(connection: Connection, answered: tuple[IPAddress, int]) -> bool:
        asked = connection.target, connection.port
        if connection.protocol != socket.IPPROTO_UDP or asked[0] not in local:
            return False
        led = chosen.get((asked[0].version, asked[1]), ())
        return any(flow.host in (None, asked[0]) and answered == (flow.target or asked) for flow in led)

    marks: dict[int, set[bytes]] = {}
    for version, port in chosen:
        marks.setdefault(version, set()).add(port.to_bytes(2, "big"))
    _forget(marks, is_stale)


def cut(cuts: Collection[Cut]) -> None:
    """Forget connections that policies do not allow any more. Raises OSError."""
    chosen = {sender: item for item in cuts for sender in item.senders}

    def is_cut(connection: Connection, _answered: tuple[IPAddress, int]) -> bool:
        item = chosen.get(connection.sender)
        return item is not None and not all(permits(policies, item.servers, connection) for policies in item.policies)

    _forget(_packed(chosen), is_cut)


def forget(gone: Collection[IPAddress]) -> None:
    """Forget everything that any of these addresses began, was asked for, or answered. Raises OSError."""
    chosen = frozenset(gone)

    def is_gone(connection: Connection, answered: tuple[IPAddress, int]) -> bool:
        return not chosen.isdisjoint((connection.sender, connection.target, answered[0]))

    _forget(_packed(chosen), is_gone)


def tracked(conntrack: netlink.Socket, version: int, marks: Iterable[bytes] = (b"",)) -> Iterator[Entry]:
    """Yield the connections of one IP version whose messages contain one of these byte strings. Raise OSError."""
    # Decoding all of a large table takes seconds: only candidates are decoded.
    concerned = re.compile(b"|".join(map(re.escape, marks)))
    for message in conntrack.dump(question(_kind(IPCTNL_MSG_CT_GET), _message(version))):
        if concerned.search(message):
            found = read(nfct_msg, message)
            if found["nfgen_family"] == _FAMILIES[version]:
                yield _entry(Attributes(found), version)


def _forget(marks: Mapping[int, Collection[bytes]], wanted: Callable[[Connection, tuple[IPAddress, int]], bool]) -> None:
    """Delete entries. ``marks``: by IP version, byte strings of which each such entry contains one."""
    with contextlib.closing(netlink.Socket(NETLINK_NETFILTER)) as conntrack:
        for version in sorted(marks):
            for entry in tracked(conntrack, version, marks[version]):
                if wanted(entry.connection, entry.answered):
                    with contextlib.suppress(FileNotFoundError):  # gone by itself
                        conntrack.ask(_kind(IPCTNL_MSG_CT_DELETE), _message(version, entry.name))


def _entry(found: Attributes, version: int) -> Entry:
    original, reply = found.nested("CTA_TUPLE_ORIG"), found.nested("CTA_TUPLE_REPLY")
    addresses, protocol = original.nested("CTA_TUPLE_IP"), original.nested("CTA_TUPLE_PROTO")
    connection = Connection(
        protocol.number("CTA_PROTO_NUM"),
        ipaddress.ip_address(addresses.text(f"CTA_IP_V{version}_SRC")),
        ipaddress.ip_address(addresses.text(f"CTA_IP_V{version}_DST")),
        protocol.number("CTA_PROTO_DST_PORT"),
    )
    answering = ipaddress.ip_address(reply.nested("CTA_TUPLE_IP").text(f"CTA_IP_V{version}_SRC"))
    answered = answering, reply.nested("CTA_TUPLE_PROTO").number("CTA_PROTO_SRC_PORT")
    return Entry(connection, answered, [(name, found.get(name)) for name in _NAMED_BY if name in found])


def _kind(message: int) -> int:
    return int(NFNL_SUBSYS_CTNETLINK) << 8 | message


def _message(version: int, words: Iterable[tuple[str, Any]] = ()) -> Message:
    return Message(nfct_msg, tuple(words), (("nfgen_family", int(_FAMILIES[version])),))


def _packed(addresses: Iterable[IPAddress]) -> dict[int, set[bytes]]:
    """Return the encoded addresses by IP version."""
    found: dict[int, set[bytes]] = {}
    for address in addresses:
        found.setdefault(address.version, set()).add(address.packed)
    return found
