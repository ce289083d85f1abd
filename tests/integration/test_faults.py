# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fault behind every single operation: what fails is undone, what is killed is converged by the next run."""

from __future__ import annotations

import re
import signal
from typing import Any

import pytest
from driver import differences
from host import Host

NETWORK = {"name": "pods0", "subnets": ["10.90.0.0/24", "fd00:90::/64"]}
OTHER = {"name": "pods1", "subnets": ["10.91.0.0/24"]}
PORTS = ["8080:80", "127.0.0.1:5300:53/udp"]
SANDBOX = {"name": "web", "networks": [{"name": "pods0"}, {"name": "pods1"}], "sysctls": {"net.core.somaxconn": 99}, "port_forwards": PORTS}
LEASES = [
    {"network": "pods0", "owner": "vip", "address": "10.90.0.9"},
    {"pool": "fleet", "ranges": [{"subnet": "10.64.0.0/12"}], "owner": "host1", "address": "10.64.1.0", "prefix_length": 24},
    {"pool": "fleet", "owner": "host2", "address": "10.64.7.7"},
]
SETUP: dict[str, list[dict[str, Any]]] = {
    "network": [],
    "sandbox": [{"networks": [NETWORK, OTHER]}],
    "change of network": [{"networks": [NETWORK, OTHER]}, {"sandboxes": [SANDBOX]}],
    "change of sandbox": [{"networks": [NETWORK, OTHER]}, {"sandboxes": [SANDBOX]}],
    "removal of network": [{"networks": [NETWORK, OTHER]}, {"sandboxes": [SANDBOX]}],
    "removal of sandbox": [{"networks": [NETWORK, OTHER]}, {"sandboxes": [SANDBOX]}],
    "recreation": [{"networks": [NETWORK, OTHER]}, {"sandboxes": [SANDBOX]}],
    "leases": [{"networks": [NETWORK]}],
    "change of leases": [{"networks": [NETWORK]}, {"allocations": LEASES}],
    "removal of leases": [{"networks": [NETWORK]}, {"allocations": LEASES}],
}
SCENARIO: dict[str, dict[str, Any]] = {
    "network": {"networks": [NETWORK]},
    "sandbox": {"sandboxes": [SANDBOX]},
    "change of network": {
        "networks": [{"name": "pods0", "subnets": ["10.90.0.0/24", "fd00:90::/64", "10.92.0.0/24"], "mtu": 1400, "isolation": "none"}]
    },
    "change of sandbox": {
        "sandboxes": [
            {
                "name": "web",
                "networks": [{"name": "pods1", "interface": "uplink", "addresses": ["10.91.0.77"]}],
                "hostname": "other",
                "sysctls": {"net.core.somaxconn": 77},
                "hosts": ["a:10.0.0.1"],
                "port_forwards": ["8081:80", "5300:53/udp"],
            }
        ]
    },
    "removal of network": {"networks": [{"name": "pods0", "state": "absent", "force": True}]},
    "removal of sandbox": {"sandboxes": [{"name": "web", "state": "absent"}]},
    "recreation": {"sandboxes": [{"name": "web", "state": "recreated", "hostname": "anew"}]},
    "leases": {"allocations": LEASES},
    "change of leases": {
        "allocations": [
            {"network": "pods0", "owner": "vip", "address": "10.90.0.10"},
            {**LEASES[1], "ranges": [{"subnet": "10.64.0.0/12", "gateway": "10.79.0.1"}], "address": "10.64.2.0", "prefix_length": 25},
            {"pool": "fleet", "owner": "host2", "state": "absent"},
            {"pool": "fleet", "owner": "host3", "address": "10.64.7.7"},
        ]
    },
    "removal of leases": {"allocations": [{**item, "state": "absent"} for item in LEASES]},
}
MARKED = ("removal of network", "removal of sandbox", "recreation")
RESET = [
    {"allocations": [{"pool": "fleet", "owner": f"host{number}", "state": "absent"} for number in (1, 2, 3)]},
    {"allocations": [{"network": "pods0", "owner": "vip", "state": "absent"}]},
    {"sandboxes": [{"name": "web", "state": "absent", "force": True}]},
    {"networks": [{"name": "pods0", "state": "absent"}, {"name": "pods1", "state": "absent"}]},
]
LEAST = {
    "network": 8,
    "sandbox": 25,
    "change of network": 8,
    "change of sandbox": 15,
    "removal of network": 12,
    "removal of sandbox": 12,
    "recreation": 20,
    "leases": 5,
    "change of leases": 7,
    "removal of leases": 4,
}


@pytest.mark.parametrize("name", SCENARIO)
def test_failure_is_undone(host: Host, name: str) -> None:
    report = host.drive({"faults": "fail_after", "setup": SETUP[name], "task": SCENARIO[name], "reset": RESET})
    assert "broken" not in report, report["broken"]
    assert len(report["points"]) >= LEAST[name]
    for point in report["points"]:
        done = point["done"]
        assert (done["reason"], done["error"]) == ("kernel_error", "injected")
        if name in MARKED and _behind_the_mark(name, done["operations"]):
            # It cannot be undone any more: the next run finishes.
            assert point["again"]["changed"] or done["operations"][-1] == "DeleteRecord", point
            _ends_well(name, report, point)
        else:
            assert not done["differs"], (point["number"], done["operations"][-1], done["differs"])


@pytest.mark.parametrize("name", SCENARIO)
def test_killed_run_is_converged_by_the_next(host: Host, name: str) -> None:
    report = host.drive({"faults": "kill_after", "setup": SETUP[name], "task": SCENARIO[name], "reset": RESET})
    assert "broken" not in report, report["broken"]
    assert len(report["points"]) >= LEAST[name]
    for point in report["points"]:
        assert point["done"] == {"died": signal.SIGKILL}
        _ends_well(name, report, point)


def _ends_well(name: str, report: dict[str, Any], point: dict[str, Any]) -> None:
    """The next run gets there, the one after has nothing to do, nothing is orphaned, and removal leaves nothing."""
    assert "error" not in point["again"], point
    assert "error" not in point["third"], point
    if name != "recreation":
        assert point["third"]["changed"] is False, (point["number"], point["third"]["operations"])
    assert point["pruned"]["results"][0]["pruned"] == [], point["number"]
    model = next(other["picture"] for other in report["points"] if "picture" in other)
    assert not differences(_comparable(model), _comparable(point["picture"])), point["number"]
    stays = ("/etc/sysctl.d/60-podnet.conf", "/var/lib/podnet/pools/fleet/pool.json", "/var/lib/podnet/pools/fleet/cursor")
    left = {**point["left"], "files": [path for path in point["left"]["files"] if not path.startswith(stays)]}
    assert left == {"mounts": [], "processes": [], "namespaces": {}, "links": ["lo"], "files": []}, point["number"]


def _behind_the_mark(name: str, operations: list[str]) -> bool:
    if name == "recreation":
        return any(operation in ("StopPause", "DeleteVeths", "RemovePins") for operation in operations)
    return "WriteRecord" in operations


DERIVED = r"(?<=vh)\d*-[0-9a-f]{8}|([0-9a-f]{2}:){5}[0-9a-f]{2}|fe80::[0-9a-f:]+|0xfe80[0-9a-f]+"


def _comparable(picture: dict[str, Any]) -> dict[str, Any]:
    """Ids, and what is derived from them, differ from one creation to the next: count instead of comparing."""
    return {
        "files": sorted(path.rsplit("/", 1)[-1] for path in picture["files"] if not re.search("psb-|[.]json|/cursor|/owners/", path)),
        "mounts": len(picture["mounts"]),
        "rules": sorted(re.sub(DERIVED, "", picture["rules"]).replace(",", " ").split()),
        "links": sorted(link["ifname"][:3] for link in picture["host"]["links"]),
        "inside": [[sorted(link["addresses"]) for link in inside["links"]] for inside in picture["namespaces"].values()],
        "processes": len(picture["processes"]),
        "sysctls": picture["sysctls"],
    }
