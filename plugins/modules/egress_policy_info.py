#!/usr/bin/python
# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: egress_policy_info
short_description: List egress policies and what they let out
version_added: 1.0.0
description:
  - Lists the policies declared with M(podnet.linux.egress_policy) and with O(podnet.linux.pod_sandbox#module:egress), sorted by
    whom they bind and by name, each with its counters.
author:
  - podnet.linux authors (@podnet)
extends_documentation_fragment:
  - podnet.linux.attributes.info
  - podnet.linux.run
options:
  sandbox:
    description:
      - Only policies of this sandbox, by its name or id.
    type: str
  network:
    description:
      - Only policies of this network.
    type: str
  name:
    description:
      - Only policies of this name.
    type: str
seealso:
  - module: podnet.linux.egress_policy
"""

EXAMPLES = r"""
- name: Whose attempts were denied
  podnet.linux.egress_policy_info:
  register: egress

- name: Name them
  ansible.builtin.debug:
    msg: "{{ egress.policies | selectattr('counters.denied', 'gt', 0) | map(attribute='sandbox') | unique }}"
"""

RETURN = r"""
policies:
  description: The policies, each as M(podnet.linux.egress_policy) returns it; empty where nothing matches.
  returned: success
  type: list
  elements: dict
  contains:
    counters:
      description: Packets; C(allowed) by this policy, C(denied) to its target by all its policies together.
      type: dict
      sample: {allowed: 1200, denied: 3}
"""

from typing import Any

from ansible_collections.podnet.linux.plugins.module_utils._module import LOCK_ARGUMENTS, PodnetModule, run, settings_of

FILTERS = {"sandbox": {"type": "str"}, "network": {"type": "str"}, "name": {"type": "str"}}


def main() -> None:
    module = PodnetModule(argument_spec={**FILTERS, **LOCK_ARGUMENTS}, supports_check_mode=True)
    run(module, _list)


def _list(module: PodnetModule) -> dict[str, Any]:
    from ansible_collections.podnet.linux.plugins.module_utils._engine import describe_policies

    sandbox, network, name = (module.params[key] for key in FILTERS)

    def matches(policy: dict[str, Any]) -> bool:
        return (
            (sandbox is None or sandbox in (policy["sandbox"], policy["id"]))
            and network in (None, policy["network"])
            and name in (None, policy["name"])
        )

    return {"changed": False, "policies": describe_policies(settings_of(module, check=True), matches)}


if __name__ == "__main__":
    main()
