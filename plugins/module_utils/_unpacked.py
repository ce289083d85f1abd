# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpack the engine's sources once on the managed node, so that Python caches their bytecode (PEP 3147).

Ansible sends the sources as an archive with each task, and Python compiles 12 000 lines from it each time. The directory is only
a cache. Its name is a digest of the archive's directory and of the boot id, so that files which a power cut truncated are not used.
"""

from __future__ import annotations

import hashlib
import os
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
_OLD = 24 * 3600.0
"""Seconds. Older directories are removed when another one is created."""


def prefer_unpacked(*, check: bool) -> None:
    """Import further modules from the directory, and create it if it is missing; ``check``: write nothing."""
    # Python would write bytecode into an existing directory.
    sys.dont_write_bytecode = sys.dont_write_bytecode or check
    loader = getattr(__spec__, "loader", None)
    if os.geteuid() or not isinstance(loader, zipimport.zipimporter):
        return
    with suppress(OSError, zipfile.BadZipFile):
        package = sys.modules[__package__]
        inside = os.path.relpath(next(iter(package.__path__)), loader.archive) + "/"
        with zipfile.ZipFile(loader.archive) as archive:
            sources = sorted((item for item in archive.infolist() if item.filename.startswith(inside)), key=lambda item: item.filename)
            with open(_BOOT_ID, encoding="ascii") as file:
                content = "".join([file.read(), *(f"{item.filename} {item.CRC:08x} {item.file_size}\n" for item in sources)])
            directory = f"{HOME}/{hashlib.sha256(content.encode()).hexdigest()[:32]}"
            if not check and not os.path.lexists(directory):
                _unpack(archive, {item.filename: item.filename[len(inside) :] for item in sources}, directory)
        if os.path.isdir(directory) and not os.path.islink(directory) and is_roots_alone(directory):
            package.__path__ = [directory, *package.__path__]


def _unpack(archive: zipfile.ZipFile, sources: dict[str, str], directory: str) -> None:
    """Create the directory atomically: other runs may use it at the same time, and this one may be killed. Raise OSError."""
    os.makedirs(HOME, mode=0o755, exist_ok=True)
    if not is_roots_alone(HOME):
        return
    _remove_old()
    unfinished = tempfile.mkdtemp(dir=HOME)
    try:
        for name, path in sources.items():
            target = f"{unfinished}/{path}"
            os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
            with open(target, "wb") as file:
                file.write(archive.read(name))
        os.rename(unfinished, directory)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _remove_old() -> None:
    """Remove directories of other releases and of killed runs."""
    for item in os.scandir(HOME):
        if item.stat(follow_symlinks=False).st_mtime < time.time() - _OLD:
            shutil.rmtree(item.path, ignore_errors=True)
