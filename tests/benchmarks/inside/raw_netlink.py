# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The least that rtnetlink takes: bytes out, and whether the kernel consents. What everything else is measured against."""

from __future__ import annotations

import os
import socket
import struct

CREATE_NEW = 0x600
"""NLM_F_CREATE | NLM_F_EXCL"""

_REQUEST_ACK = 0x5
_header = struct.Struct("=IHHII")


class Socket:
    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self._socket.bind((0, 0))

    def close(self) -> None:
        self._socket.close()

    def ask(self, kind: int, body: bytes, flags: int = 0) -> None:
        """Raises OSError."""
        self._socket.send(_header.pack(_header.size + len(body), kind, _REQUEST_ACK | flags, 1, 0) + body)
        (code,) = struct.unpack_from("=i", self._socket.recv(1 << 16), _header.size)
        if code:
            raise OSError(-code, os.strerror(-code))


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def nested(kind: int, *inner: bytes) -> bytes:
    return attribute(kind | 0x8000, b"".join(inner))


def number(kind: int, value: int) -> bytes:
    """32 bits."""
    return attribute(kind, struct.pack("=I", value))


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")
