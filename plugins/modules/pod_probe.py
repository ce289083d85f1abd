#!/usr/bin/python
# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_probe
short_description: Try connections from inside pod sandboxes
version_added: 1.0.0
description:
  - Tries TCP connections from inside sandboxes, all at once, and says which were answered.
  - Tries whether egress policies hold. Every sandbox that an enforced policy binds sends one packet to the cloud metadata
    address, which nothing but O(ignore:allow_metadata) allows (on a host without a default route, to everybody on the network),
    and its policies have to count it as denied.
  - It changes nothing but counters. What was found instead of what is expected is no failure of the task; test RV(passed).
author:
  - podnet.linux authors (@podnet)
extends_documentation_fragment:
  - podnet.linux.attributes.info
  - podnet.linux.run
options:
  probes:
    description: The connections to try.
    type: list
    elements: dict
    default: []
    suboptions:
      sandbox:
        description: Name of the sandbox.
        type: str
        required: true
      to:
        description: An IPv4 or IPv6 address.
        type: str
        required: true
      port:
        description: A TCP port, 1 to 65535.
        type: int
        required: true
      expect:
        description:
          - V(open) where somebody has to accept, V(refused) where it has to get there and nobody listens, V(closed) where no
            answer may come.
        type: str
        choices: [open, refused, closed]
        default: open
  policies:
    description: Whether to try egress policies too.
    type: bool
    default: true
  patience:
    description: Seconds to wait for answers, for all of O(probes) together, and for a policy to count a packet.
    type: float
    default: 2.0
seealso:
  - module: podnet.linux.pod_sandbox_info
  - module: podnet.linux.egress_policy_info
"""

EXAMPLES = r"""
- name: The build reaches the mirror and not the rest
  podnet.linux.pod_probe:
    probes:
      - {sandbox: build, to: 192.0.2.10, port: 443}
      - {sandbox: build, to: 198.51.100.1, port: 443, expect: closed}
  register: tried
  failed_when: not tried.passed
"""

RETURN = r"""
passed:
  description: Whether everything was as expected.
  returned: success
  type: bool
  sample: true
probes:
  description: What was found, connection by connection in the order given, then sandbox by sandbox.
  returned: success
  type: list
  elements: dict
  contains:
    sandbox:
      description: Name of the sandbox.
      type: str
      sample: build
    to:
      description: The address.
      type: str
      sample: 192.0.2.10
    port:
      description: The port.
      type: int
      sample: 443
    expect:
      description: What was expected; V(denied) of policies.
      type: str
      sample: open
    found:
      description: V(open), V(refused) or V(closed); V(denied) or V(not denied) of policies.
      type: str
      sample: open
    passed:
      description: Whether both are the same.
      type: bool
      sample: true
"""

from typing import Any

from ansible_collections.podnet.linux.plugins.module_utils._module import LOCK_ARGUMENTS, PodnetModule, run, settings_of

OPTIONS: dict[str, Any] = {
    "probes": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "sandbox": {"type": "str", "required": True},
            "to": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "expect": {"type": "str", "choices": ["open", "refused", "closed"], "default": "open"},
        },
    },
    "policies": {"type": "bool", "default": True},
    "patience": {"type": "float", "default": 2.0},
}


def main() -> None:
    module = PodnetModule(argument_spec={**OPTIONS, **LOCK_ARGUMENTS}, supports_check_mode=True)
    run(module, _try)


def _try(module: PodnetModule) -> dict[str, Any]:
    from ansible_collections.podnet.linux.plugins.module_utils._probes import run_probes
    from ansible_collections.podnet.linux.plugins.module_utils._spec.fields import seconds
    from ansible_collections.podnet.linux.plugins.module_utils._spec.probe import Probe

    options = module.params
    probes = [Probe.from_options(item, where=f"probes[{number}]") for number, item in enumerate(options["probes"])]
    patience = seconds("patience", options["patience"])
    found = run_probes(probes, settings_of(module, check=True), patience=patience, policies=options["policies"])
    return {"changed": False, "passed": all(item["passed"] for item in found), "probes": found}


if __name__ == "__main__":
    main()
