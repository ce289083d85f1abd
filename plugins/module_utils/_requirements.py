# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find, check and load the Python packages that the engine depends on."""

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
    """A package on PyPI. ``oldest``: the oldest supported release; ``distribution``: its name in Debian and Fedora.

    ``imported``: modules that each run imports; ``parts``: those that some runs import.
    """

    name: str
    oldest: tuple[int, ...]
    version_in: str
    distribution: str
    imported: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()


PYROUTE2 = Library(
    "pyroute2",
    (0, 7, 2),
    "pyroute2.config.version",
    "python3-pyroute2",
    imported=("pyroute2.netlink.rtnl.ifinfmsg",),
    parts=("pyroute2.netlink.diag", "pyroute2.netlink.nfnetlink.nfctsocket", "pyroute2.netlink.nfnetlink.nftsocket"),
)
NETADDR = Library("netaddr", (0, 8, 0), "netaddr", "python3-netaddr")

VENV = "/opt/podnet/venv"
VENV_PYTHON = f"{VENV}/bin/python"
"""The role podnet.linux.host installs it where the packages of the distribution are missing or too old."""


_MOST_LINKS = 40
"""Symbolic links in one path, as in the kernel (path_resolution(7))."""


def is_roots_alone(path: str) -> bool:
    """Return whether the absolute path exists, and only root can change where it leads: all directories and symbolic links."""
    current, pending, links = "/", ["", *path.split("/")], 0
    try:
        while pending:
            name = pending.pop(0)
            current = os.path.normpath(f"{current}/{name}")
            status = os.lstat(current)
            if status.st_uid:
                return False
            if stat.S_ISLNK(status.st_mode):
                links += 1
                target = os.readlink(current)
                current = "/" if target.startswith("/") else os.path.dirname(current)
                pending = [*target.split("/"), *pending]
            elif status.st_mode & 0o022:
                return False
            if links > _MOST_LINKS:
                return False
    except OSError:
        return False
    return True


def require(*libraries: Library) -> None:
    """Raise MissingDependency if a library is missing, too old or broken; the message states the version and the remedy."""
    for library in libraries:
        problem = _problem(library)
        if problem:
            needed = ".".join(map(str, library.oldest))
            raise MissingDependency(
                f"{library.name} {needed} or newer is needed by podnet.linux, and {sys.executable} {problem}: install "
                f"{library.distribution}, or {library.name}>={needed} by pip for that interpreter, or set "
                "ansible_python_interpreter to one that has it"
            )


def _problem(library: Library) -> str:
    """Return what is wrong with the installed library; empty if nothing is."""
    try:
        found = _version(library)
        if found is None:
            return "does not find it"
        if _numbers(found) < library.oldest:
            return f"finds {found}"
        for name in library.imported:
            import_module(name)
        missing = [name for name in library.parts if find_spec(name) is None]
        return f"finds {found} without {missing[0]}" if missing else ""
    except (Exception, SystemExit) as error:  # an installation may be broken in any way
        return f"cannot import it ({type(error).__name__}: {error})"


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
    if find_spec(library.name) is None:
        return None
    try:
        return str(import_module(library.version_in).__version__)
    except ModuleNotFoundError as error:
        if error.name != library.version_in or library.version_in == library.name:
            raise
    # Debian's pyroute2 has no such module. The metadata directory beside the package states the version too.
    origin = getattr(find_spec(library.name), "origin", None) or ""
    for name in os.listdir(os.path.dirname(os.path.dirname(origin))):
        noted = re.match(rf"{library.name}-([^-]+)(-py[0-9.]+)?\.(dist|egg)-info$", name)
        if noted:
            return noted[1]
    return "unknown"


def _numbers(version: str) -> tuple[int, ...]:
    """Return (0, 7, 2) for 0.7.2.post1."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(number) for number in match[0].split(".")) if match else ()
