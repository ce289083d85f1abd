# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Egress policies: what a bound sandbox reaches, and what reaches it; every form, changed in place, seen, and repaired."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from frames import heard, listen, send
from host import Host, task
from talk import HOST, LAN, ask, bridge_netfilter, echo, hold, pings, serve, serve_all, still_open

NETWORKS = [
    {"name": "a", "subnets": ["10.91.0.0/24", "fd00:91::/64"], "isolation": "none"},
    {"name": "b", "subnets": ["10.92.0.0/24", "fd00:92::/64"], "isolation": "none"},
]
PODS = ("bound", "peer", "other")
Question = tuple[str, str, int]


@pytest.fixture
def pods(lan: Host) -> dict[str, dict[str, Any]]:
    """bound and peer are neighbours on a, other is on b; all answer on 80 and 81, and publish 80 as 8001, 8002, 8003."""
    items = [
        {"name": name, "network": "b" if name == "other" else "a", "port_forwards": [f"{8001 + at}:80", f"{8001 + at}:80/udp"]}
        for at, name in enumerate(PODS)
    ]
    made = lan.play(task("bridge_network", networks=NETWORKS), task("pod_sandbox", sandboxes=items))
    lan.must(made[0])
    found = {item["name"]: item for item in lan.must(made[1])["sandboxes"]}
    for sandbox in found.values():
        shown = lan.json("ip", "-n", sandbox["ns_name"], "-j", "addr", "show", "dev", "eth0")[0]["addr_info"]
        sandbox["link_local"] = next(item["local"] for item in shown if item["scope"] == "link")
    inside = [(sandbox["ns_name"], name, 80, 81) for name, sandbox in found.items()]
    serve_all(lan, *inside, ("lan", "lan", 4000, 4001), (None, "host", 5000))
    return found


def both(addresses: Any, port: int, *kinds: str) -> list[Question]:
    return [(kind, address, port) for kind in kinds or ("tcp", "udp") for address in addresses]


def places(lan: Host, pods: dict[str, dict[str, Any]]) -> dict[str, list[Question]]:
    """Everything that there is to reach, by what it is."""
    bridge = lan.json("ip", "-j", "addr", "show", "dev", "a")[0]["addr_info"]
    link_local = next(item["local"] for item in bridge if item["scope"] == "link")
    return {
        "outside": both(LAN, 4000),
        "other port outside": both(LAN, 4001),
        "neighbour": both(pods["peer"]["addresses"], 80),
        "neighbour's link-local": both([f"{pods['peer']['link_local']}%eth0"], 80),
        "other network": both(pods["other"]["addresses"], 80),
        "host by its gateway": both(pods["bound"]["gateways"], 5000, "tcp"),
        "host by another gateway": both(pods["other"]["gateways"], 5000, "tcp"),
        "host by its uplink": both(HOST, 5000, "tcp"),
        "host's link-local": both([f"{link_local}%eth0"], 5000, "tcp"),
        "neighbour's published": both(HOST, 8002),
        "neighbour's published by gateway": both(pods["bound"]["gateways"], 8002),
        "other's published": both(HOST, 8003),
        "own published": both(HOST, 8001),
    }


def reached(lan: Host, where: str, asked: dict[str, list[Question]]) -> dict[str, list[bool]]:
    answers = iter(ask(lan, where, *(item for items in asked.values() for item in items), patience=1))
    return {name: [next(answers) is not None for _item in items] for name, items in asked.items()}


def inbound(lan: Host, pods: dict[str, dict[str, Any]]) -> list[str | None]:
    """What others begin with the bound sandbox: by its published port from outside, directly from next door, from the host."""
    bound = pods["bound"]
    answers = ask(lan, "lan", *both(HOST, 8001))
    answers += ask(lan, pods["peer"]["ns_name"], *both(bound["addresses"], 81), *both(HOST, 8001))
    answers += ask(lan, pods["other"]["ns_name"], *both(bound["addresses"], 81))
    return answers + ask(lan, None, *both(bound["addresses"], 81), ("tcp", "127.0.0.1", 8001))


@pytest.mark.parametrize("value", (0, 1))
def test_what_is_not_allowed_is_not_reached_whatever_it_is(lan: Host, pods: dict[str, dict[str, Any]], value: int) -> None:
    bridge_netfilter(lan, value)
    asked = places(lan, pods)
    bound = pods["bound"]["ns_name"]
    every = reached(lan, bound, asked)
    assert {name: items for name, items in every.items() if not all(items)} == {}
    lan.quartet("egress_policy", sandbox="bound", allowed_cidrs=[f"{LAN[0]}/32", LAN[1]], allowed_tcp_ports=[4000])
    now = reached(lan, bound, asked)
    assert now.pop("outside") == [True, True, False, False]
    assert not any(any(items) for items in now.values()), now
    assert pings(lan, bound, *LAN, *pods["peer"]["addresses"], *pods["bound"]["gateways"]) == [False] * 6
    assert None not in inbound(lan, pods)
    # Its neighbours are not concerned.
    theirs = reached(
        lan, pods["peer"]["ns_name"], {"out": both(LAN, 4001), "host": both(HOST, 5000, "tcp"), "it": both(pods["bound"]["addresses"], 80)}
    )
    assert all(all(items) for items in theirs.values()), theirs
    # What is allowed by name is reached: neighbours, the host, and what others publish, by the address that was asked for.
    allowed = {"neighbour": pods["peer"]["addresses"], "host by its gateway": pods["bound"]["gateways"], "other's published": HOST}
    rules = [{"cidrs": [*pods["peer"]["addresses"]]}, {"cidrs": pods["bound"]["gateways"], "ports": ["5000/tcp", "5000/udp"]}]
    rules.append({"cidrs": list(HOST), "ports": ["8003/tcp", "8003/udp"]})
    lan.quartet("egress_policy", sandbox="bound", allowed_cidrs=[], allowed_tcp_ports=[], rules=rules)
    now = reached(lan, bound, asked)
    assert {name for name, items in now.items() if all(items)} == set(allowed), now
    assert {name for name, items in now.items() if any(items)} == set(allowed), now
    assert None not in inbound(lan, pods)
    lifted = lan.quartet("egress_policy", sandbox="bound", state="absent")
    assert "bound" in lifted["warnings"][0]
    assert reached(lan, bound, asked) == every
    assert "jump sandbox_" not in lan.sh("nft list table inet podnet")


def test_every_form(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    bound = pods["bound"]["ns_name"]
    four, six = LAN
    asked = {
        "tcp": both(LAN, 4000, "tcp"),
        "tcp4001": both(LAN, 4001, "tcp"),
        "udp": both(LAN, 4000, "udp"),
        "udp4001": both(LAN, 4001, "udp"),
    }
    every = ["0.0.0.0/0", "::/0"]
    asked["ping"] = both(LAN, 0, "ping")
    nothing, yes = {name: [False] * 2 for name in asked}, [True, True]
    forms: tuple[tuple[dict[str, Any], dict[str, list[bool]], list[bool]], ...] = (
        ({}, {}, [False, False]),
        ({"allowed_cidrs": every}, dict.fromkeys(asked, yes), yes),
        ({"allowed_cidrs": [four]}, {key: [True, False] for key in asked}, [True, False]),
        ({"allowed_cidrs": [six]}, {key: [False, True] for key in asked}, [False, True]),
        ({"allowed_cidrs": every, "allowed_tcp_ports": ["3999-4000"]}, {"tcp": yes}, [False, False]),
        ({"allowed_cidrs": every, "allowed_udp_ports": [4001]}, {"udp4001": yes}, [False, False]),
        (
            {"allowed_cidrs": every, "allowed_udp_ports": [4001], "allowed_tcp_ports": [4000, 4001]},
            {"udp4001": yes, "tcp": yes, "tcp4001": yes},
            [False] * 2,
        ),
        ({"allowed_tcp_ports": [4000]}, {}, [False, False]),
        ({"rules": [{"cidrs": every, "except": ["198.51.100.0/28"]}]}, {key: [False, True] for key in asked}, [False, True]),
        ({"rules": [{"cidrs": every, "except": ["198.51.100.3/32"], "ports": ["4001/udp"]}]}, {"udp4001": yes}, [False, False]),
        ({"rules": [{"cidrs": every, "icmp": True}]}, {}, yes),
        (
            {"rules": [{"cidrs": [four], "ports": ["4000/sctp"], "icmp": True}, {"cidrs": [six], "ports": ["4000-4001/tcp"]}]},
            {"tcp": [False, True], "tcp4001": [False, True]},
            [True, False],
        ),
    )
    for options, expected, echoes in forms:
        whole = {"allowed_cidrs": [], "allowed_tcp_ports": [], "allowed_udp_ports": [], "rules": [], **options}
        lan.drive({"policies": [{"sandbox": "bound", **whole}]})
        assert not lan.drive({"policies": [{"sandbox": "bound", **whole}]})["changed"]
        assert reached(lan, bound, asked) == {**nothing, **expected, "ping": echoes}, options


def test_names_are_asked_of_the_own_resolvers_only(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    serve(lan, "lan", "resolver", 53)
    serve(lan, pods["peer"]["ns_name"], "neighbour", 53)
    bound = pods["bound"]["ns_name"]
    asked = {"own": both(LAN, 53), "neighbour": both(pods["peer"]["addresses"], 53), "other port": both(LAN, 4000)}
    lan.do("egress_policy", sandbox="bound", log_denied=False)
    assert not any(any(items) for items in reached(lan, bound, asked).values())
    lan.do("pod_sandbox", name="bound", dns=list(LAN))
    assert reached(lan, bound, asked) == {"own": [True] * 4, "neighbour": [False] * 4, "other port": [False] * 4}
    lan.quartet("egress_policy", sandbox="bound", allow_dns=False)
    assert not any(reached(lan, bound, asked)["own"])
    # A ceiling lets each sandbox ask its own.
    lan.do("egress_policy", policies=[{"sandbox": "bound", "state": "absent"}, {"network": "a"}])
    assert reached(lan, bound, asked) == {"own": [True] * 4, "neighbour": [False] * 4, "other port": [False] * 4}
    assert not any(reached(lan, pods["peer"]["ns_name"], {"own": asked["own"]})["own"])


def test_policies_of_a_network_are_a_ceiling_for_those_of_its_sandboxes(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    asked = {"4000": both(LAN, 4000, "tcp"), "4001": both(LAN, 4001, "tcp")}
    open_, shut = [True, True], [False, False]
    lan.quartet("egress_policy", network="a", name="ceiling", allowed_cidrs=list(LAN), allowed_tcp_ports=[4000])
    assert [reached(lan, pods[name]["ns_name"], asked) for name in PODS] == [{"4000": open_, "4001": shut}] * 2 + [
        {"4000": open_, "4001": open_}
    ]
    # Its own do not lift it, and restrain further.
    lan.quartet("egress_policy", sandbox="bound", name="mine", allowed_cidrs=[LAN[0]], allowed_tcp_ports=[4000, 4001])
    assert reached(lan, pods["bound"]["ns_name"], asked) == {"4000": [True, False], "4001": shut}
    # Another on either adds up.
    lan.quartet("egress_policy", policies=[{"network": "a", "name": "more", "allowed_cidrs": [LAN[0]], "allowed_tcp_ports": [4001]}])
    assert reached(lan, pods["bound"]["ns_name"], asked) == {"4000": [True, False], "4001": [True, False]}
    lan.quartet("egress_policy", sandbox=pods["bound"]["id"], name="six", allowed_cidrs=[LAN[1]])
    assert reached(lan, pods["bound"]["ns_name"], asked) == {"4000": open_, "4001": [True, False]}
    # Whoever comes later is bound before it can send.
    late = lan.quartet("pod_sandbox", name="late", network="a", egress={"allowed_cidrs": ["0.0.0.0/0", "::/0"]})["sandbox"]
    assert reached(lan, late["ns_name"], asked) == {"4000": open_, "4001": [True, False]}
    listed = lan.do("egress_policy_info")["policies"]
    assert [(item["network"], item["sandbox"], item["name"], item["declared_by"]) for item in listed] == [
        (None, "bound", "mine", "egress_policy"),
        (None, "bound", "six", "egress_policy"),
        (None, "late", "default", "pod_sandbox"),
        ("a", None, "ceiling", "egress_policy"),
        ("a", None, "more", "egress_policy"),
    ]
    assert [item["name"] for item in lan.do("egress_policy_info", network="a", name="more")["policies"]] == ["more"]
    # What is not listed goes, but for what pod_sandbox declares.
    lan.quartet("egress_policy", exclusive=True, policies=[{"network": "a", "name": "more"}])
    assert [item["name"] for item in lan.do("egress_policy_info")["policies"]] == ["default", "more"]
    lan.quartets(("pod_sandbox", {"name": "late", "egress": {}}), ("pod_sandbox", {"name": "late", "state": "absent"}))
    lan.quartet("bridge_network", name="a", state="absent", force=True)
    assert lan.do("egress_policy_info")["policies"] == []


def test_audit_drops_nothing_and_counts_what_enforcing_drops(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    bound = pods["bound"]["ns_name"]
    asked = {"allowed": both(LAN, 4000, "udp"), "not": both(LAN, 4001, "udp"), "neighbour": both(pods["peer"]["addresses"], 80, "udp")}
    policy = {"sandbox": "bound", "allowed_cidrs": list(LAN), "allowed_udp_ports": [4000]}
    lan.quartet("egress_policy", **policy, mode="audit")
    assert reached(lan, bound, asked) == {"allowed": [True] * 2, "not": [True] * 2, "neighbour": [True] * 2}

    def counters() -> tuple[int, int]:
        (found,) = lan.do("egress_policy_info", sandbox="bound", name="default")["policies"]
        return found["counters"]["allowed"], found["counters"]["denied"]

    assert counters() == (2, 4)
    lan.quartet("egress_policy", sandbox="bound", mode="enforce")
    assert reached(lan, bound, asked) == {"allowed": [True] * 2, "not": [False] * 2, "neighbour": [False] * 2}
    assert counters() == (4, 8)
    # Beside one that is enforced, one that audits allows nothing.
    lan.quartet("egress_policy", sandbox="bound", name="trial", allowed_cidrs=["::/0", "0.0.0.0/0"], mode="audit")
    assert reached(lan, bound, asked) == {"allowed": [True] * 2, "not": [False] * 2, "neighbour": [False] * 2}
    # They survive a change of everything else.
    lan.do("bridge_network", name="c", subnets=["10.93.0.0/24"])
    assert counters() == (6, 12)


def test_what_is_sent_to_many_is_audited_by_sandbox_too(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    """Two of the four policies on one interface audit; as soon as one is enforced, nothing gets to the neighbour."""
    bound, peer = pods["bound"], pods["peer"]
    mine4, mine6 = bound["addresses"]
    udp = {"kind": "udp", "source": bound["mac"]}
    frames = {
        "group four": {**udp, "target": "01:00:5e:00:00:fb", "from": mine4, "to": "224.0.0.251"},
        "group six": {**udp, "target": "33:33:00:00:00:fb", "from": mine6, "to": "ff02::fb"},
        "everybody": {**udp, "target": "ff:ff:ff:ff:ff:ff", "from": mine4, "to": "10.91.0.255"},
        "the host": {**udp, "target": "ff:ff:ff:ff:ff:ff", "from": mine4, "to": bound["gateways"][0]},
    }
    end = {"kind": "udp", "source": peer["mac"], "from": peer["addresses"][0], "to": "10.91.0.255"}

    def through() -> set[str]:
        ear = listen(lan, peer["ns_name"], "eth0")
        send(lan, bound, frames)
        send(lan, peer, {"end": end})
        return heard(ear) - {"end"}

    def denied() -> list[int]:
        return [item["counters"]["denied"] for item in lan.do("egress_policy_info")["policies"]]

    assert through() == set(frames)
    lan.do("egress_policy", policies=[{"sandbox": "bound", "mode": "audit", "log_denied": True}, {"network": "a", "mode": "audit"}])
    reader = lan.start("python3", "-c", READ_LOG, "2")
    assert reader.stdout is not None and reader.stdout.readline() == "ready\n"
    assert through() == set(frames)
    counted = denied()
    # What the peer says to end it is counted with the network's, too.
    assert counted == [4, 5], counted
    lines = reader.stdout.read().splitlines()
    said = f"podnet-egress-denied: {bound['name']} {bound['id']} "
    assert lines.count(said) == 1, lines
    lan.do("egress_policy", sandbox="bound", mode="enforce")
    assert through() == set()
    assert denied() == [8, 10]
    assert lan.do("egress_policy", sandbox="bound", mode="enforce")["changed"] is False


def test_thousands_of_destinations(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    """Ten thousand networks, each twice and one within another: merged, one transaction, in force, and nothing to do again.

    An ordinary user has a thousand: a transaction is one message, and the buffer that it has to fit into (wmem_default) may be
    raised by root of the machine only (SO_SNDBUFFORCE, socket(7)).
    """
    count = 500 if os.geteuid() else 5000
    many = [f"100.{64 + at // 128}.{at % 128 * 2}.0/24" for at in range(count)] + [f"fd01:{at * 2:x}::/48" for at in range(count)]
    within = [f"100.64.{at * 2}.128/25" for at in range(100)] + [f"fd01:{at:x}:0:8000::/49" for at in range(0, 200, 2)]
    policy = {"sandbox": "bound", "allowed_cidrs": [*many, *many, *within, *LAN], "allowed_udp_ports": [4000]}

    def transactions() -> int:
        return int(str(lan.drive({"transactions": True})))

    before = transactions()
    assert lan.do("egress_policy", **policy)["changed"]
    assert transactions() == before + 1
    assert not lan.do("egress_policy", **policy)["changed"]
    assert not lan.do("egress_policy", **policy, check_mode=True)["changed"]
    assert transactions() == before + 1
    (name,) = [word for word in lan.sh("nft list sets inet").split() if word.startswith("to4_")]
    # Of five thousand, one holds 100.100.100.200, which is metadata: seven networks and an address are left of it.
    assert lan.sh(f"nft -j list set inet podnet {name}").count('"prefix"') == (count if count < 5000 else 4999 + 7)
    asked = {"allowed": both(LAN, 4000, "udp"), "not": both(pods["peer"]["addresses"], 80, "udp")}
    assert reached(lan, pods["bound"]["ns_name"], asked) == {"allowed": [True] * 2, "not": [False] * 2}
    shorter = {**policy, "allowed_cidrs": [*many[1:], LAN[1]]}
    before = transactions()
    assert lan.do("egress_policy", **shorter)["changed"]
    assert transactions() == before + 1
    assert reached(lan, pods["bound"]["ns_name"], asked) == {"allowed": [False, True], "not": [False] * 2}


def test_one_of_two_that_share_their_destinations_goes(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    """Anywhere: a set of which metadata is left out. The rules of the other go on using it."""
    shared = {"allowed_cidrs": ["0.0.0.0/0", "::/0"]}
    for name in ("bound", "other"):
        lan.do("egress_policy", sandbox=name, **shared)
    assert not lan.do("egress_policy", sandbox="other", **shared)["changed"]
    assert lan.do("pod_sandbox", name="other", state="absent", force=True)["changed"]
    assert not lan.do("egress_policy", sandbox="bound", **shared)["changed"]
    lan.do("egress_policy", sandbox="bound", state="absent")
    assert "to4_" not in lan.sh("nft list sets inet")


def test_metadata_is_dropped_ahead_of_every_allow(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    addresses = ("169.254.169.254", "fd00:ec2::254")
    lan.sh(
        "ip -n lan addr add 169.254.169.254/32 dev lo; ip -n lan addr add fd00:ec2::254/128 dev lo nodad;"
        f"ip route add 169.254.169.254 via {LAN[0]}; ip route add fd00:ec2::254 via {LAN[1]}"
    )
    asked = {"metadata": both(addresses, 4000, "tcp")}
    policy = {"sandbox": "bound", "allowed_cidrs": ["0.0.0.0/0", "::/0", *addresses]}
    for options, through in (({}, False), ({"allow_metadata": True}, True), ({"allow_metadata": False}, False)):
        lan.do("egress_policy", **policy, **options)
        assert reached(lan, pods["bound"]["ns_name"], asked) == {"metadata": [through] * 2}, options


def test_connections_that_were_there_before(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    echo(lan, "lan", *LAN)
    targets = [f"{address},7000" for address in LAN]
    bound = hold(lan, pods["bound"]["ns_name"], *targets)
    peer = hold(lan, pods["peer"]["ns_name"], *targets)

    def tracked() -> list[tuple[str, str]]:
        found = lan.drive({"connections": True})
        return sorted((item["sender"], item["target"]) for item in found if item["port"] == 7000)

    held = {name: sorted(zip(pods[name]["addresses"], LAN)) for name in ("bound", "peer")}
    assert tracked() == sorted(held["bound"] + held["peer"])
    lan.do("egress_policy", sandbox="bound", allowed_cidrs=list(LAN), established="keep")
    assert still_open(bound) == "xx"
    lan.do("egress_policy", sandbox="bound", allowed_cidrs=[LAN[0]])
    assert still_open(bound) == "xx"
    assert tracked() == sorted(held["bound"] + held["peer"])
    lan.do("egress_policy", sandbox="bound", established="drop")
    assert still_open(bound) == "x-" and still_open(peer) == "xx"
    assert tracked() == sorted([pair for pair in held["bound"] if pair[1] == LAN[0]] + held["peer"])
    lan.do("egress_policy", sandbox="bound", allowed_cidrs=list(LAN))
    assert still_open(peer) == "xx"


def test_connections_are_bounded(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    echo(lan, "lan", *LAN)
    lan.quartet("egress_policy", sandbox="bound", allowed_cidrs=list(LAN), max_connections=4)
    held = hold(lan, pods["bound"]["ns_name"], *[f"{address},7000" for address in LAN] * 2)
    assert still_open(held) == "xxxx"
    assert ask(lan, pods["bound"]["ns_name"], *both(LAN, 4000), patience=0.4) == [None] * 4
    assert None not in ask(lan, pods["peer"]["ns_name"], *both(LAN, 4000))
    assert still_open(held) == "xxxx"
    lan.quartet("egress_policy", sandbox="bound", max_connections=0)
    assert None not in ask(lan, pods["bound"]["ns_name"], *both(LAN, 4000))


CLOSE = """
import socket, sys
made = 0
for _each in range(int(sys.argv[3])):
    try:
        with socket.create_connection((sys.argv[1], int(sys.argv[2])), 0.05) as s:
            s.sendall(b"x")
            made += bool(s.recv(10))
    except OSError:
        pass
print(made)
"""


def test_connections_that_were_closed_fill_no_table_either(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    """The kernel remembers them for two minutes more."""
    lan.do("egress_policy", sandbox="bound", allowed_cidrs=list(LAN), max_connections=10)
    made = lan.inside(pods["bound"], "python3", "-c", CLOSE, LAN[0], "4000", "60")
    # One more for every six seconds that it took.
    assert 10 <= int(made.stdout) <= 12, made.stdout
    assert int(lan.inside(pods["peer"], "python3", "-c", CLOSE, LAN[0], "4000", "60").stdout) == 60


def test_nobody_goes_on_with_what_others_began(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    """An address that is another sandbox's now: neither its connections nor those to it are left."""
    mine = pods["peer"]["addresses"]
    bound = pods["bound"]["ns_name"]
    asked = [("udp", address, 81) for address in pods["bound"]["addresses"]]
    lan.do("egress_policy", sandbox="bound", established="keep")
    assert None not in ask(lan, pods["peer"]["ns_name"], *asked)
    assert None not in ask(lan, pods["peer"]["ns_name"], *both(LAN, 4000), ("tcp", HOST[0], 8003))

    def left() -> list[Any]:
        found = lan.drive({"connections": True})
        return [item for item in found if {item["sender"], item["target"]} & set(mine)]

    assert left()
    lan.do("pod_sandbox", name="peer", state="absent", force=True)
    later = {"name": "later", "networks": [{"name": "a", "addresses": mine}], "egress": {"established": "keep"}}
    lan.do("pod_sandbox", **later)
    assert left() == []
    # As the servers would answer that they have become clients of.
    knock = f"import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 82)); s.sendto(b'x', ('{mine[0]}', 1))"
    lan.run("ip", "netns", "exec", bound, "python3", "-c", knock)
    assert left() == []


READ_LOG = """
import socket, struct, sys, time
log = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
log.bind((0, 0))
def attribute(kind, data):
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)
def configure(*attributes):
    body = struct.pack("!BBH", 0, 0, 4096) + b"".join(attributes)
    log.send(struct.pack("=IHHII", 16 + len(body), 4 << 8 | 1, 1 | 4, 1, 0) + body)
    assert struct.unpack_from("=i", log.recv(4096), 16)[0] == 0
configure(attribute(1, b"\\1"))
configure(attribute(2, struct.pack("!IBB", 0, 1, 0)))
print("ready", flush=True)
log.settimeout(float(sys.argv[1]))
try:
    while True:
        data = log.recv(65536)
        while data:
            size = struct.unpack_from("=I", data)[0]
            at = 20
            while at + 4 <= size:
                length, kind = struct.unpack_from("=HH", data, at)
                if kind & 0x7FFF == 10:
                    print(data[at + 4 : at + length].rstrip(b"\\0").decode(), flush=True)
                at += (length + 3) & ~3 or 4
            data = data[(size + 3) & ~3 :]
except OSError:
    pass
"""


def test_what_is_denied_is_logged_by_name_and_one_does_not_mute_another(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    lan.do(
        "egress_policy", policies=[{"sandbox": "bound"}, {"network": "a", "log_denied": True}, {"sandbox": "other", "log_denied": False}]
    )
    reader = lan.start("python3", "-c", READ_LOG, "3")
    assert reader.stdout is not None and reader.stdout.readline() == "ready\n"
    for name in ("bound", "peer", "other"):
        assert set(ask(lan, pods[name]["ns_name"], *both(LAN, 4000, "udp") * 10, patience=0.02)) == {None}
    lines = reader.stdout.read().splitlines()
    said = {name: lines.count(f"podnet-egress-denied: {name} {pods[name]['id']} ") for name in pods}
    assert 1 <= said["bound"] <= 5 and 1 <= said["peer"] <= 5 and said["other"] == 0, lines
    assert sum(said.values()) == len(lines), lines


DAMAGES = (
    "nft flush ruleset",
    "nft delete table bridge podnet",
    "nft flush chain inet podnet {sandbox}",
    "nft insert rule inet podnet {sandbox} accept",
    "nft flush chain inet podnet {deny}",
    "nft flush map inet podnet policies6",
    "nft flush set bridge podnet routed",
    "nft delete element inet podnet {to} '{{ 198.51.100.2 }}'",
    "nft add element inet podnet {to} '{{ 203.0.113.0/24 }}'",
    "nft add element inet podnet {to} '{{ 203.0.113.0/24 }}'; nft delete element inet podnet {to} '{{ 198.51.100.2 }}'",
    "nft flush chain inet podnet egress",
)


def test_damage_is_shown_and_repaired(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    policy = {"sandbox": "bound", "allowed_cidrs": list(LAN), "allowed_tcp_ports": [4000]}
    lan.do("egress_policy", **policy)
    chains = lan.sh("nft list table inet podnet")
    key = pods["bound"]["id"][:8]
    words = {"sandbox": f"sandbox_{key}", "deny": f"deny_{key}", "to": next(word for word in chains.split() if word.startswith("to4_"))}
    steps: list[Any] = []
    for damage in DAMAGES:
        steps += [damage.format_map(words), ("pod_sandbox", {"name": "peer"} if "bridge" in damage else {"name": "bound"})]
    lan.quartets(*steps)
    assert lan.sh("nft --stateless list table inet podnet").split() == lan.sh("nft --stateless list table inet podnet").split()
    lan.sh(DAMAGES[3].format_map(words))
    shown = {item["name"]: item["problems"] for item in lan.do("pod_sandbox_info")["sandboxes"]}
    assert shown["bound"] and not shown["peer"] and not shown["other"], shown
    lan.do("egress_policy", **policy)
    asked = {"allowed": both(LAN, 4000, "tcp"), "not": both(LAN, 4001, "tcp")}
    assert reached(lan, pods["bound"]["ns_name"], asked) == {"allowed": [True] * 2, "not": [False] * 2}


def test_bad_policies_are_refused_and_leave_the_old_one(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    lan.do("egress_policy", sandbox="bound", allowed_cidrs=[LAN[0]])
    before = lan.drive({"snapshot": True})
    lan.refusals(
        "egress_policy",
        ({"sandbox": "bound", "allowed_cidrs": ["10.0.0.1/8"]}, "invalid_argument", "10.0.0.0/8"),
        ({"sandbox": "bound", "allowed_cidrs": ["example.org"]}, "invalid_argument", "example.org"),
        ({"sandbox": "bound", "allowed_tcp_ports": ["70000"]}, "invalid_argument", "70000"),
        ({"sandbox": "bound", "allowed_udp_ports": ["9-1"]}, "invalid_argument", "9-1"),
        ({"sandbox": "bound", "rules": [{"cidrs": [], "ports": ["1/tcp"]}]}, "invalid_argument", "cidrs"),
        ({"sandbox": "bound", "rules": [{"cidrs": ["::/0"], "ports": []}]}, "invalid_argument", "rules.ports"),
        ({"sandbox": "bound", "rules": [{"cidrs": ["::/0"], "icmp": False}]}, "invalid_argument", "rules.icmp"),
        ({"sandbox": "bound", "allowed_cidrs": ["::ffff:192.0.2.1"]}, "invalid_argument", "IPv4"),
        ({"sandbox": "bound", "allowed_tcp_ports": ["\u0668\u0660"]}, "invalid_argument", "\u0668"),
        ({"sandbox": "bound", "rules": [{"cidrs": ["::/0"], "ports": ["443"]}]}, "invalid_argument", "443/tcp"),
        ({"sandbox": "bound", "rules": [{"cidrs": ["::/0"], "ports": ["443/icmp"]}]}, "invalid_argument", "icmp"),
        ({"sandbox": "bound", "max_connections": -1}, "invalid_argument", "max_connections"),
        ({"sandbox": "bound", "mode": "off"}, "invalid_argument", "off"),
        ({"sandbox": "bound", "name": "Not a name"}, "invalid_argument", "Not a name"),
        ({"sandbox": "nobody"}, "not_found", "nobody"),
        ({"network": "nowhere"}, "not_found", "nowhere"),
        ({"name": "x"}, "invalid_argument", "sandbox"),
        ({"sandbox": "bound", "network": "a"}, "invalid_argument", "network"),
        ({"policies": [{"sandbox": "bound"}, {"sandbox": pods["bound"]["id"]}]}, "invalid_argument", "twice"),
        ({"policies": [{"sandbox": "bound", "allowed_cidrs": ["::/0"]}, {"network": "nowhere"}]}, "not_found", "nowhere"),
    )
    refused = lan.refused("pod_sandbox", name="new", network="a", egress={"allowed_cidrs": ["x"]})
    assert refused["reason"] == "invalid_argument" and "egress.allowed_cidrs" in refused["msg"]
    assert lan.drive({"snapshot": True}) == before
    dry = lan.do("egress_policy", sandbox="later", allowed_cidrs=[LAN[0]], check_mode=True)
    assert dry["changed"] and "later" in dry["warnings"][0]
    assert lan.do("egress_policy", sandbox="nobody", state="absent")["changed"] is False


def test_a_fault_or_a_kill_behind_any_operation(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    """What was undone is as before; what was killed is finished by the next run; either way nothing was open."""
    wanted = {
        "policies": [
            {"sandbox": "bound", "allowed_cidrs": [LAN[0]], "established": "drop"},
            {"network": "a", "name": "x", "allowed_cidrs": ["::/0"]},
        ]
    }
    reset = {"policies": [{"sandbox": "bound", "state": "absent"}, {"network": "a", "name": "x", "state": "absent"}]}
    for fault in ("fail_after", "kill_after"):
        report = lan.drive({"faults": fault, "setup": [], "task": wanted, "reset": [reset]})
        assert "broken" not in report and len(report["points"]) >= 4, report
        for point in report["points"]:
            if fault == "fail_after":
                assert not point["done"]["differs"], point
            else:
                assert point["again"]["changed"] is (point["number"] < len(report["points"])), point
                assert point["third"]["changed"] is False, point
        lan.drive(reset)


def test_json_of_a_whole_policy(lan: Host, pods: dict[str, dict[str, Any]]) -> None:
    """What is returned can be given back, and an omitted option keeps its value."""
    options = {
        "allowed_cidrs": ["2001:db8::/32", "192.0.2.1"],
        "allowed_tcp_ports": ["443", "80"],
        "allowed_udp_ports": ["5000-5010"],
        "allow_dns": False,
        "log_denied": False,
        "max_connections": 100,
        "rules": [{"cidrs": ["203.0.113.0/24"], "except": ["203.0.113.7"], "ports": ["1-3/tcp", "9/sctp"], "icmp": True}],
        "allow_metadata": True,
        "established": "keep",
        "mode": "audit",
    }
    made, *_rest = lan.quartets(
        ("egress_policy", {"sandbox": "bound", **options}), ("egress_policy", {"sandbox": "bound", "mode": "enforce"})
    )
    policy = made["policy"]
    assert policy["allowed_cidrs"] == ["192.0.2.1/32", "2001:db8::/32"] and policy["allowed_tcp_ports"] == ["80", "443"]
    again = {key: policy[key] for key in options if key != "mode"}
    assert lan.do("egress_policy", sandbox="bound", **again)["changed"] is False
    assert json.loads(json.dumps(lan.do("pod_sandbox", name="bound")["sandbox"]["egress"]))["max_connections"] == 100
