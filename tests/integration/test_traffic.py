# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real packets: between sandboxes, to the gateway, and through NAT to a machine on another segment."""

from __future__ import annotations

from typing import Any

import pytest
from host import Host, task

NETWORKS = [
    {"name": "a", "subnets": ["10.91.0.0/24", "fd00:91::/64"], "isolation": "none"},
    {"name": "b", "subnets": ["10.92.0.0/24", "fd00:92::/64"], "isolation": "none"},
    {"name": "c", "subnets": ["10.93.0.0/24", "fd00:93::/64"]},
    {"name": "n", "subnets": ["10.94.0.0/24", "fd00:94::/64"], "isolation": "normal"},
    {"name": "i", "subnets": ["10.95.0.0/24", "fd00:95::/64"], "internal": True},
    {"name": "k", "subnets": ["10.96.0.0/24", "fd00:96::/64"], "inter_pod": False},
    {"name": "s", "subnets": ["10.97.0.0/24", "fd00:97::/64"], "host_access": False, "dns": ["10.97.0.1", "fd00:97::1"]},
    {"name": "r", "subnets": ["10.98.0.0/24", "fd00:98::/64"], "nat": False},
]
OUTSIDE = ("198.51.100.2", "2001:db8:1::2")


@pytest.fixture
def lan(host: Host) -> Host:
    """A machine called lan on a segment of its own, which knows no way back to any pod."""
    host.sh(
        "ip netns add lan; ip link add up0 type veth peer name eth0 netns lan;"
        "ip addr add 198.51.100.1/24 dev up0; ip addr add 2001:db8:1::1/64 dev up0 nodad; ip link set up0 up;"
        "ip -n lan addr add 198.51.100.2/24 dev eth0; ip -n lan addr add 2001:db8:1::2/64 dev eth0 nodad;"
        "ip -n lan link set eth0 up; ip -n lan link set lo up"
    )
    return host


@pytest.fixture
def pods(lan: Host) -> dict[str, dict[str, Any]]:
    """Two sandboxes on every network: a1, a2, b1, ..."""
    names = [f"{network['name']}{number}" for network in NETWORKS for number in (1, 2)]
    made = lan.play(
        task("bridge_network", networks=NETWORKS),
        task("pod_sandbox", sandboxes=[{"name": name, "network": name[0]} for name in names]),
    )
    lan.must(made[0])
    return {item["name"]: item for item in lan.must(made[1])["sandboxes"]}


def reaches(host: Host, source: dict[str, Any], target: dict[str, Any]) -> list[bool]:
    """By v4 and by v6."""
    return [host.pings(source, address) for address in target["addresses"]]


def test_who_reaches_whom(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    yes, no = [True, True], [False, False]
    allowed = {("a1", "a2"): yes, ("a1", "b1"): yes, ("b1", "a1"): yes, ("a1", "n1"): yes, ("n1", "a1"): yes}
    denied = {("a1", "c1"): no, ("c1", "a1"): no, ("c1", "n1"): no, ("k1", "k2"): no, ("a1", "i1"): no, ("i1", "a1"): no}
    for (source, target), expected in {**allowed, **denied, ("i1", "i2"): yes, ("s1", "s2"): yes}.items():
        assert reaches(lan, pods[source], pods[target]) == expected, (source, target)
    for name in ("a1", "c1", "k1", "r1", "i1"):
        assert [lan.pings(pods[name], gateway) for gateway in (f"10.9{'abcniksr'.index(name[0]) + 1}.0.1",)] == [True], name
    # Through NAT, to a machine that could not answer otherwise.
    assert [lan.pings(pods["c1"], address) for address in OUTSIDE] == yes
    assert [lan.pings(pods["r1"], address) for address in OUTSIDE] == no
    assert [lan.pings(pods["i1"], address) for address in OUTSIDE] == no
    # A workload that adds routes of its own does not get out of an internal network either.
    for family, gateway in (("-4", "10.95.0.1"), ("-6", "fd00:95::1")):
        lan.inside(pods["i1"], "ip", family, "route", "add", "default", "via", gateway)
    assert [lan.pings(pods["i1"], address) for address in OUTSIDE] == no
    # Nor do isolated neighbours find each other by way of the gateway.
    lan.inside(pods["k1"], "ip", "route", "add", f"{pods['k2']['container_ip']}/32", "via", "10.96.0.1")
    assert lan.pings(pods["k1"], pods["k2"]["container_ip"]) is False


def test_peers_see_real_sources_and_the_world_sees_the_host(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    def source_seen(listener: str, address: str) -> str:
        watch = lan.start("ip", "netns", "exec", listener, "python3", "-c", LISTEN, address)
        assert watch.stdout is not None and watch.stdout.readline() == "ready\n"
        lan.inside(pods["a1"], "python3", "-c", SEND, address)
        return watch.stdout.readline().strip()

    for index, family_source in ((0, "198.51.100.1"), (1, "2001:db8:1::1")):
        assert source_seen(pods["b1"]["ns_name"], pods["b1"]["addresses"][index]) == pods["a1"]["addresses"][index]
        assert source_seen("lan", OUTSIDE[index]) == family_source


def test_routed_networks_are_answered_where_the_world_knows_the_way(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    lan.sh("ip -n lan route add 10.0.0.0/8 via 198.51.100.1; ip -n lan -6 route add fd00::/16 via 2001:db8:1::1")
    assert [lan.pings(pods["r1"], address) for address in OUTSIDE] == [True, True]
    # The neighbour who adds a route reaches no sandbox by it.
    for name in ("a1", "c1", "i1", "r1"):
        for address in pods[name]["addresses"]:
            assert lan.run("ip", "netns", "exec", "lan", "ping", "-c1", "-W1", "-n", address, check=False).returncode, (name, address)


def test_host_access_false_leaves_dns_only(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    server = lan.start("python3", "-c", SERVE, "53", "80")
    assert server.stdout is not None and server.stdout.readline() == "ready\n"
    for address in ("10.97.0.1", "fd00:97::1"):
        assert connects(lan, pods["s1"], address, 53)
        assert not connects(lan, pods["s1"], address, 80)
    assert not connects(lan, pods["s1"], "198.51.100.1", 53)
    assert connects(lan, pods["c1"], "10.93.0.1", 80) and connects(lan, pods["c1"], "fd00:93::1", 80)
    assert [lan.pings(pods["s1"], address) for address in OUTSIDE] == [True, True]


@pytest.mark.parametrize("value", [0, 1])
def test_bridge_netfilter_makes_no_difference(lan: Host, pods: dict[str, dict[str, Any]], value: int) -> None:
    for name in ("iptables", "ip6tables"):
        lan.sh(f"! test -e /proc/sys/net/bridge/bridge-nf-call-{name} || sysctl -qw net.bridge.bridge-nf-call-{name}={value}")
    assert reaches(lan, pods["a1"], pods["a2"]) == [True, True]
    assert reaches(lan, pods["i1"], pods["i2"]) == [True, True]
    assert reaches(lan, pods["k1"], pods["k2"]) == [False, False]
    assert reaches(lan, pods["a1"], pods["b1"]) == [True, True]
    assert reaches(lan, pods["a1"], pods["c1"]) == [False, False]


def connects(host: Host, source: dict[str, Any], address: str, port: int) -> bool:
    code = f"import socket; socket.create_connection(('{address}', {port}), 1).close()"
    return host.inside(source, "python3", "-c", code, check=False).returncode == 0


LISTEN = """
import socket, sys
server = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 7777))
server.settimeout(10)
print("ready", flush=True)
print(server.recvfrom(100)[1][0], flush=True)
"""
SEND = """
import socket, sys
socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", (sys.argv[1], 7777))
"""
SERVE = """
import socket, sys, time
servers = []
for port in sys.argv[1:]:
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        server = socket.socket(family)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind((address, int(port)))
        server.listen(20)
        servers.append(server)
print("ready", flush=True)
time.sleep(60)
"""
