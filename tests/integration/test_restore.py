# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The installed engine: what is recorded comes back on a host that has nothing but its disk, and what is broken stops nobody else."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from host import Host

PROGRAM = "/var/lib/podnet-engine/podnet"
DISK = ("/var/lib/podnet", "/var/lib/podnet-engine", "/etc/netns", "/etc/sysctl.d")
NETWORKS = [
    {"name": "pods0", "subnets": ["10.90.0.0/24", "fd00:90::/64"]},
    {"name": "pods1", "subnets": ["10.91.0.0/24"], "isolation": "none"},
]
SANDBOXES: list[dict[str, Any]] = [
    {"name": "web", "network": "pods0", "port_forwards": ["8080:80"], "egress": {"allowed_cidrs": ["192.0.2.0/24"]}},
    {"name": "db", "networks": [{"name": "pods0"}, {"name": "pods1"}], "hostname": "database", "sysctls": {"net.core.somaxconn": "99"}},
    {"name": "lone", "namespaces": ["ipc", "uts"], "pause": False},
    {"name": "passing", "network": "pods0", "persistent": False},
]
SAME = ("id", "name", "networks", "addresses", "mac", "hostname", "port_forwards", "state", "veth_host", "ns_name", "namespace_paths")


@pytest.fixture
def declared(host: Host) -> Host:
    host.do("boot_engine", path=PROGRAM)
    host.do("bridge_network", networks=NETWORKS)
    host.do("pod_sandbox", sandboxes=SANDBOXES)
    host.do("egress_policy", network="pods1", rules=[{"cidrs": ["10.0.0.0/8"], "ports": ["443/tcp"]}], mode="audit")
    return host


@pytest.fixture
def booted(declared: Host) -> Iterator[Host]:
    """The same disk, and nothing else."""
    other = Host()
    try:
        there = " ".join(path for path in DISK)
        disk = declared.run("sh", "-c", f"tar -C / -cf - {there} | base64").stdout
        other.run("sh", "-c", "base64 -d | tar -C / -xf -", text=disk)
        yield other
    finally:
        other.close()


def restore(host: Host, *options: str) -> subprocess.CompletedProcess[str]:
    done = host.run("python3", PROGRAM, "restore", *options, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def shown(host: Host) -> dict[str, dict[str, Any]]:
    return {item["name"]: {key: item[key] for key in SAME} for item in host.do("pod_sandbox_info")["sandboxes"]}


def record_of(host: Host, name: str) -> str:
    return f"/var/lib/podnet/sandboxes/{shown(host)[name]['id']}.json"


def test_all_that_is_persistent_comes_back_as_it_was(declared: Host, booted: Host) -> None:
    before = shown(declared)
    rules = declared.sh("nft --stateless list table inet podnet")
    predicted = restore(booted, "--check")
    assert predicted.returncode == 0 and booted.json("ip", "-j", "link", "show", "type", "bridge") == []
    done = restore(booted)
    assert (done.returncode, done.stderr) == (0, "")
    assert predicted.stdout == done.stdout
    passing = before.pop("passing")
    assert shown(booted) == before
    assert booted.run("nsenter", f"--uts={before['db']['namespace_paths']['uts']}", "hostname").stdout == "database\n"
    # But for the sandbox that does not outlive a boot, whose lease is free again.
    left = [line for line in rules.splitlines() if passing["addresses"][0] not in line and "vh-" not in line]
    now = booted.sh("nft --stateless list table inet podnet").splitlines()
    assert [line for line in left if line not in now] == []
    assert passing["id"] not in json.dumps(booted.do("ip_allocation_info"))
    assert (restore(booted).stdout, restore(booted).returncode) == ("all is as recorded\n", 0)
    again = booted.do("pod_sandbox", sandboxes=SANDBOXES[:3], exclusive=True)
    assert not again["changed"], again["diff"]
    assert not booted.do("bridge_network", networks=NETWORKS, exclusive=True)["changed"]


WIPE = """
kill $(cat /run/podnet/sandboxes/*/pause.pid 2>/dev/null) 2>/dev/null
umount -l /run/netns/* /run/podnet/sandboxes/*/ipc /run/podnet/sandboxes/*/uts 2>/dev/null
for name in pods0 pods1; do ip link del $name 2>/dev/null; done
nft flush ruleset
rm -rf /run/podnet /run/netns/*
sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0
"""
"""What a boot does."""


def test_a_run_that_is_killed_is_finished_by_the_next(booted: Host) -> None:
    assert booted.drive({"restore": True})["changed"]
    booted.sh(WIPE, check=False)
    whole = booted.drive({"restore": True})
    assert len(whole["operations"]) > 40, whole
    for at in range(1, len(whole["operations"]), 7):
        booted.sh(WIPE, check=False)
        # The kernel takes a namespace apart a moment after its last user is gone.
        booted.until('test -z "$(ip -o link show type veth)"')
        assert booted.drive({"restore": True, "kill_after": at}) == {"died": signal.SIGKILL}
        done = restore(booted)
        assert (done.returncode, done.stderr) == (0, ""), at
        assert restore(booted).stdout == "all is as recorded\n", at
    assert {item["state"] for item in shown(booted).values()} == {"running"}


def test_rules_that_were_flushed_are_loaded_again_and_nothing_else_is_touched(declared: Host) -> None:
    before = declared.drive({"snapshot": True})
    declared.sh("nft flush ruleset; ip link set vh1-* down 2>/dev/null || true; sysctl -qw net.ipv4.conf.pods0.forwarding=0")
    done = restore(declared, "--rules")
    assert (done.returncode, done.stdout, done.stderr) == (0, "nftables tables podnet: changed\n", "")
    declared.sh("sysctl -qw net.ipv4.conf.pods0.forwarding=1")
    after = declared.drive({"snapshot": True})
    assert sorted(after.pop("rules").splitlines()) == sorted(before.pop("rules").splitlines())
    assert after == before


BROKEN = {
    "garbled": "echo '{{' > {record}",
    "of a newer schema": 'sed -i \'s/"schema": 2/"schema": 99/\' {record}',
    "half": "sed -i '/\"networks\"/,$d' {record}; echo '}}' >> {record}",
    "a directory": "rm {record}; mkdir {record}",
    "on no network": 'sed -i \'s/"pods1"/"pods9"/\' {record}',
    "of a port that another has": "",
}


@pytest.mark.parametrize("damage", BROKEN)
def test_a_broken_record_stops_only_its_own_sandbox(declared: Host, booted: Host, damage: str) -> None:
    before = shown(declared)
    record = f"/var/lib/podnet/sandboxes/{before['db']['id']}.json"
    if BROKEN[damage]:
        booted.sh(BROKEN[damage].format(record=record))
    else:
        other = json.loads(booted.sh(f"cat /var/lib/podnet/sandboxes/{before['web']['id']}.json"))
        text = {**json.loads(booted.sh(f"cat {record}")), "port_forwards": other["port_forwards"]}
        booted.run("sh", "-c", f"cat > {record}", text=json.dumps(text))
    done = restore(booted)
    assert done.returncode == 1
    (said,) = done.stderr.splitlines()
    # Of two that publish one port either may give way.
    broken = next(name for name in ("db", "web") if before[name]["id"] in said)
    assert broken == "db" or not BROKEN[damage], said
    assert set(booted.sh("cat /run/podnet/sandboxes/*/name").split()) == {"db", "web", "lone"} - {broken}
    other = before[{"db": "web", "web": "db"}[broken]]
    assert booted.pings(other, "10.90.0.1") is (broken == "web")
    assert other["addresses"][0] in booted.inside(other, "ip", "-br", "addr", "show", "eth0").stdout
    assert f"vh-{other['id'][:8]}" in booted.sh("nft list table bridge podnet")


def test_whose_rules_nobody_knows_is_shut(declared: Host) -> None:
    """A living sandbox with a garbled record: it must not go on without its policy."""
    web, db = shown(declared)["web"], shown(declared)["db"]
    declared.sh(f"cp {record_of(declared, 'web')} /run/kept; echo garbled > {record_of(declared, 'web')}")
    assert declared.pings(db, "10.90.0.1")
    for options in (("--rules",), ()):
        declared.sh(f"ip link set {web['veth_host']} up")
        declared.sh("nft flush ruleset")
        done = restore(declared, *options)
        # A firewall starts all the same.
        assert done.returncode == int(not options) and web["id"] in done.stderr
        assert not declared.json("ip", "-j", "link", "show", web["veth_host"])[0]["flags"].count("UP")
        assert declared.pings(db, "10.90.0.1")
    declared.sh(f"cp /run/kept /var/lib/podnet/sandboxes/{web['id']}.json")
    assert restore(declared).returncode == 0
    assert shown(declared)["web"]["state"] == "running"
    # A network of which nobody knows what it isolates.
    declared.sh("cp /var/lib/podnet/networks/pods1.json /run/kept; echo garbled > /var/lib/podnet/networks/pods1.json")
    done = restore(declared)
    assert done.returncode == 1 and "pods1" in done.stderr and "sandbox db" in done.stderr
    assert "UP" not in declared.json("ip", "-j", "link", "show", "pods1")[0]["flags"]
    declared.sh("cp /run/kept /var/lib/podnet/networks/pods1.json")
    assert restore(declared).returncode == 0


def test_without_its_rules_nothing_comes_up(booted: Host) -> None:
    booted.sh("nft add table bridge podnet")
    for options in ((), ("--rules",)):
        done = restore(booted, *options)
        assert done.returncode == 1 and "not_ours" in done.stderr
        assert booted.json("ip", "-j", "link", "show", "type", "veth") == []
    booted.sh("nft delete table bridge podnet")
    assert restore(booted).returncode == 0


def test_the_program_is_the_same_for_the_same_code(host: Host) -> None:
    host.quartet("boot_engine", path=PROGRAM)
    host.sh(f"chmod 600 {PROGRAM}")
    host.quartet("boot_engine", path=PROGRAM)
    host.sh(f"echo more >> {PROGRAM}")
    host.quartet("boot_engine", path=PROGRAM)
    host.sh("echo mine > /run/mine")
    assert host.refused("boot_engine", path="/run/mine")["reason"] == "not_ours"
    assert host.run("python3", PROGRAM, "--help").stdout
    host.quartet("boot_engine", path=PROGRAM, state="absent")
    assert host.sh(f"ls {PROGRAM} 2>/dev/null || echo gone") == "gone\n"
