#!/usr/bin/python
# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: snapshot
short_description: Keep what a host has before a change, and go back to it
version_added: 1.0.0
description:
  - Writes down every network, sandbox and egress policy of a host, whole, and brings the host back to exactly that. What was made
    since goes, its processes are ended; what was removed comes back with its id, addresses, MACs and policies; what was changed is
    changed back, options included that tasks leave out.
  - Free-standing pools and their leases are left as they are. Processes that were ended, and namespaces that were made anew, do not
    come back.
  - The role P(podnet.linux.rollout#role) uses it.
author:
  - podnet.linux authors (@podnet)
extends_documentation_fragment:
  - podnet.linux.attributes
  - podnet.linux.run
options:
  path:
    description: Where it is kept, a file that root alone should be able to write.
    type: path
    default: /var/lib/podnet/snapshot.json
  state:
    description:
      - V(taken) writes it, over an older one.
      - V(restored) goes back to it, and keeps it.
      - V(absent) removes the file.
    type: str
    choices: [taken, restored, absent]
    default: taken
seealso:
  - module: podnet.linux.pod_sandbox
  - module: podnet.linux.bridge_network
"""

EXAMPLES = r"""
- name: What there is, ahead of a change
  podnet.linux.snapshot:

- name: Back to it, in the rescue of the block that makes the change
  podnet.linux.snapshot:
    state: restored

- name: It went well
  podnet.linux.snapshot:
    state: absent
"""

RETURN = r"""
path:
  description: Where it is kept.
  returned: success
  type: str
  sample: /var/lib/podnet/snapshot.json
"""

from typing import Any

from ansible_collections.podnet.linux.plugins.module_utils._module import LOCK_ARGUMENTS, PodnetModule, run, settings_of

OPTIONS: dict[str, Any] = {
    "path": {"type": "path", "default": "/var/lib/podnet/snapshot.json"},
    "state": {"type": "str", "choices": ["taken", "restored", "absent"], "default": "taken"},
}


def main() -> None:
    module = PodnetModule(argument_spec={**OPTIONS, **LOCK_ARGUMENTS}, supports_check_mode=True)
    run(module, _keep)


def _keep(module: PodnetModule) -> dict[str, Any]:
    from ansible_collections.podnet.linux.plugins.module_utils import _snapshot

    change = {"taken": _snapshot.take_snapshot, "restored": _snapshot.restore_snapshot, "absent": _snapshot.remove_snapshot}
    path = module.params["path"]
    outcome = change[module.params["state"]](path, settings_of(module, check=module.check_mode))
    return {"changed": outcome.changed, "warnings": outcome.warnings, "diff": outcome.diffs, "path": path}


if __name__ == "__main__":
    main()
