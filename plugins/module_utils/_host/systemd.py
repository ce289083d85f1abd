# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transient scopes, asked of systemd by its own library: all at once, since a child process for each takes ten times as long."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from .._errors import KernelError, MissingDependency

_LIBRARY = "libsystemd.so.0"
_WHOM = (b"org.freedesktop.systemd1", b"/org/freedesktop/systemd1", b"org.freedesktop.systemd1.Manager", b"StartTransientUnit")
_TYPES = b"ssa(sv)a(sa(sv))"
_EXISTS = b"org.freedesktop.systemd1.UnitExists"
_PATIENCE = 10.0
_AT_ONCE = 64
"""The bus refuses more than 128 answers that are still to come (dbus-daemon(1), max_replies_per_connection)."""


@dataclass(frozen=True)
class Scope:
    """A unit of one process. ``title``: what ``systemctl status`` calls it."""

    pid: int
    unit: str
    title: str


class _Error(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("message", ctypes.c_char_p), ("need_free", ctypes.c_int))


_Handler = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


def is_running() -> bool:
    """sd_booted(3)"""
    return os.path.isdir("/run/systemd/system")


@contextmanager
def scopes() -> Iterator[Scopes]:
    """A connection to ask for scopes by. Raises MissingDependency without libsystemd, KernelError where nobody answers."""
    bus = ctypes.c_void_p()
    _checked(_library().sd_bus_open_system(ctypes.byref(bus)))
    try:
        yield Scopes(bus)
    finally:
        _library().sd_bus_flush_close_unref(bus)


class Scopes:
    """Scopes that processes get (org.freedesktop.systemd1(5), StartTransientUnit): asked for one by one, had together."""

    def __init__(self, bus: ctypes.c_void_p) -> None:
        self._bus = bus
        self._handler = _Handler(self._answered)
        self._asked: list[Scope] = []
        self._answers = 0
        self._refused: dict[Scope, tuple[bytes, str]] = {}

    def ask(self, scope: Scope) -> None:
        """Raises KernelError where nobody answers."""
        self._hear(_AT_ONCE)
        self._ask(len(self._asked), scope)
        self._asked.append(scope)

    def settle(self) -> None:
        """Wait until every process has its own. Raises KernelError where systemd does not answer, or refuses."""
        deadline = time.monotonic() + _PATIENCE
        self._hear(1)
        while self._refused:
            # One of the same name, whose process has just ended, is gone in a moment.
            if time.monotonic() > deadline or any(name != _EXISTS for name, _text in self._refused.values()):
                text = next(text for name, text in self._refused.values() if name != _EXISTS or time.monotonic() > deadline)
                raise KernelError(f"systemd gives the pause process no scope of its own: {text}")
            time.sleep(0.02)
            again = list(self._refused)
            self._refused.clear()
            for scope in again:
                self.ask(scope)
            self._hear(1)

    def _hear(self, fewer: int) -> None:
        """Wait until fewer answers than this are still to come."""
        while len(self._asked) - self._answers >= fewer:
            if _checked(_library().sd_bus_process(self._bus, None)) == 0:
                _checked(_library().sd_bus_wait(self._bus, ctypes.c_uint64(int(_PATIENCE * 1e6))))

    def _ask(self, number: int, scope: Scope) -> None:
        text, count = ctypes.c_char_p, ctypes.c_uint32
        properties = (
            *(text(b"PIDs"), text(b"au"), count(1), count(scope.pid)),
            *(text(b"Description"), text(b"s"), text(scope.title.encode())),
            *(text(b"CollectMode"), text(b"s"), text(b"inactive-or-failed")),
        )
        arguments = (text(_TYPES), text(f"{scope.unit}.scope".encode()), text(b"fail"), count(3), *properties, count(0))
        whom = (text(item) for item in _WHOM)
        _checked(_library().sd_bus_call_method_async(self._bus, None, *whom, self._handler, ctypes.c_void_p(number), *arguments))

    def _answered(self, message: int, number: int | None, _error: int) -> int:
        self._answers += 1
        error = _library().sd_bus_message_get_error(ctypes.c_void_p(message))
        if error:
            self._refused[self._asked[number or 0]] = (error.contents.name or b"", (error.contents.message or b"").decode(errors="replace"))
        return 0


@cache
def _library() -> ctypes.CDLL:
    try:
        found = ctypes.CDLL(_LIBRARY)
    except OSError:
        raise MissingDependency(f"{_LIBRARY} is not there, though systemd runs: install the package libsystemd0 or systemd-libs") from None
    found.sd_bus_message_get_error.restype = ctypes.POINTER(_Error)
    return found


def _checked(result: int) -> int:
    if result < 0:
        raise KernelError(f"systemd cannot be asked over D-Bus ({os.strerror(-result)}); is the system bus running?")
    return result
