# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What carries our mark and belongs to no record."""

from __future__ import annotations

from .._spec.pool import pool_of_key
from . import leases
from .draft import Change, Draft
from .operations import DeleteLink, DeleteVeth, ForgetPool, Phase, Relist, RemoveOrphan


def plan_debris(draft: Draft) -> None:
    """Remove orphaned links, namespaces and directories, and free leases whose owner is gone."""
    debris = draft.observed.debris
    for name in debris.links:
        link = draft.observed.links.get(name)
        draft.add(Phase.DESTROY, DeleteVeth(name) if link is not None and link.kind == "veth" else DeleteLink(name))
    for key, owner, listed in debris.lists:
        draft.add(Phase.LEASE, Relist(key, owner, listed))
    for path in (*debris.namespaces, *debris.directories):
        draft.add(Phase.DESTROY, RemoveOrphan(path))
    freed = []
    for key in draft.observed.shelves:
        for held, owner in draft.book(key).everything().items():
            if leases.is_stale(draft, key, held, owner):
                leases.release(draft, key, held, owner)
                freed.append(f"lease {held} of {key}")
    lost = [key for key in draft.observed.shelves if pool_of_key(key) is None and key not in draft.observed.networks]
    for key in lost:
        draft.add(Phase.FORGET, ForgetPool(key))
    kinds = {
        "link": debris.links,
        "namespace": debris.namespaces,
        "directory": debris.directories,
        "list of": [f"{owner} in {key}" for key, owner, _held in debris.lists],
        "books of": tuple(lost),
    }
    removed = [*(f"{kind} {name}" for kind, names in kinds.items() for name in names), *freed]
    if removed:
        draft.changes.append(Change("debris", "of podnet.linux", {"pruned": removed}, {"pruned": []}))
