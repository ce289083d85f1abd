# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""prune: removes what is ours and has no record, and nothing else."""

from __future__ import annotations

from host import Host


def test_nothing_to_prune(pods0: Host) -> None:
    pods0.do("pod_sandbox", name="web", network="pods0")
    done = pods0.do("prune")
    assert (done["changed"], done["pruned"]) == (False, [])
    assert pods0.do("pod_sandbox_info")["sandboxes"][0]["state"] == "running"


def test_orphans_are_removed_and_the_living_stay(pods0: Host) -> None:
    web, lost = pods0.do("pod_sandbox", sandboxes=[{"name": "web", "network": "pods0"}, {"name": "lost", "network": "pods0"}])["sandboxes"]
    pods0.do("bridge_network", name="gone0", subnet="10.94.0.0/24")
    pods0.kill(lost["pause_pid"])
    pods0.sh(
        f"rm /var/lib/podnet/sandboxes/{lost['id']}.json /var/lib/podnet/networks/gone0.json;"
        "ip netns add psb-00000000; ip link add vh-00000000 type bridge;"
        "mkdir -p /etc/netns/psb-00000001; echo x > /etc/netns/psb-00000001/resolv.conf"
    )
    pruned = pods0.quartet("prune")["pruned"]
    text = " ".join(pruned)
    for word in (lost["veth_host"], lost["ns_name"], "gone0", "10.90.0.3", "fd00:90::3", lost["id"]):
        assert word in text, word
    assert web["id"] not in text
    assert pods0.do("pod_sandbox_info")["sandboxes"][0]["problems"] == []
    assert pods0.pings(web, "10.90.0.1")
    names = [link["ifname"] for link in pods0.json("ip", "-j", "link")]
    assert sorted(names) == sorted(["lo", "pods0", web["veth_host"], "vh-00000000"])
    assert "psb-00000000" in pods0.sh("ls /run/netns") and "psb-00000001" in pods0.sh("ls /etc/netns")
    assert lost["ns_name"] not in pods0.sh("ls /run/netns /etc/netns")


def test_a_begun_removal_is_finished(pods0: Host) -> None:
    done = pods0.drive({"sandboxes": [{"name": "web", "network": "pods0"}]})
    assert done["changed"]
    operations = pods0.drive({"sandboxes": [{"name": "web", "state": "absent"}], "check": True})
    assert operations["changed"]
    mark = 4
    pods0.drive({"sandboxes": [{"name": "web", "state": "absent"}], "fail_after": mark})
    info = pods0.do("pod_sandbox_info")["sandboxes"]
    assert info and info[0]["state"] == "degraded"
    assert pods0.quartet("prune")["pruned"] == ["sandbox web"]
    assert pods0.do("pod_sandbox_info")["sandboxes"] == []
