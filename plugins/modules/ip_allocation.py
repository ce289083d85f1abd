#!/usr/bin/python
# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ip_allocation
short_description: Lease addresses and subnets out of pools
version_added: 1.0.0
description:
  - Leases addresses of a network made with M(podnet.linux.bridge_network), beside those that its sandboxes have, or out of a
    free-standing pool. A pool can also be carved into subnets, one for each host of a fleet.
  - The owner is what a lease is known by. The same owner gets the same lease again, whatever else was leased meanwhile, in
    whatever order.
  - Where a pool has IPv4 and IPv6 ranges, an owner gets one lease of each.
  - The network and broadcast address of a subnet, its gateway, what is reserved, and what an interface of the host carries are
    never leased. A sandbox's leases come and go with it.
  - Asking for another O(address) or O(prefix_length) moves the lease. The new one is taken and the old one given back.
author:
  - podnet.linux authors (@podnet)
extends_documentation_fragment:
  - podnet.linux.attributes
  - podnet.linux.run
options:
  network: &network
    description:
      - Lease from this network. Needs root.
    type: str
  pool: &pool
    description:
      - Lease from this free-standing pool, 1 to 63 characters out of C([A-Za-z0-9_.-]), starting with a letter or a digit.
      - Root's pools are kept below C(/var/lib/podnet), those of an ordinary user below C($XDG_STATE_HOME/podnet), which is
        C(~/.local/state/podnet) by default. A pool of an ordinary user needs no privileges.
    type: str
  ranges: &ranges
    description:
      - What the pool consists of. Required at first use, and recorded then. Different ranges change the pool, unless a lease
        would lie outside of them. Ranges of one pool must not overlap.
    type: list
    elements: dict
    suboptions:
      subnet:
        description: A network in CIDR notation, IPv4 or IPv6.
        type: str
        required: true
      start:
        description: First address of the range, by default the first of the subnet.
        type: str
      end:
        description: Last address of the range, by default the last of the subnet.
        type: str
      gateway:
        description: An address of the subnet that is never leased, and returned with a lease.
        type: str
  reserved: &reserved
    description:
      - Addresses and networks that are never leased from this pool. Recorded like O(ranges).
    type: list
    elements: str
  owner: &owner
    description:
      - Who holds the lease, 1 to 255 printable characters. Required, here or in the items of O(allocations).
    type: str
  address: &address
    description:
      - Ask for this address, or for the block that begins with it where the owner has a block or O(prefix_length) is given. A
        lease of the other IP version is chosen as ever.
    type: str
  prefix_length: &prefix_length
    description:
      - Lease a block of this size in place of an address, aligned to its size, from every IP version that has room for one.
        An owner of a block keeps its size where this is omitted.
    type: int
  strategy: &strategy
    description:
      - V(sequential) goes on behind the last lease given and wraps at the end, so that a freed address rests. V(random) takes
        any of those that are free, with the same chance.
    type: str
    choices: [sequential, random]
  allocations:
    description:
      - Many leases at once, all or none.
    type: list
    elements: dict
    suboptions:
      network: *network
      pool: *pool
      ranges: *ranges
      reserved: *reserved
      owner: *owner
      address: *address
      prefix_length: *prefix_length
      strategy: *strategy
      state:
        description: The state of this item; the task's where omitted.
        type: str
        choices: [present, absent]
  state:
    description:
      - Whether the owner holds a lease.
      - Beside a list, it holds for every item that carries none of its own.
    type: str
    choices: [present, absent]
    default: present
  exclusive:
    description:
      - With the list, leases of owners that are not listed are given back, in the pools and networks that the list names.
        Those of sandboxes stay.
    type: bool
    default: false
notes:
  - The default O(strategy) is V(sequential).
  - A pool stays recorded when its last lease is given back, so that what was freed rests.
seealso:
  - module: podnet.linux.ip_allocation_info
  - module: podnet.linux.bridge_network
  - module: podnet.linux.prune
"""

EXAMPLES = r"""
- name: An address of a network for something that is no sandbox
  podnet.linux.ip_allocation:
    network: pods0
    owner: load-balancer
  register: lease

- name: A subnet of its own for every host, carved out of a supernet on the controller
  podnet.linux.ip_allocation:
    pool: fleet
    ranges:
      - subnet: 10.64.0.0/12
    owner: "{{ inventory_hostname }}"
    prefix_length: 24
  delegate_to: localhost
  become: false
  register: mine

- name: These leases and no others in this pool
  podnet.linux.ip_allocation:
    exclusive: true
    allocations:
      - pool: services
        ranges:
          - subnet: 10.80.0.0/24
            start: 10.80.0.100
            end: 10.80.0.199
            gateway: 10.80.0.1
        owner: mail
      - pool: services
        owner: web
        address: 10.80.0.180

- name: Give a lease back
  podnet.linux.ip_allocation:
    pool: services
    owner: mail
    state: absent
"""

RETURN = r"""
allocation:
  description: What the owner holds; after O(state=absent) nothing.
  returned: success, without O(allocations)
  type: dict
  contains:
    owner:
      description: The owner.
      type: str
      sample: load-balancer
    pool:
      description: The pool, null for a lease of a network.
      type: str
      sample: fleet
    network:
      description: The network, null for a lease of a pool.
      type: str
      sample: pods0
    addresses:
      description: The addresses, IPv4 before IPv6. In check mode those that would be leased are V((known after apply\)).
      type: list
      elements: str
      sample: [10.90.0.7]
    blocks:
      description: The subnets in CIDR notation, in place of the addresses.
      type: list
      elements: str
      sample: [10.64.3.0/24]
    gateways:
      description: The gateways of the ranges or subnets that the addresses are of.
      type: list
      elements: str
      sample: [10.90.0.1]
    state:
      description: V(present) or V(absent).
      type: str
      sample: present
allocations:
  description: The same for each item of O(allocations), in that order, each with its own C(changed).
  returned: success, with O(allocations)
  type: list
  elements: dict
"""

from typing import Any

from ansible_collections.podnet.linux.plugins.module_utils._module import PodnetModule, list_arguments, run_changes
from ansible_collections.podnet.linux.plugins.module_utils._requirements import NETADDR

OPTIONS = {
    "network": {"type": "str"},
    "pool": {"type": "str"},
    "ranges": {
        "type": "list",
        "elements": "dict",
        "options": {
            "subnet": {"type": "str", "required": True},
            "start": {"type": "str"},
            "end": {"type": "str"},
            "gateway": {"type": "str"},
        },
    },
    "reserved": {"type": "list", "elements": "str"},
    "owner": {"type": "str"},
    "address": {"type": "str"},
    "prefix_length": {"type": "int"},
    "strategy": {"type": "str", "choices": ["sequential", "random"]},
}


def main() -> None:
    module = PodnetModule(
        argument_spec=list_arguments("allocations", OPTIONS, ("present", "absent"), force=False),
        required_one_of=[("owner", "allocations")],
        mutually_exclusive=[("owner", "allocations"), ("network", "pool")],
        supports_check_mode=True,
    )
    run_changes(module, "allocation", "allocations", _load, needs=(NETADDR,))


def _load() -> tuple[Any, Any]:
    from ansible_collections.podnet.linux.plugins.module_utils._leasing import run_allocations
    from ansible_collections.podnet.linux.plugins.module_utils._spec.allocation import AllocationRequest

    return AllocationRequest.from_options, run_allocations


if __name__ == "__main__":
    main()
