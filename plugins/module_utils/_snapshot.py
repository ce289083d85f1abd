# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has, kept aside before a change, and the way back to all of it."""

from __future__ import annotations

import os
from dataclasses import replace

from ._errors import NotFound
from ._plan.planner import plan_return
from ._session import Outcome, Settings, host_session
from ._spec.network import Network
from ._spec.sandbox import Sandbox
from ._store import files
from ._store.records import SCHEMA, from_parts


def take_snapshot(path: str, settings: Settings) -> Outcome:
    """Write what is declared into a file, unless it says so already. Raises PodnetError."""
    with host_session(settings) as session:
        draft = session.draft()
        parts = {
            "network": {name: item.as_record() for name, item in draft.networks.items() if not item.removing},
            "sandbox": {key: item.as_record() for key, item in draft.sandboxes.items() if not item.removing},
        }
    now = {"schema": SCHEMA, **parts}
    changed = not os.path.lexists(path) or files.read_json(path) != now
    if changed and not settings.check:
        files.write_json_line(path, now)
    return Outcome(changed, [])


def restore_snapshot(path: str, settings: Settings) -> Outcome:
    """Make the host have what the file says, and nothing else of ours. Raises NotFound without the file, PodnetError."""
    kept = files.read_json(path)
    if kept is None:
        raise NotFound(f"path: there is no {path} to go back to")
    networks: dict[str, Network] = from_parts(path, kept, "network", Network.from_record)
    sandboxes: dict[str, Sandbox] = from_parts(path, kept, "sandbox", Sandbox.from_record)
    with host_session(settings) as session:
        settled = {name: replace(item, settling=False) for name, item in networks.items()}
        plan = session.run(lambda draft: plan_return(draft, settled, sandboxes))
        return session.outcome(plan, [])


def remove_snapshot(path: str, settings: Settings) -> Outcome:
    """Forget it."""
    there = os.path.lexists(path)
    if there and not settings.check:
        files.remove(path)
    return Outcome(there, [])
