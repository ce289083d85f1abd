# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.podnet.linux.plugins.module_utils._errors import KernelError
from ansible_collections.podnet.linux.plugins.module_utils._host import programs


def test_a_program_that_hangs_does_not_hold_the_lock_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_PATIENCE", 0.1)
    with pytest.raises(KernelError, match=r"sleep 60 has not ended within 0\.1 seconds"):
        programs.run(["/bin/sleep", "60"])


def test_a_program_gets_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    assert "SECRET" not in programs.run(["/usr/bin/env"]).stdout
