# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine as one file that Python runs (PEP 441): made of the very code that makes it."""

from __future__ import annotations

import hashlib
import io
import pkgutil
import zipfile
from importlib import import_module
from importlib.util import find_spec

from .._errors import KernelError, NotOurs
from .._store import files

PACKAGE = "podnet_linux"
_ENGINE = __name__.rpartition("._host.")[0]
_NOT_NEEDED = ("_module", "_unpacked")
"""What only modules of Ansible need."""

_MAIN = f"""import sys
if sys.version_info < (3, 9):
    sys.exit("podnet.linux needs Python 3.9 or newer, and %s is %s" % (sys.executable, sys.version.split()[0]))
from {PACKAGE}._boot import main
sys.exit(main())
"""
_SHEBANG = b"#!/usr/bin/env python3\n"
MODE = 0o755
_EPOCH = (1980, 1, 1, 0, 0, 0)


def built() -> bytes:
    """The same for the same code, whenever and wherever it is made."""
    sources = {"__main__.py": _MAIN, f"{PACKAGE}/__init__.py": "", **dict(sorted(_sources(_ENGINE, PACKAGE).items()))}
    data = io.BytesIO(_SHEBANG)
    data.seek(len(_SHEBANG))
    with zipfile.ZipFile(data, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, text in sources.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), text, zipfile.ZIP_DEFLATED)
    return data.getvalue()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def installed(path: str) -> bytes | None:
    """What is there now. Raises NotOurs for anything that is no such program."""
    data = files.read_bytes(path)
    if data is not None and not (data.startswith(_SHEBANG) and f"{PACKAGE}/_boot.py".encode() in data):
        raise NotOurs(f"path: {path} is not a program of podnet.linux; choose another path, or remove it")
    return data


def _sources(package: str, name: str) -> dict[str, str]:
    """Every module of the package by its path, from wherever Python has it: files, or the archive that Ansible sends."""
    found: dict[str, str] = {}
    for item in pkgutil.iter_modules(import_module(package).__path__):
        if item.name in _NOT_NEEDED:
            continue
        dotted, path = f"{package}.{item.name}", f"{name}/{item.name}"
        spec = find_spec(dotted)
        # zipimporter has it without saying so (importlib.abc.InspectLoader).
        get_source = getattr(spec.loader if spec is not None else None, "get_source", None)
        if get_source is None:
            raise KernelError(f"Python does not tell the source of {dotted}, which the program is made of")
        found[f"{path}/__init__.py" if item.ispkg else f"{path}.py"] = get_source(dotted) or ""
        if item.ispkg:
            found.update(_sources(dotted, path))
    return found
