# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The quality gate itself: scripts/test.py."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

GATE = Path(__file__).resolve().parents[2] / "scripts" / "test.py"


def processes_of(session: int) -> list[str]:
    return subprocess.run(["pgrep", "--session", str(session)], capture_output=True, text=True, check=False).stdout.split()


@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM))
def test_an_interrupt_ends_all_parts(number: signal.Signals) -> None:
    """Ctrl-C reaches the gate only: its parts run in sessions of their own."""
    with subprocess.Popen([sys.executable, GATE, "lint", "docs"], stdout=subprocess.PIPE, text=True) as gate:
        assert gate.stdout is not None
        assert {gate.stdout.readline(), gate.stdout.readline()} == {"-- lint: started\n", "-- docs: started\n"}
        sessions = [int(pid) for pid in Path(f"/proc/{gate.pid}/task/{gate.pid}/children").read_text().split()]
        deadline = time.monotonic() + 30
        # Each part has started what it runs by then.
        while min(len(processes_of(session)) for session in sessions) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        gate.send_signal(number)
        assert gate.wait(60) == 128 + signal.SIGINT
    assert len(sessions) == 2 and not any(processes_of(session) for session in sessions)


def test_an_unknown_part_is_refused() -> None:
    done = subprocess.run([sys.executable, GATE, "unit", "units"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "No such part: units" in done.stderr
