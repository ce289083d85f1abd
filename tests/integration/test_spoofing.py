# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a sandbox sends comes from its own MAC and addresses, or reaches nobody: raw frames of root inside."""

from __future__ import annotations

import json
from typing import Any

import pytest
from frames import SEND, heard, listen, send
from host import Host
from talk import bridge_netfilter

FOREIGN = "02:00:00:00:00:99"


def frames(me: dict[str, Any], other: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What may pass, and what may not, by what it is."""
    mine, his = me["mac"], other["mac"]
    (my4, my6), (his4, his6) = me["addresses"], other["addresses"]
    link = me["link_local"]
    udp = {"kind": "udp", "source": mine, "from": my4, "to": his4}
    udp6 = {**udp, "from": my6, "to": his6}
    arp = {"kind": "arp", "source": mine, "sender": mine, "operation": 1, "from": my4, "to": his4}
    nd = {"kind": "icmp6", "source": mine, "from": link, "to": "ff02::1"}
    good = {
        "udp": udp,
        "udp six": udp6,
        "udp six link local": {**udp6, "from": link, "to": "ff02::1"},
        "arp request": arp,
        "arp reply": {**arp, "operation": 2},
        "arp probe": {**arp, "from": "0.0.0.0"},
        "solicit": {**nd, "type": 135, "about": his6},
        "solicit unspecified": {**nd, "from": "::", "type": 135, "about": my6},
        "advert own": {**nd, "type": 136, "about": my6},
        "advert own link local": {**nd, "type": 136, "about": link},
    }
    bad = {
        "mac foreign": {**udp, "source": FOREIGN},
        "mac of neighbour": {**udp, "source": his},
        "mac of neighbour six": {**udp6, "source": his},
        "address foreign": {**udp, "from": "203.0.113.9"},
        "address of neighbour": {**udp, "from": his4},
        "address of gateway": {**udp, "from": "10.90.0.1"},
        "address six foreign": {**udp6, "from": "2001:db8::9"},
        "address six of neighbour": {**udp6, "from": his6},
        "address six of gateway": {**udp6, "from": "fd00:90::1"},
        "link local of neighbour": {**udp6, "from": other["link_local"]},
        "unspecified": {**udp, "from": "0.0.0.0", "sport": 68},
        "unspecified six": {**udp6, "from": "::"},
        "arp poison neighbour": {**arp, "operation": 2, "from": his4},
        "arp poison gateway": {**arp, "operation": 2, "from": "10.90.0.1"},
        "arp gratuitous": {**arp, "from": "10.90.0.1", "to": "10.90.0.1"},
        "arp other hardware": {**arp, "sender": his},
        "arp probe reply": {**arp, "operation": 2, "from": "0.0.0.0"},
        "advert of neighbour": {**nd, "type": 136, "about": his6},
        "advert of gateway": {**nd, "type": 136, "about": "fd00:90::1"},
        "router advert": {**nd, "type": 134},
        "redirect": {**nd, "type": 137, "about": his6},
        "dhcp offer": {**udp, "sport": 67},
        "dhcp offer from another port": {**udp, "sport": 6767, "dport": 68},
        "dhcp six from another port": {**udp6, "from": link, "to": "ff02::1", "sport": 5547, "dport": 546},
        "dhcp offer that is cut": {**udp, "sport": 67, "dport": 68, "longer": 200},
        "dhcp six advertise": {**udp6, "from": link, "to": "ff02::1", "sport": 547},
        "vlan": {**udp, "tpid": 0x8100, "vlan": 7},
        "vlan zero": {**udp, "tpid": 0x8100, "vlan": 0},
        "vlan service": {**udp, "tpid": 0x88A8, "vlan": 7},
        "stp": {"kind": "raw", "source": mine, "ethertype": 0x0027},
        "lldp": {"kind": "raw", "source": mine, "ethertype": 0x88CC},
        "other protocol": {"kind": "raw", "source": mine, "ethertype": 0x1234},
    }
    return good, bad


@pytest.mark.parametrize("value", (0, 1))
def test_only_what_is_leased_gets_out(pods0: Host, value: int) -> None:
    bridge_netfilter(pods0, value)
    me, other = pods0.do("pod_sandbox", sandboxes=[{"name": name, "network": "pods0"} for name in ("a", "b")])["sandboxes"]
    for sandbox in (me, other):
        (shown,) = pods0.json("ip", "-n", sandbox["ns_name"], "-j", "addr", "show", "dev", "eth0")
        sandbox["link_local"] = next(item["local"] for item in shown["addr_info"] if item["scope"] == "link")
    good, bad = frames(me, other)
    ears = [listen(pods0, other["ns_name"], "eth0"), listen(pods0, None, "pods0", other["veth_host"])]
    # Who listens to which groups: everybody says so when an interface comes up, so that it is not counted, and nobody hears it.
    groups = {"kind": "icmp6", "source": me["mac"], "from": me["link_local"], "to": "ff02::16", "hops": 1}
    listening = {f"listener {kind}": {**groups, "type": kind} for kind in (130, 131, 132, 143)}
    send(pods0, me, {**bad, **listening, "listener unspecified": {**groups, "from": "::", "type": 143}, **good})
    # Inside, root may do as it likes with its own.
    pods0.inside(me, "sh", "-c", "nft flush ruleset; ip addr add 10.90.0.77/24 dev eth0; ip link set eth0 address 02:00:00:00:00:98")
    send(pods0, me, {"after a change of the mac": {**bad["mac foreign"], "source": "02:00:00:00:00:98"}})
    send(pods0, me, {"end": good["udp"]})
    for ear in ears:
        assert heard(ear) == {*good, "end"}
    counted = pods0.sh("nft list chain bridge podnet sender; for n in _arp 4 6; do nft list chain bridge podnet sender$n; done")
    packets = sum(int(line.split("packets ")[1].split()[0]) for line in counted.splitlines() if "packets " in line)
    assert packets >= len(bad) + 1
    assert stations(pods0) == {(sandbox["veth_host"], sandbox["mac"]) for sandbox in (me, other)}


ANSWER = """
import socket
server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
server.bind(("::", 9))
print("ready", flush=True)
heard = []
while "end" not in heard:
    heard.append(server.recv(2000).rstrip(b"\\0").decode().strip("<>"))
print(",".join(sorted(set(heard))), flush=True)
"""


@pytest.mark.parametrize("value", (0, 1))
def test_frames_that_a_bridge_hands_to_its_port_reach_nobody(pods0: Host, value: int) -> None:
    """01:80:c2:00:00:00-0f go to the stack of the port itself, past the bridge's hooks (IEEE 802.1Q, 8.6.3)."""
    bridge_netfilter(pods0, value)
    me = pods0.do("pod_sandbox", name="a", network="pods0")["sandbox"]
    (my4, my6), (host4, host6), port = me["addresses"], me["gateways"], me["veth_host"]
    pods0.sh(f"sysctl -qw net.ipv6.conf.{port}.accept_ra=2")
    server = pods0.start("python3", "-c", ANSWER)
    assert server.stdout is not None and server.stdout.readline() == "ready\n"
    frames: dict[str, Any] = {}
    for last in range(16):
        to = {"source": FOREIGN, "target": f"01:80:c2:00:00:{last:02x}"}
        frames[f"four {last}"] = {**to, "kind": "udp", "from": my4, "to": host4, "sport": 1000}
        frames[f"six {last}"] = {**to, "kind": "udp", "from": my6, "to": host6, "sport": 1000}
        frames[f"advert {last}"] = {**to, "kind": "icmp6", "from": "fe80::bad", "to": "ff02::1", "type": 134}
        frames[f"arp {last}"] = {**to, "kind": "arp", "sender": FOREIGN, "operation": 1, "from": "10.90.0.66", "to": host4}
    send(pods0, me, frames)
    (bridge,) = pods0.json("ip", "-j", "link", "show", "pods0")
    send(pods0, me, {"end": {"source": me["mac"], "target": bridge["address"], "kind": "udp", "from": my4, "to": host4}})
    assert server.stdout.readline() == "end\n"
    assert [item for item in pods0.json("ip", "-j", "neigh") if item["dev"] == port] == []
    assert "fe80::bad" not in pods0.sh("ip -6 route; ip -6 neigh")
    assert "packets 0 " not in pods0.sh("nft list chain inet podnet guard | grep host_ends")


def stations(host: Host) -> set[tuple[str, str]]:
    """Behind which port the bridge looks for which MAC; the ports' own, and groups, apart."""
    entries = host.json("bridge", "-j", "fdb", "show", "br", "pods0")
    return {(entry["ifname"], entry["mac"]) for entry in entries if entry["state"] != "permanent"}


def test_what_the_bridge_was_told_is_kept(pods0: Host) -> None:
    web = pods0.quartet("pod_sandbox", name="web", network="pods0")["sandbox"]
    assert stations(pods0) == {(web["veth_host"], web["mac"])}
    port = web["veth_host"]
    damages = (
        f"bridge fdb del {web['mac']} dev {port} master",
        f"bridge fdb add 02:00:00:00:00:99 dev {port} master static",
        f"ip link set {port} nomaster",
        f"bridge link set dev {port} learning on flood on",
    )
    steps: list[Any] = []
    for damage in damages:
        steps += [damage, ("pod_sandbox", {"name": "web"})]
    pods0.quartets(*steps)
    assert stations(pods0) == {(web["veth_host"], web["mac"])}
    moved = pods0.quartet("pod_sandbox", name="web", networks=[{"name": "pods0", "mac": "02:00:00:00:00:05"}])["sandbox"]
    assert stations(pods0) == {(moved["veth_host"], "02:00:00:00:00:05")}
    assert pods0.pings(moved, "10.90.0.1") and pods0.pings(moved, "fd00:90::1")


def test_what_is_meant_for_a_silent_sandbox_is_not_told_to_others(pods0: Host) -> None:
    """Neither while nobody knows where it is, nor for a MAC that nobody has."""
    web, other = pods0.do("pod_sandbox", sandboxes=[{"name": name, "network": "pods0"} for name in ("web", "other")])["sandboxes"]
    ears = {name: listen(pods0, sandbox["ns_name"], "eth0") for name, sandbox in (("web", web), ("other", other))}
    (bridge,) = pods0.json("ip", "-j", "link", "show", "pods0")
    udp = {"kind": "udp", "source": bridge["address"], "from": "10.90.0.1", "to": web["addresses"][0]}
    for name, target in (("for web", web["mac"]), ("for nobody", FOREIGN), ("end", "ff:ff:ff:ff:ff:ff")):
        pods0.run("python3", "-c", SEND, json.dumps([(name, {**udp, "target": target})]), "pods0")
    assert {name: heard(ear) for name, ear in ears.items()} == {"web": {"for web", "end"}, "other": {"end"}}
