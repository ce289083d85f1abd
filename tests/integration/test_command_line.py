# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules and features of Ansible through the real command line, with the oldest and the newest supported ansible-core."""

from __future__ import annotations

import json
import os
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from host import BIN, ROOT, Host, task
from talk import LAN, serve


def installed(name: str) -> tuple[str, Path]:
    """Version and programs of an ansible-core that scripts/setup has installed; those of .venv where it has found no Python for it."""
    directory = ROOT / ".cache" / f"ansible-{name}"
    if not (directory / "installed").exists():
        return metadata.version("ansible-core"), BIN
    return re.findall(r"^ansible-core==(\S+)$", (ROOT / "requirements" / f"ansible-{name}.txt").read_text(), re.MULTILINE)[
        0
    ], directory / "bin"


OLDEST, NEWEST = installed("oldest"), installed("newest")
BOTH = pytest.mark.parametrize(("version", "ansible"), (OLDEST, NEWEST), ids=(f"oldest-{OLDEST[0]}", f"newest-{NEWEST[0]}"))

PROGRAM = "/var/lib/podnet-engine/podnet"
NETWORK = {"name": "pods0", "subnets": ["10.90.0.0/24", "fd00:90::/64"]}
STEPS: tuple[tuple[str, dict[str, Any]] | str, ...] = (
    ("bridge_network", NETWORK),
    ("ip_allocation", {"pool": "fleet", "ranges": [{"subnet": "10.64.0.0/12"}], "owner": "host1", "prefix_length": 24}),
    ("pod_sandbox", {"name": "web", "network": "pods0", "port_forwards": ["8080:80"], "labels": {"team": "ci"}}),
    ("egress_policy", {"sandbox": "web", "allowed_cidrs": ["192.0.2.0/24"], "allowed_tcp_ports": [443]}),
    ("boot_engine", {"path": PROGRAM}),
    ("snapshot", {}),
    ("pod_sandbox", {"name": "lost", "network": "pods0"}),
    "rm $(grep -l '\"lost\"' /var/lib/podnet/sandboxes/*.json)",
    ("prune", {}),
)
"""Each of these changes something."""

LOOKS: dict[str, dict[str, Any]] = {
    "bridge_network_info": {"name": "pods0"},
    "egress_policy_info": {"sandbox": "web"},
    "ip_allocation_info": {"pool": "fleet"},
    "pod_probe": {},
    "pod_sandbox_info": {"labels": {"team": "ci"}},
}
"""None of these ever changes anything."""


@BOTH
def test_every_module(host: Host, version: str, ansible: Path) -> None:
    tested = {step[0] for step in STEPS if isinstance(step, tuple)} | set(LOOKS)
    assert tested == {path.stem for path in (ROOT / "plugins" / "modules").glob("*.py")}
    assert f"[core {version}]" in host.run(str(ansible / "ansible-playbook"), "--version").stdout
    host.quartets(*STEPS, ansible=ansible)
    tasks = [task(module, check_mode=dry, diff=True, **options) for module, options in LOOKS.items() for dry in (True, False, False, True)]
    results = [host.must(result) for result in host.playbook(*tasks, ansible=ansible)]
    for at, module in enumerate(LOOKS):
        dry, real, *again = results[4 * at : 4 * at + 4]
        assert not any(result["changed"] for result in (dry, real, *again)), module
        for key in (key for key in dry if key not in ("invocation", "changed", "failed") and not key.startswith("_ansible")):
            assert dry[key] == real[key] == again[0][key] == again[1][key] and dry[key], (module, key)


@BOTH
def test_what_a_playbook_may_say_of_a_task(host: Host, version: str, ansible: Path) -> None:
    """Defaults for the action group, lists, registered results, asynchronous tasks, and failures by their reason."""
    sandboxes = [{"name": f"ci-{number}", "network": "pods0"} for number in range(3)]
    begun = {**task("pod_sandbox", name="slow", network="pods0"), "async": 60, "poll": 0, "register": "begun"}
    waited = {
        "ansible.builtin.async_status": {"jid": "{{ begun.ansible_job_id }}"},
        "register": "job",
        "until": "job is finished",
        "retries": 100,
        "delay": 1,
    }
    host.do("bridge_network", **NETWORK)
    defaulted, listed, _begun, finished, polled, refused, unknown, choice, by_reason = host.playbook(
        {"module_defaults": {"group/podnet.linux.all": {"lock_timeout": -7}}, "block": [task("bridge_network", **NETWORK)]},
        {**task("pod_sandbox", sandboxes=sandboxes), "register": "made"},
        begun,
        waited,
        {**task("pod_sandbox", name="polled", network="{{ made.sandboxes[0].networks[0].name }}"), "async": 60, "poll": 1},
        {**task("pod_sandbox", name="a", network="nowhere"), "register": "refused"},
        task("pod_sandbox", name="a", colour="red"),
        task("egress_policy", sandbox="a", mode="off"),
        {"ansible.builtin.debug": {"msg": "told"}, "when": "refused is failed and refused.reason == 'not_found'"},
        ansible=ansible,
    )
    assert defaulted["failed"] and defaulted["reason"] == "invalid_argument" and "lock_timeout: -7" in defaulted["msg"]
    assert [(item["name"], item["changed"]) for item in host.must(listed)["sandboxes"]] == [(f"ci-{number}", True) for number in range(3)]
    for done in (finished, polled):
        assert host.must(done)["changed"] and done["sandbox"]["state"] == "running", done
    assert refused["failed"] and refused["reason"] == "not_found" and "nowhere" in refused["msg"]
    assert unknown["failed"] and unknown["reason"] == "invalid_argument" and "colour" in unknown["msg"]
    assert choice["failed"] and choice["reason"] == "invalid_argument" and "off" in choice["msg"]
    assert by_reason["msg"] == "told"
    assert not any("Traceback" in json.dumps(result) for result in (refused, unknown, choice))
    assert len(host.do("pod_sandbox_info")["sandboxes"]) == 5


@pytest.mark.parametrize(("ansible", "pipelining"), ((OLDEST[1], True), (NEWEST[1], False)), ids=("oldest-pipelining", "newest-files"))
def test_any_module_runs_inside(lan: Host, ansible: Path, pipelining: bool) -> None:
    """The become plugin, and a module of this collection, with and without pipelining."""

    def inside(sandbox: str, **task: Any) -> dict[str, Any]:
        return {**task, "become": True, "become_method": "podnet.linux.sandbox", "vars": {"podnet_sandbox": sandbox}}

    lan.do("bridge_network", name="a", subnets=["10.91.0.0/24", "fd00:91::/64"])
    bound = {"name": "bound", "network": "a", "egress": {"allowed_cidrs": [LAN[0]], "allowed_tcp_ports": [4000, 4001]}}
    made = lan.do("pod_sandbox", sandboxes=[bound, {"name": "free", "network": "a"}])["sandboxes"]
    pods = {item["name"]: item for item in made}
    serve(lan, "lan", "lan", 4000)
    facts, wait, denied, where, by_id, unknown, odd, again = lan.playbook(
        inside("bound", **{"ansible.builtin.setup": {"gather_subset": ["network"]}}),
        inside("bound", **{"ansible.builtin.wait_for": {"host": LAN[0], "port": 4000, "timeout": 5}}),
        inside("bound", **{"ansible.builtin.uri": {"url": f"http://{LAN[0]}:4002/", "timeout": 1}}),
        inside("bound", **{"ansible.builtin.shell": 'echo "it\'s $(hostname)"; cat /etc/hosts; ls /sys/class/net'}),
        inside(pods["free"]["id"], **{"ansible.builtin.command": "hostname"}),
        inside("nobody", **{"ansible.builtin.command": "touch /run/escaped"}),
        inside("x'; touch /run/escaped; '", **{"ansible.builtin.command": "touch /run/escaped"}),
        task("pod_sandbox", name="free"),
        env={"ANSIBLE_PIPELINING": str(pipelining)},
        ansible=ansible,
    )
    seen = lan.must(facts)["ansible_facts"]
    assert sorted(seen["ansible_interfaces"]) == ["eth0", "lo"] and seen["ansible_eth0"]["ipv4"]["address"] == pods["bound"]["container_ip"]
    assert not lan.must(wait)["failed"] and lan.must(again)["changed"] is False
    assert denied["failed"] and "timed out" in denied["msg"], denied
    said = lan.must(where)["stdout"]
    assert said.startswith("it's bound\n") and pods["bound"]["container_ip"] in said and said.endswith("eth0\nlo")
    assert lan.must(by_id)["stdout"] == "free"
    for failed in (unknown, odd):
        assert failed["failed"] and "there is no sandbox" in failed["msg"], failed
    assert lan.sh("ls /run/escaped 2>/dev/null || echo no") == "no\n"


def test_every_ad_hoc_example_of_the_readme(host: Host) -> None:
    found = re.findall(r"ansible localhost -m podnet[^`\n]+", (ROOT / "README.md").read_text())
    assert len(found) >= 4 and found[0].endswith("--check --diff")
    for example in found:
        done = host.run("sh", "-c", example, env={"ANSIBLE_STDOUT_CALLBACK": "default"})
        assert re.search("CHANGED =>|SUCCESS =>", done.stdout), (example, done.stdout)
    assert '"state": "running"' in done.stdout


def test_a_short_name_and_what_a_run_took(host: Host) -> None:
    """Modules have short names in a checkout; -v reports each kind of operation with its duration."""
    host.do("bridge_network", **NETWORK)
    sandboxes = json.dumps({"sandboxes": [{"name": f"ci-{number}", "network": "pods0"} for number in range(2)]})
    shown = host.run("ansible", "localhost", "-v", "-m", "pod_sandbox", "-a", sandboxes).stdout
    result = json.loads(shown[shown.index("{") :])
    told = result["result"]["operations"] if "result" in result else result["operations"]
    assert told[0]["operation"] == "wait, look and plan" and told[-1]["operation"] == "look again and answer"
    assert {"operation": "CreateVeth", "count": 2} in [{key: item[key] for key in ("operation", "count")} for item in told]
    assert all(item["seconds"] >= 0 for item in told)
    assert "operations" not in host.do("pod_sandbox", name="more", network="pods0")


REFUSED = (
    # What a distribution that is too old has, what is broken, and what is not there.
    ("pyroute2/config/version.py", '__version__ = "0.5.14"', "pyroute2 0.7.2 or newer", "finds 0.5.14", "python3-pyroute2"),
    ("pyroute2/__init__.py", "", "pyroute2 0.7.2 or newer", "cannot import it", "python3-pyroute2"),
    (
        "pyroute2/config/version.py",
        '__version__ = "0.9.9"',
        "pyroute2 0.7.2 or newer",
        "No module named 'pyroute2.netlink'",
        "python3-pyroute2",
    ),
    ("pyroute2/config/version.py", "raise RuntimeError(7)", "pyroute2 0.7.2 or newer", "RuntimeError: 7", "python3-pyroute2"),
    ("netaddr.py", '__version__ = "0.7.19"', "netaddr 0.8.0 or newer", "finds 0.7.19", "python3-netaddr"),
    ("netaddr.py", "raise ImportError", "netaddr 0.8.0 or newer", "cannot import it", "python3-netaddr"),
    ("netaddr.py", "", "netaddr 0.8.0 or newer", "no attribute '__version__'", "python3-netaddr"),
)


@pytest.mark.parametrize(
    ("ansible", "number", "chosen"),
    # All modules, and all that may be wrong: not each with each, which would take minutes.
    ((NEWEST[1], 0, None), *((OLDEST[1], number, ("pod_sandbox_info", "ip_allocation")) for number in range(len(REFUSED)))),
    ids=("newest-all", *(f"oldest-{number}" for number in range(len(REFUSED)))),
)
def test_a_missing_library_is_named(host: Host, ansible: Path, number: int, chosen: tuple[str, ...] | None) -> None:
    """By every module that needs it, and by the program that runs at boot."""
    host.do("boot_engine", path=PROGRAM)
    path, text, library, found, package = REFUSED[number]
    for name in (path, *(["pyroute2/__init__.py", "pyroute2/config/__init__.py"] if "config" in path else [])):
        (host.tmp / "shadow" / name).parent.mkdir(parents=True, exist_ok=True)
        (host.tmp / "shadow" / name).write_text(text if name == path else "")
    shadow = {"PYTHONPATH": str(host.tmp / "shadow")}
    lease = {"pool": "fleet", "ranges": [{"subnet": "10.64.0.0/12"}], "owner": "host1", "prefix_length": 24}
    modules: dict[str, dict[str, Any]] = {name: {} for name in LOOKS} | {"prune": {}, "snapshot": {}, "boot_engine": {"path": PROGRAM}}
    modules |= {"pod_sandbox": {"name": "web"}, "bridge_network": NETWORK, "egress_policy": {"sandbox": "web"}, "ip_allocation": lease}
    modules = {name: options for name, options in modules.items() if chosen is None or name in chosen}
    results = host.playbook(*(task(name, **options) for name, options in modules.items()), ansible=ansible, env=shadow)
    for name, result in zip(modules, results):
        if name.startswith("ip_allocation") and "pyroute2" in library:
            assert not host.must(result).get("failed"), name
            continue
        assert (result["failed"], result.get("reason")) == (True, "missing_dependency"), (name, result)
        for words in (library, found, package, f"{ansible.parent}", "ansible_python_interpreter"):
            assert words in result["msg"], (name, words, result["msg"])
    done = host.run(sys.executable, PROGRAM, "restore", env=shadow, check=False)
    assert done.returncode == 1 and library in done.stderr and found in done.stderr and "Traceback" not in done.stderr


def without_netaddr(host: Host) -> dict[str, str]:
    """An environment in which Python does not find it. Not in the directory that modules start in, which Ansible takes off the path."""
    path = host.tmp / "shadow" / "netaddr.py"
    path.parent.mkdir()
    path.write_text("raise ImportError")
    return {"PYTHONPATH": str(path.parent)}


def test_the_program_goes_without_the_libraries(host: Host) -> None:
    host.do("boot_engine", path=PROGRAM)
    (gone,) = host.playbook(task("boot_engine", path=PROGRAM, state="absent"), env=without_netaddr(host))
    assert host.must(gone)["changed"]


@BOTH
def test_sources_are_kept_unpacked(host: Host, version: str, ansible: Path) -> None:
    """Made by a run that may write, used by those that find it in the hands of root alone."""
    home = "/var/cache/podnet"
    network = task("bridge_network", **NETWORK)

    def listed() -> list[str]:
        return host.sh(f"test ! -e {home} || find {home} -name '_session*'").split()

    host.must(host.playbook({**network, "check_mode": True}, ansible=ansible)[0])
    assert listed() == []
    host.must(host.playbook(network, ansible=ansible)[0])
    if os.geteuid():
        # In a user namespace, the directory / belongs to another user.
        assert listed() == []
        return
    source, code = sorted(listed(), key=len)
    assert source.endswith("/_session.py") and "/__pycache__/_session.cpython-" in code
    directory = source.rpartition("/")[0]
    # The bytecode in the directory is what runs.
    host.sh(f"cp -a {directory} {host.tmp}/whole; printf %s 'raise SystemExit(7)' >{host.tmp}/other.py")
    host.run(
        sys.executable if ansible == BIN else str(ansible / "python"),
        "-c",
        "import os, py_compile, sys; source, code, other = sys.argv[1:]; before = os.stat(source); made = py_compile.compile(other);"
        " body = open(made, 'rb').read()[16:]; data = open(code, 'rb').read();"
        " open(code, 'wb').write(data[:16] + body + b'\\0' * (len(data) - 16 - len(body)))",
        *(source, code, f"{host.tmp}/other.py"),
    )
    assert host.playbook(network, ansible=ansible)[0].get("failed")
    for path in (directory, home):
        for spoil, mend in (("chmod 777 {}", "chmod 755 {}"), ("chown 65534 {}", "chown 0 {}")):
            host.sh(spoil.format(path))
            assert host.must(host.playbook(network, ansible=ansible)[0])["changed"] is False
            host.sh(mend.format(path))
    # Of a damaged directory nothing is used, and it is made again.
    damages = (
        f": >{code}",
        f"rm {source}",
        f"truncate -s 50 {source}",
        f"echo '{{}}' >{directory}/sizes.json",
        f"rm -r {directory}; touch {directory}",
    )
    for damage in damages if ansible == NEWEST[1] else damages[:1]:
        host.sh(f"rm -rf {directory}; cp -a {host.tmp}/whole {directory}; {damage}")
        assert host.must(host.playbook({**network, "check_mode": True}, ansible=ansible)[0])["changed"] is False
        assert host.must(host.playbook(network, ansible=ansible)[0])["changed"] is False
        host.sh(f"diff -r -x '*.pyc' {host.tmp}/whole {directory}")
    # Nor does a full disk matter.
    host.sh(f"rm -rf {home}; mkdir {home}; mount -t tmpfs -o size=1000k,mode=755 none {home}")
    for _run in range(2):
        assert host.must(host.playbook(network, ansible=ansible)[0])["changed"] is False
    assert listed() == []
    host.sh(f"umount {home}; cp -a {host.tmp}/whole {directory}")
    # Modules that import less have sources of another name; what has not been used for a day goes when they come.
    host.sh(f"touch --date='2 days ago' {directory}")
    host.must(host.playbook(task("ip_allocation_info"), ansible=ansible)[0])
    assert [path for path in listed() if path.startswith(directory)] == [] and listed()


def test_modules_find_the_virtual_environment(host: Host) -> None:
    """It is made by the role host, where the interpreter lacks the libraries."""
    shadow = without_netaddr(host)
    # The same interpreter without PYTHONPATH.
    host.sh(f"mkdir -p /opt/podnet/venv/bin; printf '#!/bin/sh\\nPYTHONPATH= exec {sys.executable} \"$@\"\\n' >/opt/podnet/venv/bin/python")
    host.sh("chmod 755 /opt/podnet/venv/bin/python")
    if os.geteuid():
        # In a user namespace, the directory / belongs to another user, who could replace that Python.
        (refused,) = host.playbook(task("bridge_network", **NETWORK), env=shadow)
        assert refused["failed"] and refused["reason"] == "missing_dependency"
        return
    made, again = host.playbook(task("bridge_network", **NETWORK), task("bridge_network", **NETWORK), env=shadow)
    assert (host.must(made)["changed"], host.must(again)["changed"]) == (True, False)
    (refused,) = host.playbook({**task("bridge_network", name="pods0", subnets=["10.0.0.1/24"])}, env=shadow)
    assert refused["failed"] and refused["reason"] == "invalid_argument"
    for change in (
        "chmod 777 /opt/podnet/venv",
        # A symbolic link through a directory of another user.
        "chmod 755 /opt/podnet/venv; mkdir /run/user; mv /opt/podnet /run/user; chown 65534 /run/user; ln -s /run/user/podnet /opt/podnet",
    ):
        host.sh(change)
        (refused,) = host.playbook(task("bridge_network", **NETWORK), env=shadow)
        assert refused["failed"] and refused["reason"] == "missing_dependency"
