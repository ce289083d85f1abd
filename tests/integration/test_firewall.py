# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Living with firewalls of somebody else that drop by default what is forwarded."""

from __future__ import annotations

import os
from typing import Any

import pytest
from host import ROOT, Host
from talk import HOST, LAN, ask, bridge_netfilter, everywhere, serve

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
    host.sh("for n in $(seq 100); do test -S /run/dbus/system_bus_socket && break; sleep 0.1; done")
    start_firewalld(host)


def start_firewalld(host: Host) -> None:
    host.start("/usr/bin/python3", "/usr/sbin/firewalld", "--nofork")
    host.sh("for n in $(seq 100); do firewall-cmd --state >/dev/null 2>&1 && exit; sleep 0.1; done; exit 1")


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
