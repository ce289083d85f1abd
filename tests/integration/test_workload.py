# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A workload with root and all capabilities inside: whatever it does there, the next run repairs, and nobody else suffers."""

from __future__ import annotations

from typing import Any

from host import Host, task

TRICKS = (
    "ip route del default; ip route add blackhole default",
    "ip route replace default nexthop via 10.90.0.1 dev eth0 nexthop via 10.90.0.9 dev eth0",
    "ip route del default; ip nexthop add id 7 via 10.90.0.9 dev eth0; ip route add default nhid 7",
    "ip route add default tos 0x10 via 10.90.0.9 dev eth0",
    "ip route add default metric 77 via 10.90.0.9 dev eth0",
    "ip -6 route add unreachable default metric 1",
    "ip link set eth0 down; ip link set eth0 name real; ip link add eth0 type veth peer name zz; ip link set zz up",
    "ip link add brx type bridge; ip link set eth0 master brx",
    "ip link set lo down; ip link set lo name loo",
    "ip link set lo down; ip link set lo name loo; ip link add lo type bridge",
    "ip link set eth0 down; ip link set eth0 name real; ip link set lo down; ip link set lo name eth0",
    "sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1",
    "sysctl -qw net.ipv6.conf.all.disable_ipv6=1; ip link del eth0",
    "ip addr flush dev eth0 scope global; ip addr add 10.90.0.2 peer 192.0.2.4/24 dev eth0",
    "ip link set eth0 name other; ip link add eth0 type bridge",
    "ip link set eth0 down; ip link set eth0 name weird0; ip link property add dev lo altname eth0",
    "ip link set lo down; ip link set lo name q; ip link property add dev eth0 altname lo",
    "ip link set eth0 down; sh -c 'ip link set eth0 name $(printf \"y\\377\")'; sh -c 'ip link set lo alias $(printf \"z\\377\")'",
    "ip route replace default via 10.90.0.1 dev eth0 encap ip id 7 dst 10.90.0.99",
)


def test_every_trick_is_repaired(pods0: Host) -> None:
    sandbox = pods0.do("pod_sandbox", name="web", network="pods0")["sandbox"]
    steps: list[Any] = []
    for trick in TRICKS:
        inside = "; ".join(f"ip netns exec {sandbox['ns_name']} {command}" for command in trick.split("; "))
        alive = f"ip netns exec {sandbox['ns_name']} ping -c1 -W2 -n 10.90.0.1"
        steps += [inside, ("pod_sandbox", {"name": "web"}), alive]
    for trick, repaired in zip(TRICKS, pods0.quartets(*steps)):
        assert repaired["sandbox"]["id"] == sandbox["id"], trick


CHURN = """
import subprocess
add = "".join(f"addr add 10.77.{n // 250}.{n % 250 + 1}/32 dev lo\\n" for n in range(3000))
subprocess.run(["ip", "-batch", "-"], input=add, text=True)
print("ready", flush=True)
change = "addr del 10.77.0.1/32 dev lo\\naddr add 10.77.0.1/32 dev lo\\n" * 2000
for _time in range(20):
    subprocess.run(["ip", "-batch", "-"], input=change, text=True)
"""


def test_names_that_are_not_utf8_are_put_back(pods0: Host) -> None:
    """A run that fails in the middle of a repair leaves the odd name as it was, and nothing of the other sandbox."""
    sandbox = pods0.do("pod_sandbox", name="web", network="pods0")["sandbox"]
    odd = f"ip netns exec {sandbox['ns_name']} ip link"
    pods0.sh(f"{odd} set lo down; {odd} set lo name $(printf 'y\\377')")
    task = {"sandboxes": [{"name": "aaa", "network": "pods0"}, {"name": "web"}]}
    for number in range(1, 100):
        done = pods0.drive({**task, "fail_after": number, "compare": True})
        if "error" not in done:
            break
        assert done["error"] == "injected" and not done["differs"], (number, done)
    assert number > 20 and pods0.drive(task)["changed"] is False


def test_interfaces_that_keep_changing(pods0: Host) -> None:
    """A dump of them may never be consistent. Other sandboxes do not suffer, and this one can be removed."""
    made = pods0.do("pod_sandbox", sandboxes=[{"name": name, "network": "pods0"} for name in ("web", "other")])["sandboxes"]
    changing = pods0.start("ip", "netns", "exec", made[0]["ns_name"], "python3", "-c", CHURN)
    assert changing.stdout is not None and changing.stdout.readline() == "ready\n"
    for _look in range(5):
        states = {item["name"]: item["state"] for item in pods0.do("pod_sandbox_info")["sandboxes"]}
        assert states["other"] == "running" and states["web"] in ("running", "degraded")
        refused = pods0.play(task("pod_sandbox", sandboxes=[{"name": "other"}, {"name": "web"}]))[0]
        assert not refused["failed"] or (refused["reason"] == "in_use" and "sandbox web keeps changing" in refused["msg"])
    assert pods0.do("pod_sandbox", name="other")["changed"] is False
    assert pods0.do("pod_sandbox", name="web", state="absent", force=True)["changed"]
    assert [item["name"] for item in pods0.do("pod_sandbox_info")["sandboxes"]] == ["other"]


def test_what_the_kernel_writes_otherwise_is_no_drift(pods0: Host) -> None:
    settings = {"net.ipv4.ip_local_reserved_ports": "8080,8081", "net.ipv4.ip_forward": "01"}
    pods0.quartets(
        ("pod_sandbox", {"name": "web", "network": "pods0", "sysctls": settings}),
        ("pod_sandbox", {"name": "web", "sysctls": {**settings, "net.ipv4.ip_local_reserved_ports": "90,91"}}),
    )


def test_settings_of_its_interfaces(pods0: Host) -> None:
    """They are there only once the interface is, and go with it."""
    names = ("net.ipv4.conf.eth0.rp_filter", "net.ipv6.conf.eth0.hop_limit", "net.ipv6.conf.default.disable_ipv6")
    settings = dict(zip(names, (2, 33, 1)))
    sandbox, *_rest = pods0.quartets(
        ("pod_sandbox", {"name": "web", "network": "pods0", "sysctls": settings}),
        ("pod_sandbox", {"name": "web", "networks": [{"name": "pods0", "interface": "eth0", "mac": "02:00:00:00:00:07"}]}),
        ("pod_sandbox", {"name": "web", "sysctls": {**settings, names[0]: 1}}),
    )
    pods0.do("pod_sandbox", name="web", state="recreated")
    shown = pods0.inside(sandbox["sandbox"], "sysctl", "-n", *names).stdout.split()
    assert shown == ["1", "33", "1"] and pods0.pings(sandbox["sandbox"], "fd00:90::1")


def test_what_cannot_be_in_a_sandbox_is_refused_by_name(pods0: Host) -> None:
    pods0.refusals(
        "pod_sandbox",
        ({"name": "a", "network": "pods0", "sysctls": {"net.ipv4": "1"}}, "invalid_argument", "net.ipv4"),
        ({"name": "a", "network": "pods0", "rootfs": ["/"]}, "invalid_argument", "host's own"),
        ({"name": "a", "network": "pods0", "rootfs": ["/proc/1/root"]}, "invalid_argument", "host's own"),
        ({"name": "a", "namespaces": []}, "invalid_argument", "at least one"),
        ({"name": "a", "network": "pods0", "sysctls": {"net.ipv6.conf.all.disable_ipv6": 1}}, "invalid_argument", "IPv6"),
        ({"name": "a", "network": "pods0", "sysctls": {"net.ipv6.conf.eth0.disable_ipv6": 1}}, "invalid_argument", "IPv6"),
        ({"name": "a", "network": "pods0", "sysctls": {"net.ipv4.conf.eth1.rp_filter": 1}}, "invalid_argument", "eth1"),
    )


def test_a_hostile_root_does_not_keep_its_sandbox(pods0: Host) -> None:
    pods0.sh("mkdir -p /run/r/etc")
    pods0.do("pod_sandbox", name="web", network="pods0", rootfs=["/run/r"])
    pods0.sh("rm /run/r/etc/resolv.conf; mkdir /run/r/etc/resolv.conf")
    assert pods0.do("pod_sandbox_info")["sandboxes"][0]["state"] == "degraded"
    pods0.quartet("pod_sandbox", name="web", state="absent")


def test_a_lost_state_file_hides_nobody(pods0: Host) -> None:
    """Processes inside still count where only the pins are left to tell the namespaces by."""
    sandbox = pods0.do("pod_sandbox", name="web", network="pods0")["sandbox"]
    inside = pods0.occupy("ip", "netns", "exec", sandbox["ns_name"])
    pods0.sh(f"rm /run/podnet/sandboxes/{sandbox['id']}/state.json")
    assert pods0.refused("pod_sandbox", name="web", state="absent")["reason"] == "in_use"
    assert pods0.refused("pod_sandbox", name="web")["reason"] == "in_use"
    anew = pods0.do("pod_sandbox", name="web", state="recreated", force=True)["sandbox"]
    assert anew["addresses"] == sandbox["addresses"] and pods0.pings(anew, "10.90.0.1")
    assert inside.wait(5) and pods0.run("kill", "-0", str(sandbox["pause_pid"]), check=False).returncode
