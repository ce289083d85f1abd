#!/usr/bin/python
# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ip_allocation_info
short_description: List leases, and how full their pools are
version_added: 1.0.0
description:
  - Lists who holds which addresses and blocks, sorted by owner, and the pools and networks they come from, sorted by name.
  - Root sees the host's pools and networks, an ordinary user the pools of their own.
author:
  - podnet.linux authors (@podnet)
extends_documentation_fragment:
  - podnet.linux.attributes.info
  - podnet.linux.run
options:
  network:
    description:
      - Only leases of this network, those of its sandboxes included. Needs root.
    type: str
  pool:
    description:
      - Only leases of this free-standing pool.
    type: str
  owner:
    description:
      - Only leases of this owner. A sandbox's owner is its id.
    type: str
seealso:
  - module: podnet.linux.ip_allocation
"""

EXAMPLES = r"""
- name: Who holds what, and what is left
  podnet.linux.ip_allocation_info:
  register: books

- name: Free addresses of one network
  podnet.linux.ip_allocation_info:
    network: pods0
  register: books

- name: Warn before it is full
  ansible.builtin.assert:
    that: books.pools[0].ranges | map(attribute='free') | min > 10
"""

RETURN = r"""
allocations:
  description: The leases by owner and pool; empty where nothing matches.
  returned: success
  type: list
  elements: dict
  contains:
    owner:
      description: The owner; for a sandbox its id.
      type: str
      sample: load-balancer
    sandbox:
      description: The name of the sandbox, null for an owner that is none.
      type: str
      sample: web
    pool:
      description: The pool, null for a lease of a network.
      type: str
      sample: fleet
    network:
      description: The network, null for a lease of a pool.
      type: str
      sample: pods0
    addresses:
      description: The addresses, IPv4 before IPv6.
      type: list
      elements: str
      sample: [10.90.0.7]
    blocks:
      description: The subnets, in place of the addresses or beside them.
      type: list
      elements: str
      sample: [10.64.3.0/24]
    gateways:
      description: The gateways of the ranges that the addresses are of.
      type: list
      elements: str
      sample: [10.90.0.1]
    stale:
      description: Whether the sandbox is gone, or has other addresses. M(podnet.linux.prune) frees such leases.
      type: bool
      sample: false
pools:
  description: The pools and networks.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The name.
      type: str
      sample: pods0
    kind:
      description: V(pool) or V(network).
      type: str
      sample: network
    ranges:
      description:
        - The ranges, each with C(subnet), C(start), C(end), C(gateway), and with C(size), C(used), C(free) and C(stale) as
          numbers of addresses. What an interface of the host carries counts as used.
      type: list
      elements: dict
      sample: [{subnet: 10.90.0.0/24, start: null, end: null, gateway: 10.90.0.1, size: 253, used: 1, free: 252, stale: 0}]
    reserved:
      description: What is never leased.
      type: list
      elements: str
      sample: [10.90.0.250]
"""

from typing import Any

from ansible_collections.podnet.linux.plugins.module_utils._module import LOCK_ARGUMENTS, PodnetModule, run, settings_of
from ansible_collections.podnet.linux.plugins.module_utils._requirements import NETADDR

FILTERS = {"network": {"type": "str"}, "pool": {"type": "str"}, "owner": {"type": "str"}}


def main() -> None:
    module = PodnetModule(argument_spec={**FILTERS, **LOCK_ARGUMENTS}, mutually_exclusive=[("network", "pool")], supports_check_mode=True)
    run(module, _list, needs=(NETADDR,))


def _list(module: PodnetModule) -> dict[str, Any]:
    from ansible_collections.podnet.linux.plugins.module_utils._leasing import describe_leases
    from ansible_collections.podnet.linux.plugins.module_utils._spec.pool import pool_key

    network, pool, owner = (module.params[name] for name in FILTERS)
    key = network if pool is None else pool_key(pool)
    held, pools = describe_leases(settings_of(module, check=True), lambda other: key in (None, other), host=network is not None)
    return {"changed": False, "allocations": [item for item in held if owner in (None, item["owner"])], "pools": pools}


if __name__ == "__main__":
    main()
