# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every task's result as one JSON line: what the integration tests read."""

from __future__ import annotations

import json

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: results
type: stdout
short_description: Task results as JSON lines
description: Prints the raw result of every task as one line of JSON.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "results"

    def _print(self, result, status):
        self._display.display(json.dumps({"task": result._task.get_name(), "status": status, "result": result._result}, default=str))

    def v2_runner_on_ok(self, result):
        self._print(result, "ok")

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._print(result, "failed")

    def v2_runner_on_unreachable(self, result):
        self._print(result, "unreachable")

    def v2_runner_on_skipped(self, result):
        self._print(result, "skipped")
