# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be asked of the engine about leases alone: runs that touch no interface and no rule, also by ordinary users."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from ._plan.allocations import allocation_result, change_name, describe_allocations, describe_pool, plan_allocations
from ._session import Outcome, Result, Settings, books
from ._spec.allocation import AllocationRequest


def run_allocations(requests: Sequence[AllocationRequest], settings: Settings) -> Outcome:
    """Lease and release as requested; one result per request, in order. Raises PodnetError."""
    with books(settings, host=any(request.network is not None for request in requests), change=True) as session:
        plan = session.run(lambda draft: plan_allocations(draft, requests, exclusive=settings.exclusive))
        changes = plan.changes_of("allocation")
        draft = session.outlook(plan)
        results = []
        for request in requests:
            changed = change_name(request) in changes
            result = changes[change_name(request)].after if changed else {}
            results.append({**(result or allocation_result(draft, request)), "state": request.state, "changed": changed})
        return session.outcome(plan, results)


def describe_leases(settings: Settings, wanted: Callable[[str], bool], *, host: bool = False) -> tuple[list[Result], list[Result]]:
    """Who holds what, sorted by owner, and how full the pools are, sorted by name: those whose key is ``wanted``.

    An ordinary user sees the pools of their own, root the host's and the networks'; ``host``: these are asked for. Raises
    PodnetError.
    """
    with books(settings, host=host or os.geteuid() == 0) as session:
        draft = session.draft()
        keys = [key for key in {*draft.observed.shelves, *draft.networks} if wanted(key)]
        pools = [pool for pool in (draft.pool(key) for key in keys) if pool is not None]
        held = [item for key in sorted(keys) for item in describe_allocations(draft, key)]
        return (
            sorted(held, key=lambda item: str(item["owner"])),
            [describe_pool(draft, pool) for pool in sorted(pools, key=lambda pool: (pool.name, pool.kind))],
        )
