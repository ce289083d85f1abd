# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What messages of the kernel mean, kept from run to run by their bytes.

Of a thousand sandboxes all but a few say the same as in the last run. The kernel is asked each time; only what it has not said
before is taken apart, which is what takes time.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from typing import Any

from .._errors import StateCorrupt
from .._store import files, paths
from .messages import body

_FORMAT = 1
"""More with each change of what is kept of a message."""

_FEW = 100
"""So many messages are taken apart in less time than the file is read."""

_UNUSED = 2048
"""Meanings that are kept though the last run did not meet them."""


class Memo:
    """The file is read when a run turns out to be a large one, and written by those alone that change something."""

    def __init__(self) -> None:
        self._met: dict[str, Any] = {}
        self._kept: dict[str, Any] | None = None

    def meaning(self, kind: Any, message: bytes, taken_apart: Callable[[bytes], Any]) -> Any:
        """``taken_apart(message)``, which has to be what JSON can hold and must depend on nothing but the message."""
        key = f"{kind} {blake2b(body(message), digest_size=16).hexdigest()}"
        if key not in self._met:
            if self._kept is None and len(self._met) >= _FEW:
                self._kept = _load()
            kept = self._kept or {}
            self._met[key] = kept[key] if key in kept else taken_apart(message)
        return self._met[key]

    def save(self) -> None:
        """Raises OSError."""
        if self._kept is not None and not self._met.keys() <= self._kept.keys():
            unused = [(key, value) for key, value in self._kept.items() if key not in self._met]
            self._kept = {**dict(unused[-_UNUSED:]), **self._met}
            files.write_json_line(paths.messages(), {"format": _FORMAT, "met": self._kept})


def _load() -> dict[str, Any]:
    """What is no such file is made anew."""
    with suppress(StateCorrupt):
        kept = files.read_json(paths.messages()) or {}
        if kept.get("format") == _FORMAT:
            return dict(kept["met"])
    return {}
