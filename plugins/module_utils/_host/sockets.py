# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets of the host that wait for others, by socket diagnostics (sock_diag(7)): nothing is bound to find out."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

from .._plan.observed import Listener

_NUMBERS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": socket.IPPROTO_SCTP}
_LISTEN = 1 << 10
_UNCONNECTED = 1 << 7
_STATES = {"tcp": _LISTEN, "udp": _UNCONNECTED, "sctp": _LISTEN}
_V6ONLY = "INET_DIAG_SKV6ONLY"


def listeners(protocol: str) -> tuple[Listener, ...]:
    """Of tcp, udp or sctp; none where the kernel does not know the protocol. Raises OSError."""
    if protocol == "sctp" and not _has_sctp():
        return ()
    from pyroute2 import DiagSocket

    found = []
    with DiagSocket() as diag:
        diag.bind()
        for family in (socket.AF_INET, socket.AF_INET6):
            for message in diag.get_sock_stats(family=family, states=_STATES[protocol], protocol=_NUMBERS[protocol]):
                port = message["idiag_sport"]
                if port:
                    found.append(Listener(protocol, _addresses(message), port))
    return tuple(dict.fromkeys(found))


def _addresses(message: Any) -> tuple[Any, ...]:
    """A socket on :: takes IPv4 too, unless it says IPV6_V6ONLY (ipv6(7))."""
    address = ipaddress.ip_address(message["idiag_src"])
    if address.version == 6 and address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.version == 6 and address.is_unspecified and not message.get_attr(_V6ONLY):
        return (address, ipaddress.IPv4Address(0))
    return (address,)


def _has_sctp() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
    except OSError:
        return False
    return True
