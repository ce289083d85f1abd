#!/usr/bin/python
# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_sandbox
short_description: Manage pod sandboxes
version_added: 1.0.0
description:
  - Makes a pod sandbox be as declared. A sandbox is a set of network, IPC and UTS namespaces that outlives any process, with
    interfaces on bridge networks, leased addresses, resolver files and a pause process.
  - On an existing sandbox an option that is omitted keeps its value, and a given list or dictionary replaces the whole.
    Everything but O(namespaces) and O(netns) changes in place.
  - Anything missing or altered behind our back is repaired, and shown in the diff.
author:
  - podnet.linux authors (@podnet)
extends_documentation_fragment:
  - podnet.linux.attributes
  - podnet.linux.run
options:
  name: &name
    description:
      - Name, unique on the host, 1 to 63 characters out of C([-a-z0-9.]), starting and ending with a letter or a digit.
        Required at creation.
    type: str
  id: &id
    description:
      - Id of an existing sandbox, 16 hexadecimal digits, in place of O(name).
    type: str
  network: &network
    description:
      - Short for O(networks) with this one name.
      - Without O(network) and O(networks) at creation, the sandbox joins the network C(podnet0), which is made on demand (the
        first free /24 of 10.89.0.0/16 and, where the host has IPv6, a unique local /64).
    type: str
  networks: &networks
    description:
      - The networks of the sandbox. The first that is not internal carries the default route.
      - On an existing sandbox the list replaces the whole; a network that stays keeps interface, MAC and addresses unless
        they are given.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of a network declared with M(podnet.linux.bridge_network).
        type: str
        required: true
      addresses:
        description: Static addresses, at most one per subnet; leased where omitted.
        type: list
        elements: str
      mac:
        description: MAC address inside the sandbox; derived from the id where omitted.
        type: str
      interface:
        description: Interface name inside the sandbox; C(eth0), C(eth1) and so on where omitted.
        type: str
  netns: &netns
    description:
      - Path or process id of an existing network namespace to furnish instead of making one. Never the host's. The namespace
        is not deleted with the sandbox; the interfaces made in it are.
    type: str
  addresses: &addresses
    description:
      - Static addresses on the first network, at most one per subnet.
    type: list
    elements: str
    aliases: [address, container_ip]
  hostname: &hostname
    description:
      - Host name inside the sandbox. The default at creation is its name.
    type: str
  namespaces: &namespaces
    description:
      - What the sandbox owns. The default at creation is V(net), V(ipc) and V(uts).
      - Cannot be changed on a living sandbox; use O(state=recreated).
      - V(pid) needs O(pause=true). A pid namespace dies with its first process, so repairing a dead pause makes a new one.
    type: list
    elements: str
    choices: [net, ipc, uts, pid]
  pause: &pause
    description:
      - Keep a pause process in the namespaces (catatonit where installed, else sleep). The default at creation is V(true).
      - The namespaces are pinned by bind mounts either way.
    type: bool
  stop_timeout: &stop_timeout
    description:
      - Seconds between SIGTERM and SIGKILL, for the pause and, with O(force=true), for processes inside. The default at
        creation is 2.
    type: float
  port_forwards: &port_forwards
    description:
      - Published ports. What reaches such a port of the host, from outside, from the host itself or from any sandbox, this one
        included, is led to the sandbox's address on its first network that is not internal. What is addressed elsewhere is
        left alone.
      - Each is a dictionary of C(host_port), C(container_port) (by default the same), C(protocol) (V(tcp), V(udp) or V(sctp),
        by default V(tcp)) and C(host_address), or in short C("[address:]8080:80[/protocol]"), quoted, an IPv6 address in
        brackets. Ports may be ranges of equal length such as V(8000-8010); a sandbox publishes at most 4096 ports.
      - Without C(host_address) it is every address of the host, IPv4 and IPv6 as far as the sandbox has them; V(0.0.0.0) or
        V(::) is every one of a family. One on V(127.0.0.1) answers the host only. V(::1) is refused, since Linux cannot lead
        it elsewhere.
      - A port that another sandbox publishes, or that a socket of the host listens on, is refused.
    type: list
    elements: raw
    aliases: [ports]
  dns: &dns
    description:
      - Resolvers, in place of the network's.
    type: list
    elements: str
  dns_search: &dns_search
    description:
      - Search domains, in place of the network's.
    type: list
    elements: str
  dns_options: &dns_options
    description:
      - Resolver options, in place of the network's.
    type: list
    elements: str
  hosts: &hosts
    description:
      - Entries C(name:address) added to the sandbox's hosts file.
    type: list
    elements: str
  rootfs: &rootfs
    description:
      - Container roots whose C(/etc/resolv.conf) gets this sandbox's resolvers. Written where writable, mounted over where
        read-only, made if missing, never through a symlink that leaves the root.
      - What was there is put back when the root is dropped from the list or the sandbox is removed.
    type: list
    elements: path
  egress: &egress
    description:
      - The sandbox's egress policy named C(default), in force before its interface comes up. See M(podnet.linux.egress_policy)
        for what the options mean.
      - It is replaced as a whole. V({}) lets nothing out but DNS. Omitted, the policy stays as it is; lift it with
        M(podnet.linux.egress_policy).
    type: dict
    suboptions:
      allowed_cidrs:
        description: Destinations, IPv4 and IPv6.
        type: list
        elements: str
      allowed_tcp_ports:
        description: TCP ports of them.
        type: list
        elements: str
      allowed_udp_ports:
        description: UDP ports of them.
        type: list
        elements: str
      allow_dns:
        description: Port 53 of the sandbox's resolvers.
        type: bool
      log_denied:
        description: Log what is denied.
        type: bool
      max_connections:
        description: Tracked connections at once and new ones a minute, V(0) for no limit.
        type: int
      rules:
        description: Destinations with ports of their own.
        type: list
        elements: dict
        suboptions:
          cidrs:
            description: Destinations.
            type: list
            elements: str
            required: true
          except:
            description: Destinations within them that are not allowed.
            type: list
            elements: str
          ports:
            description: Ports with their protocol.
            type: list
            elements: str
          icmp:
            description: ICMP and ICMPv6.
            type: bool
      allow_metadata:
        description: Whether cloud metadata addresses are destinations like any other.
        type: bool
      established:
        description: What becomes of connections that were there before.
        type: str
        choices: [drop, keep]
      mode:
        description: Whether to drop, or only to count and log.
        type: str
        choices: [enforce, audit]
  sysctls: &sysctls
    description:
      - Kernel settings of the sandbox's own namespaces, C(net.*), C(kernel.shm*), C(kernel.msg*), C(kernel.sem),
        C(fs.mqueue.*), set before anything can join.
      - Those of one interface, such as C(net.ipv4.conf.eth0.rp_filter), are set as soon as it is made.
      - A setting that is dropped from the dictionary keeps its value until the sandbox is recreated.
    type: dict
  labels: &labels
    description:
      - Free labels.
    type: dict
  persistent: &persistent
    description:
      - Keep the sandbox in the desired state below C(/var/lib/podnet). The default at creation is V(true).
    type: bool
  sandboxes:
    description:
      - Many sandboxes at once, under one lock and in one nftables transaction.
    type: list
    elements: dict
    suboptions:
      name: *name
      id: *id
      network: *network
      networks: *networks
      netns: *netns
      addresses: *addresses
      hostname: *hostname
      namespaces: *namespaces
      pause: *pause
      stop_timeout: *stop_timeout
      port_forwards: *port_forwards
      egress: *egress
      dns: *dns
      dns_search: *dns_search
      dns_options: *dns_options
      hosts: *hosts
      rootfs: *rootfs
      sysctls: *sysctls
      labels: *labels
      persistent: *persistent
      state:
        description: The state of this item; the task's where omitted.
        type: str
        choices: [present, absent, recreated]
      force:
        description: As the task's O(force), for this item.
        type: bool
  state:
    description:
      - V(recreated) ends what is there and makes it anew, with the same id, leases and MACs.
      - Beside a list, it holds for every item that carries none of its own.
    type: str
    choices: [present, absent, recreated]
    default: present
  exclusive:
    description:
      - With the list, sandboxes that are not listed are removed.
    type: bool
    default: false
  force:
    description:
      - With O(state=absent), O(state=recreated) or O(exclusive=true), end processes that still live in the namespaces; without
        it that is an error.
    type: bool
    default: false
seealso:
  - module: podnet.linux.pod_sandbox_info
  - module: podnet.linux.egress_policy
  - module: podnet.linux.bridge_network
"""

EXAMPLES = r"""
- name: A sandbox on a network
  podnet.linux.pod_sandbox:
    name: web
    network: pods0
  register: web

- name: Run a command in it
  ansible.builtin.command:
    argv: [ip, netns, exec, "{{ web.sandbox.ns_name }}", ip, address]
  changed_when: false

- name: Two networks, a static address and settings of its own
  podnet.linux.pod_sandbox:
    name: db
    networks:
      - name: back
        addresses: [10.92.0.10]
      - name: front
    sysctls:
      net.core.somaxconn: 1024
    hosts:
      - web:10.91.0.2

- name: Ports of the host that lead into it
  podnet.linux.pod_sandbox:
    name: web
    port_forwards:
      - "8080:80"
      - "127.0.0.1:9090:9090"
      - host_port: 5000-5010
        container_port: 6000-6010
        protocol: udp

- name: These sandboxes and no other
  podnet.linux.pod_sandbox:
    exclusive: true
    sandboxes:
      - name: ci-1
        network: pods0
      - name: ci-2
        network: pods0

- name: Remove a sandbox and end what still runs in it
  podnet.linux.pod_sandbox:
    name: web
    state: absent
    force: true
"""

RETURN = r"""
sandbox:
  description: The sandbox as in effect. After O(state=absent) only its id, name and state.
  returned: success, without O(sandboxes)
  type: dict
  contains:
    id:
      description: Id, 16 hexadecimal digits.
      type: str
      sample: 0123456789abcdef
    name:
      description: Name.
      type: str
      sample: web
    ns_name:
      description: Name of the network namespace, as in C(ip netns exec).
      type: str
      sample: psb-01234567
    pause_pid:
      description: Process id of the pause, null without one.
      type: int
      sample: 4711
    veth_host:
      description: Host end of the first interface.
      type: str
      sample: vh-01234567
    container_ip:
      description: First IPv4 address.
      type: str
      sample: 10.90.0.2
    addresses:
      description: All addresses.
      type: list
      elements: str
      sample: [10.90.0.2]
    mac:
      description: MAC address of the first interface.
      type: str
      sample: 02:11:22:33:44:55
    gateways:
      description: Gateways of the default routes.
      type: list
      elements: str
      sample: [10.90.0.1]
    hostname:
      description: Host name inside.
      type: str
      sample: web
    networks:
      description: Each interface with network, name, MAC and addresses.
      type: list
      elements: dict
    port_forwards:
      description: Published ports, each with all its keys.
      type: list
      elements: dict
      sample: [{container_port: 80, host_address: null, host_port: 8080, protocol: tcp}]
    egress:
      description: The egress policy named C(default), null where there is none.
      type: dict
    labels:
      description: Labels.
      type: dict
    state:
      description: V(running), V(degraded) or V(absent).
      type: str
      sample: running
    namespace_paths:
      description: Where the namespaces can be joined.
      type: dict
      sample: {net: /run/netns/psb-01234567}
    oci_namespaces:
      description: The same as C(linux.namespaces) of an OCI runtime configuration.
      type: list
      elements: dict
    oci_mounts:
      description: Resolver files as C(mounts) of an OCI runtime configuration.
      type: list
      elements: dict
    podman_args:
      description: Arguments for C(podman run) that join the namespaces and mount the resolver files.
      type: list
      elements: str
sandboxes:
  description: The same for each item of O(sandboxes), in that order, each with its own C(changed).
  returned: success, with O(sandboxes)
  type: list
  elements: dict
"""

from typing import Any

from ansible_collections.podnet.linux.plugins.module_utils._module import POLICY_OPTIONS, PodnetModule, list_arguments, run_changes

OPTIONS = {
    "name": {"type": "str"},
    "id": {"type": "str"},
    "network": {"type": "str"},
    "networks": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "addresses": {"type": "list", "elements": "str"},
            "mac": {"type": "str"},
            "interface": {"type": "str"},
        },
    },
    "netns": {"type": "str"},
    "addresses": {"type": "list", "elements": "str", "aliases": ["address", "container_ip"]},
    "hostname": {"type": "str"},
    "namespaces": {"type": "list", "elements": "str", "choices": ["net", "ipc", "uts", "pid"]},
    "pause": {"type": "bool"},
    "stop_timeout": {"type": "float"},
    "dns": {"type": "list", "elements": "str"},
    "dns_search": {"type": "list", "elements": "str"},
    "dns_options": {"type": "list", "elements": "str"},
    "hosts": {"type": "list", "elements": "str"},
    "rootfs": {"type": "list", "elements": "path"},
    "port_forwards": {"type": "list", "elements": "raw", "aliases": ["ports"]},
    "egress": {"type": "dict", "options": POLICY_OPTIONS},
    "sysctls": {"type": "dict"},
    "labels": {"type": "dict"},
    "persistent": {"type": "bool"},
}


def main() -> None:
    module = PodnetModule(
        argument_spec=list_arguments("sandboxes", OPTIONS, ("present", "absent", "recreated")),
        required_one_of=[("name", "id", "sandboxes")],
        mutually_exclusive=[("name", "sandboxes"), ("id", "sandboxes")],
        supports_check_mode=True,
    )
    run_changes(module, "sandbox", "sandboxes", _load)


def _load() -> tuple[Any, Any]:
    from ansible_collections.podnet.linux.plugins.module_utils._engine import run_sandboxes
    from ansible_collections.podnet.linux.plugins.module_utils._spec.sandbox import SandboxRequest

    return SandboxRequest.from_options, run_sandboxes


if __name__ == "__main__":
    main()
