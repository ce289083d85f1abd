# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The quality gate itself, scripts/test.py, with parts that do nothing but wait, fail, or leave something behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

GATE = Path(__file__).resolve().parents[2] / "scripts" / "test.py"
PARTS = """
def waits():
    print("it waits", flush=True)
    try:
        subprocess.run(["timeout", "99", "sleep", "98"])
    finally:
        time.sleep(1)
        print("it cleans up", flush=True)


def fails():
    print("x" * 70000)
    raise Failed("it fails")


def leaves():
    subprocess.Popen(["sleep", "97"])


PARTS = {name: ("", globals()[name]) for name in ("waits", "fails", "leaves")}
PARTS["waits2"] = ("", waits)
for name in ("one", "two", "three", "four"):
    PARTS[name] = ("", lambda: time.sleep(0.3))
ALONE = ("three",)
"""


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A copy of the gate with these parts."""
    path = tmp_path / "scripts" / "test.py"
    path.parent.mkdir()
    before, start, after = GATE.read_text().partition('if __name__ == "__main__":')
    path.write_text(before + PARTS + start + after)
    return path


def alive(path: Path) -> list[str]:
    """Processes of this gate and of its parts' sessions, by their command lines."""
    listed = subprocess.run(["ps", "-e", "-o", "sid=,pid=,args="], capture_output=True, text=True, check=True).stdout.splitlines()
    sessions = {line.split()[0] for line in listed if f"{path} --inside" in line} | SEEN
    SEEN.update(sessions)
    return [line for line in listed if line.split()[0] in sessions or str(path) in line]


SEEN: set[str] = set()


@pytest.mark.parametrize("delay", (0.0, 0.1, 0.25, 1.0))
@pytest.mark.parametrize("numbers", ((signal.SIGINT,), (signal.SIGTERM, signal.SIGINT), (signal.SIGHUP, signal.SIGTERM)))
def test_signals_end_all_parts(gate: Path, numbers: tuple[signal.Signals, ...], delay: float) -> None:
    """At any moment, and again while the parts clean up, which they may."""
    SEEN.clear()
    with subprocess.Popen([sys.executable, gate, "waits", "waits2"], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        first = running.stdout.readline()
        time.sleep(delay)
        alive(gate)
        for number in numbers:
            running.send_signal(number)
            time.sleep(0.3)
        output = first + running.stdout.read()
        assert running.wait(30) == 128 + signal.SIGINT
    assert alive(gate) == []
    if delay == 1.0:
        assert output.count("it waits") == output.count("it cleans up") == 2


def test_a_single_part_is_ended_with_what_it_started(gate: Path) -> None:
    SEEN.clear()
    with subprocess.Popen([sys.executable, gate, "waits"], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        while running.stdout.readline() != "it waits\n":
            pass
        alive(gate)
        running.terminate()
        assert "it cleans up" in running.stdout.read() and running.wait(30) == 128 + signal.SIGINT
    assert alive(gate) == []


def test_output_is_whole_and_failures_count(gate: Path) -> None:
    SEEN.clear()
    done = subprocess.run([sys.executable, gate, "fails", "leaves", "fails"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "\n" + "x" * 70000 + "\n" in done.stdout and done.stdout.count("it fails") == 1
    assert (
        "leaves: processes that it left behind are killed" in done.stdout
        and "sleep 97" in done.stdout
        and "1 passed, 1 failed" in done.stdout
    )
    assert alive(gate) == []


def test_an_unknown_part_is_refused(gate: Path) -> None:
    done = subprocess.run([sys.executable, gate, "fails", "units"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "No such part: units" in done.stderr


def test_a_part_that_runs_alone(gate: Path) -> None:
    """It starts when the parts before it have ended, and those behind it start when it has."""
    ran = subprocess.run([sys.executable, gate, "one", "two", "three", "four"], capture_output=True, text=True, check=True).stdout
    events = [line.split()[1:3] for line in ran.splitlines() if line.startswith("-- ")]
    started = [name for name, event in events if event == "started"]
    assert started == ["one:", "two:", "three:", "four:"]
    assert events.index(["two:", "started"]) < events.index(["one:", "passed"])
    alone = events.index(["three:", "started"])
    assert [event for _name, event in events[:alone]] == ["started", "started", "passed", "passed"]
    assert events[alone + 1] == ["three:", "passed"]
