# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role pods, which needs no systemd; molecule has the rest on hosts with one."""

from __future__ import annotations

import json
import re
from typing import Any

from host import BIN, Host

DECLARED: dict[str, Any] = {
    "pods_pools": [{"pool": "spare", "ranges": [{"subnet": "10.95.0.0/24"}], "owner": "somebody"}],
    "pods_networks": [{"name": "pods0", "subnets": ["10.90.0.0/24"]}, {"name": "pods1", "subnets": ["10.91.0.0/24"]}],
    "pods_sandboxes": [{"name": "web", "network": "pods0", "port_forwards": ["8080:80"]}, {"name": "job", "network": "pods1"}],
    "pods_policies": [{"network": "pods1", "rules": [{"cidrs": ["192.0.2.0/24"]}]}],
}


def pods(host: Host, *options: str, **variables: Any) -> int:
    """How many tasks of the role changed something."""
    path = host.tmp / "pods.yml"
    role = {"role": "podnet.linux.pods", **variables}
    path.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "roles": [role]}]))
    done = host.run(str(BIN / "ansible-playbook"), *options, str(path), env={"ANSIBLE_STDOUT_CALLBACK": "default"})
    return int(re.findall(r"changed=(\d+)", done.stdout)[-1])


def names(host: Host) -> list[str]:
    infos = ("bridge_network_info", "networks"), ("pod_sandbox_info", "sandboxes"), ("egress_policy_info", "policies")
    return sorted(f"{module[:3]} {item['name']}" for module, key in infos for item in host.do(module)[key])


def test_a_host_may_have_no_pods(host: Host) -> None:
    assert pods(host) == pods(host, pods_exclusive=True) == 0


def test_declared_once_more_and_no_more(host: Host) -> None:
    # In a dry run on an empty host nothing is there that policies could bind.
    assert pods(host, "--check", **DECLARED) >= 4
    assert names(host) == []
    assert pods(host, **DECLARED) == 4
    assert names(host) == ["bri pods0", "bri pods1", "egr default", "pod job", "pod web"]
    assert pods(host, pods_exclusive=True, **DECLARED) == 0
    less = {
        **DECLARED,
        "pods_networks": DECLARED["pods_networks"][:1],
        "pods_sandboxes": DECLARED["pods_sandboxes"][:1],
        "pods_policies": [],
    }
    gone = [{"name": "job", "state": "absent"}]
    assert pods(host, **{**less, "pods_sandboxes": [*less["pods_sandboxes"], *gone]}) == 1
    assert names(host) == ["bri pods0", "bri pods1", "egr default", "pod web"]
    assert pods(host, pods_exclusive=True, **less) > 0
    assert names(host) == ["bri pods0", "pod web"]
    assert pods(host, pods_state="absent", **less) > 0
    assert names(host) == [] and host.do("ip_allocation_info")["allocations"] == []
