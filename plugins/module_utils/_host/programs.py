# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""External programs: found in the system's directories only, run with nothing inherited."""

from __future__ import annotations

import os
import subprocess
from functools import cache

from .._errors import KernelError, MissingDependency

DIRECTORIES = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")
_PATIENCE = 120
ENVIRONMENT = {"PATH": ":".join(DIRECTORIES), "LC_ALL": "C"}


@cache
def find(name: str) -> str | None:
    """The program's path, whatever the caller's PATH says."""
    paths = (f"{directory}/{name}" for directory in DIRECTORIES)
    return next((path for path in paths if os.access(path, os.X_OK)), None)


def required(name: str, package: str) -> str:
    """The program's path; raises MissingDependency naming the package."""
    path = find(name)
    if path is None:
        raise MissingDependency(f"{name} is not in {', '.join(DIRECTORIES)}: install the package {package}")
    return path


def run(argv: list[str], text: str = "") -> subprocess.CompletedProcess[str]:
    """Raises KernelError where the program does not come to an end: a run holds the lock of the host."""
    try:
        return subprocess.run(argv, input=text, capture_output=True, text=True, env=ENVIRONMENT, check=False, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        raise KernelError(f"{' '.join(argv)} has not ended within {_PATIENCE} seconds; see what it waits for") from None
