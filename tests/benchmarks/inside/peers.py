# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Podman and the CNI plugins, called as their users call them.

peers.py podman|cni COUNT: makes so many pods and removes them. peers.py podman-ports|cni-ports COUNT: publishes so many ports of
one, and takes them back. Prints the seconds that each of both took, as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from quiet import rest

_PLUGINS = "/usr/lib/cni"
_PORTS = 20000
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
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False, env={**os.environ, **env}, timeout=180)
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
    rest(count)
    going = time.perf_counter()
    for name in names:
        _run("podman", "pod", "rm", "--force", "--time", "0", name)
    return made - start, time.perf_counter() - going


def cni(count: int) -> tuple[float, float]:
    """A namespace with an interface: what a runtime that calls plugins does for a pod, without a pause."""
    names = [f"cni-{number}" for number in range(count)]
    start = time.perf_counter()
    for name in names:
        _run("ip", "netns", "add", name)
        given = _plugin("bridge", "ADD", name, _BRIDGE)
        _plugin("portmap", "ADD", name, {**_PORTMAP, "prevResult": json.loads(given)})
    made = time.perf_counter()
    rest(count)
    going = time.perf_counter()
    for name in names:
        _plugin("portmap", "DEL", name, _PORTMAP)
        _plugin("bridge", "DEL", name, _BRIDGE)
        _run("ip", "netns", "del", name)
    return made - start, time.perf_counter() - going


def podman_ports(count: int) -> tuple[float, float]:
    """What a pod with them takes longer than one without: podman cannot publish more ports of a pod that is there."""
    made, gone = [], []
    for published in ((), ("--publish", f"{_PORTS}-{_PORTS + count - 1}:{_PORTS}-{_PORTS + count - 1}")):
        start = time.perf_counter()
        _run("podman", "pod", "create", "--name", "ports", *published)
        _run("podman", "pod", "start", "ports")
        middle = time.perf_counter()
        _run("podman", "pod", "rm", "--force", "--time", "0", "ports")
        made.append(middle - start)
        gone.append(time.perf_counter() - middle)
    return made[1] - made[0], gone[1] - gone[0]


def cni_ports(count: int) -> tuple[float, float]:
    """Of one namespace, which is there already."""
    mappings = [{"hostPort": port, "containerPort": port, "protocol": "tcp"} for port in range(_PORTS, _PORTS + count)]
    config = {**_PORTMAP, "runtimeConfig": {"portMappings": mappings}}
    _run("ip", "netns", "add", "ports")
    given = _plugin("bridge", "ADD", "ports", _BRIDGE)
    start = time.perf_counter()
    _plugin("portmap", "ADD", "ports", {**config, "prevResult": json.loads(given)})
    made = time.perf_counter()
    _plugin("portmap", "DEL", "ports", config)
    gone = time.perf_counter()
    _plugin("bridge", "DEL", "ports", _BRIDGE)
    _run("ip", "netns", "del", "ports")
    return made - start, gone - made


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


PROGRAMS = {"podman": podman, "cni": cni, "podman-ports": podman_ports, "cni-ports": cni_ports}

if __name__ == "__main__":
    print(json.dumps(PROGRAMS[sys.argv[1]](int(sys.argv[2]))))
