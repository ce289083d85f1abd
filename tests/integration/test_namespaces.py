# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Namespaces and processes: pinned, paused, furnished, and ended without hitting strangers."""

from __future__ import annotations

import time
from typing import Any

import pytest
from host import Host


def inode(host: Host, path: str) -> str:
    return host.sh(f"stat -Lc %i {path}").strip()


def inodes(host: Host, sandbox: dict[str, Any]) -> list[str]:
    return [inode(host, path) for path in sandbox["namespace_paths"].values()]


@pytest.fixture
def web(pods0: Host) -> dict[str, Any]:
    return pods0.do("pod_sandbox", name="web", network="pods0")["sandbox"]


def test_the_pause_is_inside_with_nothing_inherited(pods0: Host, web: dict[str, Any]) -> None:
    pid = web["pause_pid"]
    for kind, path in web["namespace_paths"].items():
        assert inode(pods0, f"/proc/{pid}/ns/{kind}") == inode(pods0, path) != inode(pods0, f"/proc/1/ns/{kind}")
    descriptors = pods0.sh(f"ls -l /proc/{pid}/fd | awk 'NR > 1 {{print $NF}}'").split()
    # catatonit keeps a signal descriptor of its own.
    assert [item for item in descriptors if item != "anon_inode:[signalfd]"] == ["/dev/null"] * 3
    assert pods0.sh(f"ps -o sid= -p {pid}").strip() not in ("0", "1")
    assert pods0.sh(f"readlink /proc/{pid}/cwd") == "/\n"
    assert pods0.sh(f"tr '\\0' ' ' < /proc/{pid}/cmdline") in ("/usr/bin/catatonit -P ", "/usr/bin/sleep infinity ")


def test_a_dead_pause_is_repaired_without_touching_the_rest(pods0: Host, web: dict[str, Any]) -> None:
    before = inodes(pods0, web)
    pods0.kill(web["pause_pid"])
    repaired = pods0.quartet("pod_sandbox", name="web")["sandbox"]
    assert repaired["pause_pid"] != web["pause_pid"] and inodes(pods0, repaired) == before


def test_a_recycled_pid_is_not_taken_for_the_pause(pods0: Host, web: dict[str, Any]) -> None:
    """The state names a process that is somebody else's by now: it must be neither believed nor ended."""
    stranger = pods0.sh("setsid sleep 300 >/dev/null 2>&1 & echo $!").strip()
    state = f"/run/podnet/sandboxes/{web['id']}/state.json"
    pods0.kill(web["pause_pid"])
    pods0.sh(f'sed -i \'s/"pid": {web["pause_pid"]}/"pid": {stranger}/\' {state}')
    assert pods0.do("pod_sandbox_info")["sandboxes"][0]["state"] == "degraded"
    pods0.do("pod_sandbox", name="web", state="absent")
    assert pods0.run("kill", "-0", stranger, check=False).returncode == 0


def test_a_namespace_of_somebody_else_under_our_name_is_not_joined(pods0: Host, web: dict[str, Any]) -> None:
    path = f"/run/netns/{web['ns_name']}"
    pods0.kill(web["pause_pid"])
    pods0.sh(f"ip netns del {web['ns_name']}; ip netns add {web['ns_name']}")
    theirs = inode(pods0, path)
    assert pods0.refused("pod_sandbox", name="web")["reason"] == "not_ours"
    assert inode(pods0, path) == theirs
    pods0.sh(f"ip netns del {web['ns_name']}; echo mine > {path}")
    refused = pods0.refused("pod_sandbox", name="web")
    assert refused["reason"] == "not_ours" and path in refused["msg"]
    assert pods0.sh(f"cat {path}") == "mine\n"
    pods0.sh(f"rm {path}")
    assert pods0.pings(pods0.quartet("pod_sandbox", name="web")["sandbox"], "10.90.0.1")


def test_a_place_without_a_namespace_goes_with_its_sandbox(pods0: Host, web: dict[str, Any]) -> None:
    """What is left of a run that was killed between making the place and pinning."""
    place = f"/run/netns/{web['ns_name']}"
    pods0.sh(f"umount {place}")
    pods0.do("pod_sandbox", name="web", state="absent", force=True)
    assert pods0.sh(f"test -e {place} && echo left || echo gone").strip() == "gone"


def test_a_namespace_deleted_behind_our_back_is_pinned_again(pods0: Host, web: dict[str, Any]) -> None:
    before = inodes(pods0, web)
    pods0.sh(f"ip netns del {web['ns_name']}")
    assert inodes(pods0, pods0.quartet("pod_sandbox", name="web")["sandbox"]) == before


def test_occupied_sandboxes_are_not_removed_unless_forced(pods0: Host, web: dict[str, Any]) -> None:
    stubborn = "trap '' TERM; echo ready; while :; do sleep 1; done"
    inside = pods0.start("ip", "netns", "exec", web["ns_name"], "sh", "-c", stubborn)
    ipc_only = pods0.occupy("nsenter", f"--ipc={web['namespace_paths']['ipc']}")
    neighbour = pods0.occupy()
    assert inside.stdout is not None and inside.stdout.readline() == "ready\n"
    for state in ("absent", "recreated"):
        refused = pods0.refused("pod_sandbox", name="web", state=state)
        assert refused["reason"] == "in_use" and "processes" in refused["msg"]
    assert inside.poll() is None and pods0.pings(web, "10.90.0.1")
    started = time.monotonic()
    pods0.quartet("pod_sandbox", name="web", state="absent", force=True)
    assert time.monotonic() - started < 60
    assert inside.wait(5) and ipc_only.wait(5)
    assert neighbour.poll() is None
    neighbour.kill()


def test_a_pid_namespace_lives_and_dies_with_its_pause(pods0: Host) -> None:
    kinds = ["net", "ipc", "uts", "pid"]
    sandbox = pods0.quartet("pod_sandbox", name="web", network="pods0", namespaces=kinds)["sandbox"]
    pid = sandbox["pause_pid"]
    assert pods0.sh(f"grep ^NSpid /proc/{pid}/status").split()[-1] == "1"
    assert {"type": "pid", "path": f"/proc/{pid}/ns/pid"} in sandbox["oci_namespaces"]
    before = inodes(pods0, sandbox)
    pods0.kill(pid)
    repaired = pods0.quartet("pod_sandbox", name="web")["sandbox"]
    assert inodes(pods0, repaired) == before and repaired["pause_pid"] != pid
    pods0.quartet("pod_sandbox", name="web", state="absent")


def test_subsets_of_namespaces(host: Host) -> None:
    results = host.quartets(
        ("pod_sandbox", {"name": "ipc", "namespaces": ["ipc"]}),
        ("pod_sandbox", {"name": "uts", "namespaces": ["uts"], "hostname": "other", "pause": False}),
        ("pod_sandbox", {"name": "ipc", "state": "absent"}),
        ("pod_sandbox", {"name": "uts", "state": "absent"}),
    )
    assert [sorted(result["sandbox"]["namespace_paths"]) for result in results[:2]] == [["ipc"], ["uts"]]
    assert results[1]["sandbox"]["pause_pid"] is None and results[0]["sandbox"]["networks"] == []
    assert host.sh("hostname") == "throwaway\n"
    assert host.tree() == {}


def test_a_given_namespace_is_furnished_and_not_owned(pods0: Host) -> None:
    pods0.sh("ip netns add theirs; ip netns exec theirs ip link add eth7 type bridge")
    theirs = inode(pods0, "/run/netns/theirs")
    sandbox = pods0.quartet("pod_sandbox", name="web", network="pods0", netns="/run/netns/theirs")["sandbox"]
    assert inode(pods0, sandbox["namespace_paths"]["net"]) == theirs
    assert pods0.run("ip", "netns", "exec", "theirs", "ping", "-c1", "-W1", "10.90.0.1").returncode == 0
    holder = pods0.occupy("ip", "netns", "exec", "theirs")
    pods0.quartet("pod_sandbox", name="web", state="absent")
    assert holder.poll() is None
    assert inode(pods0, "/run/netns/theirs") == theirs
    assert [link["ifname"] for link in pods0.json("ip", "-n", "theirs", "-j", "link")] == ["lo", "eth7"]


def test_a_given_namespace_that_its_owner_made_anew(pods0: Host) -> None:
    pods0.sh("ip netns add theirs")
    pods0.do("pod_sandbox", name="web", network="pods0", netns="/run/netns/theirs")
    pods0.sh("ip netns del theirs; ip netns add theirs; ip netns exec theirs ip link add eth0 type bridge")
    assert "made it anew" in pods0.do("pod_sandbox_info")["sandboxes"][0]["problems"][0]
    assert pods0.refused("pod_sandbox", name="web")["reason"] == "not_found"
    assert pods0.refused("pod_sandbox", name="web", state="recreated")["reason"] == "in_use"
    pods0.sh("ip -n theirs link del eth0")
    pods0.do("pod_sandbox", name="web", state="recreated")
    assert pods0.run("ip", "netns", "exec", "theirs", "ping", "-c1", "-W1", "10.90.0.1").returncode == 0
    pods0.quartet("pod_sandbox", name="web", state="absent")


def test_a_namespace_of_a_process_is_furnished_and_its_interfaces_stay(pods0: Host) -> None:
    holder = pods0.start("unshare", "--net", "sh", "-c", "ip link add eth0 type bridge; echo $$; sleep 300")
    assert holder.stdout is not None
    pid = holder.stdout.readline().strip()
    refused = pods0.refused("pod_sandbox", name="web", network="pods0", netns=pid)
    assert refused["reason"] == "in_use" and "eth0" in refused["msg"]
    options = {"name": "web", "networks": [{"name": "pods0", "interface": "pod0"}], "netns": pid}
    pods0.quartet("pod_sandbox", **options)
    assert pods0.run("nsenter", "-t", pid, "-n", "ping", "-c1", "-W1", "10.90.0.1").returncode == 0
    holder.kill()


def test_sysctls_are_set_before_anybody_can_join(pods0: Host) -> None:
    """A creation that fails on a bad value leaves no namespace that anybody could have seen."""
    settings = {"net.ipv4.ip_unprivileged_port_start": 0, "kernel.sem": "250 32000 32 100", "kernel.msgmax": 9000}
    sandbox = pods0.quartet("pod_sandbox", name="web", network="pods0", sysctls=settings)["sandbox"]
    host_value = pods0.sh("cat /proc/sys/kernel/msgmax")
    assert pods0.inside(sandbox, "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start").stdout == "0\n"
    assert pods0.sh(f"nsenter --ipc={sandbox['namespace_paths']['ipc']} cat /proc/sys/kernel/msgmax") == "9000\n" != host_value
    pods0.sh(f"ip netns exec {sandbox['ns_name']} sysctl -qw net.ipv4.ip_unprivileged_port_start=1024")
    assert pods0.quartet("pod_sandbox", name="web")["changed"]


def test_a_sandbox_outlives_the_task_that_made_it(pods0: Host) -> None:
    """No descriptor of the task is held, so that a play does not hang (and would, with the pause's streams open)."""
    started = time.monotonic()
    done = pods0.run("sh", "-c", "ansible localhost -m podnet.linux.pod_sandbox -a 'name=web network=pods0' | cat")
    assert time.monotonic() - started < 30 and '"changed": true' in done.stdout
