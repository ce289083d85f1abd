# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine as this run sees it: its boot, its sockets, and the state files that say which objects are ours."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .._errors import NotPermitted
from .._store import files, paths
from .._store.records import Records
from . import namespaces

if TYPE_CHECKING:
    from .links import Links
    from .memo import Memo
    from .rules import Tables

_CAP_NET_ADMIN = 12
_CAP_SYS_ADMIN = 21
_OPEN_AT_MOST = 32


class Machine:
    """Holds sockets open and what was read across operations; close() it.

    Modules that use netlink are imported on first use: runs for leases do not need pyroute2.
    """

    def __init__(self) -> None:
        self.boot_id = (files.read("/proc/sys/kernel/random/boot_id") or "").strip()
        self.records = Records()
        self._inside: OrderedDict[str, Links] = OrderedDict()
        self._states: dict[str, dict[str, Any] | None] = {}
        self._pins_are_shared = False

    @cached_property
    def host(self) -> Links:
        return self.links_here(inside=False)

    @cached_property
    def memo(self) -> Memo:
        from .memo import Memo

        return Memo()

    @cached_property
    def tables(self) -> Tables:
        from .rules import Tables

        return Tables(self.boot_id)

    def links_here(self, *, inside: bool = True) -> Links:
        """Open a socket in the network namespace of this process, which is that of a sandbox; the caller closes it."""
        from .links import Links

        return Links(self.memo, inside=inside)

    def close(self) -> None:
        if "host" in vars(self):
            self.host.close()
        for socket in self._inside.values():
            socket.close()

    def remember(self) -> None:
        """Write the caches for the next run. Raise OSError."""
        if "tables" in vars(self):
            self.tables.remember(self.records.signature)
        self.records.save_index()
        if "memo" in vars(self):
            self.memo.save()

    def links_of(self, where: str | None, path: str | None = None) -> Links:
        """The socket of the host (None), or of a sandbox's net namespace, at its pin unless another path is given."""
        if where is None:
            return self.host
        if where not in self._inside:
            with namespaces.entered({"net": path or net_pin(where)}):
                self._inside[where] = self.links_here()
            if len(self._inside) > _OPEN_AT_MOST:
                self._inside.popitem(last=False)[1].close()
        self._inside.move_to_end(where)
        return self._inside[where]

    def warm_memo(self, where: str) -> None:
        """Decode links and routes of a sandbox into the memo; do nothing if the sandbox is gone."""
        with suppress(OSError):
            inside = self.links_of(where)
            inside.default_routes(inside.all(ports=False).values())

    def leave(self, where: str) -> None:
        """Close the socket of a namespace that is about to go: it would keep it alive."""
        socket = self._inside.pop(where, None)
        if socket is not None:
            socket.close()

    def pin(self, where: str, sources: Mapping[str, str]) -> None:
        """Bind namespaces, by kind, to our names for them; see namespaces.pin()."""
        if "net" in sources and not self._pins_are_shared:
            namespaces.share_pins()
            self._pins_are_shared = True
        namespaces.pin({pin(where, kind): source for kind, source in sources.items()})

    def state(self, sandbox_id: str) -> dict[str, Any] | None:
        """state.json; what it says of namespaces and processes holds for one boot only. Raises StateCorrupt."""
        if sandbox_id not in self._states:
            state = files.read_json(state_path(sandbox_id))
            if state is not None and state.get("boot_id") != self.boot_id:
                state = {**state, "namespaces": {}, "pause": None, "pause_pid": None}
            self._states[sandbox_id] = state
        return self._states[sandbox_id]

    def forget_state(self, sandbox_id: str) -> None:
        """Read it anew when it is next asked for: its file is gone, or is to go."""
        self._states.pop(sandbox_id, None)

    def update_state(self, sandbox_id: str, changes: Mapping[str, Any]) -> None:
        known = self.state(sandbox_id) or {"schema": 1, "id": sandbox_id, "namespaces": {}, "pause": None, "pause_pid": None}
        now = {**known, **changes, "boot_id": self.boot_id}
        self.forget_state(sandbox_id)
        files.write_json_line(state_path(sandbox_id), now)
        self._states[sandbox_id] = now


def net_pin(sandbox_id: str) -> str:
    return f"{paths.NETNS}/psb-{sandbox_id[:8]}"


def pin(sandbox_id: str, kind: str) -> str:
    return net_pin(sandbox_id) if kind == "net" else f"{paths.sandbox_directory(sandbox_id)}/{kind}"


def state_path(sandbox_id: str) -> str:
    return f"{paths.sandbox_directory(sandbox_id)}/state.json"


def require_privileges() -> None:
    """Raises NotPermitted without CAP_NET_ADMIN and CAP_SYS_ADMIN (capabilities(7))."""
    text = files.read("/proc/self/status") or ""
    line = next((line for line in text.splitlines() if line.startswith("CapEff:")), "CapEff: 0")
    effective = int(line.split()[1], 16)
    missing = [name for name, bit in (("CAP_NET_ADMIN", _CAP_NET_ADMIN), ("CAP_SYS_ADMIN", _CAP_SYS_ADMIN)) if not effective >> bit & 1]
    if missing:
        raise NotPermitted(f"user {os.geteuid()} has no {' and no '.join(missing)}: run the task as root, for example with become: true")
