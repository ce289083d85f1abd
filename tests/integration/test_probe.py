# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Probes from inside sandboxes."""

from __future__ import annotations

import time
from typing import Any

import pytest
from host import Host
from talk import LAN, serve

NETWORKS = [{"name": "a", "subnets": ["10.91.0.0/24", "fd00:91::/64"]}, {"name": "six", "subnets": ["fd00:92::/64"]}]


@pytest.fixture
def pods(lan: Host) -> dict[str, dict[str, Any]]:
    lan.do("bridge_network", networks=NETWORKS)
    made = lan.do(
        "pod_sandbox",
        sandboxes=[
            {"name": "bound", "network": "a", "egress": {"allowed_cidrs": [LAN[0]], "allowed_tcp_ports": [4000, 4001]}},
            {"name": "free", "network": "a"},
            {"name": "six", "network": "six", "egress": {}},
        ],
    )
    serve(lan, "lan", "lan", 4000)
    return {item["name"]: item for item in made["sandboxes"]}


def test_what_answers_and_what_is_denied(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    asked = [
        ("bound", LAN[0], 4000, "open"),
        ("bound", LAN[0], 4001, "refused"),
        ("bound", LAN[0], 4002, "closed"),
        ("bound", LAN[1], 4000, "closed"),
        ("free", LAN[1], 4000, "open"),
        ("free", "10.91.0.99", 4000, "closed"),
    ]
    lan.sh(f"ip route add default via {LAN[0]}; ip route add default via {LAN[1]}")
    probes = [dict(zip(("sandbox", "to", "port", "expect"), item)) for item in asked]
    tried = lan.do("pod_probe", probes=probes)
    assert tried["passed"] and not tried["changed"], tried
    assert [(item["sandbox"], item["found"]) for item in tried["probes"]] == [
        *((item[0], item[3]) for item in asked),
        ("bound", "denied"),
        ("six", "denied"),
    ]
    tried = lan.do("pod_probe", probes=[{**probes[0], "expect": "closed"}], policies=False)
    assert not tried["passed"] and [item["found"] for item in tried["probes"]] == ["open"]
    lan.do("egress_policy", network="a", allowed_cidrs=["0.0.0.0/0"])
    assert [item["sandbox"] for item in lan.do("pod_probe")["probes"]] == ["bound", "free", "six"]
    # What does not hold is noticed.
    lan.sh("nft flush map inet podnet ceilings; nft flush map inet podnet policies4")
    tried = lan.do("pod_probe")
    assert {item["sandbox"]: item["found"] for item in tried["probes"]} == {"bound": "not denied", "free": "not denied", "six": "denied"}
    # On a host that is connected to nothing.
    lan.sh("ip route del default; ip -6 route del default; nft flush chain bridge podnet from_routed")
    assert [item["to"] for item in lan.do("pod_probe")["probes"]] == ["255.255.255.255", "255.255.255.255", "ff02::1"]
    assert not lan.do("pod_probe")["passed"]
    lan.do("egress_policy", network="a")
    tried = lan.do("pod_probe")
    assert tried["passed"], tried
    lan.refusals(
        "pod_probe",
        ({"probes": [{"sandbox": "nobody", "to": "192.0.2.1", "port": 1}]}, "not_found", "nobody"),
        ({"probes": [{"sandbox": "free", "to": "example.org", "port": 1}]}, "invalid_argument", "example.org"),
        ({"probes": [{"sandbox": "free", "to": "192.0.2.1", "port": 65536}]}, "invalid_argument", "65536"),
    )


def test_a_policy_may_take_its_time_to_count(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    """As on a busy host, where packets wait for their turn."""
    lan.sh(
        f"ip route add default via {LAN[0]}; (echo 'flush map inet podnet policies4'; nft list map inet podnet policies4) > {lan.tmp}/back"
    )
    lan.sh("nft flush map inet podnet policies4")
    # Half a second after the probes have begun, for which they hold the lock.
    lan.start("sh", "-c", f"while flock --nonblock /run/podnet/lock true; do sleep 0.02; done; sleep 0.5; nft -f {lan.tmp}/back")
    tried = lan.do("pod_probe", patience=20)
    assert tried["passed"], tried
    # What never counts is not waited for each time.
    lan.do("pod_sandbox", sandboxes=[{"name": f"more-{number}", "network": "a", "egress": {}} for number in range(6)])
    lan.sh("nft flush map inet podnet policies4")
    start = time.monotonic()
    assert not lan.do("pod_probe", patience=4)["passed"]
    assert time.monotonic() - start < 4 * 7
