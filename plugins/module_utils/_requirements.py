# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Python packages that the engine needs beside its own code: found, checked, and loaded only as far as they are used."""

from __future__ import annotations

import os
import re
import stat
import sys
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from typing import Any, NamedTuple

from ._errors import MissingDependency


class Library(NamedTuple):
    """A package on PyPI. ``oldest``: the first release that will do; ``distribution``: what Debian and Fedora call it."""

    name: str
    oldest: tuple[int, ...]
    version_in: str
    distribution: str


PYROUTE2 = Library("pyroute2", (0, 7, 2), "pyroute2.config.version", "python3-pyroute2")
NETADDR = Library("netaddr", (0, 8, 0), "netaddr", "python3-netaddr")


VENV = "/opt/podnet/venv"
VENV_PYTHON = f"{VENV}/bin/python"
"""Made by the role podnet.linux.host where the distribution's packages will not do."""


def is_roots_alone(path: str) -> bool:
    """Whether the file is there, and nobody but root can change it or put another one in its place."""
    try:
        while True:
            status = os.lstat(path)
            # The mode of a symbolic link says nothing.
            if status.st_uid or (status.st_mode & 0o022 and not stat.S_ISLNK(status.st_mode)):
                return False
            if path == "/":
                return True
            path = os.path.dirname(path)
    except OSError:
        return False


def require(*libraries: Library) -> None:
    """Raises MissingDependency, with the version found and what to do, where one is missing or too old."""
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

    ``import pyroute2`` imports all of them, with asyncio, multiprocessing and a database: a hundred milliseconds, for
    some classes of which the description of messages is no more than a few. Who asks the package for anything else gets it.
    """
    spec = None
    with suppress(ImportError):
        spec = find_spec(PYROUTE2.name) if PYROUTE2.name not in sys.modules else None
    if spec is None or spec.loader is None:
        return
    package, loader = module_from_spec(spec), spec.loader

    def complete(name: str) -> Any:
        """What the package has no attribute for yet (PEP 562): a module of it is left to the import system."""
        if name.startswith("__") or find_spec(f"{PYROUTE2.name}.{name}") is not None:
            raise AttributeError(name)
        vars(package).pop("__getattr__", None)
        loader.exec_module(package)
        return getattr(package, name)

    vars(package)["__getattr__"] = complete
    sys.modules[PYROUTE2.name] = package


def _version(library: Library) -> str | None:
    """None where Python finds no such package."""
    if library is PYROUTE2:
        message_classes()
    with suppress(ImportError):
        return str(import_module(library.version_in).__version__)
    if library.version_in == library.name:
        return None
    # Debian's pyroute2 leaves that file out. What installs packages notes their versions beside them.
    with suppress(ImportError, ValueError, OSError):
        origin = getattr(find_spec(library.name), "origin", None) or ""
        for name in os.listdir(os.path.dirname(os.path.dirname(origin))):
            noted = re.match(rf"{library.name}-([^-]+)(-py[0-9.]+)?\.(dist|egg)-info$", name)
            if noted:
                return noted[1]
    return None


def _numbers(version: str) -> tuple[int, ...]:
    """0.7.2.post1 as (0, 7, 2)."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(number) for number in match[0].split(".")) if match else ()
