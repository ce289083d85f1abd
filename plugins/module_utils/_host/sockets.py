# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets of the host that wait for others, by socket diagnostics (sock_diag(7)): nothing is bound to find out."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct

from .._plan.observed import Listener
from .._spec.fields import IPAddress
from . import netlink

_NUMBERS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": socket.IPPROTO_SCTP}
_LISTEN = 1 << 10
_UNCONNECTED = 1 << 7
_STATES = {"tcp": _LISTEN, "udp": _UNCONNECTED, "sctp": _LISTEN}

# include/uapi/linux/inet_diag.h
_BY_FAMILY = 20
_V6ONLY = 11
_request = struct.Struct("=BBBxI48x")
_answer = struct.Struct("=Bxxx2s2x16s48x")
_LENGTHS = {socket.AF_INET: 4, socket.AF_INET6: 16}


def listeners(protocol: str) -> tuple[Listener, ...]:
    """Of tcp, udp or sctp; none where the kernel does not know the protocol. Raises OSError."""
    if protocol == "sctp" and not _has_sctp():
        return ()
    found = []
    with contextlib.closing(netlink.Socket(netlink.SOCK_DIAG)) as diagnostics:
        for family in _LENGTHS:
            for body in diagnostics.dump(_BY_FAMILY, _request.pack(family, _NUMBERS[protocol], 0, _STATES[protocol])):
                _family, port, address = _answer.unpack_from(body)
                if any(port):
                    only_v6 = any(netlink.attributes(body, _answer.size).get(_V6ONLY, b""))
                    carried = _addresses(ipaddress.ip_address(address[: _LENGTHS[family]]), only_v6)
                    found.append(Listener(protocol, carried, int.from_bytes(port, "big")))
    return tuple(dict.fromkeys(found))


def _addresses(address: IPAddress, only_v6: bool) -> tuple[IPAddress, ...]:
    """A socket on :: takes IPv4 too, unless it says IPV6_V6ONLY (ipv6(7))."""
    if address.version == 6 and address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.version == 6 and address.is_unspecified and not only_v6:
        return (address, ipaddress.IPv4Address(0))
    return (address,)


def _has_sctp() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
    except OSError:
        return False
    return True
