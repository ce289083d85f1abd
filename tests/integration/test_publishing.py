# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Published ports, with payload, from everywhere: outside, the host, neighbours, other networks, and the sandbox itself."""

from __future__ import annotations

from typing import Any

import pytest
from host import Host, task
from talk import HOST, LAN, ask, bridge_netfilter, echo, everywhere, hold, serve, serve_all, still_open

NETWORKS = [
    {"name": "a", "subnets": ["10.91.0.0/24", "fd00:91::/64"]},
    {"name": "b", "subnets": ["10.92.0.0/24", "fd00:92::/64"]},
    {"name": "k", "subnets": ["10.96.0.0/24", "fd00:96::/64"], "inter_pod": False, "host_access": False},
    {"name": "i", "subnets": ["10.95.0.0/24", "fd00:95::/64"], "internal": True},
]
BOTH = ({"host_port": 8080, "container_port": 80}, {"host_port": 8080, "container_port": 80, "protocol": "udp"})


@pytest.fixture
def pods(lan: Host) -> dict[str, dict[str, Any]]:
    """a1 publishes 8080, k1 publishes 8081; nobody else does. All of them answer on 80, tcp and udp."""
    at = {"a1": list(BOTH), "k1": [{**item, "host_port": 8081} for item in BOTH]}
    names = ("a1", "a2", "b1", "k1", "k2", "i1", "i2")
    items = [{"name": name, "network": name[0], "port_forwards": at.get(name, [])} for name in names]
    made = lan.play(task("bridge_network", networks=NETWORKS), task("pod_sandbox", sandboxes=items))
    lan.must(made[0])
    found = {item["name"]: item for item in lan.must(made[1])["sandboxes"]}
    serve_all(lan, *((sandbox["ns_name"], name, 80, 81) for name, sandbox in found.items()))
    return found


@pytest.mark.parametrize("value", (0, 1))
def test_payload_arrives_from_everywhere(lan: Host, pods: dict[str, dict[str, Any]], value: int) -> None:
    bridge_netfilter(lan, value)
    inside = {name: sandbox["ns_name"] for name, sandbox in pods.items()}
    for target, port in (("a1", 8080), ("k1", 8081)):
        gateways = pods[target]["gateways"]
        expected = {
            "lan": list(LAN) * 2,
            None: list(HOST) * 2,
            # A neighbour, and the sandbox itself, must be answered through the host; another network is seen as it is.
            inside[target]: gateways * 2,
            inside[f"{target[0]}2"]: gateways * 2,
            inside["b1"]: pods["b1"]["addresses"] * 2,
        }
        for where, sources in expected.items():
            assert ask(lan, where, *everywhere(port)) == [f"{target} 80 {source}" for source in sources], (target, where)
        # By loopback the host is seen as the gateway.
        assert ask(lan, None, ("tcp", "127.0.0.1", port), ("udp", "127.0.0.1", port)) == [f"{target} 80 {gateways[0]}"] * 2
    # What is not published stays closed to neighbours, whatever the sysctl says.
    direct = [("tcp", address, 80) for address in pods["k2"]["addresses"]]
    assert ask(lan, inside["k1"], *direct, patience=0.5) == [None, None]
    # An internal network has its peers and no way out, not by way of a published port either.
    for family, gateway in (("-4", "10.95.0.1"), ("-6", "fd00:95::1")):
        lan.inside(pods["i1"], "ip", family, "route", "replace", "default", "via", gateway)
    out = [*everywhere(8080), ("tcp", "10.95.0.1", 8080), ("tcp", "fd00:95::1", 8080)]
    assert ask(lan, inside["i1"], *out, patience=0.3) == [None] * len(out)
    assert None not in ask(lan, inside["i1"], *(("tcp", address, 80) for address in pods["i2"]["addresses"]))
    assert None not in ask(lan, inside["a2"], *(("tcp", address, 80) for address in pods["a1"]["addresses"]))


@pytest.mark.parametrize("value", (0, 1))
def test_a_sandbox_on_two_networks_answers_neighbours_on_both(lan: Host, pods: dict[str, dict[str, Any]], value: int) -> None:
    bridge_netfilter(lan, value)
    dual = {"name": "dual", "networks": [{"name": "a"}, {"name": "b"}], "port_forwards": [{**item, "host_port": 8083} for item in BOTH]}
    dual = lan.do("pod_sandbox", **dual)["sandbox"]
    serve(lan, dual["ns_name"], "dual", 80)
    by_gateway = [(kind, address, 8083) for kind in ("tcp", "udp") for address in pods["b1"]["gateways"]]
    gateways = pods["a1"]["gateways"]
    for where in (pods["b1"], dual):
        for questions in (everywhere(8083), by_gateway):
            assert ask(lan, where["ns_name"], *questions) == [f"dual 80 {gateway}" for gateway in gateways] * 2, where["name"]
    assert ask(lan, "lan", *everywhere(8083)) == [f"dual 80 {address}" for address in LAN] * 2
    # Whoever is on none of its networks is seen as it is.
    assert ask(lan, pods["k1"]["ns_name"], *everywhere(8083)) == [f"dual 80 {address}" for address in pods["k1"]["addresses"]] * 2


def test_only_what_is_addressed_to_the_host_is_led_away(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    serve(lan, "lan", "machine", 8080)
    for name in ("a1", "a2", "b1"):
        answers = ask(lan, pods[name]["ns_name"], *((kind, address, 8080) for kind in ("tcp", "udp") for address in LAN))
        assert answers == [f"machine 8080 {address}" for address in HOST] * 2, name


def test_from_outside_nothing_else_is_reached(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    lan.sh("ip -n lan route add 10.0.0.0/8 via 198.51.100.1; ip -n lan -6 route add fd00::/16 via 2001:db8:1::1")
    targets = [
        (kind, address, port) for name in pods for address in pods[name]["addresses"] for kind in ("tcp", "udp") for port in (80, 81)
    ]
    assert ask(lan, "lan", *targets, patience=0.2) == [None] * len(targets)
    assert ask(lan, "lan", *everywhere(81), patience=0.2) == [None] * 4


def test_ports_on_loopback_answer_the_host_only(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    lan.do("pod_sandbox", name="a2", port_forwards=["127.0.0.1:7070:80", "198.51.100.1:7071:81/udp", "[2001:db8:1::1]:7072:80"])
    gateway = pods["a2"]["gateways"][0]
    assert ask(lan, None, ("tcp", "127.0.0.1", 7070)) == [f"a2 80 {gateway}"]
    assert ask(lan, "lan", ("udp", HOST[0], 7071), ("tcp", HOST[1], 7072)) == [f"a2 81 {LAN[0]}", f"a2 80 {LAN[1]}"]
    assert ask(lan, "lan", ("tcp", HOST[0], 7070), ("tcp", HOST[0], 7072), ("tcp", HOST[0], 7071), patience=0.3) == [None] * 3
    # CVE-2020-8558: whoever sends 127.0.0.1 to the host's MAC, from outside or from a sandbox.
    lan.sh(
        "sysctl -qw net.ipv4.conf.up0.route_localnet=1; ip netns exec lan sysctl -qw net.ipv4.conf.all.route_localnet=1;"
        "ip -n lan addr flush dev lo; ip -n lan route add 127.0.0.1/32 via 198.51.100.1"
    )
    serve(lan, None, "host", 9999)
    assert ask(lan, "lan", ("tcp", "127.0.0.1", 7070), ("tcp", "127.0.0.1", 9999), ("udp", "127.0.0.1", 9999), patience=0.3) == [None] * 3
    assert ask(lan, None, ("tcp", "127.0.0.1", 9999)) == ["host 9999 127.0.0.1"]
    # It is our rules that keep them out, and nothing else on this host.
    lan.sh("nft flush chain inet podnet guard")
    assert ask(lan, "lan", ("tcp", "127.0.0.1", 9999)) == [f"host 9999 {LAN[0]}"]


class Client:
    """A neighbour that keeps asking UDP ports from one socket each, so that conntrack knows the flows."""

    def __init__(self, host: Host, *ports: int) -> None:
        self._process = host.start("ip", "netns", "exec", "lan", "python3", "-u", "-c", CLIENT, HOST[0], *map(str, ports))

    def hears(self, port: int, expected: str) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.split()[:2] == [str(port), expected]:
                return
        raise AssertionError((port, expected))


def test_a_udp_port_that_moves_delivers_to_the_new_sandbox_at_once(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    """One that was asking before anybody published the port, too."""
    client = Client(lan, 8080, 6060)
    client.hears(8080, "a1")
    client.hears(6060, "-")
    without = [item for item in BOTH if item.get("protocol") != "udp"]
    lan.do(
        "pod_sandbox",
        sandboxes=[{"name": "a1", "port_forwards": without}, {"name": "a2", "port_forwards": [BOTH[1], "6060:80/udp"]}],
    )
    client.hears(8080, "a2")
    client.hears(6060, "a2")
    # Somebody's damage, asked through while it lasts, and its repair.
    for damage in (
        "nft flush ruleset",
        "nft delete element inet podnet any4 '{ udp . 6060 }'",
        "nft delete element inet podnet any4 '{ udp . 6060 }'; "
        f"nft add element inet podnet any4 '{{ udp . 6060 : {pods['a1']['container_ip']} . 80 }}'",
    ):
        lan.sh(damage)
        damaged = Client(lan, 6060)
        damaged.hears(6060, "a1" if "add" in damage else "-")
        lan.quartets(("pod_sandbox", {"name": "a2"}))
        damaged.hears(6060, "a2")


@pytest.mark.parametrize("fault", ("kill_after", "fail_after"))
def test_a_udp_port_that_moves_in_a_run_that_does_not_end_well(lan: Host, pods: dict[str, dict[str, Any]], fault: str) -> None:
    """Behind whichever operation: undone, it leads where it led; killed, the next run leads it where it should."""
    there = {"sandboxes": [{"name": "a1", "port_forwards": []}, {"name": "a2", "port_forwards": ["6060:80/udp"]}]}
    back = {"sandboxes": [{"name": "a2", "port_forwards": []}, {"name": "a1", "port_forwards": ["6060:80/udp"]}]}
    lan.drive(back)
    operations = lan.drive(there)["operations"]
    lan.drive(back)
    for number in range(1, len(operations) + 1):
        client = Client(lan, 6060)
        client.hears(6060, "a1")
        lan.drive({**there, fault: number})
        if fault == "kill_after":
            assert lan.drive(there)["changed"] is (number < len(operations)), (number, operations)
            client.hears(6060, "a2")
            assert not lan.drive(there)["changed"]
            lan.drive(back)
        client.hears(6060, "a1")


CLIENT = """
import socket, sys, time
socks = {}
for port in sys.argv[2:]:
    socks[port] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    socks[port].settimeout(0.2)
end = time.monotonic() + 60
while time.monotonic() < end:
    for port, s in socks.items():
        s.sendto(b"x", (sys.argv[1], int(port)))
        try:
            print(port, s.recv(100).decode(), flush=True)
        except OSError:
            print(port, "-", flush=True)
    time.sleep(0.1)
"""


def test_conflicts_are_refused_by_name(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    serve(lan, None, "host", 5555)
    picture = lan.drive({"snapshot": True})
    lan.refusals(
        "pod_sandbox",
        ({"name": "b1", "port_forwards": ["8080:80"]}, "port_in_use", "a1"),
        ({"name": "b1", "port_forwards": ["198.51.100.1:8080:80"]}, "port_in_use", "a1"),
        ({"name": "b1", "port_forwards": ["8070-8085:8070-8085"]}, "port_in_use", "a1"),
        ({"name": "b1", "port_forwards": ["5555:80"]}, "port_in_use", "5555"),
        ({"name": "b1", "port_forwards": ["127.0.0.1:5555:80/udp"]}, "port_in_use", "5555"),
        ({"name": "b1", "port_forwards": ["[::1]:80:80"]}, "invalid_argument", "route_localnet"),
        ({"name": "b1", "port_forwards": ["80:80/icmp"]}, "invalid_argument", "icmp"),
        ({"name": "b1", "port_forwards": ["1-3:1-2"]}, "invalid_argument", "same length"),
        ({"name": "b1", "port_forwards": ["0:80"]}, "invalid_argument", "port"),
        ({"name": "b1", "port_forwards": ["10.91.0.0:82:80"]}, "invalid_argument", "network a"),
        ({"name": "b1", "port_forwards": ["10.91.0.255:82:80"]}, "invalid_argument", "network a"),
        ({"name": "b1", "port_forwards": [f"[{pods['a2']['addresses'][1]}]:82:80"]}, "invalid_argument", "network a"),
        ({"name": "b1", "port_forwards": ["1-5000:1-5000"]}, "invalid_argument", "4096"),
        ({"name": "b1", "port_forwards": [4850]}, "invalid_argument", "quoted"),
        ({"name": "b1", "port_forwards": [{"host_port": 80, "port": 80}]}, "invalid_argument", "port"),
        ({"name": "b1", "port_forwards": ["80:80", "0.0.0.0:80:81"]}, "invalid_argument", "same port"),
        ({"sandboxes": [{"name": n, "port_forwards": ["6000:80"]} for n in ("b1", "a2")]}, "port_in_use", "6000"),
    )
    lan.refusals("bridge_network", ({"name": "a", "internal": True}, "invalid_argument", "a1"))
    assert picture["rules"] == lan.drive({"snapshot": True})["rules"]
    # The same port of another protocol, or of another address, is another port; and two may change places.
    lan.quartets(
        ("pod_sandbox", {"name": "b1", "port_forwards": ["8080:80/sctp", "127.0.0.2:5556:80"]}),
        ("pod_sandbox", {"name": "a2", "port_forwards": ["127.0.0.3:5556:80"]}),
        (
            "pod_sandbox",
            {"sandboxes": [{"name": "b1", "port_forwards": ["127.0.0.3:5556:80"]}, {"name": "a2", "port_forwards": ["127.0.0.2:5556:80"]}]},
        ),
    )


def test_every_form_is_predicted_kept_and_taken_back(lan: Host) -> None:
    lan.do("bridge_network", networks=NETWORKS[:1])
    clean = lan.drive({"snapshot": True})
    made, *_rest = lan.quartets(
        ("pod_sandbox", {"name": "web", "network": "a", "port_forwards": ["8080:80", "9000-9002:9100-9102/udp", "127.0.0.1:53:53/sctp"]}),
        ("pod_sandbox", {"name": "web", "ports": [{"host_port": "8080", "container_port": 81, "host_address": "0.0.0.0"}]}),
        ("pod_sandbox", {"name": "web", "port_forwards": ["8080:80"]}),
    )
    assert made["sandbox"]["port_forwards"] == [
        {"host_address": "127.0.0.1", "host_port": 53, "container_port": 53, "protocol": "sctp"},
        {"host_address": None, "host_port": 8080, "container_port": 80, "protocol": "tcp"},
        {"host_address": None, "host_port": "9000-9002", "container_port": "9100-9102", "protocol": "udp"},
    ]
    web = made["sandbox"]
    serve(lan, web["ns_name"], "web", 80)
    damages = (
        "nft flush ruleset",
        "nft delete table inet podnet",
        "nft delete table bridge podnet",
        "nft flush map inet podnet any4",
        "nft delete element inet podnet any4 '{ tcp . 8080 }'",
        "nft add element inet podnet any4 '{ tcp . 9 : 192.0.2.9 . 9 }'",
        "nft add element inet podnet any4 '{ tcp . 9 comment \"x, y\" : 192.0.2.9 . 9 }'",
        "nft add element inet podnet closed '{ \"a\" }'",
        "nft flush chain inet podnet publish",
        "nft insert rule inet podnet inbound accept",
        "sysctl -qw net.ipv4.conf.a.route_localnet=0",
        f"ip link set {web['veth_host']} type bridge_slave hairpin off",
    )
    steps: list[Any] = []
    for damage in damages:
        steps += [damage, ("pod_sandbox", {"name": "web"})]
    for damage, said in (
        ("flush ruleset", "nftables rules are missing or altered"),
        ("flush map inet podnet any4", "nftables sets and maps lack elements"),
        (f"add element inet podnet any4 '{{ tcp . 9 : {web['container_ip']} . 9 }}'", "nftables sets and maps have foreign elements"),
    ):
        assert lan.do("pod_sandbox_info", name="web")["sandboxes"][0]["problems"] == []
        lan.sh(f"nft {damage}")
        shown = lan.do("pod_sandbox_info", name="web")["sandboxes"][0]
        assert (shown["state"], said in shown["problems"]) == ("degraded", True), shown["problems"]
        lan.do("pod_sandbox", name="web")
    for repaired in lan.quartets(*steps):
        assert (repaired["sandbox"]["addresses"], repaired["sandbox"]["mac"]) == (web["addresses"], web["mac"])
    assert ask(lan, "lan", ("tcp", HOST[0], 8080)) == [f"web 80 {LAN[0]}"]
    lan.quartets(("pod_sandbox", {"name": "web", "state": "absent", "force": True}))
    left = lan.drive({"snapshot": True})
    assert (left["rules"], left["host"]["links"]) == (clean["rules"], clean["host"]["links"])


def test_what_is_open_to_a_host_that_closes(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    """What the sandbox began ends; what the host began goes on."""
    gateways, own = pods["a1"]["gateways"], pods["a1"]["addresses"]
    echo(lan, None, *gateways)
    echo(lan, pods["a1"]["ns_name"], *own)
    inside = hold(lan, pods["a1"]["ns_name"], *(f"{address},7000" for address in gateways))
    outside = hold(lan, None, *(f"{address},7000" for address in own))
    lan.do("bridge_network", name="a", host_access=False)
    assert (still_open(inside), still_open(outside)) == ("--", "xx")


def test_records_that_contradict_each_other_are_named(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    """As after a restore of one of them: k1 says now that it publishes what a1 does."""
    path = f"/var/lib/podnet/sandboxes/{pods['k1']['id']}.json"
    lan.sh(f"sed -i 's/8081/8080/' {path}")
    for check in (True, False):
        refused = lan.refused("bridge_network", name="a", check_mode=check)
        assert refused["reason"] == "port_in_use" and "a1" in refused["msg"] and "k1" in refused["msg"]
    lan.quartets(("pod_sandbox", {"name": "k1", "port_forwards": ["8081:80"]}))


def test_sctp_is_led_to_the_sandbox(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    """By a raw INIT, since this kernel may have no SCTP sockets: it arrives at the port inside."""
    lan.do("pod_sandbox", name="a2", port_forwards=["3868:3869/sctp"])
    for address in HOST:
        watch = lan.start("ip", "netns", "exec", pods["a2"]["ns_name"], "python3", "-c", WATCH, "6" if ":" in address else "4")
        assert watch.stdout is not None and watch.stdout.readline() == "ready\n"
        lan.run("ip", "netns", "exec", "lan", "python3", "-c", INIT, address, "3868")
        assert watch.stdout.readline() == "3869 init\n", address


WATCH = """
import socket, struct, sys
v6 = sys.argv[1] == "6"
s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_RAW, 132)
s.settimeout(10)
print("ready", flush=True)
data = s.recv(2000)
if not v6:
    data = data[(data[0] & 15) * 4:]
print(struct.unpack("!H", data[2:4])[0], "init" if data[12] == 1 else data[12], flush=True)
"""
INIT = """
import socket, struct, sys
def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
chunk = struct.pack("!BBHIIHHI", 1, 0, 20, 0x12345678, 65535, 1, 1, 1)
head = struct.pack("!HHI", 40000, int(sys.argv[2]), 0)
packet = head + struct.pack("<I", crc32c(head + b"\\0\\0\\0\\0" + chunk)) + chunk
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_RAW, 132)
s.sendto(packet, (sys.argv[1], 0))
"""
