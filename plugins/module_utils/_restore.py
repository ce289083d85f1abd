# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that is recorded, brought back as it is recorded: at boot, and to repair drift; nobody has to ask for anything.

All of it is one run, as long as that goes well. When it does not, each network and each sandbox is a run of its own, behind
one for the rules, so that one that is broken stops nobody else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Optional

from ._errors import KernelError, NotFound, PodnetError
from ._host.machine import Machine, require_privileges
from ._host.observe import observe
from ._plan.planner import plan_restore
from ._plan.publishing import contradictions
from ._session import Result, Session, Settings, locked_machine
from ._spec.sandbox import Sandbox
from ._store import paths

Refusal = Optional[PodnetError]


@dataclass
class Restored:
    """What a run brought back, object by object, and what it could not, with the reason.

    ``rules_hold``: the rules are in force. Whose rules are not known, since the record is broken, is shut.
    """

    diffs: list[Result] = field(default_factory=list)
    failures: list[tuple[str, PodnetError]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    rules_hold: bool = False


def run_restore(settings: Settings, *, rules_only: bool = False) -> Restored:
    """Networks, sandboxes and rules as recorded; removals that were begun are finished, and what nobody owns is pruned.

    ``rules_only``: what somebody flushed, and nothing else. Raises NotPermitted, LockTimeout, KernelUnsupported and
    MissingDependency, where nothing at all can be done.
    """
    require_privileges()
    with locked_machine(settings, paths.LOCK) as machine:
        restore = _Restore(machine, settings)
        if rules_only:
            restore.note("the rules", restore.attempt(rules_only=True))
        else:
            restore.everything()
        return restore.done


class _Restore:
    """One machine, and as many runs as it takes."""

    def __init__(self, machine: Machine, settings: Settings) -> None:
        self.done = Restored()
        self._machine = machine
        self._settings = settings
        self._shut = self._set_aside()

    def everything(self) -> None:
        networks, sandboxes = self._machine.records.networks(), self._machine.records.sandboxes()
        if self.attempt(networks, sandboxes, debris=True) is not None:
            self._one_by_one(list(networks), list(sandboxes.values()))

    def attempt(
        self, networks: Iterable[str] = (), sandboxes: Iterable[str] = (), *, debris: bool = False, rules_only: bool = False
    ) -> Refusal:
        """One run; why it came to nothing, if it did."""
        try:
            session = Session(self._machine, self._settings, lambda machine: observe(machine, debris=debris))
            plan = session.run(lambda draft: plan_restore(draft, networks, sandboxes, self._shut, rules_only=rules_only))
        except PodnetError as error:
            return error
        except OSError as error:
            return KernelError(f"{error.filename or 'the kernel'}: {error.strerror or error}")
        self.done.rules_hold = True
        self.done.diffs += [change.as_diff() for change in plan.changes]
        self.done.warnings += [text for text in plan.warnings if text not in self.done.warnings]
        return None

    def note(self, what: str, refusal: Refusal) -> None:
        if refusal is not None:
            self.done.failures.append((what, refusal))

    def _set_aside(self) -> list[str]:
        """The records that cannot be gone by."""
        records = self._machine.records
        unreadable = records.unreadable()
        for (kind, key), error in unreadable.items():
            records.set_aside(kind, key)
            self.note(f"{kind} {key}", error)
        contradicting = {sandbox.id: (sandbox.name, error) for sandbox, error in contradictions(records.sandboxes().values())}
        for key, (name, error) in contradicting.items():
            records.set_aside("sandbox", key)
            self.note(f"sandbox {name} ({key})", error)
        return [key for _kind, key in unreadable] + list(contradicting)

    def _one_by_one(self, networks: Iterable[str], sandboxes: Iterable[Sandbox]) -> None:
        refusal = self.attempt()
        if refusal is not None:
            # Without its rules nothing comes up.
            self.note("the rules", refusal)
            return
        missing = set()
        for name in networks:
            refusal = self.attempt([name])
            if refusal is not None:
                missing.add(name)
                self.note(f"network {name}", refusal)
        for sandbox in sandboxes:
            lacks = sorted(missing & {item.network for item in sandbox.attachments})
            refusal = NotFound(f"network: {lacks[0]} could not be brought back") if lacks else self.attempt((), [sandbox.id])
            self.note(f"sandbox {sandbox.name} ({sandbox.id})", refusal)
