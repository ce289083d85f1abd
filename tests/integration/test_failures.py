# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the host cannot: each failure has a reason, says what to do, and changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import time

import pytest
from driver import differences
from host import Host, task

DUAL = {"name": "pods0", "subnets": ["10.90.0.0/24", "fd00:90::/64"]}
V4 = {"name": "pods0", "subnets": ["10.90.0.0/24"]}
LOCKER = """
import fcntl, sys
f = open('/run/podnet/lock', 'a')
fcntl.flock(f, fcntl.LOCK_EX)
print('held', flush=True)
sys.stdin.readline()
"""


def refused_unchanged(host: Host, module: str, reason: str, named: str, **options: object) -> None:
    picture = host.drive({"snapshot": True})
    for check in (False, True):
        result = host.refused(module, check_mode=check, **options)
        assert result["reason"] == reason and named in result["msg"], result
    assert not differences(picture, host.drive({"snapshot": True}))


def test_no_root(host: Host) -> None:
    book = host.tmp / "user.yml"
    book.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [task("bridge_network", **V4)]}]))
    done = host.run("setpriv", "--bounding-set=-net_admin,-sys_admin", "--inh-caps=-all", "ansible-playbook", str(book), check=False)
    assert '"reason": "not_permitted"' in done.stdout and "become" in done.stdout and "Traceback" not in done.stdout
    assert host.tree() == {}


def test_no_nft(host: Host) -> None:
    host.sh("touch /run/nothing; chmod 644 /run/nothing; mount --bind /run/nothing $(readlink -f /usr/sbin/nft)")
    result = host.refused("bridge_network", **V4)
    assert result["reason"] == "missing_dependency" and "nftables" in result["msg"]
    assert host.sh("ip -o link | wc -l; ls /var/lib") == "1\n"


def test_an_nft_that_is_too_old(host: Host) -> None:
    host.sh("printf '#!/bin/sh\\necho nftables v0.9.8 \\(E.D.S.\\)\\n' > /run/nft; chmod 755 /run/nft; mount --bind /run/nft /usr/sbin/nft")
    result = host.refused("bridge_network", **V4)
    assert result["reason"] == "missing_dependency" and "0.9.8" in result["msg"] and "1.0.2" in result["msg"]


def test_a_bridge_that_is_full(pods0: Host) -> None:
    pods0.sh("for n in $(seq 1022); do echo link add x$n type veth peer name y$n; echo link set x$n master pods0; done | ip -batch -")
    refused_unchanged(
        pods0, "pod_sandbox", "at_capacity", "1023", sandboxes=[{"name": "a", "network": "pods0"}, {"name": "b", "network": "pods0"}]
    )
    assert pods0.do("pod_sandbox", name="a", network="pods0")["sandbox"]["state"] == "running"


def test_a_foreign_interface_with_our_name(pods0: Host) -> None:
    sandbox = pods0.do("pod_sandbox", name="web", network="pods0")["sandbox"]
    pods0.sh(f"ip link del {sandbox['veth_host']}; ip link add {sandbox['veth_host']} type bridge")
    refused_unchanged(pods0, "pod_sandbox", "not_ours", sandbox["veth_host"], name="web")
    # It is no reason not to remove the sandbox, and it survives that.
    pods0.do("pod_sandbox", name="web", state="absent")
    assert pods0.json("ip", "-j", "link", "show", sandbox["veth_host"])


def test_proc_sys_read_only_with_wrong_values(host: Host) -> None:
    read_only = "mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys"
    host.sh(read_only)
    refused_unchanged(host, "bridge_network", "not_permitted", "accept_ra", **V4)
    host.sh(f"umount /proc/sys; sysctl -qw net.ipv6.conf.default.accept_ra=0; {read_only}")
    refused_unchanged(host, "bridge_network", "not_permitted", "net.ipv4.ip_forward", **V4)


def test_proc_sys_read_only_with_right_values(host: Host) -> None:
    host.sh(
        "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.default.accept_ra=0 net.ipv6.conf.default.force_forwarding=1;"
        "mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys"
    )
    host.quartet("bridge_network", **DUAL)
    host.quartet("bridge_network", **DUAL, state="absent")


def test_ipv6_disabled_with_an_ipv6_subnet_wanted(host: Host) -> None:
    host.sh("sysctl -qw net.ipv6.conf.all.disable_ipv6=1")
    refused_unchanged(host, "bridge_network", "kernel_unsupported", "disable_ipv6", **DUAL)
    host.quartet("bridge_network", **V4)


@pytest.mark.parametrize(
    ("module", "path"),
    [
        ("bridge_network", "/var/lib/podnet/networks/pods0.json"),
        ("pod_sandbox", "/var/lib/podnet/sandboxes/{id}.json"),
        ("pod_sandbox", "/run/podnet/sandboxes/{id}/state.json"),
        ("pod_sandbox", "/var/lib/podnet/leases/pods0/10.90.0.2"),
    ],
)
def test_an_unreadable_record_is_named(pods0: Host, module: str, path: str) -> None:
    sandbox = pods0.do("pod_sandbox", name="web", network="pods0")["sandbox"]
    path = path.format_map(sandbox)
    for damage in ("echo '{\"' > {}", ": > {}"):
        pods0.sh(damage.replace("{}", path))
        refused_unchanged(pods0, module, "state_corrupt", path, name="pods0" if module == "bridge_network" else "web")


def test_a_record_of_a_newer_release_is_refused(pods0: Host) -> None:
    path = "/var/lib/podnet/networks/pods0.json"
    pods0.sh(f'sed -i \'s/"schema": [0-9]*/"schema": 99/\' {path}')
    refused_unchanged(pods0, "bridge_network", "state_corrupt", "99", **DUAL)


def test_records_of_the_first_schema_are_taken_as_they_are(pods0: Host) -> None:
    """It knew of no policies."""
    pool = {"pool": "fleet", "ranges": [{"subnet": "10.64.0.0/16"}], "owner": "one"}
    pods0.play(task("pod_sandbox", name="web", network="pods0"), task("ip_allocation", **pool))
    script = "import json, sys\nfor path in sys.argv[1:]:\n    known = json.load(open(path))\n    known.pop('policies', None)\n"
    script += "    json.dump({**known, 'schema': 1}, open(path, 'w'))"
    pods0.sh(f'python3 -c "{script}" $(grep -rl \'"schema"\' /var/lib/podnet)')
    tasks = (task("bridge_network", **DUAL), task("pod_sandbox", name="web"), task("ip_allocation", **pool))
    assert [pods0.must(result)["changed"] for result in pods0.play(*tasks)] == [False] * 3
    assert pods0.do("egress_policy", sandbox="web")["changed"]


def test_a_furnished_namespace_that_is_gone(pods0: Host) -> None:
    pods0.sh("ip netns add theirs")
    pods0.do("pod_sandbox", name="web", network="pods0", netns="/run/netns/theirs", pause=False)
    sandbox = pods0.do("pod_sandbox_info")["sandboxes"][0]
    pods0.sh(f"ip netns del theirs; umount /run/netns/{sandbox['ns_name']}; rm -f /run/netns/{sandbox['ns_name']}")
    # The kernel takes a namespace apart a moment after its last user is gone.
    pods0.until(f"! test -e /sys/class/net/{sandbox['veth_host']}")
    refused_unchanged(pods0, "pod_sandbox", "not_found", "/run/netns/theirs", name="web")
    pods0.quartet("pod_sandbox", name="web", state="absent")


def test_a_range_that_is_full(host: Host) -> None:
    host.do("bridge_network", name="pods0", subnet="10.90.0.0/29", reserved=["10.90.0.6"])
    host.do("pod_sandbox", sandboxes=[{"name": f"p{number}", "network": "pods0"} for number in range(4)])
    refused_unchanged(host, "pod_sandbox", "no_address_available", "4 used of 4", name="more", network="pods0")
    host.do("pod_sandbox", name="p1", state="absent")
    assert host.do("pod_sandbox", name="more", network="pods0")["sandbox"]["container_ip"] == "10.90.0.3"


def test_a_held_lock_times_out_and_says_so(pods0: Host) -> None:
    holder = pods0.start("python3", "-c", LOCKER, stdin=subprocess.PIPE)
    assert holder.stdin is not None and holder.stdout is not None and holder.stdout.readline() == "held\n"
    started = time.monotonic()
    result = pods0.refused("pod_sandbox", name="web", network="pods0", lock_timeout=1)
    assert result["reason"] == "lock_timeout" and time.monotonic() - started < 20
    # The lock ends with its holder, and a run that waits long enough gets it.
    waiting = pods0.start_task(task("pod_sandbox", name="web", network="pods0"))
    pods0.until("test $(ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c /run/podnet/lock) -ge 2")
    holder.stdin.close()
    assert waiting.stdout is not None and '"changed": true' in waiting.stdout.read()
    assert (holder.wait(20), waiting.wait(20)) == (0, 0)


def test_overlapping_runs_do_not_disturb_each_other(pods0: Host) -> None:
    runs = [pods0.start_task(task("pod_sandbox", name=f"web-{number % 3}", network="pods0")) for number in range(6)]
    assert [run.wait(60) for run in runs] == [0] * 6
    found = pods0.do("pod_sandbox_info")["sandboxes"]
    assert [(item["name"], item["state"]) for item in found] == [("web-0", "running"), ("web-1", "running"), ("web-2", "running")]
    assert len({item["container_ip"] for item in found}) == 3


def test_programs_are_not_taken_from_the_callers_path(pods0: Host) -> None:
    evil = pods0.tmp / "evil"
    evil.mkdir()
    for name in ("nft", "ip", "catatonit", "busctl"):
        (evil / name).write_text(f"#!/bin/sh\ntouch {pods0.tmp}/hit\n")
        (evil / name).chmod(0o755)
    path = f"{evil}:{pods0.env['PATH']}"
    pods0.must(pods0.play(task("pod_sandbox", name="web", network="pods0"), env={"PATH": path})[0])
    assert not os.path.exists(pods0.tmp / "hit")


def test_all_records_that_cannot_be_read_are_named_at_once(pods0: Host) -> None:
    pods0.do("pod_sandbox", sandboxes=[{"name": name, "network": "pods0"} for name in ("one", "two", "three")])
    paths = pods0.sh("ls /var/lib/podnet/sandboxes/*.json").split()
    pods0.sh(f"truncate -s 9 {paths[0]}; echo '[]' >{paths[2]}")
    for module, options in (("pod_sandbox_info", {}), ("pod_sandbox", {"name": "four", "network": "pods0"}), ("prune", {})):
        told = pods0.refused(module, **options)
        assert told["reason"] == "state_corrupt" and all(path in told["msg"] for path in (paths[0], paths[2])), told
        assert paths[1] not in told["msg"]
    # What the message says helps.
    pods0.sh(f"rm {paths[0]} {paths[2]}")
    assert pods0.do("prune")["pruned"]
    (left,) = pods0.do("pod_sandbox_info")["sandboxes"]
    assert left["state"] == "running" and left["problems"] == []
