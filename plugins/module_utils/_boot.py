# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine as a program of its own, for hosts on which Ansible is not there: what systemd runs at boot."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

from ._errors import MissingDependency, PodnetError
from ._requirements import NETADDR, PYROUTE2, VENV, VENV_PYTHON, is_roots_alone, require

if TYPE_CHECKING:
    from ._restore import Restored

LOCK_TIMEOUT = 300.0
_ERROR, _WARNING, _INFO = 3, 4, 6
_ENOUGH = 4
"""Of what is off with one object. After a boot it is everything."""


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 0 where all is as recorded now, 1 where something is not, which the log names.

    Of ``--rules``, which firewalls start with, 0 where the rules hold: one broken record is no reason to have no firewall.
    """
    parser = argparse.ArgumentParser(prog="podnet", description="Pod sandboxes of podnet.linux on this host.")
    commands = parser.add_subparsers(dest="command", required=True)
    restore = commands.add_parser("restore", help="bring back networks, sandboxes and rules as they are recorded in /var/lib/podnet")
    restore.add_argument("--rules", action="store_true", help="the rules only, behind something that flushed them")
    restore.add_argument("--check", action="store_true", help="say what would be done, and do nothing")
    restore.add_argument("--lock-timeout", type=float, default=LOCK_TIMEOUT, metavar="SECONDS", help="how long to wait for other runs")
    options = parser.parse_args(argv)
    try:
        restored = _restored(check=options.check, lock_timeout=options.lock_timeout, rules_only=options.rules)
    except (PodnetError, OSError) as error:
        _say(sys.stderr, _ERROR, str(error))
        return 1
    for level, text in _lines(restored):
        _say(sys.stdout if level == _INFO else sys.stderr, level, text)
    return int(bool(restored.failures) and not (options.rules and restored.rules_hold))


def _restored(*, check: bool, lock_timeout: float, rules_only: bool) -> Restored:
    """Raise PodnetError and OSError; MissingDependency before any import that needs the libraries."""
    try:
        require(PYROUTE2, NETADDR)
    except MissingDependency:
        if sys.prefix == VENV or not is_roots_alone(VENV_PYTHON):
            raise
        os.execv(VENV_PYTHON, [VENV_PYTHON, *sys.argv])
    from ._restore import run_restore
    from ._session import Settings, applier

    # All of the program is read now: it may be replaced while this waits for the lock.
    applier()
    return run_restore(Settings(check=check, lock_timeout=lock_timeout), rules_only=rules_only)


def _lines(restored: Restored) -> Iterator[tuple[int, str]]:
    for diff in restored.diffs:
        problems = diff["before"].get("problems") or diff["before"].get("pruned") or ()
        more = f"; and {len(problems) - _ENOUGH} more" if len(problems) > _ENOUGH else ""
        yield _INFO, f"{diff['before_header']}: {'; '.join(problems[:_ENOUGH]) or 'changed'}{more}"
    for warning in restored.warnings:
        yield _WARNING, warning
    for what, error in restored.failures:
        yield _ERROR, f"{what}: {error.reason}: {error}"
    if not restored.diffs and not restored.failures:
        yield _INFO, "all is as recorded"


def _say(stream: TextIO, level: int, text: str) -> None:
    """With the level that the journal files it under (sd-daemon(3)), where it reads along."""
    prefix = f"<{level}>" if "JOURNAL_STREAM" in os.environ else ""
    stream.write(f"{prefix}{text}\n")
    stream.flush()
