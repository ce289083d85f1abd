#!/usr/bin/python
# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: bridge_network_info
short_description: List bridge networks
version_added: 1.0.0
description:
  - Lists the networks declared with M(podnet.linux.bridge_network), sorted by name, with how full they are.
author:
  - podnet.linux authors (@podnet)
extends_documentation_fragment:
  - podnet.linux.attributes.info
  - podnet.linux.run
options:
  name:
    description:
      - Only the network of this name.
    type: str
seealso:
  - module: podnet.linux.bridge_network
"""

EXAMPLES = r"""
- name: All networks
  podnet.linux.bridge_network_info:
  register: known

- name: One network
  podnet.linux.bridge_network_info:
    name: pods0
"""

RETURN = r"""
networks:
  description: The networks, each as M(podnet.linux.bridge_network) returns it; empty where nothing matches.
  returned: success
  type: list
  elements: dict
"""

from typing import Any

from ansible_collections.podnet.linux.plugins.module_utils._module import LOCK_ARGUMENTS, PodnetModule, run, settings_of


def main() -> None:
    module = PodnetModule(argument_spec={"name": {"type": "str"}, **LOCK_ARGUMENTS}, supports_check_mode=True)
    run(module, _list)


def _list(module: PodnetModule) -> dict[str, Any]:
    from ansible_collections.podnet.linux.plugins.module_utils._engine import describe_networks

    found = describe_networks(settings_of(module, check=True))
    name = module.params["name"]
    return {"changed": False, "networks": [item for item in found if name in (None, item["name"])]}


if __name__ == "__main__":
    main()
