# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Podman and the CNI plugins, called as their users call them.

peers.py podman|cni COUNT: makes so many pods and removes them; prints the seconds that each of both took, as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_PLUGINS = "/usr/lib/cni"
_NETNS = "/run/netns"
_BRIDGE = {
    "cniVersion": "0.4.0",
    "name": "cni",
    "type": "bridge",
    "bridge": "cni0",
    "isGateway": True,
    "ipMasq": True,
    "ipam": {"type": "host-local", "subnet": "10.92.0.0/16", "routes": [{"dst": "0.0.0.0/0"}]},
}
_PORTMAP = {"cniVersion": "0.4.0", "name": "cni", "type": "portmap", "runtimeConfig": {"portMappings": []}}
_CONTAINERS = """[containers]
cgroups = "disabled"
[network]
network_backend = "netavark"
"""


def _run(*argv: str, text: str = "", **env: str) -> str:
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False, env={**os.environ, **env}, timeout=60)
    if done.returncode:
        sys.exit(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def podman(count: int) -> tuple[float, float]:
    """Pods of podman, until they run: with its own network, and its infra container as the pause."""
    settings = Path("/etc/containers/containers.conf")
    if not settings.exists() or settings.read_text() != _CONTAINERS:
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(_CONTAINERS)
        # Its image for pauses, which is made once.
        _run("podman", "pod", "create", "--name", "first")
        _run("podman", "pod", "start", "first")
        _run("podman", "pod", "rm", "--force", "--time", "0", "first")
    names = [f"pod-{number}" for number in range(count)]
    start = time.perf_counter()
    for name in names:
        _run("podman", "pod", "create", "--name", name)
        _run("podman", "pod", "start", name)
    made = time.perf_counter()
    for name in names:
        _run("podman", "pod", "rm", "--force", "--time", "0", name)
    return made - start, time.perf_counter() - made


def cni(count: int) -> tuple[float, float]:
    """A namespace with an interface: what a runtime that calls plugins does for a pod, without a pause."""
    names = [f"cni-{number}" for number in range(count)]
    start = time.perf_counter()
    for name in names:
        _run("ip", "netns", "add", name)
        given = _plugin("bridge", "ADD", name, _BRIDGE)
        _plugin("portmap", "ADD", name, {**_PORTMAP, "prevResult": json.loads(given)})
    made = time.perf_counter()
    for name in names:
        _plugin("portmap", "DEL", name, _PORTMAP)
        _plugin("bridge", "DEL", name, _BRIDGE)
        _run("ip", "netns", "del", name)
    return made - start, time.perf_counter() - made


def _plugin(name: str, command: str, pod: str, config: dict[str, Any]) -> str:
    return _run(
        f"{_PLUGINS}/{name}",
        text=json.dumps(config),
        CNI_COMMAND=command,
        CNI_CONTAINERID=pod,
        CNI_NETNS=f"{_NETNS}/{pod}",
        CNI_IFNAME="eth0",
        CNI_PATH=_PLUGINS,
    )


if __name__ == "__main__":
    print(json.dumps({"podman": podman, "cni": cni}[sys.argv[1]](int(sys.argv[2]))))
