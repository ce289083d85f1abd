# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of the host's interfaces, by getifaddrs(3). Leasing needs nothing else of the host, and so does not need pyroute2."""

from __future__ import annotations

import ctypes
import ipaddress
import os
import socket
from collections.abc import Iterator

from .._spec.fields import IPAddress

_libc = ctypes.CDLL(None, use_errno=True)


class _Ifaddrs(ctypes.Structure):
    """struct ifaddrs, up to the last member that is read."""


_Ifaddrs._fields_ = [
    ("ifa_next", ctypes.POINTER(_Ifaddrs)),
    ("ifa_name", ctypes.c_char_p),
    ("ifa_flags", ctypes.c_uint),
    ("ifa_addr", ctypes.c_void_p),
]
_ADDRESS = {socket.AF_INET: (4, 4), socket.AF_INET6: (8, 16)}
"""Offset and length in bytes of the address in a sockaddr (ip(7), ipv6(7))."""


def addresses() -> frozenset[IPAddress]:
    """Return all addresses except link-local ones. Raise OSError."""
    first = ctypes.POINTER(_Ifaddrs)()
    if _libc.getifaddrs(ctypes.byref(first)) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "getifaddrs")
    try:
        return frozenset(address for address in _read(first) if not address.is_link_local)
    finally:
        _libc.freeifaddrs(first)


def _read(item: ctypes._Pointer[_Ifaddrs]) -> Iterator[IPAddress]:
    while item:
        found = item.contents
        if found.ifa_addr:
            family = ctypes.c_ushort.from_address(found.ifa_addr).value
            if family in _ADDRESS:
                start, length = _ADDRESS[socket.AddressFamily(family)]
                yield ipaddress.ip_address(ctypes.string_at(found.ifa_addr + start, length))
        item = found.ifa_next
