# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who makes which claim, in one file beside the records: saves reading hundreds of them to find one.

It holds for records of one signature and is made anew from them where that has changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

from . import files, paths

_FORMAT = 3
"""More with each claim that sandboxes did not make before: an index of an older release knows nothing of it."""


class Index:
    """``text``: sorted lines of a claim, a null byte and the key of who makes it."""

    def __init__(self, text: str = "\n") -> None:
        self._text = text

    @property
    def text(self) -> str:
        """Starts and ends with the end of a line."""
        return self._text

    def holders(self, claim: str) -> list[str]:
        start = f"{claim}\0"
        at = self._first(start)
        found = []
        while self._text.startswith(start, at):
            end = self._text.index("\n", at)
            found.append(self._text[at + len(start) : end])
            at = end + 1
        return found

    def amended(self, keys: Iterable[str], claims: Callable[[str], Iterable[str]], gone: Iterable[str]) -> Index:
        """With what these keys claim now; ``gone``: those of which nothing is to be kept."""
        left_out = set(gone)
        lines = [line for line in self._text.split("\n") if line and line.rpartition("\0")[2] not in left_out]
        lines += [f"{claim}\0{key}" for key in keys for claim in claims(key)]
        return Index("\n".join(["", *sorted(lines), ""]))

    def _first(self, start: str) -> int:
        """Where the first line begins that does not come before this."""
        low, high = 1, len(self._text)
        while low < high:
            middle = self._text.rindex("\n", 0, (low + high) // 2 + 1) + 1
            end = self._text.index("\n", middle) + 1
            if self._text[middle:end] < start:
                low = end
            else:
                high = middle
        return low


def load(signature: int) -> Index | None:
    """None where there is none for records of this signature."""
    head, _end, text = (files.read(paths.index()) or "").partition("\n")
    return Index(f"\n{text}") if head == _head(signature, f"\n{text}") and text.endswith("\n") else None


def save(signature: int, index: Index) -> None:
    if index.text.strip("\n"):
        files.write(paths.index(), _head(signature, index.text) + index.text)
    else:
        files.remove(paths.index())


def _head(signature: int, text: str) -> str:
    return f"podnet.linux {_FORMAT} {signature} {hashlib.sha256(text.encode(errors='surrogateescape')).hexdigest()}"
