# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Netlink messages (Documentation/userspace-api/netlink/intro.rst): put together, sent, taken apart.

The standard library has the socket and no more. A library that knows every message there is takes longer to import than
a whole task may take, and decodes what nobody asked for: see tests/benchmarks/netlink.py.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys

ROUTE = 0
SOCK_DIAG = 4
NETFILTER = 12

CREATE = 0x400
EXCLUSIVE = 0x200
REPLACE = 0x100

_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_INTERRUPTED = 0x10
_CAPPED, _TLVS = 0x100, 0x200
_ERROR_TEXT = 1
_SOL_NETLINK = 270
_CAP_ACK, _EXT_ACK, _STRICT = 10, 11, 12
_NESTED = 0x8000
_KIND = 0x3FFF
_LARGEST = 1 << 16
_ATTEMPTS = 10

_header = struct.Struct("=IHHII")
_attribute = struct.Struct("=HH")


class Socket:
    """Talks to one subsystem of the kernel; it stays in the network namespace in which it was opened.

    Methods raise OSError with the kernel's errno and, where it gives one, its own sentence.
    """

    def __init__(self, protocol: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        self._sequence = 0
        for option in (_CAP_ACK, _EXT_ACK, _STRICT):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._socket.bind((0, 0))

    def close(self) -> None:
        self._socket.close()

    def ask(self, kind: int, body: bytes, flags: int = 0) -> list[bytes]:
        """Have one thing done; returns the bodies of what the kernel answers beside its consent."""
        self._send(kind, _REQUEST | _ACK | flags, body)
        return self._answers()[0]

    def dump(self, kind: int, body: bytes) -> list[bytes]:
        """Every object's message; asked for again where the list changed while the kernel wrote it."""
        for _attempt in range(_ATTEMPTS):
            self._send(kind, _REQUEST | _DUMP, body)
            found, whole = self._answers()
            if whole:
                return found
        raise OSError(errno.EAGAIN, "what the kernel lists kept changing while it was read")

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        self._sequence += 1
        self._socket.send(_header.pack(_header.size + len(body), kind, flags, self._sequence, 0) + body)

    def _answers(self) -> tuple[list[bytes], bool]:
        """The bodies up to the end, and whether they show one state."""
        found: list[bytes] = []
        whole = True
        while True:
            data = self._socket.recv(_LARGEST)
            offset = 0
            while offset < len(data):
                length, kind, flags, sequence, _port = _header.unpack_from(data, offset)
                body = data[offset + _header.size : offset + length]
                offset += length + 3 & ~3
                if sequence != self._sequence:
                    continue
                whole = whole and not flags & _INTERRUPTED
                if kind in (_ERROR, _DONE):
                    _raise(flags, body, kind == _ERROR)
                    return found, whole
                found.append(body)


def attribute(kind: int, value: bytes) -> bytes:
    return _attribute.pack(_attribute.size + len(value), kind) + value + b"\0" * (-len(value) % 4)


def nested(kind: int, *inner: bytes) -> bytes:
    return attribute(kind | _NESTED, b"".join(inner))


def number(kind: int, value: int) -> bytes:
    """32 bits."""
    return attribute(kind, struct.pack("=I", value))


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode(errors="surrogateescape") + b"\0")


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """The values by kind; of a kind that comes twice, the last."""
    found = {}
    unpack, least = _attribute.unpack_from, _attribute.size
    last = len(data) - least
    while offset <= last:
        length, kind = unpack(data, offset)
        if length < least:
            break
        found[kind & _KIND] = data[offset + least : offset + length]
        offset += length + 3 & ~3
    return found


def as_number(value: bytes | None) -> int:
    """Of 8 to 64 bits; 0 where there is none."""
    return int.from_bytes(value, sys.byteorder) if value else 0


def as_text(value: bytes | None) -> str:
    return value.rstrip(b"\0").decode(errors="surrogateescape") if value else ""


def _raise(flags: int, body: bytes, is_error: bool) -> None:
    """An error repeats what was asked, or its header; the end of a list, which may have failed as well, does not."""
    code = -int.from_bytes(body[:4], sys.byteorder, signed=True)
    if code <= 0:
        return
    asked = 0 if not is_error else _header.size if flags & _CAPPED else _header.unpack_from(body, 4)[0]
    says = as_text(attributes(body, 4 + asked).get(_ERROR_TEXT)) if flags & _TLVS else ""
    raise OSError(code, f"{os.strerror(code)}{f' ({says})' if says else ''}")
