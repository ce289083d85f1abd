#!/usr/bin/python
# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_sandbox_info
short_description: List pod sandboxes and their drift
version_added: 1.0.0
description:
  - Lists the sandboxes declared with M(podnet.linux.pod_sandbox), sorted by name.
  - A sandbox that is not as declared has RV(sandboxes[].state=degraded), and RV(sandboxes[].problems) says what a run would
    repair.
author:
  - podnet.linux authors (@podnet)
extends_documentation_fragment:
  - podnet.linux.attributes.info
  - podnet.linux.run
options:
  name:
    description:
      - Only the sandbox of this name.
    type: str
  id:
    description:
      - Only the sandbox with this id.
    type: str
  network:
    description:
      - Only sandboxes on this network.
    type: str
  labels:
    description:
      - Only sandboxes that carry all of these labels.
    type: dict
seealso:
  - module: podnet.linux.pod_sandbox
"""

EXAMPLES = r"""
- name: All sandboxes
  podnet.linux.pod_sandbox_info:
  register: known

- name: Those of one team on one network
  podnet.linux.pod_sandbox_info:
    network: pods0
    labels:
      team: ci
"""

RETURN = r"""
sandboxes:
  description: The sandboxes, each as M(podnet.linux.pod_sandbox) returns it; empty where nothing matches.
  returned: success
  type: list
  elements: dict
  contains:
    state:
      description: V(running) or V(degraded).
      type: str
      sample: running
    problems:
      description: What is off, one phrase each.
      type: list
      elements: str
      sample: [pause process is not running]
"""

from typing import Any

from ansible_collections.podnet.linux.plugins.module_utils._module import LOCK_ARGUMENTS, PodnetModule, run, settings_of

FILTERS = {
    "name": {"type": "str"},
    "id": {"type": "str"},
    "network": {"type": "str"},
    "labels": {"type": "dict"},
}


def main() -> None:
    module = PodnetModule(argument_spec={**FILTERS, **LOCK_ARGUMENTS}, supports_check_mode=True)
    run(module, _list)


def _list(module: PodnetModule) -> dict[str, Any]:
    from ansible_collections.podnet.linux.plugins.module_utils._engine import describe_sandboxes

    wanted = module.params
    labels = {str(key): str(value) for key, value in (wanted["labels"] or {}).items()}

    def matches(sandbox: dict[str, Any]) -> bool:
        return (
            wanted["name"] in (None, sandbox["name"])
            and wanted["id"] in (None, sandbox["id"])
            and (wanted["network"] is None or wanted["network"] in [item["name"] for item in sandbox["networks"]])
            and labels.items() <= sandbox["labels"].items()
        )

    return {"changed": False, "sandboxes": describe_sandboxes(settings_of(module, check=True), matches)}


if __name__ == "__main__":
    main()
