#!/usr/bin/python
# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: bridge_network
short_description: Manage bridge networks for pod sandboxes
version_added: 1.0.0
description:
  - Makes a network of pods be as declared. A network is a Linux bridge with its gateway addresses, its address pool, NAT, and
    the rules that keep it apart from other networks.
  - On an existing network an option that is omitted keeps its value, and a given list replaces the whole list. Everything
    changes in place; sandboxes on the network are brought along.
  - Anything missing or altered behind our back is repaired, and shown in the diff.
  - IP forwarding is switched on if needed and persisted in C(/etc/sysctl.d/60-podnet.conf). It is never switched off, since
    other programs may have come to depend on it.
author:
  - podnet.linux authors (@podnet)
extends_documentation_fragment:
  - podnet.linux.attributes
  - podnet.linux.run
options:
  name: &name
    description:
      - Name of the bridge interface, 1 to 15 characters out of C([A-Za-z0-9_.-]), starting with a letter or a digit.
    type: str
  subnets: &subnets
    description:
      - Networks in CIDR notation, IPv4, IPv6 or both. Required at creation.
      - Refused are host bits, networks too small for a gateway and a pod, and overlaps with another network or with a route
        of the host (the default route apart). A subnet with leases cannot be dropped.
    type: list
    elements: str
    aliases: [subnet]
  gateways: &gateways
    description:
      - The bridge's own addresses, one per subnet.
      - The default at creation is the first host address of each subnet.
    type: list
    elements: str
    aliases: [gateway]
  ranges: &ranges
    description:
      - Where leases come from. The default at creation is the whole subnet.
      - What was leased before stays leased, also where it lies outside of changed ranges.
    type: list
    elements: dict
    suboptions:
      start:
        description: First address of the range.
        type: str
        required: true
      end:
        description: Last address of the range.
        type: str
        required: true
  reserved: &reserved
    description:
      - Addresses and networks that are never leased.
    type: list
    elements: str
  mtu: &mtu
    description:
      - The MTU of the bridge and of every sandbox on it, in bytes.
      - The default at creation is the MTU of the host's default route, else 1500; it is looked up once and recorded.
    type: int
  nat: &nat
    description:
      - Masquerade what leaves the subnets, IPv4 and IPv6, except towards another of our networks. The default at creation
        is V(true).
      - Whatever this says, connections from outside to a sandbox are dropped.
    type: bool
  internal: &internal
    description:
      - No way out, no default route, no NAT; what sandboxes send elsewhere is dropped whatever routes they add. The default
        at creation is V(false).
    type: bool
  isolation: &isolation
    description:
      - V(strict) talks to no other network, V(normal) to networks set to V(none), V(none) to networks set to V(none) or
        V(normal). The default at creation is V(strict).
    type: str
    choices: [strict, normal, none]
  inter_pod: &inter_pod
    description:
      - Whether sandboxes on this network may reach each other. The default at creation is V(true).
    type: bool
  host_access: &host_access
    description:
      - Whether sandboxes may reach the host's own services. DNS at the gateway stays allowed where the gateway is listed in
        O(dns). The default at creation is V(true).
    type: bool
  dns: &dns
    description:
      - Resolvers for the sandboxes on this network.
      - By default the host's upstream resolvers (those behind a local stub), and none where O(internal=true).
    type: list
    elements: str
  dns_search: &dns_search
    description:
      - Search domains for the sandboxes on this network.
    type: list
    elements: str
  dns_options: &dns_options
    description:
      - Resolver options for the sandboxes on this network, as in resolv.conf(5).
    type: list
    elements: str
  firewall: &firewall
    description:
      - V(auto) gets the network's traffic through a firewall of somebody else that drops by default what is forwarded, with one
        commented accept in the chain that it offers for that (C(DOCKER-USER), C(ufw-user-forward)), or with a firewalld zone
        C(podnet) that the bridge is bound to; gone with the last network. Where a firewall offers nothing, the task fails
        with RV(ignore:reason=blocked_by_firewall), naming the chain, unless that lets pass what carries the
        mark C(0x1000), which our rules put on what they let through.
      - V(none) leaves other firewalls alone. The default at creation is V(auto).
    type: str
    choices: [auto, none]
  networks:
    description:
      - Many networks at once, under one lock and in one nftables transaction.
    type: list
    elements: dict
    suboptions:
      name: *name
      subnets: *subnets
      gateways: *gateways
      ranges: *ranges
      reserved: *reserved
      mtu: *mtu
      nat: *nat
      internal: *internal
      isolation: *isolation
      inter_pod: *inter_pod
      host_access: *host_access
      dns: *dns
      dns_search: *dns_search
      dns_options: *dns_options
      firewall: *firewall
      state:
        description: The state of this item; the task's where omitted.
        type: str
        choices: [present, absent]
      force:
        description: As the task's O(force), for this item.
        type: bool
  state:
    description:
      - Whether the network exists.
      - Beside a list, it holds for every item that carries none of its own.
    type: str
    choices: [present, absent]
    default: present
  exclusive:
    description:
      - With the list, networks that are not listed are removed.
    type: bool
    default: false
  force:
    description:
      - With O(state=absent) or O(exclusive=true), remove the sandboxes of the network too; without it that is an error.
    type: bool
    default: false
seealso:
  - module: podnet.linux.bridge_network_info
  - module: podnet.linux.pod_sandbox
"""

EXAMPLES = r"""
- name: A dual-stack network for pods
  podnet.linux.bridge_network:
    name: pods0
    subnets:
      - 10.90.0.0/24
      - fd00:90::/64

- name: Two networks that may talk, and no other network on this host
  podnet.linux.bridge_network:
    exclusive: true
    networks:
      - name: front
        subnet: 10.91.0.0/24
        isolation: none
      - name: back
        subnet: 10.92.0.0/24
        isolation: none
        internal: false

- name: Remove a network with its sandboxes
  podnet.linux.bridge_network:
    name: pods0
    state: absent
    force: true
"""

RETURN = r"""
network:
  description: The network as in effect. After O(state=absent) only its name and state.
  returned: success, without O(networks)
  type: dict
  contains:
    name:
      description: Name of the bridge.
      type: str
      sample: pods0
    subnets:
      description: The subnets in canonical form.
      type: list
      elements: str
      sample: [10.90.0.0/24]
    gateways:
      description: The gateway of each subnet.
      type: list
      elements: str
      sample: [10.90.0.1]
    mtu:
      description: MTU in bytes.
      type: int
      sample: 1500
    ifindex:
      description: Interface index of the bridge; null in check mode before it exists.
      type: int
      sample: 4
    mac:
      description: MAC address of the bridge.
      type: str
      sample: 02:11:22:33:44:55
    addresses:
      description: For each subnet how many addresses can be leased, are used, and are free.
      type: dict
      sample: {10.90.0.0/24: {free: 252, total: 253, used: 1}}
    state:
      description: V(present) or V(absent).
      type: str
      sample: present
networks:
  description: The same for each item of O(networks), in that order, each with its own C(changed).
  returned: success, with O(networks)
  type: list
  elements: dict
"""

from typing import Any

from ansible_collections.podnet.linux.plugins.module_utils._module import PodnetModule, list_arguments, run_changes

OPTIONS = {
    "name": {"type": "str"},
    "subnets": {"type": "list", "elements": "str", "aliases": ["subnet"]},
    "gateways": {"type": "list", "elements": "str", "aliases": ["gateway"]},
    "ranges": {
        "type": "list",
        "elements": "dict",
        "options": {"start": {"type": "str", "required": True}, "end": {"type": "str", "required": True}},
    },
    "reserved": {"type": "list", "elements": "str"},
    "mtu": {"type": "int"},
    "nat": {"type": "bool"},
    "internal": {"type": "bool"},
    "isolation": {"type": "str", "choices": ["strict", "normal", "none"]},
    "inter_pod": {"type": "bool"},
    "host_access": {"type": "bool"},
    "dns": {"type": "list", "elements": "str"},
    "dns_search": {"type": "list", "elements": "str"},
    "dns_options": {"type": "list", "elements": "str"},
    "firewall": {"type": "str", "choices": ["auto", "none"]},
}


def main() -> None:
    module = PodnetModule(
        argument_spec=list_arguments("networks", OPTIONS, ("present", "absent")),
        required_one_of=[("name", "networks")],
        mutually_exclusive=[("name", "networks")],
        supports_check_mode=True,
    )
    run_changes(module, "network", "networks", _load)


def _load() -> tuple[Any, Any]:
    from ansible_collections.podnet.linux.plugins.module_utils._engine import run_networks
    from ansible_collections.podnet.linux.plugins.module_utils._spec.network import NetworkRequest

    return NetworkRequest.from_options, run_networks


if __name__ == "__main__":
    main()
