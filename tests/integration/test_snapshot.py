# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Going back to all that a host had before a change."""

from __future__ import annotations

import re
from typing import Any

from host import Host

BEFORE = [{"name": "web", "network": "pods0"}, {"name": "build", "network": "pods0", "port_forwards": ["8080:80"]}]
NEW_NETWORKS = [
    {"name": "pods0", "subnets": ["10.93.0.0/24", "10.90.0.0/24"], "mtu": 1300, "dns": ["192.0.2.9"]},
    {"name": "more", "subnets": ["10.95.0.0/24"]},
]
NEW = [
    {
        "name": "web",
        "networks": [{"name": "more"}, {"name": "pods0", "addresses": ["10.93.0.9"]}],
        "egress": {"allowed_cidrs": ["192.0.2.1"], "allowed_tcp_ports": [444]},
        "hostname": "changed",
        "dns": ["192.0.2.8"],
        "port_forwards": ["8080:8080"],
    },
    {"name": "newer", "network": "more", "egress": {}},
]


def shown(host: Host) -> dict[str, Any]:
    """All that there is, but for processes and numbers that the kernel gives."""
    found: dict[str, Any] = {
        "sandboxes": host.do("pod_sandbox_info")["sandboxes"],
        "networks": host.do("bridge_network_info")["networks"],
        "policies": host.do("egress_policy_info")["policies"],
        "leases": sorted((item["owner"], str(item["addresses"])) for item in host.do("ip_allocation_info")["allocations"]),
        "rules": sorted(re.sub(r"packets \d+ bytes \d+", "", host.sh("nft list ruleset")).replace(",", " ").split()),
    }
    for item in found["sandboxes"]:
        item.pop("pause_pid")
        item["inside"] = host.sh(
            f"ip netns exec {item['ns_name']} sh -c 'cat /etc/resolv.conf; ip -br addr; ip route' | sed 's/@if[0-9]*//'"
        )
    for item in found["networks"]:
        item.pop("ifindex")
    return found


def test_all_comes_back_and_nothing_stays(host: Host) -> None:
    host.do("bridge_network", networks=[{"name": "pods0", "subnets": ["10.90.0.0/24"]}])
    host.do("pod_sandbox", sandboxes=BEFORE)
    host.do("egress_policy", network="pods0", name="ceiling", rules=[{"cidrs": ["0.0.0.0/0"]}])
    before = shown(host)
    host.refusals("snapshot", ({"state": "restored", "path": "/var/lib/podnet/none.json"}, "not_found", "none.json"))
    taken = host.quartet("snapshot")
    assert taken["path"] == "/var/lib/podnet/snapshot.json"
    host.do("pod_sandbox", name="build", state="absent")
    host.do("bridge_network", networks=NEW_NETWORKS)
    host.do("pod_sandbox", sandboxes=NEW)
    host.do("egress_policy", network="pods0", name="ceiling", rules=[{"cidrs": ["10.0.0.0/8"]}], mode="audit")
    assert shown(host) != before
    host.quartet("snapshot", state="restored")
    assert shown(host) == before
    host.quartet("snapshot", state="absent")
    assert not host.do("snapshot", state="absent")["changed"]


def test_a_snapshot_of_nothing_leaves_nothing(host: Host) -> None:
    host.do("snapshot", path="/var/lib/podnet/empty.json")
    host.do("bridge_network", name="pods0", subnets=["10.90.0.0/24"])
    host.do("pod_sandbox", name="web", network="pods0")
    inside = host.occupy("ip", "netns", "exec", host.do("pod_sandbox_info")["sandboxes"][0]["ns_name"])
    assert host.do("snapshot", path="/var/lib/podnet/empty.json", state="restored")["changed"]
    assert inside.wait(20) != 0
    assert host.do("pod_sandbox_info")["sandboxes"] == [] and host.do("bridge_network_info")["networks"] == []
    assert "podnet" not in host.sh("nft list ruleset")
    host.sh("echo '{}' > /var/lib/podnet/empty.json")
    host.refusals("snapshot", ({"path": "/var/lib/podnet/empty.json", "state": "restored"}, "state_corrupt", "empty.json"))
