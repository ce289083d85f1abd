#!/usr/bin/python
# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: prune
short_description: Remove what podnet.linux made and no record knows
version_added: 1.0.0
description:
  - Removes links, namespaces and directories that carry our mark but belong to no record, frees leases whose owner is gone,
    and finishes removals that were begun. Nothing that is live is touched, and nothing that carries no mark of ours.
author:
  - podnet.linux authors (@podnet)
extends_documentation_fragment:
  - podnet.linux.attributes
  - podnet.linux.run
seealso:
  - module: podnet.linux.pod_sandbox
  - module: podnet.linux.bridge_network
"""

EXAMPLES = r"""
- name: Clean up
  podnet.linux.prune:
  register: cleaned

- name: Show what a clean-up would remove
  podnet.linux.prune:
  check_mode: true
"""

RETURN = r"""
pruned:
  description: What was removed, or in check mode would be, one phrase each.
  returned: success
  type: list
  elements: str
  sample: [link vh-01234567, lease 10.90.0.7 of pods0]
"""

from typing import Any

from ansible_collections.podnet.linux.plugins.module_utils._module import LOCK_ARGUMENTS, PodnetModule, run, settings_of


def main() -> None:
    module = PodnetModule(argument_spec=LOCK_ARGUMENTS, supports_check_mode=True)
    run(module, _prune)


def _prune(module: PodnetModule) -> dict[str, Any]:
    from ansible_collections.podnet.linux.plugins.module_utils._engine import run_prune

    outcome = run_prune(settings_of(module, check=module.check_mode))
    return {"changed": outcome.changed, "warnings": outcome.warnings, "diff": outcome.diffs, **outcome.results[0]}


if __name__ == "__main__":
    main()
