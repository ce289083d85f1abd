# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flows that are to be forgotten once the rules have changed: a run that is killed in between leaves them to the next."""

from __future__ import annotations

import ipaddress

from .._plan.observed import Flow
from . import files, paths

_NOTE = f"{paths.RUN}/flows"


def write(flows: tuple[Flow, ...]) -> None:
    files.write(_NOTE, "".join(_line(flow) + "\n" for flow in flows))


def read() -> tuple[Flow, ...]:
    """None where there is no such note; a line that is garbled is left out."""
    found = (_parsed(line.split()) for line in (files.read(_NOTE) or "").splitlines())
    return tuple(flow for flow in found if flow is not None)


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
