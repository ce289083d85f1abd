# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cache of decoded kernel messages, by a digest of their bytes, kept between runs.

Decoding is slow, and most sandboxes do not change between two runs. Each run still dumps everything from the kernel, and decodes
only messages that no run has decoded before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .._store import files, paths
from .messages import body

_FORMAT = "podnet.linux messages 1"
"""Increase the number with each change of the decoded values."""

_FEW = 100
"""Decoding so many messages takes less time than reading the file."""

_UNUSED = 2048
"""Entries to keep that the last run did not use."""


class Memo:
    """The file is read once a run has decoded many messages, and written only by runs that are not in check mode."""

    def __init__(self) -> None:
        self._met: dict[str, Any] = {}
        self._kept: dict[str, Any] | None = None

    def decoded(self, kind: Any, message: bytes, decode: Callable[[bytes], Any]) -> Any:
        """Return ``decode(message)``, which must be a JSON value and depend on the message only."""
        key = f"{kind} {hashlib.blake2b(body(message), digest_size=16).hexdigest()}"
        if key not in self._met:
            if self._kept is None and len(self._met) >= _FEW:
                self._kept = _load()
            kept = self._kept or {}
            self._met[key] = kept[key] if key in kept else decode(message)
        return self._met[key]

    def save(self) -> None:
        """Write the file if it lacks an entry of this run. Raise OSError."""
        if self._kept is not None and self._met.keys() - self._kept.keys():
            unused = [(key, value) for key, value in self._kept.items() if key not in self._met]
            self._kept = {**dict(unused[-_UNUSED:]), **self._met}
            text = json.dumps(self._kept)
            files.write(paths.messages(), f"{_FORMAT} {_checksum(text)}\n{text}")


def _load() -> dict[str, Any]:
    """Return the entries of the file; none if the file is missing, of another format or corrupt."""
    with suppress(OSError):
        head, _end, text = (files.read(paths.messages()) or "").partition("\n")
        if head == f"{_FORMAT} {_checksum(text)}":
            return dict(json.loads(text))
    return {}


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
