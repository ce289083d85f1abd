# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resolver files: inside the sandbox, and inside container roots whose owner may be hostile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from host import Host, task

OURS = "# Written by podnet.linux for sandbox web"


@pytest.fixture
def root(pods0: Host) -> Path:
    """An empty container root, and a file of the host that nobody may write."""
    pods0.sh("mkdir -p /run/roots/one/etc /run/outside; echo precious > /run/outside/resolv.conf")
    return Path("/run/roots/one")


def options(root: Path, **more: Any) -> dict[str, Any]:
    return {"name": "web", "network": "pods0", "dns": ["9.9.9.9"], "rootfs": [str(root)], **more}


BEFORE = {
    "empty": "true",
    "bare": "rmdir etc",
    "private": "echo nameserver 192.0.2.1 > etc/resolv.conf; chmod 600 etc/resolv.conf",
    "dangling": "ln -s ../run/stub/resolv.conf etc/resolv.conf",
    "absolute": "ln -s /run/outside/resolv.conf etc/resolv.conf",
    "climbing": "ln -s ../../../../../../../run/outside/resolv.conf etc/resolv.conf",
}


def listing(host: Host) -> str:
    return host.sh("cd /run/roots; find . -printf '%p %y %l %m %U\\n' | sort; cat private/etc/resolv.conf")


def test_what_was_there_is_put_back(pods0: Host, root: Path) -> None:
    pods0.sh("".join(f"mkdir -p /run/roots/{name}/etc; cd /run/roots/{name}; {script};" for name, script in BEFORE.items()))
    picture = listing(pods0)
    pods0.quartet("pod_sandbox", **options(root, rootfs=[f"/run/roots/{name}" for name in BEFORE]))
    for name in BEFORE:
        text = pods0.sh(f"cat /run/roots/{name}/etc/resolv.conf")
        assert text.startswith(OURS) and "nameserver 9.9.9.9" in text, name
    assert pods0.sh("cat /run/outside/resolv.conf") == "precious\n"
    pods0.quartets(("pod_sandbox", {"name": "web", "dns": ["192.0.2.53"]}), ("pod_sandbox", {"name": "web", "state": "absent"}))
    assert listing(pods0) == picture
    left = [path for path in pods0.tree() if "cursor" not in path and not path.startswith("/run/")]
    assert left == ["/var/lib/podnet/networks/pods0.json", "/etc/sysctl.d/60-podnet.conf"]


def test_a_directory_that_leads_out_is_not_followed(pods0: Host, root: Path) -> None:
    """etc is a symlink to the host's own directory: inside the root it leads nowhere, and nowhere is where it may lead."""
    pods0.sh(f"rmdir {root}/etc; ln -s /run/outside {root}/etc")
    refused = pods0.refused("pod_sandbox", **options(root))
    assert refused["reason"] == "invalid_argument" and str(root) in refused["msg"]
    assert pods0.sh("cat /run/outside/resolv.conf; ls /run/outside") == "precious\nresolv.conf\n"


def test_a_hostile_root_holds_up_nothing_else(pods0: Host, root: Path) -> None:
    """Gone, or made impossible: its sandbox's network can still be changed, and the info module says what is off."""
    pods0.do("pod_sandbox", **options(root))
    for trick in (f"rm -r {root}/etc; ln -s /run/outside {root}/etc", f"rm -r {root}"):
        pods0.sh(trick)
        mtu = 1400 + len(trick)
        results = pods0.play(task("bridge_network", name="pods0", mtu=mtu), task("pod_sandbox", name="web"), task("pod_sandbox_info"))
        changed, again, info = (pods0.must(result) for result in results)
        assert changed["changed"] and not again["changed"]
        assert str(root) in changed["warnings"][0] and str(root) in info["sandboxes"][0]["problems"][0]
        assert pods0.refused("pod_sandbox", **options(root))["reason"] == "invalid_argument"
    pods0.quartet("pod_sandbox", name="web", state="absent")


def test_a_read_only_root_is_mounted_over(pods0: Host, root: Path) -> None:
    pods0.sh(f"echo old > {root}/etc/resolv.conf; mount --bind {root} {root}; mount -o remount,ro,bind {root}")
    pods0.quartet("pod_sandbox", **options(root))
    assert pods0.sh(f"cat {root}/etc/resolv.conf").startswith(OURS)
    pods0.quartet("pod_sandbox", name="web", dns=["192.0.2.53"])
    assert "nameserver 192.0.2.53" in pods0.sh(f"cat {root}/etc/resolv.conf")
    pods0.quartets(f"umount {root}/etc/resolv.conf", ("pod_sandbox", {"name": "web"}), ("pod_sandbox", {"name": "web", "rootfs": []}))
    assert pods0.sh(f"cat {root}/etc/resolv.conf; mount | grep -c resolv.conf || true") == "old\n0\n"


def test_a_dropped_root_is_put_back_and_others_stay(pods0: Host, root: Path) -> None:
    pods0.sh("mkdir -p /run/roots/two/etc")
    pods0.do("pod_sandbox", **options(root))
    pods0.quartet("pod_sandbox", name="web", rootfs=["/run/roots/two"])
    assert pods0.sh("ls /run/roots/one/etc /run/roots/two/etc").split() == ["/run/roots/one/etc:", "/run/roots/two/etc:", "resolv.conf"]


def test_what_somebody_else_wrote_since_is_left_alone(pods0: Host, root: Path) -> None:
    pods0.do("pod_sandbox", **options(root))
    pods0.sh(f"echo theirs > {root}/etc/resolv.conf")
    pods0.do("pod_sandbox", name="web", state="absent")
    assert pods0.sh(f"cat {root}/etc/resolv.conf") == "theirs\n"


def test_a_symlink_in_etc_netns_is_not_written_through(pods0: Host, root: Path) -> None:
    sandbox = pods0.do("pod_sandbox", name="web", network="pods0")["sandbox"]
    path = f"/etc/netns/{sandbox['ns_name']}"
    pods0.sh(f"rm {path}/resolv.conf; ln -s /run/outside/resolv.conf {path}/resolv.conf")
    pods0.quartet("pod_sandbox", name="web")
    assert pods0.sh("cat /run/outside/resolv.conf") == "precious\n"
    pods0.sh(f"rm -r {path}; ln -s /run/outside {path}")
    pods0.play({"podnet.linux.pod_sandbox": {"name": "web"}})
    assert pods0.sh("cat /run/outside/resolv.conf; ls /run/outside") == "precious\nresolv.conf\n"


def test_the_hosts_upstream_resolvers_are_the_default(pods0: Host) -> None:
    pods0.sh("echo nameserver 127.0.0.53 > /etc/resolv.conf; mkdir -p /run/systemd/resolve")
    pods0.sh("echo nameserver 192.0.2.8 > /run/systemd/resolve/resolv.conf")
    sandbox = pods0.do("pod_sandbox", name="web", network="pods0")["sandbox"]
    assert pods0.inside(sandbox, "cat", "/etc/resolv.conf").stdout.splitlines()[1:] == ["nameserver 192.0.2.8"]
    pods0.do("bridge_network", name="pods0", internal=True)
    assert pods0.inside(sandbox, "cat", "/etc/resolv.conf").stdout.splitlines()[1:] == []
