# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What takes long one by one, and little longer for many at once."""

from __future__ import annotations

from collections.abc import Iterable

from .operations import DeleteVeth, DeleteVeths, Operation, Phase, StartPause, StartPauses

Step = tuple[Phase, Operation]


def together(steps: Iterable[Step]) -> list[Step]:
    """The steps, in order of their phases, with such operations as one: pairs that go for good ahead of what else goes,
    pauses behind what else is made."""
    out: list[Step] = []
    deleted: dict[Phase, list[str]] = {}
    started: dict[Phase, list[StartPause]] = {}
    for phase, operation in steps:
        if isinstance(operation, StartPause):
            started.setdefault(phase, []).append(operation)
        elif isinstance(operation, DeleteVeth) and phase is Phase.DESTROY:
            deleted.setdefault(phase, []).append(operation.peer)
        else:
            out.append((phase, operation))
    out += [(phase, StartPauses(tuple(pauses))) for phase, pauses in started.items()]
    ahead: list[Step] = [(phase, DeleteVeths(tuple(peers))) for phase, peers in deleted.items()]
    return sorted([*ahead, *out], key=lambda step: step[0])
