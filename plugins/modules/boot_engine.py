#!/usr/bin/python
# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: boot_engine
short_description: Install the engine of podnet.linux as a program, for boots
version_added: 1.0.0
description:
  - Writes the engine, which the other modules bring along for one task each, to one file that Python runs without Ansible.
    C(podnet restore) brings back every network and every persistent sandbox as recorded in C(/var/lib/podnet), with the same
    names, addresses, MACs and policies, the rules ahead of every interface, and repairs drift. C(podnet restore --rules) loads
    the rules again, behind something that flushed them. The exit status is 1 where something could not be brought back (of
    C(--rules), where the rules do not hold); the log says what, and a broken record stops only its own sandbox, whose
    interfaces are then shut.
  - The role P(podnet.linux.host#role) installs it together with the systemd units that call it.
author:
  - podnet.linux authors (@podnet)
extends_documentation_fragment:
  - podnet.linux.attributes
options:
  path:
    description: Where the program lies. Its directory is made.
    type: path
    default: /usr/local/libexec/podnet
  state:
    description: Whether it is there. An older or altered one is replaced.
    type: str
    choices: [present, absent]
    default: present
requirements:
  - Python >= 3.9
  - With O(state=present), pyroute2 >= 0.7.2 and netaddr >= 0.8.0, which the program needs
notes:
  - Every failure returns C(msg), a sentence that says what is wrong and what to do, and C(reason), such as C(not_ours) where
    something else lies at O(path).
seealso:
  - module: podnet.linux.pod_sandbox
  - module: podnet.linux.prune
"""

EXAMPLES = r"""
- name: The engine, so that sandboxes come back at boot
  podnet.linux.boot_engine:

- name: What would be repaired
  ansible.builtin.command:
    argv: [/usr/bin/python3, /usr/local/libexec/podnet, restore, --check]
  changed_when: false
"""

RETURN = r"""
path:
  description: Where the program lies.
  returned: success
  type: str
  sample: /usr/local/libexec/podnet
checksum:
  description: SHA-256 of the program, the same for the same release.
  returned: when O(state=present)
  type: str
  sample: 9f2c7d5e3b1a6084c2e1f0d9b8a7968574635241302f1e0d9c8b7a6958473625
"""

from typing import Any

from ansible_collections.podnet.linux.plugins.module_utils._module import LIBRARIES, PodnetModule, run

OPTIONS: dict[str, Any] = {
    "path": {"type": "path", "default": "/usr/local/libexec/podnet"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def main() -> None:
    module = PodnetModule(argument_spec=OPTIONS, supports_check_mode=True)
    # The program needs the libraries; its removal does not.
    run(module, _install, needs=LIBRARIES if module.params["state"] == "present" else ())


def _install(module: PodnetModule) -> dict[str, Any]:
    from ansible_collections.podnet.linux.plugins.module_utils import _boot  # noqa: F401  # goes along, and into the program
    from ansible_collections.podnet.linux.plugins.module_utils._host import program
    from ansible_collections.podnet.linux.plugins.module_utils._store import files

    path = module.params["path"]
    before, after = program.installed(path), program.built() if module.params["state"] == "present" else None
    digests = [None if data is None else program.digest(data) for data in (before, after)]
    changed = before != after or (after is not None and not files.has_mode(path, program.MODE))
    if changed and not module.check_mode:
        if after is None:
            files.unlink(path)
        else:
            files.write_bytes(path, after, mode=program.MODE)
    diff = {"before_header": path, "after_header": path, "before": {"checksum": digests[0]}, "after": {"checksum": digests[1]}}
    result: dict[str, Any] = {"changed": changed, "path": path, "diff": [diff] if changed else []}
    return {**result, "checksum": digests[1]} if after is not None else result


if __name__ == "__main__":
    main()
