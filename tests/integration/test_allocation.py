# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases by name on a real host: predicted, given, kept and given back; for ordinary users; and when everybody comes at once."""

from __future__ import annotations

import os
import random
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from host import Host, task

FLEET = {"pool": "fleet", "ranges": [{"subnet": "10.64.0.0/12"}, {"subnet": "fd00:64::/48"}]}
SERVICES = {
    "pool": "services",
    "ranges": [{"subnet": "10.80.0.0/24", "start": "10.80.0.100", "end": "10.80.0.199", "gateway": "10.80.0.1"}],
}


def test_every_option(pods0: Host) -> None:
    vip, moved, block, both, service, asked, random_one, _gone = (
        done["allocation"]
        for done in pods0.quartets(
            ("ip_allocation", {"network": "pods0", "owner": "vip"}),
            ("ip_allocation", {"network": "pods0", "owner": "vip", "address": "10.90.0.50"}),
            ("ip_allocation", {**FLEET, "owner": "host1.example.com", "prefix_length": 24}),
            ("ip_allocation", {"pool": "fleet", "owner": "both"}),
            ("ip_allocation", {**SERVICES, "owner": "mail", "reserved": ["10.80.0.100/31"]}),
            ("ip_allocation", {"pool": "services", "owner": "web", "address": "10.80.0.180"}),
            ("ip_allocation", {"pool": "services", "owner": "any", "strategy": "random"}),
            ("ip_allocation", {"pool": "services", "owner": "web", "state": "absent"}),
        )
    )
    assert (vip["addresses"], vip["gateways"]) == (["10.90.0.2", "fd00:90::2"], ["10.90.0.1", "fd00:90::1"])
    assert moved["addresses"] == ["10.90.0.50", "fd00:90::2"]
    assert block["blocks"] == ["10.64.0.0/24"] and "addresses" not in block
    assert both["addresses"] == ["10.64.1.0", "fd00:64::1"]
    assert (service["addresses"], service["gateways"]) == (["10.80.0.102"], ["10.80.0.1"])
    assert asked["addresses"] == ["10.80.0.180"]
    assert ip_address("10.80.0.103") <= ip_address(random_one["addresses"][0]) <= ip_address("10.80.0.199")
    sandbox = pods0.do("pod_sandbox", name="web", network="pods0")["sandbox"]
    assert sandbox["addresses"] == ["10.90.0.3", "fd00:90::3"]


def test_lists_and_exclusive(pods0: Host) -> None:
    pods0.do("pod_sandbox", name="web", network="pods0")
    three = [{"network": "pods0", "owner": owner} for owner in ("a", "b", "c")]
    first, second, third = pods0.quartets(
        ("ip_allocation", {"allocations": [*three, {**SERVICES, "owner": "mail"}]}),
        ("ip_allocation", {"allocations": three[1:], "exclusive": True}),
        ("ip_allocation", {"allocations": [{**item, "state": "absent"} for item in three]}),
    )
    assert [item["owner"] for item in first["allocations"]] == ["a", "b", "c", "mail"]
    assert len({item["addresses"][0] for item in first["allocations"]}) == 4
    assert [item["changed"] for item in second["allocations"]] == [False, False]
    assert [item["changed"] for item in third["allocations"]] == [False, True, True]
    info = pods0.do("ip_allocation_info")
    assert [(item["owner"], item["sandbox"]) for item in info["allocations"]][1:] == [("mail", None)]
    assert info["allocations"][0]["sandbox"] == "web" and not pods0.do("prune")["changed"]


def test_what_cannot_be_is_refused(pods0: Host) -> None:
    web = pods0.do("pod_sandbox", name="web", network="pods0")["sandbox"]
    pods0.sh("ip link add br9 type bridge; ip addr add 10.80.0.150/32 dev br9")
    pods0.do("ip_allocation", **SERVICES, owner="mail")
    pods0.refusals(
        "ip_allocation",
        ({"owner": "x"}, "invalid_argument", "exactly one"),
        ({"network": "pods0", "pool": "p", "owner": "x"}, "invalid_argument", "network"),
        ({"network": "pods0"}, "invalid_argument", "owner"),
        ({"network": "nowhere", "owner": "x"}, "not_found", "nowhere"),
        ({"pool": "nowhere", "owner": "x"}, "not_found", "nowhere"),
        ({"pool": "../x", "owner": "x", "ranges": SERVICES["ranges"]}, "invalid_argument", "../x"),
        ({"network": "pods0", "owner": "x", "ranges": SERVICES["ranges"]}, "invalid_argument", "ranges"),
        ({"network": "pods0", "owner": "x", "address": "10.90.0.2"}, "address_in_use", "web"),
        ({"network": "pods0", "owner": "x", "address": "10.91.0.2"}, "invalid_argument", "10.91.0.2"),
        ({"network": "pods0", "owner": web["id"], "state": "absent"}, "in_use", "web"),
        ({"pool": "services", "owner": "x", "address": "10.80.0.100"}, "address_in_use", "mail"),
        ({"pool": "services", "owner": "x", "address": "10.80.0.150"}, "address_in_use", "carried by an interface"),
        ({"pool": "services", "owner": "x", "address": "10.80.0.9"}, "invalid_argument", "outside the ranges"),
        ({"pool": "services", "owner": "x", "prefix_length": 16}, "invalid_argument", "prefix_length"),
        ({"pool": "services", "owner": "x", "ranges": [{"subnet": "10.81.0.0/24"}]}, "in_use", "10.80.0.100"),
        ({"pool": "services", "owner": "x", "ranges": [{"subnet": "10.80.0.0/33"}]}, "invalid_argument", "10.80.0.0/33"),
        ({"allocations": [{"pool": "services", "owner": "a"}] * 2}, "invalid_argument", "twice"),
        ({"allocations": [{"pool": "services", "owner": "a"}, {"pool": "nowhere", "owner": "b"}]}, "not_found", "nowhere"),
        ({"allocations": [], "owner": "a"}, "invalid_argument", "owner"),
    )
    assert [item["owner"] for item in pods0.do("ip_allocation_info", pool="services")["allocations"]] == ["mail"]


def test_a_full_pool_says_so(host: Host) -> None:
    small = {"pool": "small", "ranges": [{"subnet": "10.80.0.0/30"}]}
    host.do("ip_allocation", allocations=[{**small, "owner": owner} for owner in ("a", "b")])
    refused = host.refused("ip_allocation", **small, owner="c")
    assert refused["reason"] == "no_address_available" and "pool small" in refused["msg"] and "2 used of 2" in refused["msg"]


def test_a_lost_sandbox_leaves_a_stale_lease_that_prune_frees(pods0: Host) -> None:
    lost, kept = pods0.do("pod_sandbox", sandboxes=[{"name": "lost", "network": "pods0"}, {"name": "kept", "network": "pods0"}])[
        "sandboxes"
    ]
    pods0.do("ip_allocation", network="pods0", owner="vip")
    pods0.sh(f"rm /var/lib/podnet/sandboxes/{lost['id']}.json")
    books = pods0.do("ip_allocation_info", network="pods0")
    assert {item["owner"]: item["stale"] for item in books["allocations"]} == {lost["id"]: True, kept["id"]: False, "vip": False}
    assert [item["stale"] for item in books["pools"][0]["ranges"]] == [1, 1]
    fresh = pods0.do("pod_sandbox", name="new", network="pods0")["sandbox"]
    assert not set(fresh["addresses"]) & set(lost["addresses"])
    pruned = " ".join(pods0.quartet("prune")["pruned"])
    assert all(f"lease {address} of pods0" in pruned for address in lost["addresses"])
    after = pods0.do("ip_allocation_info", network="pods0")
    assert not any(item["stale"] for item in after["allocations"]) and len(after["allocations"]) == 3


def test_a_network_with_leases_goes_only_by_force(pods0: Host) -> None:
    pods0.do("ip_allocation", network="pods0", owner="vip")
    refused = pods0.refused("bridge_network", name="pods0", state="absent")
    assert refused["reason"] == "in_use" and "vip" in refused["msg"]
    pods0.quartet("bridge_network", name="pods0", state="absent", force=True)
    assert not [path for path in pods0.tree() if path.startswith("/var/lib/podnet")]


@pytest.mark.parametrize("text", ("", "\n", "{}", '{"held": "10.90.0.3", "owner": "x"}'))
def test_a_garbled_lease_is_named_and_not_given_away(pods0: Host, text: str) -> None:
    path = "/var/lib/podnet/leases/pods0/10.90.0.2"
    pods0.do("ip_allocation", network="pods0", owner="vip")
    pods0.sh(f"rm /var/lib/podnet/leases/pods0/cursor4; printf %s '{text}' > {path}")
    for module, options in (
        ("ip_allocation", {"network": "pods0", "owner": "other"}),
        ("ip_allocation", {"network": "pods0", "owner": "vip"}),
        ("pod_sandbox", {"name": "web", "network": "pods0"}),
        ("ip_allocation_info", {}),
        ("prune", {}),
    ):
        refused = pods0.refused(module, **options)
        assert refused["reason"] == "state_corrupt" and path in refused["msg"], (module, refused)


def test_what_got_lost_is_found_again(host: Host) -> None:
    """The lists of owners are no second book; and a pool that is broken breaks nothing else."""
    pools = "/var/lib/podnet/pools"
    host.do("ip_allocation", allocations=[{**SERVICES, "owner": owner} for owner in ("a", "b")])
    host.do("ip_allocation", **FLEET, owner="c")
    host.sh(f"rm {pools}/services/owners/a")
    info = host.do("ip_allocation_info", pool="services")
    assert [item["addresses"] for item in info["allocations"]] == [["10.80.0.100"], ["10.80.0.101"]]
    assert host.quartet("prune")["pruned"] == ["list of a in pool:services"]
    host.sh(f"rm -r {pools}/services/owners")
    assert not host.do("ip_allocation", pool="services", owner="b")["changed"]
    host.quartet("ip_allocation", pool="services", owner="a", state="absent")
    for damage, named in ((f": > {pools}/services/pool.json", "pool.json"), (f"rm {pools}/services/pool.json", "pool.json is missing")):
        host.sh(damage)
        refused = host.refused("ip_allocation", pool="services", owner="b")
        assert refused["reason"] == "state_corrupt" and named in refused["msg"]
        results = host.play(
            task("ip_allocation", pool="fleet", owner="c"),
            task("bridge_network", name="pods0", subnets=["10.90.0.0/24"]),
            task("pod_sandbox_info"),
            task("prune"),
        )
        assert not [result["msg"] for result in results if result["failed"]]


def test_an_ordinary_user_has_pools_of_their_own(host: Host) -> None:
    """No privileges, no /var/lib; the way a controller carves subnets for its fleet."""

    user = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
    fleet = {**FLEET, "prefix_length": 24}

    def ask(*tasks: dict[str, Any], state: str | None = None) -> list[dict[str, Any]]:
        return host.play(*tasks, env={"XDG_STATE_HOME": state} if state else {}, enter=user)

    made = [host.must(done) for done in ask(*(task("ip_allocation", **fleet, owner=owner) for owner in ("host2", "host1", "host2")))]
    assert [done["changed"] for done in made] == [True, True, False]
    assert [done["allocation"]["blocks"][0] for done in made] == ["10.64.0.0/24", "10.64.1.0/24", "10.64.0.0/24"]
    assert (host.tmp / ".local/state/podnet/pools/fleet/pool.json").is_file() and host.tree() == {}
    (listed,) = ask(task("ip_allocation_info"))
    assert [item["blocks"][0] for item in host.must(listed)["allocations"]] == ["10.64.1.0/24", "10.64.0.0/24"]
    elsewhere = str(host.tmp / "elsewhere")
    (dry,) = ask(task("ip_allocation", **fleet, owner="host9", check_mode=True), state=elsewhere)
    assert host.must(dry)["changed"] and not os.path.exists(elsewhere)
    (done,) = ask(task("ip_allocation", **fleet, owner="host9"), state=elsewhere)
    assert host.must(done)["allocation"]["blocks"][0] == "10.64.0.0/24"
    for state in ("/proc/1", "/etc/passwd"):
        for refused in ask(*(task("ip_allocation", **fleet, owner="host9", check_mode=dry_run) for dry_run in (False, True)), state=state):
            assert refused["failed"] and refused["reason"] == "not_permitted" and "XDG_STATE_HOME" in refused["msg"], (state, refused)
    (refused,) = ask(task("ip_allocation", network="pods0", owner="x"))
    assert refused["failed"] and refused["reason"] == "not_permitted"


def test_fifty_at_once_ten_of_them_killed(pods0: Host) -> None:
    """No address twice, no lock that stays, and the books say what is."""
    tasks: list[dict[str, Any]] = [{"allocations": [{"network": "pods0", "owner": f"owner-{number}"}]} for number in range(30)]
    tasks += [{"sandboxes": [{"name": f"pod-{number}", "network": "pods0"}]} for number in range(20)]
    random.Random(7).shuffle(tasks)
    results = pods0.drive({"at_once": tasks, "kill_each": 5})
    ended = [done for done in results if "died" not in done]
    assert 40 <= len(ended) < 50 and not [done for done in ended if "error" in done]
    pods0.do("prune")
    info = pods0.do("ip_allocation_info", network="pods0")
    held = [address for item in info["allocations"] for address in item["addresses"]]
    assert len(held) == len(set(held)) and not any(item["stale"] for item in info["allocations"])
    given = {item["owner"]: item["addresses"] for item in info["allocations"] if item["sandbox"] is None}
    for done in ended:
        for result in done["results"]:
            if "owner" in result:
                assert given[result["owner"]] == result["addresses"]
    sandboxes = pods0.do("pod_sandbox", sandboxes=[{"name": f"pod-{number}", "network": "pods0"} for number in range(20)])["sandboxes"]
    info = pods0.do("ip_allocation_info", network="pods0")
    assert {item["id"]: sorted(item["addresses"]) for item in sandboxes} == {
        item["owner"]: sorted(item["addresses"]) for item in info["allocations"] if item["sandbox"]
    }
    files = [path.rsplit("/", 1)[-1] for path in pods0.tree() if path.startswith("/var/lib/podnet/leases/pods0/")]
    on_disk = [name for name in files if "." in name or ":" in name]
    assert sorted(on_disk) == sorted(address for item in info["allocations"] for address in item["addresses"])
    used = [item["used"] for item in info["pools"][0]["ranges"]]
    assert used == [len([1 for name in on_disk if ip_address(name).version == version]) for version in (4, 6)]
    assert all(ip_address(name) in ip_network("10.90.0.0/24") for name in on_disk if "." in name)
