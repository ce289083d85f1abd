# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Living with firewalls of somebody else that drop by default what is forwarded."""

from __future__ import annotations

import os
from typing import Any

import pytest
from host import ROOT, Host
from talk import HOST, LAN, ask, bridge_netfilter, everywhere, pings, serve

KINDS = ("nft", "legacy") if os.geteuid() == 0 else ("nft",)
"""Of iptables; which of the older tables are in use is said to the machine's own root alone."""

NETWORK = {"name": "pods0", "subnets": ["10.90.0.0/24", "fd00:90::/64"]}
PORTS = ["8080:80", "8080:80/udp"]
DOCKER = """
{tool} -P FORWARD DROP
{tool} -N DOCKER-USER; {tool} -N DOCKER-ISOLATION-STAGE-1; {tool} -N DOCKER
{tool} -A FORWARD -j DOCKER-USER; {tool} -A FORWARD -j DOCKER-ISOLATION-STAGE-1
{tool} -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
{tool} -A FORWARD -o docker0 -j DOCKER
{tool} -A FORWARD -i docker0 ! -o docker0 -j ACCEPT
{tool} -A DOCKER-ISOLATION-STAGE-1 -j RETURN
{tool} -A DOCKER-USER -i eth9 -m comment --comment "an administrator's own" -j DROP
{tool} -A DOCKER-USER -j RETURN
"""
UFW = """
{tool} -P FORWARD DROP
for chain in before-logging-forward before-forward after-forward after-logging-forward reject-forward track-forward; do
  {tool} -N {prefix}-$chain; {tool} -A FORWARD -j {prefix}-$chain
done
{tool} -N {prefix}-user-forward
{tool} -A {prefix}-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
{tool} -A {prefix}-before-forward -j {prefix}-user-forward
"""
"""As Docker 24 and ufw 0.36 set them up, as far as forwarding goes."""


def docker(host: Host, kind: str) -> list[str]:
    for tool in ("iptables", "ip6tables"):
        host.sh(DOCKER.format(tool=f"{tool}-{kind}"))
    return ["DOCKER-USER"] * 2


def ufw(host: Host, kind: str) -> list[str]:
    for tool, prefix in (("iptables", "ufw"), ("ip6tables", "ufw6")):
        host.sh(UFW.format(tool=f"{tool}-{kind}", prefix=prefix))
    return ["ufw-user-forward", "ufw6-user-forward"]


def theirs(host: Host) -> list[str]:
    """Every rule of somebody else, counters apart."""
    saved = host.sh(f"for kind in {' '.join(KINDS)}; do iptables-$kind-save; ip6tables-$kind-save; done").splitlines()
    listed = host.sh("nft --stateless list ruleset | sed '/^table .* podnet {/,/^}/d'").splitlines()
    return [line.split(" [")[0] for line in (*saved, *listed) if not line.startswith(("#", "COMMIT"))]


def works(host: Host, sandbox: dict[str, Any]) -> None:
    """Out, in through published ports, and back; nothing else gets in."""
    assert [host.pings(sandbox, address) for address in LAN] == [True, True]
    assert ask(host, "lan", *everywhere(8080)) == [f"web 80 {address}" for address in LAN] * 2
    assert None not in ask(host, None, *everywhere(8080), ("tcp", "127.0.0.1", 8080))
    assert ask(host, "lan", *everywhere(81), patience=0.2) == [None] * 4


CASES = [case for case in ((docker, "nft", 1), (docker, "legacy", 0), (ufw, "nft", 0), (ufw, "legacy", 1)) if case[1] in KINDS]


@pytest.mark.parametrize(("firewall", "kind", "value"), CASES)
def test_a_default_drop_lets_us_through_by_the_chain_it_offers(lan: Host, firewall: Any, kind: str, value: int) -> None:
    bridge_netfilter(lan, value)
    offered = firewall(lan, kind)
    before = theirs(lan)
    pair = [{"name": name, "network": "pods0"} for name in ("web", "db")]
    lan.quartets(("bridge_network", NETWORK), ("pod_sandbox", {"sandboxes": pair}))
    web = lan.do("pod_sandbox", name="web", port_forwards=PORTS)["sandbox"]
    serve(lan, web["ns_name"], "web", 80, 81)
    works(lan, web)
    neighbour = lan.do("pod_sandbox_info", name="db")["sandboxes"][0]
    assert lan.pings(neighbour, web["addresses"][0]) and lan.pings(neighbour, web["addresses"][1])
    added = [line for line in theirs(lan) if line not in before]
    assert [line for line in added if line.startswith("-A")] == [
        f'-A {chain} -m mark --mark 0x1000/0x1000 -m comment --comment "podnet.linux" -j ACCEPT' for chain in offered
    ]
    # The other firewall starts anew: ours is missing again, which the next run sees and repairs.
    tools = (f"iptables-{kind}", f"ip6tables-{kind}")
    flush = "; ".join(f"{tool} -D {chain} 1" for tool, chain in zip(tools, offered))
    lan.quartets(flush, ("pod_sandbox", {"name": "web"}))
    works(lan, web)
    lan.quartets(("bridge_network", {"name": "pods0", "state": "absent", "force": True}))
    assert theirs(lan) == before


FOREIGN = "table inet other {{ chain {name} {{ type filter hook forward priority 10; policy {policy}; {rules} }} ; }}"


@pytest.mark.parametrize(("policy", "rules"), (("drop", ""), ("accept", "ct state established accept; counter drop;")))
def test_where_no_chain_is_offered_the_task_says_which_one_blocks(lan: Host, policy: str, rules: str) -> None:
    lan.run("nft", "-f", "-", text=FOREIGN.format(name="forward", policy=policy, rules=rules))
    before = lan.drive({"snapshot": True})
    for check in (True, False):
        refused = lan.refused("bridge_network", **NETWORK, check_mode=check)
        assert refused["reason"] == "blocked_by_firewall"
        assert "chain forward of nftables table inet other" in refused["msg"] and "0x1000" in refused["msg"]
    assert lan.drive({"snapshot": True}) == before
    lan.do("bridge_network", **NETWORK, firewall="none")
    lan.do("bridge_network", name="pods0", state="absent")
    # Whoever rules there can let us through, by the mark or by the bridge's name.
    drops = [rule.strip() for rule in rules.split(";") if rule.strip()]
    for accepts in (["meta mark & 0x1000 == 0x1000 accept"], ['iifname "pods0" accept', 'oifname "pods0" accept']):
        lan.sh("nft flush chain inet other forward")
        for rule in (*accepts, *drops):
            lan.sh(f"nft add rule inet other forward '{rule}'")
        lan.quartet("bridge_network", **NETWORK)
        web = lan.do("pod_sandbox", name="web", network="pods0", port_forwards=PORTS)["sandbox"]
        serve(lan, web["ns_name"], "web", 80, 81)
        works(lan, web)
        lan.do("bridge_network", name="pods0", state="absent", force=True)


MARKED = "meta mark & 0x1000 == 0x1000 accept"
ANSWERS = "ct state established,related accept"
FORMS = (
    # What the chain says, its priority and policy, and whether networks get through.
    ("counter drop", 10, "accept", False),
    ('log prefix "x" level warn drop', 10, "accept", False),
    ("drop; counter", 10, "accept", False),
    ("jump dropping", 10, "accept", False),
    ("goto dropping", 10, "accept", False),
    ("goto letting", 10, "drop", True),
    (f"jump dropping; {MARKED}", 10, "drop", False),
    (f"drop; {MARKED}", 10, "drop", False),
    ("ip saddr 10.0.0.0/8 drop", 10, "accept", False),
    ("ip saddr != 10.90.0.0/24 drop; ip6 saddr fe80::/10 drop", 10, "accept", True),
    ("tcp dport 25 drop", 10, "accept", True),
    (MARKED, 10, "drop", True),
    ("meta mark & 0x1000 != 0 accept", 10, "drop", True),
    (MARKED, -150, "drop", False),
    ('iifname "pods0" accept; oifname "pods0" accept', -150, "drop", True),
    (f'{ANSWERS}; iifname "pods0" tcp dport 99 accept', 10, "drop", False),
    (f'{ANSWERS}; iifname {{ "x", "pods*" }} accept', 10, "drop", True),
    (f"{ANSWERS}; iifname @bridges accept", 10, "drop", True),
    (f'{ANSWERS}; iifname vmap {{ "pods0" : jump letting, "x" : drop }}', 10, "drop", True),
    (f'{ANSWERS}; iifname "pods0" oifname "up0" accept', 10, "drop", True),
    ('ct state vmap { established : accept, related : accept, invalid : drop }; iifname "pods0" accept', 10, "drop", True),
    (f'{ANSWERS}; iifname "pods0" limit rate 5/second accept', 10, "drop", False),
    (f'{ANSWERS}; meta nfproto ipv4 iifname "pods0" accept', 10, "drop", False),
)
FORMED = """
table inet other
delete table inet other
table inet other {{
  set bridges {{ type ifname; elements = {{ "pods0", "x" }}; }}
  chain letting {{ {marked}; }}
  chain dropping {{ counter drop; }}
  chain other {{ type filter hook {hook} priority {priority}; policy {policy}; {rules}; }}
}}
"""


DEFAULT_ROUTES = f"ip route add default via {LAN[0]}; ip -6 route add default via {LAN[1]}"


def blocked(host: Host) -> bool:
    """Whether the engine says so, and nothing else does."""
    said = host.drive({"networks": [NETWORK], "check": True})
    assert said.get("reason") in (None, "blocked_by_firewall"), said
    return "error" in said


def test_what_a_chain_of_somebody_else_means(lan: Host) -> None:
    lan.sh(DEFAULT_ROUTES)
    for rules, priority, policy, through in FORMS:
        form = FORMED.format(marked=MARKED, hook="forward", priority=priority, policy=policy, rules=rules)
        lan.run("nft", "-f", "-", text=form)
        assert blocked(lan) != through, (rules, priority, policy)
    for rules, through in (("", False), (MARKED, True)):
        form = FORMED.format(marked=MARKED, hook="postrouting", priority=0, policy="drop", rules=rules)
        lan.run("nft", "-f", "-", text=form)
        assert blocked(lan) != through, rules


IPTABLES_FORMS = (
    (("-j LOG", "-j DROP"), "ACCEPT", False),
    (("-N more", "-A more -j REJECT", "-j more"), "ACCEPT", False),
    (("-p tcp --dport 25 -j DROP",), "ACCEPT", True),
    (("-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "-i pods+ -j ACCEPT"), "DROP", True),
    (("-m state --state RELATED,ESTABLISHED -j ACCEPT", '-i pods0 -m comment --comment "let out" ! -o up9 -j ACCEPT'), "DROP", True),
    (("-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "-i pods0 -p tcp -j ACCEPT"), "DROP", False),
    (("-m mark --mark 0x1000/0x1000 -j ACCEPT",), "DROP", True),
    (("-N more", "-A more -m mark ! --mark 0x1000/0x1000 -j RETURN", "-A more -j ACCEPT", "-g more"), "DROP", True),
    (("-m connmark --mark 0x1000/0x1000 -j ACCEPT",), "DROP", False),
    (("-m connmark --mark 0x1000/0x1000 -j DROP",), "ACCEPT", True),
    (("-m comment --comment 'two\nlines' -i pods0 -j DROP",), "ACCEPT", False),
    (("-m comment --comment '-A FORWARD x' -j ACCEPT",), "DROP", True),
    (("-t mangle -A FORWARD -i pods0 -j DROP",), "ACCEPT", False),
    (("-t mangle -A POSTROUTING -o pods0 -j DROP",), "ACCEPT", False),
    (("! -s 10.90.0.0/24 -i pods0 -j DROP", "-d 10.0.0.0/8 -j DROP"), "ACCEPT", False),
)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_chain_of_iptables_means(lan: Host, kind: str) -> None:
    lan.sh(DEFAULT_ROUTES)
    for rules, policy, through in IPTABLES_FORMS:
        lan.sh(f"iptables-{kind} -t mangle -F; iptables-{kind} -P FORWARD {policy}; iptables-{kind} -F; iptables-{kind} -X")
        for rule in rules:
            lan.sh(f"iptables-{kind} {rule if rule.startswith(('-N', '-A', '-t')) else '-A FORWARD ' + rule}")
        assert blocked(lan) != through, (rules, policy)


NATIVE = (
    # Tables of the names that iptables uses, which it does not understand, or only in part.
    ("policy drop; tcp dport 25 drop; ip saddr { 192.168.1.0/24, 192.168.2.0/24 } accept", "", False),
    ("policy accept; ip saddr @bad drop", "set bad { type ipv4_addr; flags interval; elements = { 192.168.1.0/24 }; }", True),
    ("policy drop; meta mark & 0x1000 == 0x1000 accept", "chain pre { type filter hook prerouting priority -150; }", True),
)


def test_a_table_that_iptables_only_seems_to_manage(lan: Host) -> None:
    for rules, more, through in NATIVE:
        lan.run("nft", "-f", "-", text="table ip filter\ndelete table ip filter\n")
        chain = f"chain FORWARD {{ type filter hook forward priority 0; {rules}; }}"
        lan.run("nft", "-f", "-", text=f"table ip filter {{\n{more}\n{chain}\n}}\n")
        assert blocked(lan) != through, rules
    lan.sh("nft flush ruleset; iptables-nft -P FORWARD DROP; iptables-nft -N DOCKER-USER; iptables-nft -A FORWARD -j DOCKER-USER")
    lan.sh("nft 'add chain ip filter pre { type filter hook prerouting priority -150; policy accept; }'")
    assert blocked(lan)


def test_what_somebody_does_to_the_chain_that_is_offered(lan: Host) -> None:
    """Ours is known by what it says, not by its comment alone, and has to be reached."""
    docker(lan, "nft")
    lan.quartet("bridge_network", **NETWORK)
    ours = '-m mark --mark 0x1000/0x1000 -m comment --comment "podnet.linux" -j ACCEPT'
    alike = '-i pods9 -m comment --comment "see podnet.linux" -j DROP'
    lan.quartets(
        "iptables-nft -I DOCKER-USER -j RETURN",
        ("bridge_network", {"name": "pods0"}),
        f"iptables-nft -D DOCKER-USER {ours}; iptables-nft -I DOCKER-USER {alike}",
        ("pod_sandbox", {"name": "web", "network": "pods0"}),
    )
    assert lan.sh("iptables-nft -S DOCKER-USER").splitlines()[1:4] == [
        f"-A DOCKER-USER {ours}",
        f"-A DOCKER-USER {alike}",
        "-A DOCKER-USER -j RETURN",
    ]
    lan.sh("iptables-nft -D FORWARD -j DOCKER-USER")
    assert "chain FORWARD of nftables table ip filter" in lan.refused("bridge_network", name="pods0")["msg"]
    # Docker has no default drop any more: ours goes with the last network all the same.
    lan.sh("iptables-nft -P FORWARD ACCEPT; iptables-nft -I FORWARD -j DOCKER-USER")
    lan.quartets(("bridge_network", {"name": "pods0", "state": "absent", "force": True}))
    assert 'podnet.linux" -j ACCEPT' not in lan.sh("iptables-nft -S DOCKER-USER; ip6tables-nft -S DOCKER-USER")


def test_a_firewall_that_comes_later_is_a_warning_for_sandboxes(lan: Host) -> None:
    """Whoever wants to remove a sandbox must not be kept from it."""
    lan.do("bridge_network", **NETWORK)
    lan.run("nft", "-f", "-", text=FOREIGN.format(name="late", policy="drop", rules=""))
    made = lan.do("pod_sandbox", name="web", network="pods0")
    assert "chain late" in made["warnings"][0]
    assert lan.refused("bridge_network", name="pods0")["reason"] == "blocked_by_firewall"
    lan.do("pod_sandbox", name="web", state="absent")
    lan.do("bridge_network", name="pods0", state="absent")


DBUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*"/><allow send_type="method_call"/><allow send_type="signal"/>
    <allow receive_sender="*"/><allow receive_type="method_call"/><allow receive_type="method_return"/>
    <allow receive_type="error"/><allow receive_type="signal"/>
  </policy>
</busconfig>
"""


def firewalld(host: Host) -> None:
    """The real one, with a message bus of its own; its files lie over /usr on this host alone."""
    tree = ROOT / ".cache" / "firewalld"
    # By a path that an option of overlay can hold.
    host.run("sh", "-ec", 'mkdir -p /run/firewalld-tree /run/dbus; mount --bind "$1" /run/firewalld-tree', "sh", str(tree))
    host.sh("mount -t overlay overlay -o lowerdir=/run/firewalld-tree/usr:/usr /usr; cp -a /run/firewalld-tree/etc/. /etc/")
    host.run("tee", "/run/dbus.conf", text=DBUS)
    host.start("dbus-daemon", "--config-file=/run/dbus.conf", "--nofork", "--nopidfile")
    host.until("test -S /run/dbus/system_bus_socket")
    start_firewalld(host)


def start_firewalld(host: Host) -> None:
    host.start("/usr/bin/python3", "/usr/sbin/firewalld", "--nofork")
    host.until("firewall-cmd --state >/dev/null 2>&1")


def test_firewalld_has_our_bridges_in_a_zone_of_ours(lan: Host) -> None:
    firewalld(lan)
    lan.sh("firewall-cmd -q --permanent --zone=internal --add-interface=foreign0; firewall-cmd -q --reload")
    before = theirs(lan)
    made, *_rest = lan.quartets(("bridge_network", NETWORK), ("pod_sandbox", {"name": "web", "network": "pods0", "port_forwards": PORTS}))
    assert {"before": {"zone podnet": []}, "after": {"zone podnet": ["pods0"]}}.items() <= made["diff"][-1].items()
    web = lan.do("pod_sandbox_info", name="web")["sandboxes"][0]
    serve(lan, web["ns_name"], "web", 80, 81)
    works(lan, web)
    assert ask(lan, web["ns_name"], *(("tcp", gateway, 8080) for gateway in HOST)) != [None] * 2
    # A reload and a restart bring our zone back without us.
    for again in ("firewall-cmd --reload", "pid=$(cat /run/firewalld.pid); kill $pid; while test -e /proc/$pid; do sleep 0.1; done"):
        lan.sh(again)
        if "kill" in again:
            start_firewalld(lan)
        works(lan, web)
        assert not lan.do("bridge_network", **NETWORK)["changed"]
    # Somebody takes it out, or flushes everything.
    out = "firewall-cmd -q --zone=podnet --remove-interface=pods0"
    forgotten = f"{out}; firewall-cmd -q --permanent --delete-zone=podnet; firewall-cmd -q --reload"
    lan.quartets(out, ("pod_sandbox", {"name": "web"}), forgotten, ("pod_sandbox", {"name": "web"}))
    works(lan, web)
    # An administrator's own choice of a zone stands.
    lan.sh("firewall-cmd -q --zone=trusted --change-interface=pods0")
    assert not lan.do("pod_sandbox", name="web")["changed"]
    works(lan, web)
    lan.sh(out.replace("podnet", "trusted"))
    lan.quartets(
        ("bridge_network", NETWORK),
        ("bridge_network", {**NETWORK, "firewall": "none"}),
        ("bridge_network", {**NETWORK, "firewall": "auto"}),
        ("bridge_network", {"name": "pods0", "state": "absent", "force": True}),
    )
    assert not lan.sh("find /etc/firewalld -name 'podnet*'") and "podnet" not in lan.sh("firewall-cmd --permanent --get-zones")
    lan.sh("firewall-cmd -q --reload")
    assert theirs(lan) == before


def test_a_zone_of_ours_that_does_not_let_through(lan: Host) -> None:
    firewalld(lan)
    web = {"name": "web", "network": "pods0"}
    lan.do("bridge_network", **NETWORK)
    made = lan.do("pod_sandbox", **web)["sandbox"]
    assert lan.pings(made, LAN[0])
    # Another target is set right; what its administrator does elsewhere is said.
    lan.quartets("firewall-cmd -q --permanent --zone=podnet --set-target=DROP; firewall-cmd -q --reload", ("bridge_network", NETWORK))
    assert lan.pings(made, LAN[0])
    lan.sh("firewall-cmd -q --permanent --new-policy=shut; firewall-cmd -q --permanent --policy=shut --add-ingress-zone=ANY")
    lan.sh("firewall-cmd -q --permanent --policy=shut --add-egress-zone=ANY; firewall-cmd -q --permanent --policy=shut --set-priority=-10")
    lan.sh("firewall-cmd -q --permanent --policy=shut --set-target=DROP; firewall-cmd -q --reload")
    assert not lan.pings(made, LAN[0])
    assert "table inet firewalld" in lan.refused("bridge_network", name="pods0")["msg"]
    assert "table inet firewalld" in lan.do("pod_sandbox", name="web")["warnings"][0]
    lan.sh("firewall-cmd -q --permanent --delete-policy=shut; firewall-cmd -q --reload")
    # The last network goes while it is not running, and nothing of ours stays in what it keeps.
    lan.sh("pid=$(cat /run/firewalld.pid); kill $pid; while test -e /proc/$pid; do sleep 0.1; done")
    lan.quartets(("bridge_network", {"name": "pods0", "state": "absent", "force": True}))
    assert not lan.sh("find /etc/firewalld -name 'podnet*'")
    # A zone of that name that is somebody else's is none of ours.
    start_firewalld(lan)
    lan.sh("firewall-cmd -q --permanent --new-zone=podnet; firewall-cmd -q --reload")
    theirs_now = theirs(lan), lan.sh("cat /etc/firewalld/zones/podnet.xml")
    assert lan.refused("bridge_network", **NETWORK)["reason"] == "not_ours"
    assert (theirs(lan), lan.sh("cat /etc/firewalld/zones/podnet.xml")) == theirs_now
    lan.sh("firewall-cmd -q --permanent --delete-zone=podnet; firewall-cmd -q --reload; rm /etc/firewalld/zones/podnet.xml.old")
    # What it refuses in the middle leaves nothing.
    lan.sh("firewall-cmd -q --panic-on")
    assert lan.refused("bridge_network", **NETWORK)["reason"] == "kernel_error"
    assert not lan.sh("find /etc/firewalld -name 'podnet*'")


def test_rules_are_loaded_again_while_firewalld_reloads(lan: Host) -> None:
    """As part of its reload, systemd runs ``restore --rules``; firewalld brings its own zones back, and is not to be asked then."""
    firewalld(lan)
    program = "/run/podnet-program"
    lan.do("boot_engine", path=program)
    lan.do("bridge_network", **NETWORK)
    web = lan.do("pod_sandbox", name="web", network="pods0")["sandbox"]
    for _reload in range(5):
        done = lan.run("sh", "-c", f"kill -HUP $(cat /run/firewalld.pid); python3 {program} restore --rules", check=False)
        assert (done.returncode, done.stderr) == (0, ""), done
    lan.until('test -n "$(firewall-cmd --get-zone-of-interface=pods0 2>/dev/null)"')
    assert pings(lan, web["ns_name"], *LAN) == [True, True]
    # In the middle of a reload no interface is in a zone.
    lan.sh("firewall-cmd -q --zone=podnet --remove-interface=pods0; nft delete table inet podnet")
    done = lan.run("python3", program, "restore", "--rules", check=False)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout == "nftables tables podnet: changed\n", done
    assert lan.run("firewall-cmd", "--get-zone-of-interface=pods0", check=False).returncode


def test_rules_are_loaded_again_with_the_way_past_another_firewall(lan: Host) -> None:
    """A firewall that starts again flushes the accept in its own chain, too; one that offers no chain is named."""
    program = "/run/podnet-program"
    lan.do("boot_engine", path=program)
    lan.do("bridge_network", **NETWORK)
    web = lan.do("pod_sandbox", name="web", network="pods0")["sandbox"]
    lan.sh("nft flush ruleset")
    docker(lan, "nft")
    done = lan.run("python3", program, "restore", "--rules")
    assert "firewall chain FORWARD" in done.stdout and done.stderr == "", done
    assert pings(lan, web["ns_name"], *LAN) == [True, True]
    lan.sh("nft flush ruleset; nft 'table inet shut { chain forward { type filter hook forward priority 0; policy drop; }; }'")
    done = lan.run("python3", program, "restore", "--rules")
    assert "chain forward of nftables table inet shut" in done.stderr, done


HOOKS = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}


def test_the_kernel_tells_of_the_chains_that_nft_lists(pods0: Host) -> None:
    pods0.sh(
        "nft 'table inet one { chain a { type filter hook forward priority -7; policy drop; }; chain b { }; };"
        " table ip two { chain c { type nat hook postrouting priority srcnat; }; }; table ip6 three { chain d { type route hook output"
        " priority mangle; policy accept; }; }; table bridge four { chain e { type filter hook forward priority 0; }; };"
        " table arp five { chain f { type filter hook input priority 0; }; }'"
    )
    listed = [item["chain"] for item in pods0.json("nft", "-j", "list", "chains")["nftables"] if "chain" in item]
    wanted = [
        [
            *(item["family"], item["table"], item["name"], item.get("type", "")),
            *(HOOKS.get(item.get("hook")), item.get("prio", 0), item.get("policy") == "drop"),
        ]
        for item in listed
        if item["family"] in ("inet", "ip", "ip6")
    ]
    told, others = pods0.drive({"chains": True})
    assert len(told) > 10 and sorted(told, key=str) == sorted(wanted, key=str)
    assert len(others) == 4 and sorted(others, key=str) == sorted((item for item in wanted if item[1] != "podnet"), key=str)
