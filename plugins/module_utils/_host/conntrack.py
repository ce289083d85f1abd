# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connection tracking: flows that the kernel would go on sending where the rules do not lead any more."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
from collections.abc import Collection, Iterator

from .._plan.observed import Flow
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


def flush(flows: Collection[Flow], local: frozenset[IPAddress]) -> None:
    """Forget these UDP flows; ``local``: the host's own addresses. Nobody else's flows are touched. Raises OSError."""
    with contextlib.closing(netlink.Socket(netlink.NETFILTER)) as conntrack:
        for version in sorted({flow.version for flow in flows}):
            header = struct.pack("=BBH", _FAMILIES[version], 0, 0)
            chosen: dict[int, list[Flow]] = {}
            for flow in flows:
                if flow.version == version:
                    chosen.setdefault(flow.port, []).append(flow)
            for entry in list(_stale(conntrack.dump(_GET, header), version, chosen, local)):
                with contextlib.suppress(FileNotFoundError):  # gone by itself
                    conntrack.ask(_DELETE, header + entry)


def _stale(bodies: Collection[bytes], version: int, chosen: dict[int, list[Flow]], local: frozenset[IPAddress]) -> Iterator[bytes]:
    """What names each flow to the kernel."""
    for body in bodies:
        found = attributes(body, 4)
        original, reply = attributes(found[_ORIGINAL]), attributes(found[_REPLY])
        protocol = attributes(original[_TUPLE_PROTOCOL])
        port = _port(protocol, _DESTINATION_PORT)
        if body[0] != _FAMILIES[version] or protocol[_PROTOCOL][0] != socket.IPPROTO_UDP or port not in chosen:
            continue
        asked = ipaddress.ip_address(attributes(original[_TUPLE_IP])[_DESTINATION[version]])
        answers = (
            ipaddress.ip_address(attributes(reply[_TUPLE_IP])[_SOURCE[version]]),
            _port(attributes(reply[_TUPLE_PROTOCOL]), _SOURCE_PORT),
        )
        for flow in chosen[port]:
            if flow.host in (None, asked) and asked in local and answers == (flow.target or (asked, port)):
                yield b"".join(attribute(kind, found[kind]) for kind in (_ORIGINAL, _ID, _ZONE) if kind in found)
                break


def _port(protocol: dict[int, bytes], kind: int) -> int:
    return int.from_bytes(protocol.get(kind, b""), "big")
