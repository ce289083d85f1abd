# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flows that are to be forgotten once the rules have changed: a run that is killed in between leaves them to the next."""

from __future__ import annotations

import ipaddress

from .._plan.observed import Flow, Unflushed
from . import files, paths

_NOTE = f"{paths.RUN}/flows"
_CUT = "cut"


def write(flows: tuple[Flow, ...], sandboxes: tuple[str, ...]) -> None:
    files.write(_NOTE, "".join(f"{line}\n" for line in (*map(_line, flows), *(f"{_CUT} {key}" for key in sandboxes))))


def read() -> Unflushed:
    """Nothing where there is no such note; a line that is garbled is left out."""
    lines = [line.split() for line in (files.read(_NOTE) or "").splitlines()]
    found = (_parsed(words) for words in lines)
    cut = tuple(words[1] for words in lines if len(words) == 2 and words[0] == _CUT)
    return Unflushed(tuple(flow for flow in found if flow is not None), cut)


def remove() -> None:
    files.remove(_NOTE)


def _line(flow: Flow) -> str:
    target = ("-", "-") if flow.target is None else flow.target
    return f"{flow.version} {flow.host or '-'} {flow.port} {target[0]} {target[1]}"


def _parsed(words: list[str]) -> Flow | None:
    try:
        version, host, port, address, at = words
        target = None if address == "-" else (ipaddress.ip_address(address), int(at))
        return Flow(int(version), None if host == "-" else ipaddress.ip_address(host), int(port), target)
    except ValueError:
        return None
