# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections that changed policies do not allow any more: the kernel is made to forget them.

The rules drop what the sandbox goes on sending; this keeps the other side from going on.
"""

from __future__ import annotations

from collections.abc import Sequence

from .._spec.bound import METADATA, Bound
from .._spec.fields import IPAddress
from .._spec.policy import Policy
from .draft import Draft
from .observed import Connection
from .operations import Cut
from .resolver import resolvers

_PORTS_OF = {6: "tcp", 17: "udp", 132: "sctp"}
_ICMP = {4: 1, 6: 58}
_DNS = 53


def planned_cuts(draft: Draft) -> tuple[Cut, ...]:
    """For every sandbox whose policies, or whose networks' policies, are others now, or were when a run was killed."""
    cuts: list[Cut] = []
    left = draft.observed.unflushed.sandboxes
    for key in dict.fromkeys((*draft.concerned(), *left)):
        sandbox, known = draft.sandboxes.get(key), draft.observed.sandboxes.get(key)
        if sandbox is None or known is None or sandbox.removing:
            continue
        for item in sandbox.attachments:
            before, after = draft.observed.networks.get(item.network), draft.networks.get(item.network)
            now = (sandbox.policies, after.policies if after is not None else ())
            if key in left or now != (known.policies, before.policies if before is not None else ()):
                cutting = tuple(policies for policies in now if policies and _cuts(Bound(policies)))
                servers = tuple(resolvers(sandbox, draft.networks, draft.observed.resolvers))
                cuts += [Cut(key, item.senders(), cutting, servers)] if cutting else []
    return tuple(cuts)


def permits(policies: Sequence[Policy], servers: Sequence[IPAddress], connection: Connection) -> bool:
    """Whether the policies of one target, taken together, allow it; the same as the rules say."""
    bound = Bound(tuple(policies))
    version = connection.target.version
    if not bound.allows_metadata and str(connection.target) in METADATA[version]:
        return False
    protocol = _PORTS_OF.get(connection.protocol, "")
    asks = connection.port == _DNS and protocol in ("tcp", "udp") and connection.target in servers
    if asks and any(policy.allow_dns for policy in bound.counting):
        return True
    for allowance in (allowance for policy in bound.counting for allowance in policy.allowances):
        spans = dict(allowance.ports).get(protocol, ())
        ports = (span.partition("-") for span in spans)
        fits = any(int(first) <= connection.port <= int(last or first) for first, _dash, last in ports)
        fits = fits or allowance.any_protocol or (allowance.icmp and connection.protocol == _ICMP[version])
        if fits and allowance.covers(connection.target):
            return True
    return False


def _cuts(bound: Bound) -> bool:
    return bound.enforced and not bound.keeps_established
