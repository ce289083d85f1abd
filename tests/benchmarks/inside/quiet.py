# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing is to be timed while the host still works on what came before."""

from __future__ import annotations

import sys
import time

FEW = 20
"""Pods that systemd is through with at once."""

_PATIENCE = 15.0


def rest(pods: int = FEW + 1) -> float:
    """Behind so many pods, until PID 1 has nothing to do any more: systemd goes on about many for seconds. No seconds at all."""
    if pods <= FEW:
        return 0.0
    deadline, quiet, last = time.monotonic() + _PATIENCE, 0, -1
    while quiet < 5:
        if time.monotonic() > deadline:
            print(f"systemd is still busy after {_PATIENCE:.0f} seconds: what comes next is timed beside it", file=sys.stderr)
            break
        with open("/proc/1/stat", encoding="utf-8") as file:
            words = file.read().rpartition(")")[2].split()
        spent = int(words[11]) + int(words[12])
        quiet = quiet + 1 if spent == last else 0
        last = spent
        time.sleep(0.2)
    return 0.0
