# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Root with every capability in a bound sandbox: nothing that it tries reaches anybody, and no change opens a gap."""

from __future__ import annotations

import subprocess
import time
from typing import Any

import pytest
from frames import heard, listen, send
from host import Host
from talk import HOST, LAN, ask, bridge_netfilter, pings, serve_all

NETWORK = {"name": "a", "subnets": ["10.91.0.0/24", "fd00:91::/64"]}
ALLOWED, FORBIDDEN = 5000, 6000


@pytest.fixture
def pods(lan: Host) -> dict[str, dict[str, Any]]:
    """bound may ask port 5000/udp of the neighbour on the LAN, and nothing else; peer is next door and publishes 8002."""
    lan.do("bridge_network", **NETWORK)
    made = lan.do(
        "pod_sandbox",
        sandboxes=[
            {"name": "bound", "network": "a", "egress": {"allowed_cidrs": list(LAN), "allowed_udp_ports": [ALLOWED], "allow_dns": False}},
            {"name": "peer", "network": "a", "port_forwards": ["8002:80"]},
        ],
    )
    found = {item["name"]: item for item in made["sandboxes"]}
    serve_all(lan, (found["peer"]["ns_name"], "peer", 80), ("lan", "lan", ALLOWED, FORBIDDEN, 53), (None, "host", FORBIDDEN))
    for sandbox in found.values():
        shown = lan.json("ip", "-n", sandbox["ns_name"], "-j", "addr", "show", "dev", "eth0")[0]["addr_info"]
        sandbox["link_local"] = next(item["local"] for item in shown if item["scope"] == "link")
    return found


def shut(lan: Host, pods: dict[str, dict[str, Any]], where: str | None = None) -> list[str]:
    """What is reached and should not be."""
    peer = pods["peer"]
    asked = [(kind, address, FORBIDDEN) for kind in ("tcp", "udp") for address in (*LAN, *HOST, *peer["gateways"])]
    asked += [("tcp", address, ALLOWED) for address in LAN]
    asked += [(kind, address, 53) for kind in ("tcp", "udp") for address in LAN]
    asked += [(kind, address, 80) for kind in ("tcp", "udp") for address in (*peer["addresses"], f"{peer['link_local']}%eth0")]
    asked += [("tcp", address, 8002) for address in (*HOST, *peer["gateways"])]
    answers = ask(lan, where or pods["bound"]["ns_name"], *asked, patience=0.5)
    return [f"{question}: {answer}" for question, answer in zip(asked, answers) if answer is not None]


TRICKS = {
    "its own rules and routes": "nft flush ruleset; ip route flush cache; ip rule add prio 1 to all lookup main",
    "another default route": "ip route replace default via {peer4} onlink dev eth0; ip -6 route replace default via {peer6} dev eth0",
    "routes to neighbours": "ip route replace {peer4}/32 dev eth0; ip -6 route replace {peer6}/128 dev eth0",
    "fixed neighbours": "ip neigh replace {peer4} lladdr {peer_mac} dev eth0 nud permanent;"
    "ip -6 neigh replace {peer6} lladdr {peer_mac} dev eth0 nud permanent",
    "the gateway by the neighbour": "ip neigh replace {gateway4} lladdr {peer_mac} dev eth0 nud permanent;"
    "ip -6 neigh replace {gateway6} lladdr {peer_mac} dev eth0 nud permanent",
    "all of it by broadcast": "ip neigh replace {gateway4} lladdr ff:ff:ff:ff:ff:ff dev eth0 nud permanent;"
    "ip neigh replace {peer4} lladdr ff:ff:ff:ff:ff:ff dev eth0 nud permanent;"
    "ip -6 neigh replace {peer6} lladdr 33:33:00:00:00:01 dev eth0 nud permanent",
    "more addresses": "ip addr add 10.91.0.77/24 dev eth0; ip addr add fd00:91::77/64 dev eth0 nodad;"
    "ip route replace default via {gateway4} src 10.91.0.77; ip -6 route replace default via {gateway6} src fd00:91::77",
    "the address of the neighbour": "ip addr add {peer4}/32 dev eth0; ip route replace default via {gateway4} src {peer4}",
    "another mac": "ip link set eth0 address 02:00:00:00:00:77",
    "a vlan": "ip link add link eth0 name v7 type vlan id 7; ip addr add 10.91.0.2/24 dev v7; ip link set v7 up",
    "a macvlan": "ip link add link eth0 name m0 type macvlan mode bridge; ip addr add 10.91.0.2/32 dev m0; ip link set m0 up;"
    "ip route replace default via {gateway4} dev m0 onlink",
}


@pytest.mark.parametrize("value", (0, 1))
def test_no_change_of_its_own_side_helps(lan: Host, pods: dict[str, dict[str, Any]], value: int) -> None:
    bridge_netfilter(lan, value)
    bound, peer = pods["bound"], pods["peer"]
    words = {
        "peer4": peer["addresses"][0],
        "peer6": peer["addresses"][1],
        "peer_mac": peer["mac"],
        "gateway4": peer["gateways"][0],
        "gateway6": peer["gateways"][1],
    }
    assert ask(lan, bound["ns_name"], *(("udp", address, ALLOWED) for address in LAN)) == [f"lan {ALLOWED} {address}" for address in HOST]
    assert shut(lan, pods) == []
    before = denied(lan)
    for name, trick in TRICKS.items():
        lan.inside(bound, "sh", "-c", trick.format_map(words), check=False)
        assert shut(lan, pods) == [], name
        assert lan.drive({"sandboxes": [{"name": "bound", "state": "recreated"}]})["changed"]
    assert shut(lan, pods) == []
    assert denied(lan) > before
    answers = ask(lan, bound["ns_name"], *(("udp", address, ALLOWED) for address in LAN))
    assert answers == [f"lan {ALLOWED} {address}" for address in HOST]
    assert lan.pings(peer, "10.91.0.1") and lan.pings(peer, "fd00:91::1")


def denied(lan: Host, sandbox: str = "bound") -> int:
    """Packets of a sandbox that its policy has dropped."""
    return lan.do("egress_policy_info", sandbox=sandbox)["policies"][0]["counters"]["denied"]


NESTED = """
ip netns add inner; ip link add n0 type veth peer name n1 netns inner; ip addr add 192.168.77.1/24 dev n0; ip link set n0 up
ip -n inner addr add 192.168.77.2/24 dev n1; ip -n inner link set n1 up; ip -n inner route add default via 192.168.77.1
sysctl -qw net.ipv4.ip_forward=1
nft -f - <<X
table ip n { chain p { type nat hook postrouting priority 100; oifname "eth0" masquerade; }; }
X
"""
TUNNELS = """
ip link add t1 type ipip local {me} remote {to} && ip addr add 192.168.88.1/30 dev t1 && ip link set t1 up
ip link add t2 type gre local {me} remote {to} && ip addr add 192.168.88.5/30 dev t2 && ip link set t2 up
ip link add t3 type vxlan id 7 local {me} remote {to} dstport 4789 && ip addr add 192.168.88.9/30 dev t3 && ip link set t3 up
ip link add t4 type sit local {me} remote {to} && ip link set t4 up && ip -6 addr add 2001:db8:77::1/64 dev t4
true
"""


def test_nested_namespaces_and_tunnels_are_held_too(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    """By IP protocol what of it gets to the LAN: all of it while the sandbox is free, and bound what it may send itself."""
    bound = pods["bound"]

    def seen() -> set[str]:
        ear = lan.start("ip", "netns", "exec", "lan", "python3", "-u", "-c", SNIFF, "eth0")
        assert ear.stdout is not None and ear.stdout.readline() == "ready\n"
        # Root there makes more namespaces, which it forwards and masquerades for.
        inner = f"mount -t tmpfs none /run; mkdir -p /run/netns; {NESTED} ip netns exec inner sh -c '{PROBE}'"
        lan.inside(bound, "sh", "-c", inner, check=False)
        for target in (LAN[0], pods["peer"]["addresses"][0]):
            lan.inside(bound, "sh", "-c", TUNNELS.format(me=bound["addresses"][0], to=target), check=False)
            pings(lan, bound["ns_name"], "192.168.88.2", "192.168.88.6", "192.168.88.10", "2001:db8:77::2", patience=0.3)
            lan.inside(bound, "python3", "-c", ENCAPSULATE, target, check=False)
            lan.inside(bound, "sh", "-c", "for n in t1 t2 t3 t4; do ip link del $n; done; ip link del n0; true", check=False)
        ask(lan, bound["ns_name"], ("udp", LAN[0], ALLOWED))
        lan.sh("ip netns exec lan ping -c1 -W1 -p 656e64656e64 198.51.100.1")
        return set(ear.stdout.readline().split())

    asked = f"17/{ALLOWED}"
    assert seen() == {asked}
    lan.do("egress_policy", sandbox="bound", state="absent")
    assert seen() >= {asked, f"17/{FORBIDDEN}", f"6/{FORBIDDEN}", "17/4789", *(str(number) for number in RAW)}


RAW = (4, 41, 47, 50, 51, 132)
"""IP in IP, IPv6 in IP, GRE, ESP, AH, SCTP: what tunnels are made of, also where this kernel has no interfaces for them."""

ENCAPSULATE = f"""
import socket, sys
for number in {RAW}:
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, number)
    s.sendto(bytes(40), (sys.argv[1], 0))
vxlan = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
vxlan.sendto(bytes(60), (sys.argv[1], 4789))
"""
PROBE = f"""
python3 - <<X
import socket
for kind, port in ((socket.SOCK_DGRAM, {FORBIDDEN}), (socket.SOCK_STREAM, {FORBIDDEN})):
    s = socket.socket(socket.AF_INET, kind); s.settimeout(0.3)
    try:
        s.connect(("{LAN[0]}", port)); s.send(b"x")
    except OSError:
        pass
X
"""
SNIFF = f"""
import socket, struct, sys
ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
ear.bind((sys.argv[1], 0))
ear.settimeout(60)
print("ready", flush=True)
found = set()
while True:
    frame = ear.recv(4000)
    if b"endend" in frame:
        break
    if frame[12:14] == b"\\x08\\x00" and frame[30:34] == socket.inet_aton("{LAN[0]}"):
        port = f"/{{int.from_bytes(frame[36:38], 'big')}}" if frame[23] in (6, 17) else ""
        found.add(f"{{frame[23]}}{{port}}")
print(*sorted(found), flush=True)
"""


@pytest.mark.parametrize("value", (0, 1))
def test_raw_frames_reach_nobody(lan: Host, pods: dict[str, dict[str, Any]], value: int) -> None:
    """Of its own MAC and addresses, which it may use: to neighbours, groups, everybody, and the host's MAC."""
    bridge_netfilter(lan, value)
    bound, peer = pods["bound"], pods["peer"]
    (bridge,) = lan.json("ip", "-j", "link", "show", "a")
    (my4, my6), (his4, his6) = bound["addresses"], peer["addresses"]
    link = bound["link_local"]
    macs = {"neighbour": peer["mac"], "host": bridge["address"], "everybody": "ff:ff:ff:ff:ff:ff", "group": "33:33:00:00:00:01"}
    frames: dict[str, Any] = {}
    for whom, mac in macs.items():
        udp = {"kind": "udp", "source": bound["mac"], "target": mac}
        icmp = {"kind": "icmp6", "source": bound["mac"], "target": mac, "type": 128}
        for at, (mine, to) in enumerate(((my4, his4), (my4, LAN[0]), (my4, "255.255.255.255"), (my4, "224.0.0.251"))):
            frames[f"four {whom} {at}"] = {**udp, "from": mine, "to": to}
        for at, (mine, to) in enumerate(((my6, his6), (my6, LAN[1]), (link, peer["link_local"]), (link, "ff02::1"), (my6, "ff0e::1"))):
            frames[f"six {whom} {at}"] = {**udp, "from": mine, "to": to}
            frames[f"echo {whom} {at}"] = {**icmp, "from": mine, "to": to}
        # Neighbour discovery is let through to neighbours, but nowhere else.
        frames[f"solicit {whom}"] = {**icmp, "from": my6, "to": LAN[1], "type": 135}
        frames[f"listener {whom}"] = {**icmp, "from": link, "to": LAN[1], "type": 143}
        # What is dressed up as it, and would not be taken for it, is not.
        frames[f"far solicit {whom}"] = {**icmp, "from": my6, "to": his6, "type": 135, "hops": 254}
        frames[f"far advert {whom}"] = {**icmp, "from": my6, "to": "ff0e::1", "type": 136, "about": my6, "hops": 64}
        frames[f"far listener {whom}"] = {**icmp, "from": link, "to": "ff02::16", "type": 143, "hops": 2}
        frames[f"wide listener {whom}"] = {**icmp, "from": link, "to": his6, "type": 143, "hops": 1}
        frames[f"router solicit {whom}"] = {**icmp, "from": link, "to": "ff02::2", "type": 133}
    ears = {"neighbour": listen(lan, peer["ns_name"], "eth0"), "lan": listen(lan, "lan", "eth0")}
    send(lan, bound, frames)
    send(lan, peer, {"end": {"kind": "udp", "source": peer["mac"], "from": his4, "to": LAN[0], "target": bridge["address"]}})
    # The neighbour's own interface shows what it sends, too.
    got = {name: heard(ear) - {"end"} for name, ear in ears.items()}
    assert got["lan"] == set()
    assert {name for name in got["neighbour"] if not name.startswith("solicit")} == set()


ODD = """
import ipaddress, socket, struct, sys
my4, my6, to4, to6, gateway4, port = *sys.argv[1:6], int(sys.argv[6])
def ip(text): return ipaddress.ip_address(text).packed
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
def four(text, flags=0, options=b"", body=None, protocol=17, to=to4):
    data = f"<{text}>".encode()
    body = struct.pack("!HHHH", 9, port, 8 + len(data), 0) + data if body is None else body
    words = 5 + len(options) // 4
    head = struct.pack("!BBHHHBBH4s4s", 64 | words, 0, words * 4 + len(body), 77, flags, 64, protocol, 0, ip(my4), ip(to))
    raw.sendto(head + options + body, (to, 0))
four("plain")
whole = struct.pack("!HHHH", 9, port, 8 + 16, 0) + b"<fragments>".ljust(16, b".")
four("", 0x2000, body=whole[:8]); four("", 1, body=whole[8:])
four("", 1, body=b"<late fragment>.")
four("", 0x2000, body=whole[:8]); four("", 0x2000, body=struct.pack("!HHHH", 9, port + 1, 24, 0)); four("", 1, body=b"<overlapping>...")
four("record route", options=b"\\x07\\x07\\x04\\0\\0\\0\\0\\0")
four("source route", options=b"\\x83\\x07\\x04" + ip(to4) + b"\\0", to=gateway4)
four("unknown protocol", protocol=253)
raw6 = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
def six(text, *headers):
    data = f"<{text}>".encode()
    body = struct.pack("!HHHH", 9, port, 8 + len(data), 0xFFFF) + data
    kinds = [kind for kind, _header in headers] + [17]
    for (_kind, header), after in reversed(list(zip(headers, kinds[1:]))):
        body = bytes([after]) + header + body
    raw6.sendto(struct.pack("!IHBB", 6 << 28, len(body), kinds[0], 64) + ip(my6) + ip(to6) + body, (to6, 0))
pad = b"\\0\\x01\\x04" + bytes(4)
six("six plain")
six("hop by hop", (0, pad))
six("destination options", (60, pad))
six("many options", (0, pad), (60, pad), (60, pad), (60, pad))
six("routing", (43, b"\\x02\\0\\x01" + bytes(4) + ip(to6)))
six("atomic fragment", (44, b"\\0\\0\\0\\0\\0\\0\\x07"))
six("options in a fragment", (44, b"\\0\\0\\0\\0\\0\\0\\x08"), (60, pad))
six("mobility", (135, pad))
"""


def test_odd_packets_are_packets(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    """Options, fragments and extension headers change nothing; free, the sandbox gets most of them out."""
    bound, peer = pods["bound"], pods["peer"]

    def got() -> set[str]:
        ears = [listen(lan, "lan", "eth0"), listen(lan, peer["ns_name"], "eth0")]
        for to4, to6 in (LAN, peer["addresses"]):
            words = (*bound["addresses"], to4, to6, bound["gateways"][0], str(FORBIDDEN))
            lan.inside(bound, "python3", "-c", ODD, *words)
        (bridge,) = lan.json("ip", "-j", "link", "show", "a")
        end = {"kind": "udp", "source": peer["mac"], "from": peer["addresses"][0], "to": LAN[0], "target": bridge["address"]}
        send(lan, peer, {"end": end})
        return set.union(*(heard(ear) for ear in ears)) - {"end"}

    before = denied(lan)
    assert got() == set()
    assert denied(lan) >= before + 10
    lan.do("egress_policy", sandbox="bound", state="absent")
    assert got() >= {"plain", "fragments", "record route", "six plain", "hop by hop", "destination options", "atomic fragment"}


FLOOD = """
import select, socket, sys, time
four, six, port, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
udp4, udp6 = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
raw4 = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
raw6 = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
print("ready", flush=True)
tried, end, started = 0, time.monotonic() + seconds, time.monotonic()
def attempt(call):
    global tried
    try:
        call()
        tried += 1
    except OSError:
        pass
# Until its standard input is closed, and it has tried often enough.
while time.monotonic() < end and (tried < 5000 or not select.select([sys.stdin], [], [], 0)[0]):
    for _ in range(5):
        attempt(lambda: udp4.sendto(b"forbidden", (four, port)))
        attempt(lambda: udp6.sendto(b"forbidden", (six, port)))
        attempt(lambda: raw4.sendto(b"\\x08\\x00\\xf7\\xff" + bytes(4), (four, 0)))
        attempt(lambda: raw6.sendto(b"\\x80" + bytes(7), (six, 0)))
    for family, address in ((socket.AF_INET, four), (socket.AF_INET6, six)):
        s = socket.socket(family, socket.SOCK_STREAM)
        s.setblocking(False)
        tried += s.connect_ex((address, port)) in (0, 115)
        s.close()
    time.sleep(0.005)
print(tried, round(tried / (time.monotonic() - started)), flush=True)
"""
COUNT = """
import select, socket, sys, time
ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
ear.bind((sys.argv[1], 0))
port = int(sys.argv[2]).to_bytes(2, "big")
print("ready", flush=True)
through, end, closed = 0, time.monotonic() + float(sys.argv[3]), False
# Until its input is closed, and then what is on its way.
while time.monotonic() < end:
    readable = select.select([ear] if closed else [ear, sys.stdin], [], [], 0.5)[0]
    if closed and not readable:
        break
    closed = closed or sys.stdin in readable
    if ear not in readable:
        continue
    frame = ear.recv(4000)
    if frame[12:14] == b"\\x08\\x00":
        through += frame[23] == 1 or (frame[23] in (6, 17) and frame[36:38] == port)
    elif frame[12:14] == b"\\x86\\xdd":
        through += (frame[20] == 58 and frame[54] == 128) or (frame[20] in (6, 17) and frame[56:58] == port)
print(through, flush=True)
"""
PACE = """
import select, socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], int(sys.argv[2])))
answered, sent, end = set(), 0, time.monotonic() + float(sys.argv[3])
print("ready", flush=True)
def listen(seconds):
    # Until then, and what is there by then.
    until = time.monotonic() + seconds
    while select.select([s], [], [], max(0, until - time.monotonic()))[0]:
        answered.add(int(s.recv(100).split()[-1]))
while time.monotonic() < end and (sent < 500 or not select.select([sys.stdin], [], [], 0)[0]):
    s.send(b"%d" % sent)
    sent += 1
    listen(0.005)
# Late is not lost: the machine may have much to do.
for _ in range(50):
    if len(answered) < sent:
        listen(0.1)
print(sent, sent - len(answered), flush=True)
"""


BOUND = "240"
"""Seconds after which a process of these tests ends by itself."""


def start(lan: Host, where: str, script: str, *words: str) -> Any:
    """One of these scripts, begun; it goes on until ``ended``."""
    process = lan.start("ip", "netns", "exec", where, "python3", "-c", script, *words, BOUND, stdin=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def ended(process: Any) -> list[int]:
    """The numbers that it says at its end."""
    return [int(word) for word in process.communicate(timeout=250)[0].split()]


def test_a_flood_finds_no_gap_in_a_hundred_changes(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    """And what is allowed loses nothing meanwhile."""
    bound = pods["bound"]["ns_name"]
    counter = start(lan, "lan", COUNT, "eth0", str(FORBIDDEN))
    flood = start(lan, bound, FLOOD, *LAN, str(FORBIDDEN))
    pace = start(lan, bound, PACE, LAN[0], str(ALLOWED))
    always = {"sandbox": "bound", "allowed_cidrs": list(LAN), "allow_dns": False}
    forms = (
        {"allowed_udp_ports": [ALLOWED], "rules": []},
        {"allowed_udp_ports": [ALLOWED, 7000], "rules": [{"cidrs": ["203.0.113.0/24"]}], "log_denied": False},
        {"allowed_udp_ports": ["4999-5001"], "rules": [], "log_denied": True, "max_connections": 5000},
    )
    steps = [{"policies": [{**always, **forms[(at + 1) % 3]}]} for at in range(100)]
    # Others come and go: the policy of another sandbox, one that is born bound, a ceiling, and a network, which changes the frame.
    steps[20] = {"policies": [{"sandbox": "peer"}]}
    steps[40] = {"policies": [{"sandbox": "peer", "state": "absent"}]}
    steps[50] = {"networks": [{"name": "b", "subnets": ["10.92.0.0/24"]}]}
    steps[60] = {"sandboxes": [{"name": "new", "network": "a", "egress": {}}]}
    steps[70] = {"policies": [{"network": "a", "allowed_cidrs": ["0.0.0.0/0"], "allowed_udp_ports": [ALLOWED]}]}
    steps[80] = {"policies": [{"network": "a", "state": "absent"}]}
    done = lan.drive({"sequence": steps})
    assert [item for item in done if "error" in item or not item["changed"]] == []
    sent, lost = ended(pace)
    tried, rate = ended(flood)
    assert (ended(counter), lost) == ([0], 0), (tried, rate, sent)
    assert tried >= 5000 and sent >= 500, (tried, rate, sent)


def test_a_sandbox_is_bound_before_it_can_send(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    """A workload that is there already, in a namespace that is then furnished."""
    lan.sh("ip netns add theirs")
    counter = start(lan, "lan", COUNT, "eth0", str(FORBIDDEN))
    flood = start(lan, "theirs", FLOOD, *LAN, str(FORBIDDEN))
    made = lan.drive({"sandboxes": [{"name": "guest", "network": "a", "netns": "/run/netns/theirs", "egress": {}}]})
    assert made["changed"]
    # Of what it tried since it is connected.
    before = denied(lan, "guest")
    for _wait in range(300):
        if denied(lan, "guest") >= before + 100:
            break
        time.sleep(0.1)
    else:
        raise AssertionError("the flood did not get as far as the policy")
    assert ended(flood)[0] >= 5000 and ended(counter) == [0]


def test_what_is_tried_is_counted(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    before = denied(lan)
    ask(lan, pods["bound"]["ns_name"], *[("udp", LAN[0], FORBIDDEN)] * 10, patience=0.02)
    assert denied(lan) == before + 10
