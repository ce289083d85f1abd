# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pod_sandbox: created, converged in place, refused, removed."""

from __future__ import annotations

import json
from typing import Any

from driver import differences
from host import KILL, Host, task

CHANGES: dict[str, dict[str, Any]] = {
    "hostname": {"hostname": "web.example.org"},
    "networks": {"networks": [{"name": "pods0"}, {"name": "pods1", "interface": "back0", "mac": "02:00:00:00:00:99"}]},
    "addresses": {"addresses": ["10.90.0.50", "fd00:90::50"]},
    "dns": {"dns": ["9.9.9.9", "2620:fe::fe"]},
    "dns_search": {"dns_search": ["example.org"]},
    "dns_options": {"dns_options": ["ndots:3"]},
    "hosts": {"hosts": ["db:10.90.0.99", "db6:fd00:90::99"]},
    "sysctls": {"sysctls": {"net.core.somaxconn": 123, "kernel.shmmax": 1234567, "fs.mqueue.msg_max": 17}},
    "labels": {"labels": {"team": "ci", "tier": 1}},
    "stop_timeout": {"stop_timeout": 0.5},
    "persistent": {"persistent": False},
    "pause": {"pause": False},
}
DAMAGES = {
    "ip netns del {ns_name}": "bind mount of the net namespace",
    "umount {runtime}/ipc": "ipc",
    "rm -r {runtime}/uts 2>/dev/null || (umount {runtime}/uts; rm {runtime}/uts)": "uts",
    f"pid=$(cat {{runtime}}/pause.pid); {KILL.format(pid='$pid')}": "pause process is not running",
    "ip link del {veth_host}": "interface eth0 is missing",
    "ip -n {ns_name} link set eth0 name renamed": "eth0",
    "ip -n {ns_name} addr flush dev eth0 scope global": "10.90.0.2/24",
    "ip -n {ns_name} addr add 192.0.2.7/24 dev eth0": "192.0.2.7",
    "ip -n {ns_name} route del default": "0.0.0.0/0",
    "ip -n {ns_name} -6 route replace default via fd00:90::66": "::/0",
    "ip -n {ns_name} link set eth0 mtu 1300": "mtu",
    "ip -n {ns_name} link set eth0 address 02:00:00:00:00:01": "mac",
    "ip -n {ns_name} link set lo down": "up of lo",
    "ip addr add 192.0.2.9/24 dev {veth_host}": "192.0.2.9",
    "ip link set {veth_host} nomaster": "master",
    "ip link set {veth_host} down; ip link set {veth_host} name odd0; ip link set odd0 up": "eth0",
    "ip link set {veth_host} alias somebody; ip link set {veth_host} alias ''": "alias",
    "ip link set {veth_host} type bridge_slave isolated on": "isolated",
    "nsenter --uts={runtime}/uts hostname evil": "hostname is evil",
    "echo nameserver 6.6.6.6 > /etc/netns/{ns_name}/resolv.conf": "resolv.conf is altered",
    "rm -r /etc/netns/{ns_name}": "hosts is missing",
    "rm {runtime}/name": "runtime directory",
    "rm /var/lib/podnet/leases/pods0/10.90.0.2": "lease of 10.90.0.2",
}


def two_networks(host: Host) -> None:
    host.do(
        "bridge_network",
        networks=[{"name": "pods0", "subnets": ["10.90.0.0/24", "fd00:90::/64"]}, {"name": "pods1", "subnets": ["10.91.0.0/24"]}],
    )


def runtime(sandbox: dict[str, Any]) -> str:
    return f"/run/podnet/sandboxes/{sandbox['id']}"


def test_creation_is_predicted_and_idempotent(pods0: Host) -> None:
    sandbox = pods0.quartet("pod_sandbox", name="web", network="pods0")["sandbox"]
    assert (sandbox["container_ip"], sandbox["addresses"]) == ("10.90.0.2", ["10.90.0.2", "fd00:90::2"])
    assert sandbox["gateways"] == ["10.90.0.1", "fd00:90::1"]
    assert (sandbox["ns_name"], sandbox["veth_host"]) == (f"psb-{sandbox['id'][:8]}", f"vh-{sandbox['id'][:8]}")
    assert sandbox["state"] == "running" and sandbox["problems"] == []
    state = json.loads(pods0.sh(f"cat {runtime(sandbox)}/state.json"))
    assert {key: state[key] for key in ("id", "name", "pause_pid", "ns_name", "veth_host", "container_ip")} == {
        key: sandbox[key] for key in ("id", "name", "pause_pid", "ns_name", "veth_host", "container_ip")
    }
    assert pods0.sh(f"cd {runtime(sandbox)}; cat pause.pid ns_name name").split() == [str(sandbox["pause_pid"]), sandbox["ns_name"], "web"]
    assert pods0.sh(f"nsenter --uts={sandbox['namespace_paths']['uts']} hostname") == "web\n"
    assert pods0.sh("hostname") == "throwaway\n"
    assert pods0.inside(sandbox, "cat", "/etc/hosts").stdout.splitlines()[1:] == [
        "127.0.0.1 localhost",
        "::1 localhost",
        "10.90.0.2 web",
        "fd00:90::2 web",
    ]
    tempfile_free = [path for path in pods0.tree() if "/." in path]
    assert tempfile_free == []


def test_every_option_changes_in_place(host: Host) -> None:
    two_networks(host)
    first = host.do("pod_sandbox", name="web", network="pods0")["sandbox"]
    results = host.quartets(*(("pod_sandbox", {"name": "web", **change}) for change in CHANGES.values()))
    seen = dict(zip(CHANGES, (result["sandbox"] for result in results)))
    for option, sandbox in seen.items():
        assert (sandbox["id"], sandbox["namespace_paths"]) == (first["id"], first["namespace_paths"]), option
        assert (sandbox["pause_pid"] == first["pause_pid"]) is (option != "pause"), option
    last = seen["pause"]
    assert last["hostname"] == "web.example.org" and last["pause_pid"] is None and last["state"] == "running"
    assert last["networks"][1] == {
        "name": "pods1",
        "interface": "back0",
        "mac": "02:00:00:00:00:99",
        "addresses": ["10.91.0.2"],
        "position": 1,
    }
    assert last["addresses"] == ["10.90.0.50", "fd00:90::50", "10.91.0.2"]
    assert last["labels"] == {"team": "ci", "tier": "1"}
    assert host.inside(last, "cat", "/etc/resolv.conf").stdout.splitlines()[1:] == [
        "nameserver 9.9.9.9",
        "nameserver 2620:fe::fe",
        "search example.org",
        "options ndots:3",
    ]
    assert "10.90.0.99 db\nfd00:90::99 db6\n" in host.inside(last, "cat", "/etc/hosts").stdout
    assert host.inside(last, "sysctl", "-n", "net.core.somaxconn").stdout == "123\n"
    assert host.sh(f"nsenter --ipc={last['namespace_paths']['ipc']} cat /proc/sys/kernel/shmmax") == "1234567\n"
    assert host.inside(last, "ip", "-br", "link", "show", "back0").stdout.split()[2] == "02:00:00:00:00:99"
    leases = [path.rsplit("/", 1)[1] for path in host.tree() if "/leases/" in path and "cursor" not in path and "owners" not in path]
    assert sorted(leases) == ["10.90.0.50", "10.91.0.2", "fd00:90::50"]
    emptied = host.quartet("pod_sandbox", name="web", hosts=[], labels={}, networks=[{"name": "pods1"}])["sandbox"]
    assert (emptied["hosts"], emptied["labels"], emptied["addresses"]) == ([], {}, ["10.91.0.2"])
    assert emptied["networks"][0]["interface"] == "back0" and emptied["gateways"] == ["10.91.0.1"]
    host.quartet("pod_sandbox", name="web", state="absent")
    assert [link["ifname"] for link in host.json("ip", "-j", "link")] == ["lo", "pods0", "pods1"]


def test_drift_is_shown_and_repaired(pods0: Host) -> None:
    pods0.sh("mkdir -p /etc/netns")
    sandbox = pods0.do("pod_sandbox", name="web", network="pods0")["sandbox"]
    words = {**sandbox, "runtime": runtime(sandbox)}
    picture = pods0.drive({"snapshot": True})
    steps: list[Any] = []
    for damage in DAMAGES:
        steps += [damage.format_map(words), ("pod_sandbox", {"name": "web"})]
    for (damage, named), repaired in zip(DAMAGES.items(), pods0.quartets(*steps)):
        assert named in str(repaired["diff"][0]["before"]["problems"]), (damage, repaired["diff"])
        assert repaired["sandbox"]["state"] == "running"
    now = pods0.drive({"snapshot": True})
    assert not differences(picture["host"]["links"], now["host"]["links"])
    assert not differences(picture["namespaces"], now["namespaces"])
    assert picture["files"].keys() == now["files"].keys()


def test_info_reports_drift_without_repairing_it(pods0: Host) -> None:
    sandbox = pods0.do("pod_sandbox", name="web", network="pods0", labels={"team": "ci"})["sandbox"]
    pods0.do("pod_sandbox", name="web-1", network="pods0")
    pods0.sh(f"ip link set {sandbox['veth_host']} down")
    picture = pods0.drive({"snapshot": True})
    info = pods0.do("pod_sandbox_info")
    assert info["changed"] is False
    assert [(item["name"], item["state"]) for item in info["sandboxes"]] == [("web", "degraded"), ("web-1", "running")]
    assert "up of" in info["sandboxes"][0]["problems"][0]
    assert not differences(picture, pods0.drive({"snapshot": True}))
    by = [{"name": "web"}, {"id": sandbox["id"]}, {"network": "pods0", "labels": {"team": "ci"}}, {"name": "we"}, {"network": "none"}]
    found = [
        [item["name"] for item in host_result["sandboxes"]] for host_result in pods0.play(*(task("pod_sandbox_info", **one) for one in by))
    ]
    assert found == [["web"], ["web"], ["web"], [], []]


def netns_cookie(host: Host, sandbox: dict[str, Any]) -> int:
    """The cookie of a network namespace (SO_NETNS_COOKIE, Linux 5.14), which is never reused, unlike its inode number."""
    ask = "import socket; print(int.from_bytes(socket.socket().getsockopt(socket.SOL_SOCKET, 71, 8), 'little'))"
    return int(host.run("ip", "netns", "exec", sandbox["ns_name"], "python3", "-c", ask).stdout)


def test_recreated_keeps_identity_and_always_changes(pods0: Host) -> None:
    before = pods0.do("pod_sandbox", name="web", network="pods0")["sandbox"]
    cookie = netns_cookie(pods0, before)
    dry, real, again = (
        pods0.must(result)
        for result in pods0.play(
            task("pod_sandbox", name="web", state="recreated", namespaces=["net", "uts"], check_mode=True, diff=True),
            task("pod_sandbox", name="web", state="recreated", namespaces=["net", "uts"], diff=True),
            task("pod_sandbox", name="web", state="recreated"),
        )
    )
    assert dry["changed"] and real["changed"] and again["changed"]
    after = again["sandbox"]
    for key in ("id", "addresses", "mac", "ns_name", "networks"):
        assert after[key] == before[key]
    assert after["namespaces"] == ["net", "uts"] and "ipc" not in after["namespace_paths"]
    assert netns_cookie(pods0, before) != cookie
    assert pods0.do("pod_sandbox", name="web")["changed"] is False


def test_bad_input_is_refused_by_name(pods0: Host) -> None:
    web, _v4, info = pods0.play(
        task("pod_sandbox", name="web", network="pods0"),
        task("bridge_network", name="v4", subnet="10.99.0.0/24", reserved=["10.99.0.7"]),
        task("bridge_network_info", name="pods0"),
    )
    mac, bridge = web["sandbox"]["mac"], info["networks"][0]["mac"]
    picture = pods0.drive({"snapshot": True})
    pods0.refusals(
        "pod_sandbox",
        ({"name": "Web", "network": "pods0"}, "invalid_argument", "name"),
        ({"name": "0123456789abcdef", "network": "pods0"}, "invalid_argument", "id"),
        ({"name": "../../x", "network": "pods0"}, "invalid_argument", "name"),
        ({"id": "0123456789abcdef"}, "not_found", "0123456789abcdef"),
        ({"id": "../x", "state": "absent"}, "invalid_argument", "id"),
        ({"name": "a", "network": "nowhere"}, "not_found", "nowhere"),
        ({"name": "a", "network": "pods0", "addresses": ["10.90.1.1"]}, "invalid_argument", "10.90.1.1"),
        ({"name": "a", "network": "pods0", "addresses": ["10.90.0.1"]}, "invalid_argument", "gateway"),
        ({"name": "a", "network": "pods0", "addresses": ["10.90.0.255"]}, "invalid_argument", "broadcast"),
        ({"name": "a", "network": "pods0", "addresses": ["fd00:90::"]}, "invalid_argument", "fd00:90::"),
        ({"name": "a", "network": "pods0", "addresses": ["10.90.0.2"]}, "address_in_use", "web"),
        ({"name": "a", "network": "v4", "addresses": ["10.99.0.7"]}, "invalid_argument", "reserved"),
        ({"name": "a", "network": "pods0", "addresses": ["10.90.0.5", "10.90.0.6"]}, "invalid_argument", "one per subnet"),
        ({"name": "a", "network": "pods0", "networks": [{"name": "pods0"}]}, "invalid_argument", "network"),
        ({"name": "a", "networks": [{"name": "pods0"}, {"name": "pods0"}]}, "invalid_argument", "twice"),
        ({"name": "a", "networks": [{"name": "pods0", "mac": "01:00:00:00:00:01"}]}, "invalid_argument", "mac"),
        ({"name": "a", "networks": [{"name": "pods0", "interface": "a/b"}]}, "invalid_argument", "interface"),
        ({"name": "a", "networks": [{"name": "pods0", "mac": mac}]}, "address_in_use", "web"),
        ({"name": "a", "networks": [{"name": "pods0", "mac": bridge}]}, "address_in_use", "the bridge"),
        ({"name": "a", "network": "vh-01234567"}, "invalid_argument", "vh-01234567"),
        ({"name": "a", "network": "pods0", "sysctls": {"kernel.hostname": "x"}}, "invalid_argument", "kernel.hostname"),
        ({"name": "a", "network": "pods0", "sysctls": {"net.ipv4.ip_forward/../../../kernel/x": 1}}, "invalid_argument", "sysctls"),
        ({"name": "a", "network": "pods0", "sysctls": {"net.core.nonsense": 1}}, "invalid_argument", "net.core.nonsense"),
        ({"name": "a", "network": "pods0", "sysctls": {"net.ipv4.ip_forward": "many"}}, "invalid_argument", "ip_forward"),
        ({"name": "a", "network": "pods0", "dns": ["8.8.8.8\nsearch evil"]}, "invalid_argument", "dns"),
        ({"name": "a", "network": "pods0", "dns_search": ["a b"]}, "invalid_argument", "dns_search"),
        ({"name": "a", "network": "pods0", "hosts": ["a:b:c"]}, "invalid_argument", "hosts"),
        ({"name": "a", "network": "pods0", "namespaces": ["ipc"]}, "invalid_argument", "namespaces"),
        ({"name": "a", "network": "pods0", "namespaces": ["net", "pid"], "pause": False}, "invalid_argument", "pause"),
        ({"name": "a", "network": "pods0", "hostname": "a_b"}, "invalid_argument", "hostname"),
        ({"name": "a", "network": "pods0", "rootfs": ["/nonexistent"]}, "invalid_argument", "rootfs"),
        ({"name": "web", "namespaces": ["net"]}, "invalid_argument", "recreated"),
        ({"name": "a", "netns": "/nonexistent"}, "invalid_argument", "netns"),
        ({"name": "a", "netns": "/etc/passwd"}, "invalid_argument", "netns"),
        ({"name": "a", "netns": "/proc/self/ns/ipc"}, "invalid_argument", "netns"),
        ({"name": "a", "netns": "1"}, "invalid_argument", "host's own"),
        ({"name": "a", "network": "pods0", "stop_timeout": -1}, "invalid_argument", "stop_timeout"),
        ({"sandboxes": [{"name": "a", "network": "pods0"}, {"name": "a", "network": "pods0"}]}, "invalid_argument", "twice"),
        ({"sandboxes": [{"name": "a", "network": "pods0"}], "hostname": "x"}, "invalid_argument", "hostname"),
        ({"sandboxes": [{"name": "a", "network": "pods0"}, {"name": "b", "network": "nowhere"}]}, "not_found", "nowhere"),
    )
    assert not differences(picture, pods0.drive({"snapshot": True}))


def test_the_default_network_is_made_on_demand(host: Host) -> None:
    host.sh("ip link add up0 type veth peer name up1; ip addr add 10.89.0.9/24 dev up0; ip link set up0 up")
    sandbox = host.quartet("pod_sandbox", name="web")["sandbox"]
    assert sandbox["networks"][0]["name"] == "podnet0" and sandbox["container_ip"] == "10.89.1.2"
    assert len(sandbox["addresses"]) == 2 and sandbox["addresses"][1].startswith("fd")
    assert host.pings(sandbox, "10.89.1.1")
    again = host.quartet("pod_sandbox", name="db")["sandbox"]
    assert again["container_ip"] == "10.89.1.3"


def test_check_mode_warns_of_a_missing_network(host: Host) -> None:
    result = host.do("pod_sandbox", name="web", network="later", check_mode=True)
    assert result["changed"] and "later" in str(result.get("warnings")) and result["sandbox"]["name"] == "web"
    assert host.tree() == {}


def test_a_dry_run_on_an_empty_host_changes_nothing(host: Host) -> None:
    picture = host.drive({"snapshot": True})
    for result in host.play(
        task("bridge_network", name="pods0", subnet="10.90.0.0/24", check_mode=True),
        task("pod_sandbox", name="web", network="pods0", check_mode=True),
        task("pod_sandbox", name="web", state="absent", check_mode=True),
        task("prune", check_mode=True),
        task("pod_sandbox_info"),
    ):
        host.must(result)
    assert not differences(picture, host.drive({"snapshot": True}))
    assert host.sh("ls -A /run/podnet /var/lib/podnet 2>/dev/null || true") == ""


def test_absent_of_what_is_not_there_is_fine(host: Host) -> None:
    for options in ({"name": "web", "state": "absent"}, {"id": "0123456789abcdef", "state": "absent"}):
        assert host.do("pod_sandbox", **options)["changed"] is False
    assert host.do("bridge_network", name="pods0", state="absent")["changed"] is False


def test_names_that_look_alike_stay_apart(pods0: Host) -> None:
    pods0.do("pod_sandbox", sandboxes=[{"name": name, "network": "pods0"} for name in ("pod-1", "pod-10", "pod-1.0")])
    pods0.do("pod_sandbox", name="pod-1", state="absent")
    assert [item["name"] for item in pods0.do("pod_sandbox_info")["sandboxes"]] == ["pod-1.0", "pod-10"]


def test_an_id_addresses_an_existing_sandbox(pods0: Host) -> None:
    sandbox = pods0.do("pod_sandbox", name="web", network="pods0")["sandbox"]
    assert pods0.quartet("pod_sandbox", id=sandbox["id"], hostname="other")["sandbox"]["name"] == "web"
    assert pods0.refused("pod_sandbox", id=sandbox["id"], name="db")["reason"] == "invalid_argument"
    assert pods0.quartet("pod_sandbox", id=sandbox["id"], state="absent")["sandbox"] == {
        "id": sandbox["id"],
        "name": "web",
        "state": "absent",
    }
