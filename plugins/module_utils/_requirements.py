# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find, check and load the Python packages that the engine depends on."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from typing import Any, NamedTuple

from ._errors import MissingDependency


class Library(NamedTuple):
    """A package on PyPI. ``oldest``: the oldest supported release; ``distribution``: its name in Debian and Fedora."""

    name: str
    oldest: tuple[int, ...]
    version_in: str
    distribution: str


PYROUTE2 = Library("pyroute2", (0, 7, 2), "pyroute2.config.version", "python3-pyroute2")
NETADDR = Library("netaddr", (0, 8, 0), "netaddr", "python3-netaddr")

VENV = "/opt/podnet/venv"
VENV_PYTHON = f"{VENV}/bin/python"
"""The role podnet.linux.host installs it where the packages of the distribution are missing or too old."""


def is_roots_alone(path: str) -> bool:
    """Return whether the path exists, and only root can change or replace it: the file, its target, and all directories above."""
    try:
        return all(_is_roots(item) for item in (*_with_parents(path), *_with_parents(os.path.realpath(path))))
    except OSError:
        return False


def _with_parents(path: str) -> Iterator[str]:
    while path != "/":
        yield path
        path = os.path.dirname(path)
    yield path


def _is_roots(path: str) -> bool:
    status = os.lstat(path)
    # The mode of a symbolic link has no meaning (symlink(7)).
    return status.st_uid == 0 and (stat.S_ISLNK(status.st_mode) or not status.st_mode & 0o022)


def require(*libraries: Library) -> None:
    """Raise MissingDependency if a library is missing or too old; the message states the version found and the remedy."""
    for library in libraries:
        found = _version(library)
        if found is None or _numbers(found) < library.oldest:
            needed = ".".join(map(str, library.oldest))
            raise MissingDependency(
                f"{library.name} {needed} or newer is needed by podnet.linux, and {sys.executable} "
                f"{'does not find it' if found is None else f'finds {found}'}: install {library.distribution}, or "
                f"{library.name}>={needed} by pip for that interpreter, or set ansible_python_interpreter to one that has it"
            )


def message_classes() -> None:
    """Make the modules of pyroute2 importable one by one.

    ``import pyroute2`` imports all of them, and asyncio, multiprocessing and sqlite3: 100 ms. The engine needs the message
    classes only: 15 ms. The rest of the package is imported when another attribute of it is used (PEP 562).
    """
    spec = None
    with suppress(ImportError):
        spec = find_spec(PYROUTE2.name) if PYROUTE2.name not in sys.modules else None
    if spec is None or spec.loader is None:
        return
    package, loader = module_from_spec(spec), spec.loader

    def complete(name: str) -> Any:
        """Import the whole package for an attribute, unless the attribute is a submodule, which Python then imports itself."""
        if name.startswith("__") or find_spec(f"{PYROUTE2.name}.{name}") is not None:
            raise AttributeError(name)
        vars(package).pop("__getattr__", None)
        loader.exec_module(package)
        return getattr(package, name)

    vars(package)["__getattr__"] = complete
    sys.modules[PYROUTE2.name] = package


def _version(library: Library) -> str | None:
    """Return the installed version; None if Python does not find the package."""
    if library is PYROUTE2:
        message_classes()
    with suppress(ImportError):
        return str(import_module(library.version_in).__version__)
    if library.version_in == library.name:
        return None
    # Debian's pyroute2 has no such module. The metadata directory beside the package states the version too.
    with suppress(ImportError, ValueError, OSError):
        origin = getattr(find_spec(library.name), "origin", None) or ""
        for name in os.listdir(os.path.dirname(os.path.dirname(origin))):
            noted = re.match(rf"{library.name}-([^-]+)(-py[0-9.]+)?\.(dist|egg)-info$", name)
            if noted:
                return noted[1]
    return None


def _numbers(version: str) -> tuple[int, ...]:
    """Return (0, 7, 2) for 0.7.2.post1."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(number) for number in match[0].split(".")) if match else ()
