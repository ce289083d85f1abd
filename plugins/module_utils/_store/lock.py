# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One lock per host: changes exclude each other and every reader (flock(2), which dies with its holder)."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

from .._errors import LockTimeout
from . import files

_PAUSE = 0.05


@contextlib.contextmanager
def locked(path: str, *, timeout: float, shared: bool = False) -> Iterator[None]:
    """Hold the lock; ``timeout`` in seconds. A shared one makes no file: without one, nothing was ever changed.

    Under an exclusive one, what killed writers have left is removed.

    Raises LockTimeout.
    """
    if not shared:
        files.make_directory(os.path.dirname(path))
    try:
        fd = os.open(path, (os.O_RDONLY if shared else os.O_RDWR | os.O_CREAT) | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except FileNotFoundError:
        yield
        return
    try:
        _acquire(fd, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, path, timeout)
        if shared:
            yield
            return
        files.sweep_temporaries()
        try:
            yield
        finally:
            files.sweep_temporaries()
    finally:
        os.close(fd)


def _acquire(fd: int, kind: int, path: str, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise LockTimeout(
                    f"another run holds {path} for more than {timeout:g} seconds; wait for it, or raise lock_timeout"
                ) from None
            time.sleep(_PAUSE)
