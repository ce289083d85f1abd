# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded identities of the namespaces and of the pause process of a sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._spec.sandbox import Sandbox
from . import namespaces, processes
from .machine import Machine, pin


def recorded_identities(state: Mapping[str, Any]) -> dict[str, namespaces.Identity]:
    """Return the recorded namespaces by kind."""
    return {kind: (value[0], value[1]) for kind, value in state.get("namespaces", {}).items()}


def pause_process(state: Mapping[str, object]) -> processes.Process | None:
    value = state.get("pause")
    return processes.Process(value["pid"], value["start"]) if isinstance(value, dict) else None


def owned_identities(machine: Machine, sandbox: Sandbox) -> dict[str, namespaces.Identity]:
    """Return the namespaces that are removed with the sandbox, by kind; the pid namespace is read from the pause process."""
    state = machine.state(sandbox.id)
    if state is None:
        # Lost: what is pinned at our paths is what there is to go by.
        pinned = {kind: namespaces.identity(pin(sandbox.id, kind)) for kind in sandbox.pins}
        state = {"namespaces": {kind: here for kind, here in pinned.items() if here is not None}}
    known = {
        kind: value
        for kind, value in recorded_identities(state).items()
        if kind in sandbox.namespaces and not (kind == "net" and sandbox.netns is not None)
    }
    pause = pause_process(state)
    if "pid" in sandbox.namespaces and pause is not None and pause.alive:
        own = processes.namespace_of(pause.pid, "pid")
        if own is not None:
            known["pid"] = own
    return {kind: value for kind, value in known.items() if value != namespaces.host_identity(kind)}
