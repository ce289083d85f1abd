# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What carries our mark and belongs to no record."""

from __future__ import annotations

from . import leases
from .draft import Change, Draft
from .operations import DeleteLink, DeleteVeth, Phase, RemoveOrphan


def plan_debris(draft: Draft) -> None:
    """Remove orphaned links, namespaces and directories, and free leases whose owner is gone."""
    debris = draft.observed.debris
    for name in debris.links:
        link = draft.observed.links.get(name)
        draft.add(Phase.DESTROY, DeleteVeth(name) if link is not None and link.kind == "veth" else DeleteLink(name))
    for path in (*debris.namespaces, *debris.directories):
        draft.add(Phase.DESTROY, RemoveOrphan(path))
    freed = []
    for network, held in list(draft.leases.items()):
        for address, owner in list(held.items()):
            sandbox = draft.sandboxes.get(owner)
            if sandbox is not None and any(i.network == network and address in i.addresses for i in sandbox.attachments):
                continue
            leases.release(draft, network, address, owner)
            freed.append(f"lease {address} of {network}")
    orphans = (
        [f"link {n}" for n in debris.links] + [f"namespace {p}" for p in debris.namespaces] + [f"directory {p}" for p in debris.directories]
    )
    removed = [*orphans, *freed]
    if removed:
        draft.changes.append(Change("debris", "of podnet.linux", {"pruned": removed}, {"pruned": []}))
