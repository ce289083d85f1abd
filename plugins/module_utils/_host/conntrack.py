# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connection tracking: what the kernel is to forget, since the rules lead it elsewhere or do not allow it any more."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
from collections.abc import Callable, Collection, Iterator

from .._plan.cuts import permits
from .._plan.observed import Connection, Flow
from .._plan.operations import Cut
from .._spec.fields import IPAddress
from . import netlink
from .netlink import attribute, attributes

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}

# include/uapi/linux/netfilter/nfnetlink_conntrack.h
_GET, _DELETE = 1 << 8 | 1, 1 << 8 | 2
_ORIGINAL, _REPLY, _ID, _ZONE = 1, 2, 12, 18
_TUPLE_IP, _TUPLE_PROTOCOL = 1, 2
_SOURCE, _DESTINATION = {4: 1, 6: 3}, {4: 2, 6: 4}
_PROTOCOL, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3


Entry = tuple[Connection, tuple[IPAddress, int], bytes]
"""A connection, from where it is answered, and what names it to the kernel."""


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

    _forget({flow.version for flow in flows}, is_stale)


def cut(cuts: Collection[Cut]) -> None:
    """Forget connections that policies do not allow any more. Raises OSError."""
    chosen = {sender: item for item in cuts for sender in item.senders}

    def is_cut(connection: Connection, _answered: tuple[IPAddress, int]) -> bool:
        item = chosen.get(connection.sender)
        return item is not None and not all(permits(policies, item.servers, connection) for policies in item.policies)

    _forget({sender.version for sender in chosen}, is_cut)


def forget(gone: Collection[IPAddress]) -> None:
    """Forget everything that any of these addresses began, was asked for, or answered. Raises OSError."""
    chosen = frozenset(gone)

    def is_gone(connection: Connection, answered: tuple[IPAddress, int]) -> bool:
        return not chosen.isdisjoint((connection.sender, connection.target, answered[0]))

    _forget({address.version for address in chosen}, is_gone)


def tracked(conntrack: netlink.Socket, version: int) -> list[Entry]:
    """All of one IP version. Raises OSError."""
    return list(_entries(conntrack.dump(_GET, _header(version)), version))


def _forget(versions: Collection[int], wanted: Callable[[Connection, tuple[IPAddress, int]], bool]) -> None:
    with contextlib.closing(netlink.Socket(netlink.NETFILTER)) as conntrack:
        for version in sorted(versions):
            for connection, answered, name in tracked(conntrack, version):
                if wanted(connection, answered):
                    with contextlib.suppress(FileNotFoundError):  # gone by itself
                        conntrack.ask(_DELETE, _header(version) + name)


def _entries(bodies: Collection[bytes], version: int) -> Iterator[Entry]:
    for body in bodies:
        if body[0] == _FAMILIES[version]:
            found = attributes(body, 4)
            original, reply = attributes(found[_ORIGINAL]), attributes(found[_REPLY])
            addresses, protocol = attributes(original[_TUPLE_IP]), attributes(original[_TUPLE_PROTOCOL])
            sender, target = (ipaddress.ip_address(addresses[side[version]]) for side in (_SOURCE, _DESTINATION))
            answered = ipaddress.ip_address(attributes(reply[_TUPLE_IP])[_SOURCE[version]])
            name = b"".join(attribute(kind, found[kind]) for kind in (_ORIGINAL, _ID, _ZONE) if kind in found)
            connection = Connection(protocol[_PROTOCOL][0], sender, target, _port(protocol, _DESTINATION_PORT))
            yield connection, (answered, _port(attributes(reply[_TUPLE_PROTOCOL]), _SOURCE_PORT)), name


def _header(version: int) -> bytes:
    return struct.pack("=BBH", _FAMILIES[version], 0, 0)


def _port(protocol: dict[int, bytes], kind: int) -> int:
    return int.from_bytes(protocol.get(kind, b""), "big")
