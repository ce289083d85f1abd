# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpack the engine's sources once on the managed node, so that Python caches their bytecode (PEP 3147).

Ansible sends the sources as an archive with each task, and Python compiles 12 000 lines from it each time. The directory is only
a cache. Its name is a digest of the archive's directory and of the boot id, so that files which a power cut truncated are not used.
"""

from __future__ import annotations

import hashlib
import json
import marshal
import os
import py_compile
import shutil
import sys
import tempfile
import time
import zipfile
import zipimport
from contextlib import suppress

from ._requirements import is_roots_alone

HOME = "/var/cache/podnet"
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_SIZES = "sizes.json"
"""Written last: the size in bytes of each file in the directory, by its path."""

_OLD = 24 * 3600.0
"""Seconds. Older directories are removed when another one is created."""

_PYC_HEADER = 16
"""Bytes before the code object (PEP 552)."""


def prefer_unpacked(*, check: bool) -> None:
    """Import further modules from the directory, and create it if it is missing or damaged; ``check``: write nothing."""
    loader = getattr(__spec__, "loader", None)
    if os.geteuid() or not isinstance(loader, zipimport.zipimporter):
        return
    # All bytecode is written when the directory is created. A file written later could be truncated by a full disk.
    sys.dont_write_bytecode = True
    with suppress(OSError, zipfile.BadZipFile):
        package = sys.modules[__package__]
        inside = os.path.relpath(next(iter(package.__path__)), loader.archive) + "/"
        with zipfile.ZipFile(loader.archive) as archive:
            sources = sorted((item for item in archive.infolist() if item.filename.startswith(inside)), key=lambda item: item.filename)
            with open(_BOOT_ID, encoding="ascii") as file:
                content = [sys.version, file.read(), *(f"{item.filename} {item.CRC:08x} {item.file_size}" for item in sources)]
            directory = f"{HOME}/{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]}"
            if not check and not _is_whole(directory):
                _unpack(archive, {item.filename: item.filename[len(inside) :] for item in sources}, directory)
        if _is_whole(directory):
            package.__path__ = [directory, *package.__path__]


def _is_whole(directory: str) -> bool:
    """Return whether the directory and its content can be trusted, and no file is missing or truncated."""
    if os.path.islink(directory) or not is_roots_alone(directory):
        return False
    try:
        with open(f"{directory}/{_SIZES}", encoding="utf-8") as file:
            sizes = json.load(file)
        return bool(sizes) and all(os.stat(f"{directory}/{path}").st_size == size for path, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def _unpack(archive: zipfile.ZipFile, sources: dict[str, str], directory: str) -> None:
    """Create the directory atomically: other runs may use it at the same time, and this one may be killed. Raise OSError."""
    os.makedirs(HOME, mode=0o755, exist_ok=True)
    if not is_roots_alone(HOME):
        return
    _remove_old()
    unfinished = tempfile.mkdtemp(dir=HOME)
    try:
        sizes = {}
        for name, path in sources.items():
            target = f"{unfinished}/{path}"
            os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
            with open(target, "wb") as file:
                file.write(archive.read(name))
            compiled = _compile(target, f"{directory}/{path}")
            for written in (target, compiled):
                sizes[os.path.relpath(written, unfinished)] = os.stat(written).st_size
        with open(f"{unfinished}/{_SIZES}", "w", encoding="utf-8") as file:
            json.dump(sizes, file)
        if os.path.lexists(directory) and not _is_whole(directory):
            _remove(directory)
        os.rename(unfinished, directory)
    except BaseException:
        # A failure to remove it must not hide the error that is raised. A later run removes it.
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _compile(source: str, shown: str) -> str:
    """Write the bytecode of a source, read it back, and return its path. ``shown``: the path in tracebacks. Raise OSError."""
    compiled = py_compile.compile(source, dfile=shown, doraise=True)
    try:
        with open(str(compiled), "rb") as file:
            marshal.loads(file.read()[_PYC_HEADER:])
    except (EOFError, ValueError, TypeError) as error:
        raise OSError(f"{compiled} was not written completely: {error}") from None
    return str(compiled)


def _remove_old() -> None:
    """Remove directories of other releases and of killed runs."""
    for item in os.scandir(HOME):
        if item.stat(follow_symlinks=False).st_mtime < time.time() - _OLD:
            _remove(item.path)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        # Another run may remove the same directory at the same time.
        shutil.rmtree(path, ignore_errors=True)
    else:
        os.unlink(path)
