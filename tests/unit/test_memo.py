# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What messages mean, kept from run to run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.podnet.linux.plugins.module_utils._host import memo
from ansible_collections.podnet.linux.plugins.module_utils._host.memo import Memo
from ansible_collections.podnet.linux.plugins.module_utils._store import paths

HEADER = bytes(16)


class Run:
    """One run that reads messages; ``apart``: the messages that it decoded."""

    def __init__(self) -> None:
        self.memo = Memo()
        self.apart: list[bytes] = []

    def look(self, numbers: range, kind: str = "link", header: bytes = HEADER) -> None:
        for number in numbers:
            message = header + number.to_bytes(4, "big")
            assert self.memo.decoded(kind, message, self._take_apart) == [kind, number]

    def _take_apart(self, message: bytes) -> list[object]:
        self.apart.append(message)
        return ["link", int.from_bytes(message[16:], "big")]


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "messages"
    monkeypatch.setattr(paths, "messages", lambda: str(path))
    monkeypatch.setattr(paths, "roots", lambda: (str(tmp_path),))
    return path


def many(start: int = 0) -> range:
    return range(start, start + 2 * memo._FEW)


def test_the_next_run_takes_apart_what_is_new(kept: Path) -> None:
    first, second = Run(), Run()
    first.look(many())
    first.look(many())
    assert len(first.apart) == len(many())
    first.memo.save()
    # Sequence number and port differ. A few messages are decoded before the file is read.
    second.look(many(10), header=b"\1" * 16)
    assert len(second.apart) == memo._FEW + 10


def test_few_messages_touch_no_file(kept: Path) -> None:
    run = Run()
    run.look(range(memo._FEW))
    run.memo.save()
    assert not kept.exists()


def test_nothing_new_is_not_written_again(kept: Path) -> None:
    first, second = Run(), Run()
    first.look(many())
    first.memo.save()
    before = kept.stat().st_mtime_ns, kept.stat().st_ino
    second.look(many())
    second.memo.save()
    assert (kept.stat().st_mtime_ns, kept.stat().st_ino) == before


@pytest.mark.parametrize(
    "text",
    (
        "",
        "[]",
        "{",
        "\0\0\0",
        f"{memo._FORMAT} 0\n{{}}",
        *(f"{memo._FORMAT[:-1]}{text}" for text in ("0 x\n{}", f"1 {memo._checksum('{}')}\n[]")),
    ),
)
def test_a_corrupt_file_is_replaced(kept: Path, text: str) -> None:
    kept.write_text(text)
    run, after = Run(), Run()
    run.look(many())
    assert len(run.apart) == len(many())
    run.memo.save()
    after.look(many())
    assert len(after.apart) == memo._FEW


def test_kinds_are_apart(kept: Path) -> None:
    run = Run()
    run.look(range(3))
    assert run.memo.decoded("route", HEADER + bytes(4), lambda _message: "other") == "other"


def test_what_was_not_met_for_long_goes(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memo, "_UNUSED", 100)
    for start in range(0, 10_000, 1000):
        run = Run()
        run.look(many(start))
        run.memo.save()
    assert len(json.loads(kept.read_text().partition("\n")[2])) == len(many()) + 100
    # The checksum tells altered content that is valid JSON.
    kept.write_text(kept.read_text().replace("9", "8"))
    again = Run()
    again.look(many(9000))
    assert len(again.apart) == len(many())
