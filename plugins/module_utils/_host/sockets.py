# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets of the host that wait for others, by socket diagnostics (sock_diag(7)): nothing is bound to find out."""

from __future__ import annotations

import contextlib
import ipaddress
import socket

from pyroute2.netlink import NETLINK_SOCK_DIAG
from pyroute2.netlink.diag import SOCK_DIAG_BY_FAMILY, SS_CLOSE, SS_LISTEN, inet_diag_msg, inet_diag_req

from .._plan.observed import Listener
from .._spec.fields import IPAddress
from . import netlink
from .messages import Attributes, Message, question, read

_NUMBERS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": socket.IPPROTO_SCTP}
_STATES = {"tcp": SS_LISTEN, "udp": SS_CLOSE, "sctp": SS_LISTEN}
"""The state of a socket that accepts traffic from any peer; an unconnected UDP socket is in state CLOSE."""


def listeners(protocol: str) -> tuple[Listener, ...]:
    """Of tcp, udp or sctp; none where the kernel does not know the protocol. Raises OSError."""
    if protocol == "sctp" and not _has_sctp():
        return ()
    found = []
    with contextlib.closing(netlink.Socket(NETLINK_SOCK_DIAG)) as diagnostics:
        for family in (socket.AF_INET, socket.AF_INET6):
            for message in diagnostics.dump(question(SOCK_DIAG_BY_FAMILY, _asked(family, protocol))):
                waiting = read(inet_diag_msg, message)
                if waiting["idiag_sport"]:
                    only_v6 = bool(Attributes(waiting).number("INET_DIAG_SKV6ONLY"))
                    carried = _addresses(ipaddress.ip_address(waiting["idiag_src"]), only_v6)
                    found.append(Listener(protocol, carried, waiting["idiag_sport"]))
    return tuple(dict.fromkeys(found))


def _asked(family: int, protocol: str) -> Message:
    fixed = {"sdiag_family": family, "sdiag_protocol": int(_NUMBERS[protocol]), "idiag_states": 1 << _STATES[protocol]}
    return Message(inet_diag_req, fixed=(*fixed.items(), ("idiag_src", 0), ("idiag_dst", 0)))


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
