# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""bridge_network: created, converged in place, refused, removed."""

from __future__ import annotations

from typing import Any

from driver import differences
from host import Host, task

BASE = {"name": "pods0", "subnets": ["10.90.0.0/24", "fd00:90::/64"]}
CHANGES: dict[str, dict[str, Any]] = {
    "subnets": {"subnets": ["10.90.0.0/24", "fd00:90::/64", "10.93.0.0/25"]},
    "gateways": {"gateways": ["10.90.0.254", "fd00:90::ff"]},
    "ranges": {"ranges": [{"start": "10.90.0.100", "end": "10.90.0.120"}]},
    "reserved": {"reserved": ["10.90.0.9", "10.90.0.64/26"]},
    "mtu": {"mtu": 1400},
    "nat": {"nat": False},
    "internal": {"internal": True},
    "isolation": {"isolation": "none"},
    "inter_pod": {"inter_pod": False},
    "host_access": {"host_access": False},
    "dns": {"dns": ["10.90.0.1", "9.9.9.9"]},
    "dns_search": {"dns_search": ["example.org"]},
    "dns_options": {"dns_options": ["ndots:2", "rotate"]},
}


DERIVED = {
    "subnets": ("subnets", "gateways", "addresses"),
    "gateways": ("gateways", "addresses"),
    "ranges": ("addresses",),
    "reserved": ("addresses",),
    "internal": ("internal", "dns"),
}


def bridge(host: Host, name: str = "pods0") -> dict[str, Any]:
    return host.json("ip", "-j", "-d", "addr", "show", "dev", name)[0]


def test_creation_is_predicted_and_idempotent(host: Host) -> None:
    network = host.quartet("bridge_network", **BASE)["network"]
    link = bridge(host)
    assert link["ifalias"].startswith("podnet:") and "UP" in link["flags"]
    assert (link["ifindex"], link["address"], link["mtu"]) == (network["ifindex"], network["mac"], 1500)
    carried = {f"{item['local']}/{item['prefixlen']}" for item in link["addr_info"] if item["scope"] == "global"}
    assert carried == {"10.90.0.1/24", "fd00:90::1/64"}
    assert network["addresses"]["10.90.0.0/24"] == {"total": 253, "used": 0, "free": 253}
    assert network["addresses"]["fd00:90::/64"]["total"] == 2**64 - 2
    assert "masquerade" in host.sh("nft list table inet podnet")


def test_every_option_changes_in_place_and_nothing_else(pods0: Host) -> None:
    before = pods0.do("bridge_network", **BASE)["network"]
    pod = pods0.do("pod_sandbox", name="web", network="pods0")["sandbox"]
    expected = before
    steps = [("bridge_network", {"name": "pods0", **change}) for change in CHANGES.values()]
    for (option, change), result in zip(CHANGES.items(), pods0.quartets(*steps)):
        network = result["network"]
        derived = DERIVED.get(option, ())
        assert {key: value for key, value in network.items() if key not in derived} == {
            key: value for key, value in {**expected, **change}.items() if key not in derived
        }, option
        expected = network
    after = pods0.do("pod_sandbox", name="web")
    assert after["changed"] is False, after["diff"]
    assert (after["sandbox"]["id"], after["sandbox"]["pause_pid"]) == (pod["id"], pod["pause_pid"])
    assert pods0.json("ip", "-n", pod["ns_name"], "-j", "link", "show", "dev", "eth0")[0]["mtu"] == 1400
    assert "options ndots:2 rotate" in pods0.inside(pod, "cat", "/etc/resolv.conf").stdout


def test_omitted_options_keep_their_values(host: Host) -> None:
    host.do("bridge_network", **BASE, mtu=1400, nat=False, dns=["9.9.9.9"], reserved=["10.90.0.9"])
    again = host.do("bridge_network", **BASE)
    assert again["changed"] is False
    assert (again["network"]["mtu"], again["network"]["nat"], again["network"]["dns"]) == (1400, False, ["9.9.9.9"])
    emptied = host.quartet("bridge_network", name="pods0", reserved=[], dns=[])["network"]
    assert emptied["reserved"] == [] and emptied["dns"] == []


def test_addresses_are_compared_by_value(host: Host) -> None:
    host.do("bridge_network", name="pods0", subnets=["fd00:90::/64"])
    again = host.do("bridge_network", name="pods0", subnets=["FD00:0090:0:0::/64"], gateways=["fd00:90:0:0:0:0:0:1"])
    assert again["changed"] is False


def test_mtu_comes_from_the_default_route_once(host: Host) -> None:
    host.sh(
        "ip link add up0 mtu 1380 type veth peer name up1; ip addr add 192.0.2.2/24 dev up0; ip link set up0 up;"
        "ip route add default via 192.0.2.1"
    )
    assert host.do("bridge_network", **BASE)["network"]["mtu"] == 1380
    host.sh("ip link set up0 mtu 1300")
    assert host.do("bridge_network", **BASE)["changed"] is False


DAMAGES = {
    "ip link set pods0 down": "up of pods0",
    "ip addr del 10.90.0.1/24 dev pods0": "10.90.0.1/24",
    "ip addr add 198.51.100.1/24 dev pods0": "198.51.100.1/24",
    "ip link set pods0 mtu 1300": "mtu of pods0",
    "ip link del pods0": "bridge pods0 is missing",
    "ip link set pods0 down; ip link set pods0 name odd0; ip link set odd0 up": "pods0 is called odd0",
    "sysctl -qw net.ipv4.conf.pods0.forwarding=0": "net.ipv4.conf.pods0.forwarding is 0",
    "nft delete table inet podnet": "inet set bridges",
    "nft flush chain inet podnet forward": "iifname @bridges goto through",
    "nft 'add element inet podnet bridges { foreign0 }'": "foreign0",
    "sysctl -qw net.ipv4.ip_forward=0": "ip_forward",
    "sysctl -qw net.ipv6.conf.pods0.accept_ra=1": "accept_ra",
}


def test_drift_is_shown_and_repaired(pods0: Host) -> None:
    picture = pods0.drive({"snapshot": True})
    steps = [step for damage in DAMAGES for step in (damage, ("bridge_network", BASE))]
    for (damage, named), repaired in zip(DAMAGES.items(), pods0.quartets(*steps)):
        assert named in str(repaired["diff"]), damage
    assert not differences(picture, pods0.drive({"snapshot": True}))


RENAME = "ip link set pods0 down; ip link set pods0 name odd0; ip link set odd0 up"


def test_a_renamed_bridge_is_ours_all_the_same(pods0: Host) -> None:
    """Also where a sandbox needs it, or it is to go; and where its name has been taken meanwhile."""
    web, db = pods0.do("pod_sandbox", sandboxes=[{"name": name, "network": "pods0"} for name in ("web", "db")])["sandboxes"]
    index = bridge(pods0)["ifindex"]
    pods0.quartets(RENAME, ("pod_sandbox", {"name": "web"}))
    assert pods0.pings(web, "10.90.0.1") and pods0.pings(db, "fd00:90::1") and pods0.pings(db, web["addresses"][1])
    assert bridge(pods0)["ifindex"] == index
    picture = pods0.drive({"snapshot": True})
    pods0.sh(RENAME)
    damaged = pods0.drive({"snapshot": True})
    for number in range(1, 20):
        done = pods0.drive({"networks": [BASE], "fail_after": number, "compare": True})
        if "error" not in done:
            break
        assert not done["differs"], (number, done)
    assert number > 3 and damaged != picture
    assert not differences(picture, pods0.drive({"snapshot": True}))
    pods0.sh(f"{RENAME}; ip link add pods0 type bridge")
    for state in ("present", "absent"):
        taken = pods0.play(task("bridge_network", name="pods0", state=state, force=True, check_mode=True))[0]
        assert taken["failed"] is (state == "present") and taken.get("reason", "not_ours") == "not_ours"
    pods0.sh("ip link del pods0")
    pods0.quartets(("bridge_network", {"name": "pods0", "state": "absent", "force": True}))
    assert pods0.json("ip", "-j", "link", "show", "type", "bridge") in ([], [{}])


def test_a_foreign_bridge_with_our_alternative_name(pods0: Host) -> None:
    """The kernel finds links by alternative names too, and keeps such a name from the network's own bridge."""
    pods0.sh(f"{RENAME}; ip link add up0 type bridge; ip link set up0 up; ip link property add dev up0 altname pods0")
    picture = pods0.drive({"snapshot": True})
    assert "pods0 is called odd0" in pods0.refused("pod_sandbox", name="web", network="pods0")["msg"]
    assert pods0.drive({"snapshot": True}) == picture
    pods0.sh("ip link property del dev up0 altname pods0")
    pods0.do("pod_sandbox", name="web", network="pods0")
    assert pods0.json("ip", "-j", "link", "show", "master", "up0") in ([], [{}])


def test_an_ipv4_that_new_interfaces_do_not_forward(pods0: Host) -> None:
    pods0.sh("sysctl -qw net.ipv4.conf.default.forwarding=0")
    pods0.quartets(("bridge_network", {"name": "pods1", "subnets": ["10.91.0.0/24"]}))
    assert pods0.sh("sysctl -n net.ipv4.conf.pods1.forwarding") == "1\n"


def test_an_mtu_stays_when_sandboxes_come_and_go(host: Host) -> None:
    host.do("bridge_network", name="pods0", subnet="10.90.0.0/24", mtu=1400)
    host.play(task("pod_sandbox", name="web", network="pods0"), task("pod_sandbox", name="web", state="absent"))
    assert bridge(host)["mtu"] == 1400
    assert host.do("bridge_network", name="pods0")["changed"] is False


def test_a_foreign_bridge_is_not_adopted(host: Host) -> None:
    host.sh("ip link add pods0 type bridge; ip addr add 10.90.0.1/24 dev pods0")
    picture = host.drive({"snapshot": True})
    assert host.refused("bridge_network", **BASE)["reason"] == "not_ours"
    assert host.refused("bridge_network", name="pods0", state="absent")["reason"] == "not_ours"
    assert host.drive({"snapshot": True}) == picture


def test_a_foreign_table_is_not_adopted(host: Host) -> None:
    host.sh("nft add table inet podnet")
    assert host.refused("bridge_network", **BASE)["reason"] == "not_ours"


def test_foreign_rules_links_and_sysctls_stay(host: Host) -> None:
    host.sh(
        "nft add table ip mine; nft 'add chain ip mine post { type nat hook postrouting priority 100; }';"
        "nft add rule ip mine post ip saddr 10.90.0.0/24 masquerade; ip link add other0 type bridge;"
        "nft add table inet podnet2; sysctl -qw net.ipv4.conf.all.rp_filter=2"
    )
    before = host.sh("nft list ruleset; ip -o link show other0; sysctl -n net.ipv4.conf.all.rp_filter")
    host.play(task("bridge_network", **BASE), task("pod_sandbox", name="web", network="pods0"))
    host.do("bridge_network", name="pods0", state="absent", force=True)
    assert host.sh("nft list ruleset; ip -o link show other0; sysctl -n net.ipv4.conf.all.rp_filter") == before


BAD = (
    ({"name": "lo", "subnets": ["10.1.0.0/24"]}, "name"),
    ({"name": "a234567890123456", "subnets": ["10.1.0.0/24"]}, "name"),
    ({"name": "../x", "subnets": ["10.1.0.0/24"]}, "name"),
    ({"name": "x0", "subnets": ["10.1.0.1/24"]}, "host bits"),
    ({"name": "x0", "subnets": ["10.1.0.0/31"]}, "too small"),
    ({"name": "x0", "subnets": ["fd00::/127"]}, "too small"),
    ({"name": "x0"}, "subnets"),
    ({"name": "x0", "subnets": ["10.1.0.0/24"], "gateways": ["10.2.0.1"]}, "gateways"),
    ({"name": "x0", "subnets": ["10.1.0.0/24"], "gateways": ["10.1.0.255"]}, "gateways"),
    ({"name": "x0", "subnets": ["10.90.0.128/25"]}, "overlaps"),
    ({"name": "x0", "subnets": ["203.0.113.0/25"]}, "overlaps"),
    ({"name": "x0", "subnets": ["fd00::/64"], "mtu": 1000}, "mtu"),
    ({"name": "x0", "subnets": ["10.1.0.0/24"], "ranges": [{"start": "10.1.0.9", "end": "10.1.0.3"}]}, "ranges"),
    ({"name": "x0", "subnets": ["10.1.0.0/24"], "dns": ["resolver"]}, "dns"),
    ({"name": "x0", "subnets": ["10.1.0.0/24"], "isolation": "lax"}, "isolation"),
    ({"networks": [{"name": "x0", "subnets": ["10.1.0.0/24"], "colour": "red"}]}, "colour"),
    ({"networks": [{"name": "x0", "subnets": ["10.1.0.0/24"]}], "mtu": 1400}, "mtu"),
    ({"name": "x0", "subnets": ["10.1.0.0/24"], "exclusive": True}, "exclusive"),
)


def test_bad_input_is_refused_by_name(pods0: Host) -> None:
    pods0.sh("ip link add up0 type veth peer name up1; ip addr add 203.0.113.1/24 dev up0; ip link set up0 up")
    pods0.refusals("bridge_network", *((options, "invalid_argument", named) for options, named in BAD))


def test_removal_refuses_while_used(pods0: Host) -> None:
    pods0.do("pod_sandbox", name="web", network="pods0")
    refused = pods0.refused("bridge_network", name="pods0", state="absent")
    assert refused["reason"] == "in_use" and "web" in refused["msg"]
    dropped = pods0.refused("bridge_network", name="pods0", subnets=["fd00:90::/64"])
    assert dropped["reason"] == "in_use" and "10.90.0.2" in dropped["msg"]
    pods0.quartet("bridge_network", name="pods0", state="absent", force=True)
    assert [link["ifname"] for link in pods0.json("ip", "-j", "link")] == ["lo"]
    assert pods0.tree().keys() == {"/etc/sysctl.d/60-podnet.conf"}


def test_forwarding_is_never_unset(pods0: Host) -> None:
    pods0.do("bridge_network", name="pods0", state="absent")
    assert pods0.sh("sysctl -n net.ipv4.ip_forward") == "1\n"
    assert "net/ipv4/ip_forward = 1" in pods0.sh("cat /etc/sysctl.d/60-podnet.conf")


def test_an_internal_network_needs_no_forwarding(host: Host) -> None:
    host.do("bridge_network", **BASE, internal=True)
    assert host.sh("sysctl -n net.ipv4.ip_forward; ls /etc/sysctl.d | grep podnet || true") == "0\n"


def test_info_lists_by_name(host: Host) -> None:
    assert host.do("bridge_network_info")["networks"] == []
    host.do("bridge_network", networks=[{"name": "pods-10", "subnet": "10.10.0.0/24"}, {"name": "pods-1", "subnet": "10.1.0.0/24"}])
    assert [item["name"] for item in host.do("bridge_network_info")["networks"]] == ["pods-1", "pods-10"]
    assert [item["name"] for item in host.do("bridge_network_info", name="pods-1")["networks"]] == ["pods-1"]
    assert host.do("bridge_network_info", name="pods")["networks"] == []
