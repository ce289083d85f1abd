# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many objects in one task: one lock, one transaction, everything or nothing."""

from __future__ import annotations

from host import Host

TWENTY = [{"name": f"ci-{number}", "network": "pods0"} for number in range(20)]


def test_a_list_is_one_transaction_in_the_order_given(host: Host) -> None:
    networks = [{"name": name, "subnet": f"10.{number}.0.0/24"} for number, name in ((5, "zz"), (4, "aa"))]
    made = host.quartet("bridge_network", networks=networks)
    assert [(item["name"], item["changed"]) for item in made["networks"]] == [("zz", True), ("aa", True)]
    done = host.drive({"networks": [{"name": "mm", "subnets": ["10.6.0.0/24"]}, {"name": "nn", "subnets": ["10.7.0.0/24"]}]})
    assert done["operations"].count("LoadRules") == 1


def test_twenty_sandboxes_at_once(pods0: Host) -> None:
    made = pods0.quartet("pod_sandbox", sandboxes=TWENTY)["sandboxes"]
    assert [item["name"] for item in made] == [item["name"] for item in TWENTY]
    assert sorted(item["container_ip"] for item in made) == sorted(f"10.90.0.{number}" for number in range(2, 22))
    assert pods0.pings(made[0], made[19]["container_ip"])
    one = pods0.quartet("pod_sandbox", sandboxes=[*TWENTY, {"name": "late", "network": "pods0"}])["sandboxes"]
    assert [item["name"] for item in one if item["changed"]] == ["late"]
    gone = pods0.quartet("pod_sandbox", sandboxes=TWENTY, state="absent")["sandboxes"]
    assert {(item["state"], item["changed"]) for item in gone} == {("absent", True)}


def test_exclusive_removes_what_is_not_listed(pods0: Host) -> None:
    pods0.do("pod_sandbox", sandboxes=[{"name": name, "network": "pods0"} for name in ("a", "b", "c")])
    pods0.quartet("pod_sandbox", exclusive=True, sandboxes=[{"name": "b"}, {"name": "d", "network": "pods0"}])
    assert [item["name"] for item in pods0.do("pod_sandbox_info")["sandboxes"]] == ["b", "d"]
    refused = pods0.refused("bridge_network", exclusive=True, networks=[{"name": "other", "subnet": "10.9.0.0/24"}])
    assert refused["reason"] == "in_use"
    pods0.quartet("bridge_network", exclusive=True, force=True, networks=[{"name": "other", "subnet": "10.9.0.0/24"}])
    assert [item["name"] for item in pods0.do("bridge_network_info")["networks"]] == ["other"]
    assert pods0.do("pod_sandbox_info")["sandboxes"] == []
    pods0.quartet("bridge_network", exclusive=True, networks=[])
    assert [link["ifname"] for link in pods0.json("ip", "-j", "link")] == ["lo"]


def test_a_static_address_moves_to_the_successor_in_one_run(pods0: Host) -> None:
    pods0.do("pod_sandbox", name="old", network="pods0", addresses=["10.90.0.77"])
    new = {"name": "new", "network": "pods0", "addresses": ["10.90.0.77"]}
    done = pods0.quartet("pod_sandbox", exclusive=True, sandboxes=[new])["sandboxes"][0]
    assert done["container_ip"] == "10.90.0.77" and pods0.pings(done, "10.90.0.1")


def test_a_subnet_moves_to_the_successor_in_one_run(pods0: Host) -> None:
    pods0.quartet("bridge_network", exclusive=True, networks=[{"name": "pods1", "subnets": ["10.90.0.0/24", "fd00:90::/64"]}])
    sandbox = pods0.do("pod_sandbox", name="web", network="pods1")["sandbox"]
    assert pods0.pings(sandbox, "10.90.0.1") and pods0.pings(sandbox, "fd00:90::1")


def test_states_of_items_win_over_the_tasks(pods0: Host) -> None:
    pods0.do("pod_sandbox", name="a", network="pods0")
    done = pods0.quartet("pod_sandbox", sandboxes=[{"name": "a", "state": "absent"}, {"name": "b", "network": "pods0"}])
    assert [item["state"] for item in done["sandboxes"]] == ["absent", "running"]
