# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are whole or not there: temporary file, fsync, rename, fsync of the directory; no symlink followed."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
from collections.abc import Iterator
from typing import Any

from .._errors import StateCorrupt
from . import paths

_WORKSHOP = ".tmp"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def write(path: str, text: str, *, mode: int = 0o644) -> None:
    """Replace the file in one step; its directory is made if missing. Raises OSError."""
    write_bytes(path, text.encode(), mode=mode)


def write_bytes(path: str, data: bytes, *, mode: int = 0o644) -> None:
    """The same with what is no text."""
    directory, name = os.path.split(path)
    root = paths.root_of(directory)
    if root is None:
        with _made_directory(directory) as at:
            write_at(at, name, data, mode=mode)
        return
    # What a killed writer leaves lies in one place, where sweep_temporaries() finds it.
    with _made_directory(directory) as at, _made_directory(f"{root}/{_WORKSHOP}") as source:
        write_at(at, name, data, mode=mode, source=source)


def write_at(at: int, name: str, data: bytes, *, mode: int = 0o644, source: int | None = None) -> None:
    """The same below an open directory; ``source``: another one on the same file system, where it is written."""
    source = at if source is None else source
    temporary = f".{name[:200]}.{secrets.token_hex(6)}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=source)
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, mode)
            file.write(data)
            file.flush()
            os.fsync(fd)
        os.rename(temporary, name, src_dir_fd=source, dst_dir_fd=at)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=source)
        raise
    os.fsync(at)


def read(path: str) -> str | None:
    """The text of a plain file; None where there is none (a symlink counts as none). Raises OSError."""
    data = read_bytes(path)
    return None if data is None else data.decode(errors="replace")


def read_bytes(path: str) -> bytes | None:
    """The same of what is no text."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        if os.path.islink(path):
            return None
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return None
    with os.fdopen(fd, "rb") as file:
        return file.read()


def has_mode(path: str, mode: int) -> bool:
    return stat.S_IMODE(os.lstat(path).st_mode) == mode


def read_json(path: str) -> dict[str, Any] | None:
    """None where there is no file; raises StateCorrupt, naming it, where it holds no JSON object."""
    try:
        text = read(path)
    except OSError as error:
        raise StateCorrupt(f"{path} cannot be read ({error.strerror}); restore it, or remove it if nothing depends on it") from None
    if text is None:
        if os.path.lexists(path):
            raise StateCorrupt(f"{path} is no plain file; restore it, or remove it if nothing depends on it")
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise StateCorrupt(f"{path} is empty or garbled; restore it, or remove it if nothing depends on it")
    return value


def write_json(path: str, value: dict[str, Any]) -> None:
    """Indented, for people to read."""
    write(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def write_json_line(path: str, value: dict[str, Any]) -> None:
    """For programs, which is a tenth of the work."""
    write(path, json.dumps(value, sort_keys=True) + "\n")


def unlink(path: str) -> None:
    """Fine where there is no such file."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        os.unlink(path)


def remove(path: str) -> None:
    """Remove the file, then the directory where that leaves it empty."""
    unlink(path)
    remove_empty(os.path.dirname(path))


def remove_empty(directory: str) -> None:
    """Remove empty directories of ours upwards, keeping the roots that belong to the system."""
    while paths.root_of(directory) or directory.startswith(f"{paths.ETC_NETNS}/"):
        try:
            os.rmdir(directory)
        except OSError:
            return
        directory = os.path.dirname(directory)


def make_directory(directory: str, *, mode: int = 0o755) -> None:
    os.makedirs(directory, mode=mode, exist_ok=True)


@contextlib.contextmanager
def _made_directory(directory: str) -> Iterator[int]:
    try:
        fd = os.open(directory, _DIRECTORY)
    except FileNotFoundError:
        make_directory(directory)
        fd = os.open(directory, _DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def opened_directory(directory: str) -> Iterator[int]:
    """The directory itself, never one that a symlink in its place leads to."""
    fd = os.open(directory, _DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def sweep_temporaries() -> None:
    """Remove what a writer left that was killed between creating and renaming; call it under the lock."""
    for root in paths.roots():
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(f"{root}/{_WORKSHOP}") as entries:
            for entry in list(entries):
                unlink(entry.path)
        remove_empty(f"{root}/{_WORKSHOP}")
