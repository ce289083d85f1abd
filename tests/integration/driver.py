# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the engine on this host with a fault, and takes pictures of kernel and files. Scenario on stdin, JSON out."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import netaddr
from ansible_collections.podnet.linux.plugins.module_utils._engine import (
    describe_sandboxes,
    run_networks,
    run_policies,
    run_prune,
    run_sandboxes,
)
from ansible_collections.podnet.linux.plugins.module_utils._errors import PodnetError
from ansible_collections.podnet.linux.plugins.module_utils._host import conntrack, namespaces, netlink, nf_tables, programs, sockets
from ansible_collections.podnet.linux.plugins.module_utils._host.link_table import Table
from ansible_collections.podnet.linux.plugins.module_utils._host.links import Links
from ansible_collections.podnet.linux.plugins.module_utils._leasing import run_allocations
from ansible_collections.podnet.linux.plugins.module_utils._restore import run_restore
from ansible_collections.podnet.linux.plugins.module_utils._session import Outcome, Settings
from ansible_collections.podnet.linux.plugins.module_utils._spec.allocation import AllocationRequest
from ansible_collections.podnet.linux.plugins.module_utils._spec.network import NetworkRequest
from ansible_collections.podnet.linux.plugins.module_utils._spec.policy import PolicyRequest
from ansible_collections.podnet.linux.plugins.module_utils._spec.sandbox import SandboxRequest
from pyroute2.netlink import NETLINK_NETFILTER

# Imported before files and messages of a run are counted.
netaddr.IPSet()

TREES = ("/run/podnet", "/var/lib/podnet", "/etc/netns", "/etc/sysctl.d", "/run/netns")
CACHES = ("index", "messages", "rules.json")
DISTRIBUTION = ("README.sysctl", "99-sysctl.conf")
SYSCTLS = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv6/conf/default/force_forwarding")
VOLATILE = ("ifindex", "link_index", "link_netnsid", "link", "iif", "designated_bridge", "stats64", "group", "txqlen")


class Injected(PodnetError):
    """The fault."""


def main() -> None:
    print(json.dumps(answer(json.load(sys.stdin)), default=str))


def answer(scenario: dict[str, Any]) -> Any:
    """What the scenario asks for: a picture, a look at one thing, runs of the engine, or a fault behind each operation."""
    if scenario.get("snapshot"):
        return snapshot()
    if scenario.get("links"):
        return links_and_routes()
    if scenario.get("connections"):
        with closing(netlink.Socket(NETLINK_NETFILTER)) as asked:
            return [asdict(entry[0]) for version in (4, 6) for entry in conntrack.tracked(asked, version)]
    if scenario.get("listeners"):
        return [asdict(item) for protocol in ("tcp", "udp", "sctp") for item in sockets.listeners(protocol)]
    if scenario.get("chains"):
        return [nf_tables.chains(), nf_tables.chains(but="podnet")]
    if scenario.get("transactions"):
        return nf_tables.generation()
    if "at_once" in scenario:
        return at_once(scenario["at_once"], scenario["kill_each"])
    if "sequence" in scenario:
        return [run(step) for step in scenario["sequence"]]
    if "faults" in scenario:
        return faults(scenario)
    return run(scenario)


def run(scenario: dict[str, Any]) -> dict[str, Any]:
    """One run of the engine, with what was asked of it: a fault behind an operation, a comparison of before and after."""
    seen: list[str] = []

    def after(operation: object) -> None:
        seen.append(type(operation).__name__)
        if len(seen) == scenario.get("fail_after"):
            raise Injected("injected")
        if len(seen) == scenario.get("kill_after"):
            os.kill(os.getpid(), signal.SIGKILL)

    hide(scenario.get("without", ()))
    ran = note_programs()
    counts = count()
    before = snapshot() if scenario.get("compare") else None
    result: dict[str, Any] = {}
    switches = {key: scenario.get(key, False) for key in ("check", "exclusive", "force")}
    try:
        counts.clear()
        outcome = perform(scenario, Settings(lock_timeout=60, after=after, **switches))
        result.update(changed=outcome.changed, results=outcome.results, diffs=outcome.diffs, counts=dict(counts))
    except PodnetError as error:
        result.update(error=str(error), reason=error.reason)
    result["operations"] = seen
    result["programs"] = ran
    if before is not None:
        result["differs"] = differences(before, snapshot())
    return result


def count() -> Counter[str]:
    """What this process does from now on: messages to the kernel, files opened, children, and what these print."""
    counts: Counter[str] = Counter()
    kinds = {
        "open": "files",
        "os.listdir": "files",
        "os.scandir": "files",
        "subprocess.Popen": "programs",
        "os.system": "programs",
        "os.posix_spawn": "pauses",
        "os.fork": "forks",
        "socket.__new__": "sockets",
    }

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        # What Python opens to import something is not the run's, /proc is asked until a process is what it is to be, and a
        # descriptor is open already.
        if event == "open" and (isinstance(arguments[0], int) or re.search(r"[.](pyc?|so)$|^/proc/", str(arguments[0]))):
            return
        if event in kinds:
            counts[kinds[event]] += 1

    sys.addaudithook(heard)
    exchange = netlink.Socket._exchange

    def counted(self: netlink.Socket, what: Any) -> tuple[list[bytes], bool]:
        counts["messages"] += 1
        return exchange(self, what)

    # All requests pass through this method, which the kernel has no counter for.
    netlink.Socket._exchange = counted  # type: ignore[method-assign]
    run_program = programs.run

    def listened(*arguments: Any) -> Any:
        done = run_program(*arguments)
        counts["bytes listed"] += len(done.stdout)
        counts["words sent"] += sum(len(item.split()) for item in arguments[1:] if isinstance(item, str))
        return done

    programs.run = listened
    return counts


def note_programs() -> list[str]:
    """The command lines of child processes, as they come."""
    ran: list[str] = []
    real = subprocess.Popen.__init__

    def popen(self: Any, args: Any, *rest: Any, **options: Any) -> None:
        ran.append(" ".join([os.path.basename(args[0]), *args[1:]]))
        real(self, args, *rest, **options)

    subprocess.Popen.__init__ = popen
    return ran


def hide(names: list[str]) -> None:
    """As on a kernel that lacks these settings: reading them finds nothing."""
    real = namespaces.read_sysctl
    namespaces.read_sysctl = lambda name: None if name in names else real(name)


def forked(scenario: dict[str, Any]) -> dict[str, Any]:
    """The same in a process of its own, which may be killed; {"died": signal} then."""
    return _ended(*_begun(scenario))


def _begun(scenario: dict[str, Any]) -> tuple[int, int]:
    """A child that runs the scenario, and the descriptor that its result comes from."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        with os.fdopen(write, "w") as file:
            json.dump(run(scenario), file, default=str)
        os._exit(0)
    os.close(write)
    return pid, read


def _ended(pid: int, read: int) -> dict[str, Any]:
    with os.fdopen(read) as file:
        text = file.read()
    _pid, status = os.waitpid(pid, 0)
    return json.loads(text) if text else {"died": os.WTERMSIG(status)}


def at_once(tasks: list[dict[str, Any]], kill_each: int) -> list[dict[str, Any]]:
    """All these runs in processes of their own at the same time, every so many of them killed on their way."""
    running = [_begun(task) for task in tasks]
    for pid, _read in running[::kill_each]:
        # Each at another point of what it does.
        time.sleep(0.1)
        os.kill(pid, signal.SIGKILL)
    return [_ended(pid, read) for pid, read in running]


def faults(scenario: dict[str, Any]) -> dict[str, Any]:
    """The task of the scenario with a fault behind its first, second, ... operation, until it ends without one.

    Returns what happened at each point. What was undone is the start of the next point; else all is made anew.
    """
    points: list[dict[str, Any]] = []
    fresh = False
    for number in range(1, 400):
        for step in () if fresh else scenario["setup"]:
            done = forked(step)
            if "error" in done or "died" in done:
                return {"points": points, "broken": done}
        done = forked({**scenario["task"], scenario["faults"]: number, "compare": scenario["faults"] == "fail_after"})
        if "error" not in done and "died" not in done:
            return {"points": points}
        points.append({"number": number, "done": done})
        fresh = "error" in done and not done["differs"]
        if fresh:
            continue
        points[-1].update(again=forked(scenario["task"]), third=forked(scenario["task"]), picture=snapshot(), pruned=forked({}))
        for step in scenario["reset"]:
            undone = forked(step)
            if "error" in undone:
                return {"points": points, "broken": undone}
        left = snapshot()
        points[-1]["left"] = {key: left[key] for key in ("mounts", "processes", "namespaces")}
        points[-1]["left"]["links"] = [link["ifname"] for link in left["host"]["links"]]
        points[-1]["left"]["files"] = list(left["files"])
    return {"points": points, "broken": "no end of operations"}


def perform(scenario: dict[str, Any], settings: Settings) -> Any:
    if "networks" in scenario:
        return run_networks([NetworkRequest.from_options(item) for item in scenario["networks"]], settings)
    if "sandboxes" in scenario:
        return run_sandboxes([SandboxRequest.from_options(item) for item in scenario["sandboxes"]], settings)
    if "allocations" in scenario:
        return run_allocations([AllocationRequest.from_options(item) for item in scenario["allocations"]], settings)
    if "policies" in scenario:
        return run_policies([PolicyRequest.from_options(item) for item in scenario["policies"]], settings)
    if scenario.get("look"):
        return Outcome(False, [], describe_sandboxes(settings, lambda _item: True))
    if scenario.get("restore"):
        return Outcome(*_restored(settings))
    return run_prune(settings)


def _restored(settings: Settings) -> tuple[bool, list[dict[str, Any]]]:
    done = run_restore(settings)
    assert not done.failures, done.failures
    return bool(done.diffs), done.diffs


def differences(before: Any, now: Any, path: str = "") -> list[str]:
    """The leaves that are not the same."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [text for key in sorted({*before, *now}) for text in differences(before.get(key), now.get(key), f"{path}[{key}]")]
    if isinstance(before, list) and isinstance(now, list):
        if len(before) == len(now):
            return [text for index, pair in enumerate(zip(before, now)) for text in differences(*pair, f"{path}[{index}]")]
        gone, new = [item for item in before if item not in now], [item for item in now if item not in before]
        return [f"{path}: gone {gone}, new {new}"]
    return [] if before == now else [f"{path}: {before!r} -> {now!r}"]


def _pins() -> set[str]:
    return {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines() if " - nsfs " in line}


# What the machine has mounted, below the throw-away host's own /run.
PINNED_BEFORE = _pins()


def snapshot() -> dict[str, Any]:
    """Kernel and files, without what counts or numbers itself."""
    return {
        "files": files(),
        "mounts": sorted(_pins() - PINNED_BEFORE),
        "rules": output("nft", "--stateless", "list", "ruleset"),
        "host": network(()),
        "namespaces": {name: network(("ip", "netns", "exec", name)) for name in sorted(names("/run/netns"))},
        "processes": processes(),
        "sysctls": {name: sysctl(name) for name in SYSCTLS},
    }


def files() -> dict[str, str]:
    found = {}
    for tree in TREES:
        for directory, _below, here in os.walk(tree):
            for name in here:
                path = Path(directory) / name
                if path.name not in ("lock", *DISTRIBUTION):
                    text = "nsfs" if is_namespace(path) else "" if path.name in CACHES else path.read_text(errors="replace")
                    # A lease that was given back and taken again is a new one by its time only.
                    found[str(path)] = re.sub(r'"time": \d+', '"time": 0', text)
    return found


def is_namespace(path: Path) -> bool:
    return path.stat().st_dev == os.stat("/proc/self/ns/net").st_dev


def network(prefix: tuple[str, ...]) -> dict[str, Any]:
    links = json.loads(output(*prefix, "ip", "-j", "-d", "addr") or "[]")
    routes = [line for family in ("-4", "-6") for line in output(*prefix, "ip", family, "route", "show", "table", "all").splitlines()]
    return {
        "links": stable(links),
        "routes": sorted(
            line.split(" expires")[0].replace("linkdown ", "") for line in routes if "fe80" not in line and "multicast" not in line
        ),
    }


def stable(links: list[dict[str, Any]]) -> list[dict[str, Any]]:
    keep = ("ifname", "address", "mtu", "master", "ifalias")
    return sorted(
        (
            {
                **{key: link[key] for key in keep if key in link},
                # The carrier comes and goes a moment after what causes it.
                "flags": sorted(set(link["flags"]) - {"NO-CARRIER", "LOWER_UP", "M-DOWN"}),
                "isolated": link.get("linkinfo", {}).get("info_slave_data", {}).get("isolated"),
                "addresses": sorted(f"{a['local']}/{a['prefixlen']}" for a in link.get("addr_info", []) if a.get("scope") == "global"),
            }
            for link in links
        ),
        key=lambda link: link["ifname"],
    )


def processes() -> list[str]:
    found = []
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and int(entry) != os.getpid():
                # In the middle of execve(2) the command line is empty, while the program is known already.
                program = os.readlink(f"/proc/{entry}/exe")
                words = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
                if program.endswith(("/catatonit", "/sleep")) and b"3600" not in words:
                    found.append(f"{entry} {program}")
        except OSError:
            continue
    return sorted(found)


def links_and_routes() -> dict[str, Any]:
    """As the engine sees them."""
    links = Links()
    found = links.all()
    table = Table(links)
    assert {name: table[name] for name in list(table)[:20]}.items() <= found.items() and set(table) == set(found)
    return {
        "links": {name: asdict(link) for name, link in found.items()},
        "default_routes": [asdict(route) for route in links.default_routes(found.values())],
        "destinations": [(str(network), table.name_of(index)) for network, index in links.destinations()],
    }


def names(directory: str) -> list[str]:
    return [name for name in os.listdir(directory) if is_namespace(Path(directory) / name)] if os.path.isdir(directory) else []


def sysctl(name: str) -> str | None:
    path = Path("/proc/sys") / name
    return path.read_text().strip() if path.exists() else None


def output(*argv: str) -> str:
    # Names in the kernel need not be UTF-8.
    return subprocess.run(argv, capture_output=True, text=True, errors="surrogateescape", check=False).stdout


if __name__ == "__main__":
    main()
