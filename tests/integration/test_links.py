# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine reads from the kernel is what iproute2 and conntrack read from it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any

import pytest
from host import Host

ZOO = """
ip link add br0 type bridge; ip link add br1 address 02:00:00:00:00:01 mtu 9000 type bridge
ip netns add far; ip link add v0 type veth peer name v1; ip link add v2 type veth peer name v3 netns far
ip link set v0 master br0; ip link set v0 type bridge_slave isolated on hairpin on; ip link set v0 alias 'podnet:x y' up
ip link set v2 master br1; ip link set v1 mtu 1280 address 02:00:00:00:00:02 up
ip link add d0 type bridge; ip link add d1 up type bridge; ip link set d0 alias ''
for kind in 'd1.7 link d1 type vlan id 7' 'bond0 type bond' 'vrf0 type vrf table 100' 'wg0 type wireguard' 'du0 type dummy' \\
    'mv0 link d1 type macvlan' 'vx0 type vxlan id 5 dstport 4789' 'gre0 type gretap remote 192.0.2.9' 'ipip0 type ipip remote 192.0.2.9'; do
    ip link add $kind || echo not on this kernel: $kind
done
ip addr add 192.0.2.1/24 dev d1; ip addr add 192.0.2.77/32 dev d1; ip addr add 203.0.113.1 peer 203.0.113.2/32 dev d1
ip addr add 2001:db8::1/64 dev d1 nodad; ip addr add 2001:db8:5::1 peer 2001:db8:5::2/128 dev d1 nodad; ip addr add 10.7.0.1/16 dev v1
ip route add default via 192.0.2.254 dev d1; ip route add default via 192.0.2.253 dev d1 metric 50
ip -6 route add default via 2001:db8::fe dev d1; ip route add 10.99.0.0/16 via 192.0.2.254 dev d1
ip -6 route add 2001:db8:99::/48 via 2001:db8::fe dev d1; ip route add blackhole 10.98.0.0/16
ip route add 10.97.0.0/16 dev d1 table 77; ip route add default dev d1 table 77
ip route add 10.96.0.0/16 nexthop via 192.0.2.254 dev d1 nexthop via 192.0.2.252 dev d1
"""


STATIONS = (("v0", "02:00:00:00:00:0a"), ("v0", "02:00:00:00:00:0b"))


def compare(host: Host, stations: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
    """Every link and address as iproute2 tells them; returns what the engine has read."""
    seen: dict[str, Any] = host.drive({"links": True})
    told: list[dict[str, Any]] = host.json("ip", "-j", "-d", "addr")
    assert set(seen["links"]) == {link["ifname"] for link in told}
    for link in told:
        info = link.get("linkinfo", {})
        port = info.get("info_slave_data", {}) if info.get("info_slave_kind") == "bridge" else {}
        far = {a["local"]: a["address"] for a in link["addr_info"] if "address" in a}
        expected = {
            "name": link["ifname"],
            "index": link["ifindex"],
            "renamed": "",
            "kind": info.get("info_kind", ""),
            "mac": link.get("address", ""),
            "mtu": link["mtu"],
            "up": "UP" in link["flags"],
            "master": link.get("master"),
            "alias": link.get("ifalias"),
            "isolated": port.get("isolated", False),
            "hairpin": port.get("hairpin", False),
            "learning": port.get("learning", False),
            "flood": port.get("flood", False),
            "stations": sorted(mac for port, mac in stations if port == link["ifname"]),
            "addresses": [
                f"{a['local']}/{a['prefixlen']}" + (f" peer {far[a['local']]}" if a["local"] in far else "")
                for a in link["addr_info"]
                if a["scope"] != "link"
            ],
        }
        found = seen["links"][link["ifname"]]
        assert {key: found[key] for key in expected} == expected
    return seen


def test_links_of_every_kind(host: Host) -> None:
    host.sh(ZOO + "".join(f"bridge fdb add {mac} dev {port} master static\n" for port, mac in STATIONS))
    seen = compare(host, STATIONS)
    assert set(seen["links"]) >= {"br0", "br1", "v0", "v1", "v2", "d0", "d1"}
    for name in ("v0", "v1"):
        other = {"v0": "v1", "v1": "v0"}[name]
        assert seen["links"][name]["peer"] == seen["links"][other]["index"]


@pytest.mark.parametrize("seed", range(4))
def test_drawn_links_addresses_and_routes(host: Host, seed: int) -> None:
    draw = random.Random(seed)
    lines, stations = [], []
    for number in range(12):
        lines.append(
            f"ip link add b{number} type bridge; ip link add p{number} mtu {draw.randint(1280, 9000)} type veth peer name q{number}"
        )
        lines.append(f"ip link set p{number} address {mac(draw)} alias 'x{draw.random()}' {draw.choice(('up', 'down'))}")
        flags = " ".join(f"{flag} {draw.choice(('on', 'off'))}" for flag in ("isolated", "hairpin", "learning", "flood"))
        lines.append(f"ip link set p{number} master b{draw.randrange(number + 1)}; ip link set p{number} type bridge_slave {flags}")
        stations.append((f"p{number}", mac(draw)))
        lines.append(f"bridge fdb add {stations[-1][1]} dev p{number} master static; ip link set b{number} up")
        for _address in range(draw.randrange(4)):
            lines.append(f"ip addr add 10.{number}.{draw.randrange(256)}.{draw.randrange(1, 255)}/{draw.randint(8, 32)} dev b{number}")
            lines.append(f"ip addr add fd00:{number:x}::{draw.randrange(1, 65536):x}/{draw.randint(64, 128)} dev b{number} nodad")
        lines.append(f"ip route add 172.16.{number}.0/{draw.randint(24, 32)} dev b{number} metric {draw.randrange(1, 9)}")
        lines.append(f"ip -6 route add fd01:{number:x}::/{draw.randint(48, 127)} dev b{number}")
    host.sh("\n".join(lines))
    seen = compare(host, stations)
    told = [route for family in ("-4", "-6") for route in host.json("ip", family, "-j", "route", "show", "table", "main")]
    routes = {(str(ip_network(route["dst"])), route["dev"]) for route in told if not ip_network(route["dst"]).is_link_local}
    assert {tuple(item) for item in seen["destinations"]} == routes


def mac(draw: random.Random) -> str:
    return ":".join(f"{byte:02x}" for byte in [2, *draw.randbytes(5)])


def test_routes(host: Host) -> None:
    host.sh(ZOO)
    seen = host.drive({"links": True})
    assert seen["default_routes"] == [
        {"destination": "0.0.0.0/0", "gateway": "192.0.2.254", "link": "d1", "odd": None},
        {"destination": "0.0.0.0/0", "gateway": None, "link": "", "odd": [1, 0, 50]},
        {"destination": "::/0", "gateway": "2001:db8::fe", "link": "d1", "odd": None},
    ]
    # Those with several next hops have no single device; table 77 is not the main one.
    best = dict(reversed(seen["destinations"]))
    assert best == {
        "0.0.0.0/0": "d1",
        "::/0": "d1",
        "192.0.2.0/24": "d1",
        "203.0.113.2/32": "d1",
        "10.7.0.0/16": "v1",
        "10.99.0.0/16": "d1",
        "10.96.0.0/16": "",
        "2001:db8::/64": "d1",
        "2001:db8:5::1/128": "d1",
        "2001:db8:5::2/128": "d1",
        "2001:db8:99::/48": "d1",
    }


def test_a_host_on_which_no_route_was_ever_set(host: Host) -> None:
    assert host.drive({"links": True})["default_routes"] == []


LISTEN = """
import socket, sys, time
kept = []
for family, kind, address, port, only in (
    (2, 1, "127.0.0.1", 7001, 0), (2, 1, "0.0.0.0", 7002, 0), (10, 1, "::1", 7003, 0), (10, 1, "::", 7004, 0), (10, 1, "::", 7005, 1),
    (2, 2, "127.0.0.1", 7006, 0), (10, 2, "::", 7007, 0), (10, 1, "::ffff:127.0.0.1", 7008, 0),
):
    kept.append(socket.socket(family, kind))
    if family == 10:
        kept[-1].setsockopt(41, 26, only)
    kept[-1].bind((address, port))
    if kind == 1:
        kept[-1].listen()
# Connected sockets are not listeners.
kept += [socket.create_connection(("127.0.0.1", 7001)), socket.socket(2, 2)]
kept[-1].connect(("127.0.0.1", 7006))
print("ready", flush=True)
time.sleep(60)
"""


def test_listeners(host: Host) -> None:
    waiting = host.start("python3", "-c", LISTEN)
    assert waiting.stdout is not None and waiting.stdout.readline() == "ready\n"
    seen = {(item["protocol"], item["port"]): sorted(item["addresses"]) for item in host.drive({"listeners": True})}
    told: dict[tuple[str, int], list[str]] = {}
    for line in host.sh("ss -Htuln").splitlines():
        protocol, _state, _received, _sent, local, *_rest = line.split()
        address, _colon, port = local.rpartition(":")
        address = address.strip("[]").removeprefix("::ffff:")
        told[protocol, int(port)] = ["0.0.0.0", "::"] if address == "*" else [address]
    assert seen == told and len(seen) == 8


def test_connections(host: Host) -> None:
    """What is read of each, and that what names it is enough to have it forgotten."""
    host.sh("nft 'table inet t { chain o { type filter hook output priority 0; ct state new accept; }; }'")
    waiting = host.start("python3", "-c", LISTEN)
    assert waiting.stdout is not None and waiting.stdout.readline() == "ready\n"
    host.run("python3", "-c", "import socket; socket.create_connection(('::1', 7003)); socket.socket(10, 2).sendto(b'x', ('::1', 7007))")
    host.sh("ping -c 1 -q 127.0.0.1; ping -c 1 -q ::1")
    seen = sorted((item["protocol"], item["sender"], item["target"], item["port"]) for item in host.drive({"connections": True}))
    told = []
    for family in ("ipv4", "ipv6"):
        for line in host.sh(f"conntrack -L -f {family} 2>/dev/null").splitlines():
            words = dict(word.split("=") for word in reversed(line.split()) if "=" in word)
            told.append((int(line.split()[1]), words["src"], words["dst"], int(words.get("dport", 0))))
    assert seen == sorted(told) and {item[0] for item in seen} >= {1, 6, 17, 58}
