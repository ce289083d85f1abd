# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe what runs for leases alone need."""

from __future__ import annotations

from .._plan.observed import Lazy, Observed
from .._plan.registry import Known
from .._store import leases, records
from . import interfaces
from .machine import Machine


def observe_books(machine: Machine, *, host: bool) -> Observed:
    """Return pools, leases and addresses of the host; ``host``: networks and sandboxes too, which only root can read."""
    return Observed(
        networks=machine.records.networks() if host else {},
        sandboxes=machine.records.sandboxes() if host else Known(),
        pools=Lazy(records.load_pool),
        shelves=leases.load(),
        host_addresses=interfaces.addresses(),
    )
