# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Netlink transport (Documentation/userspace-api/netlink/intro.rst) for messages of pyroute2's classes.

pyroute2's own sockets return inconsistent dumps (0.9), lose errors of nf_tables and sock_diag, and start an event loop for each
request (0.9). This one repeats inconsistent dumps, and raises the kernel's errno and extended acknowledgement as OSError.
"""

from __future__ import annotations

import errno
import os
import socket

from pyroute2 import netlink as protocol

from .messages import HEADER, Message, Request, encoded, field, read

_LARGEST = 1 << 16
"""Bytes of one datagram: the kernel writes dumps in pieces of at most 32 KiB (netlink(7))."""

_ATTEMPTS = 10
_error_code = field(protocol.nlmsgerr, "error")


class Socket:
    """A socket of one netlink family. It stays in the network namespace in which it was opened.

    Methods return encoded messages, for read(). They raise OSError with the kernel's errno and extended acknowledgement.
    """

    def __init__(self, family: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, family)
        for option in (protocol.NETLINK_EXT_ACK, protocol.NETLINK_GET_STRICT_CHK):
            self._socket.setsockopt(protocol.SOL_NETLINK, option, 1)
        self._socket.bind((0, 0))

    def close(self) -> None:
        self._socket.close()

    def ask(self, kind: int, message: Message, flags: int = 0) -> list[bytes]:
        """Send one request; return the answers except the acknowledgement. ``kind``: the message type, such as RTM_NEWLINK."""
        return self._exchange(encoded(kind, message, protocol.NLM_F_ACK | flags))[0]

    def dump(self, question: Request) -> list[bytes]:
        """Return the messages of all objects. Repeat the dump if the kernel flags it as inconsistent (NLM_F_DUMP_INTR)."""
        for _attempt in range(_ATTEMPTS):
            found, whole = self._exchange(question)
            if whole:
                return found
        raise OSError(errno.EAGAIN, f"the objects changed during each of {_ATTEMPTS} dumps")

    def _exchange(self, what: Request) -> tuple[list[bytes], bool]:
        """Return the answers up to the last one, and whether they are consistent."""
        self._socket.send(what.data)
        found: list[bytes] = []
        whole = True
        while True:
            data = self._socket.recv(_LARGEST)
            offset = 0
            while offset < len(data):
                length, kind, flags, sequence, _port = HEADER.unpack_from(data, offset)
                message = data[offset : offset + length]
                offset += length + 3 & ~3
                if sequence != what.sequence:
                    continue
                whole = whole and not flags & protocol.NLM_F_DUMP_INTR
                if kind in (protocol.NLMSG_ERROR, protocol.NLMSG_DONE):
                    if _error_code(message):
                        raise _error(message)
                    return found, whole
                found.append(message)


def _error(message: bytes) -> OSError:
    answer = read(protocol.nlmsgerr, message)
    code, says = abs(answer["error"]), answer.get_attr("NLMSGERR_ATTR_MSG")
    return OSError(code, f"{os.strerror(code)}{f' ({says})' if says else ''}")
