#!/usr/bin/python
# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: egress_policy
short_description: Say where pod sandboxes may connect to
version_added: 1.0.0
description:
  - Binds a sandbox, or every present and future sandbox of a network, to the destinations that its policies allow. Everything
    else that it sends is dropped, counted and logged.
  - Everything is a destination. Other machines, other networks, neighbours on the same bridge, the host by any of its addresses,
    and what others publish by an address of the host. IPv6 is held to the same rules as IPv4.
  - The host enforces it, at the port that the sandbox is behind. A workload that is root in the sandbox, with all capabilities
    there, can neither lift it nor get around it by raw frames, other addresses or tunnels.
  - Policies say what a sandbox may begin. Answers to what others began with it pass, so that published ports keep working.
  - Several policies on one target add up. What a sandbox sends must be allowed by its own policies and by those of the network,
    which are a ceiling.
  - A change is one transaction. There is no moment in which something passes that neither the old nor the new policies allow,
    and a policy that cannot be loaded as a whole leaves the old ones in force.
author:
  - podnet.linux authors (@podnet)
extends_documentation_fragment:
  - podnet.linux.attributes
  - podnet.linux.run
options:
  sandbox: &sandbox
    description:
      - Bind this sandbox, by its name or id. Exactly one of O(sandbox) and O(network) is required.
    type: str
  network: &network
    description:
      - Bind every sandbox on this network, by its interface there.
    type: str
  name: &name
    description:
      - The policy's name, unique on its target. C(default) where omitted, which is also how O(podnet.linux.pod_sandbox#module:egress)
        is called.
    type: str
  allowed_cidrs: &allowed_cidrs
    description:
      - Destinations, IPv4 and IPv6, as networks or addresses. A policy without any, and without O(rules), allows nothing.
    type: list
    elements: str
  allowed_tcp_ports: &allowed_tcp_ports
    description:
      - TCP ports of O(allowed_cidrs), as numbers or ranges such as V(8000-8100).
      - If this or O(allowed_udp_ports) has an item, only those protocols and ports are allowed; else any protocol is.
    type: list
    elements: str
  allowed_udp_ports: &allowed_udp_ports
    description:
      - UDP ports of O(allowed_cidrs).
    type: list
    elements: str
  allow_dns: &allow_dns
    description:
      - UDP and TCP port 53 of the sandbox's own resolvers. V(true) by default.
    type: bool
  log_denied: &log_denied
    description:
      - Log what is denied, on the host, at most 5 packets a minute for each sandbox, with the prefix C(podnet-egress-denied:), the
        sandbox's name and its id. V(true) by default.
      - The lines are in the kernel log, and in NFLOG group 4096 for hosts that see no kernel log of their own.
    type: bool
  max_connections: &max_connections
    description:
      - How many tracked connections the sandbox may have open at once, and begin within a minute, so that it cannot fill the
        host's table. The kernel remembers closed ones for two minutes more, so that three times as many entries are the most
        there can be. V(0) is no limit, which is the default. The lowest of several policies holds.
    type: int
  rules: &rules
    description:
      - Destinations with ports of their own, where the options above are too coarse. A rule without O(rules[].ports) and
        O(rules[].icmp) allows any protocol; an empty list of ports, or V(false) alone, is refused.
    type: list
    elements: dict
    suboptions:
      cidrs:
        description: Destinations, as in O(allowed_cidrs).
        type: list
        elements: str
        required: true
      except:
        description: Destinations within O(rules[].cidrs) that this rule does not allow.
        type: list
        elements: str
      ports:
        description: Ports with their protocol, such as V(443/tcp), V(8000-8100/udp) or V(3868/sctp).
        type: list
        elements: str
      icmp:
        description: ICMP and ICMPv6, such as ping.
        type: bool
  allow_metadata: &allow_metadata
    description:
      - Let the addresses of cloud instance metadata (169.254.169.254, fd00:ec2::254 and those of other clouds) be destinations
        like any other. V(false) by default, and then they are dropped whatever else is allowed.
    type: bool
  established: &established
    description:
      - What becomes of connections that the policy does not allow and that were there before. V(drop), the default, cuts
        them. V(keep) lets those go on that were answered. V(drop) wins where several policies differ.
    type: str
    choices: [drop, keep]
  mode: &mode
    description:
      - V(audit) drops nothing, and counts and logs what V(enforce), the default, would drop. If any policy of a target is
        enforced, all is, and those that only audit allow nothing.
    type: str
    choices: [enforce, audit]
  policies:
    description:
      - Many policies at once, all or none, in one transaction.
    type: list
    elements: dict
    suboptions:
      sandbox: *sandbox
      network: *network
      name: *name
      allowed_cidrs: *allowed_cidrs
      allowed_tcp_ports: *allowed_tcp_ports
      allowed_udp_ports: *allowed_udp_ports
      allow_dns: *allow_dns
      log_denied: *log_denied
      max_connections: *max_connections
      rules: *rules
      allow_metadata: *allow_metadata
      established: *established
      mode: *mode
      state:
        description: The state of this item; the task's where omitted.
        type: str
        choices: [present, absent]
  state:
    description:
      - Whether there is such a policy. Lifting the last one of a target opens it, and warns.
      - Beside a list, it holds for every item that carries none of its own.
    type: str
    choices: [present, absent]
    default: present
  exclusive:
    description:
      - With the list, policies that are not listed are lifted, but for those that M(podnet.linux.pod_sandbox) declared.
    type: bool
    default: false
notes:
  - On an existing policy an omitted option keeps its value. A list that is given replaces the whole.
  - Multicast and broadcast are not let out, and neighbours do not answer at link-local addresses, whatever is allowed. What IPv6
    needs to live (neighbour discovery, multicast listener reports) and ARP pass.
  - Connections between neighbours that were there before the first policy are not known to the host, and are cut by it even with
    O(established=keep).
seealso:
  - module: podnet.linux.egress_policy_info
  - module: podnet.linux.pod_sandbox
  - module: podnet.linux.bridge_network
"""

EXAMPLES = r"""
- name: The build sandbox reaches the mirror and the registry, and nothing else
  podnet.linux.egress_policy:
    sandbox: build
    allowed_cidrs:
      - 192.0.2.0/24
      - 2001:db8:10::/48
    allowed_tcp_ports: [80, 443]

- name: A ceiling for everything on a network
  podnet.linux.egress_policy:
    network: agents
    name: ceiling
    max_connections: 2000
    rules:
      - cidrs: [0.0.0.0/0, "::/0"]
        except: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, "fc00::/7"]
        ports: [80/tcp, 443/tcp, 443/udp]

- name: See first what would be dropped
  podnet.linux.egress_policy:
    sandbox: legacy
    mode: audit

- name: Nothing out at all, not even names
  podnet.linux.egress_policy:
    sandbox: sealed
    allow_dns: false

- name: Lift it
  podnet.linux.egress_policy:
    sandbox: build
    state: absent
"""

RETURN = r"""
policy:
  description: The policy as in effect.
  returned: success, without O(policies)
  type: dict
  contains:
    name:
      description: The policy's name.
      type: str
      sample: default
    sandbox:
      description: The sandbox that it binds, null for a policy of a network.
      type: str
      sample: build
    network:
      description: The network that it binds, null for a policy of a sandbox.
      type: str
      sample: agents
    declared_by:
      description: V(egress_policy), or V(pod_sandbox) for its option C(egress).
      type: str
      sample: egress_policy
    counters:
      description:
        - Packets since the policy was declared; C(allowed) by this policy, C(denied) to its target by all its policies together.
      type: dict
      sample: {allowed: 1200, denied: 3}
    state:
      description: V(present) or V(absent).
      type: str
      sample: present
policies:
  description: The same for each item of O(policies), in that order, each with its own C(changed).
  returned: success, with O(policies)
  type: list
  elements: dict
"""

from typing import Any

from ansible_collections.podnet.linux.plugins.module_utils._module import POLICY_OPTIONS, PodnetModule, list_arguments, run_changes

OPTIONS = {"sandbox": {"type": "str"}, "network": {"type": "str"}, "name": {"type": "str"}, **POLICY_OPTIONS}


def main() -> None:
    module = PodnetModule(
        argument_spec=list_arguments("policies", OPTIONS, ("present", "absent"), force=False),
        required_one_of=[("sandbox", "network", "policies")],
        mutually_exclusive=[("sandbox", "network", "policies")],
        supports_check_mode=True,
    )
    run_changes(module, "policy", "policies", _load)


def _load() -> tuple[Any, Any]:
    from ansible_collections.podnet.linux.plugins.module_utils._engine import run_policies
    from ansible_collections.podnet.linux.plugins.module_utils._spec.policy import PolicyRequest

    return PolicyRequest.from_options, run_policies


if __name__ == "__main__":
    main()
