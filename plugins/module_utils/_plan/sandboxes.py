# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner of pod sandboxes: making one is converging from nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .._errors import InUse, InvalidArgument, NotFound, NotOurs
from .._spec import claims
from .._spec.fields import sysctl_home
from .._spec.pool import pool_of_key
from .._spec.sandbox import PINNED, Sandbox, SandboxRequest
from . import leases
from .attachments import default_gateways, owns_veth, plan_attachments, resolve_attachments
from .books import Held
from .draft import UNKNOWN, Change, Draft
from .observed import Lazy, Link, Pause, Pin, SandboxView
from .operations import (
    CreateNamespaces,
    DeleteLink,
    DeleteRecord,
    DeleteVeth,
    EndProcesses,
    FurnishRootfs,
    MakeRuntime,
    Operation,
    Phase,
    PinNamespace,
    RemovePins,
    RemoveRuntime,
    RestoreRootfs,
    SaveState,
    SetHostname,
    SetLink,
    StartPause,
    StopPause,
    WriteFile,
    WriteRecord,
    set_link,
)
from .problems import problem
from .publishing import check_targets
from .resolver import resolv_conf, resolver_files, resolver_paths
from .sysctls import check_sysctls, namespace_sysctls, plan_namespace_sysctls

KIND = "sandbox"
PINS_DIRECTORY = "/run/podnet/sandboxes"


def find_sandbox(draft: Draft, request: SandboxRequest) -> Sandbox | None:
    """By id or name; a sandbox whose removal was begun counts only where no other has the name."""
    if request.id is not None:
        sandbox = draft.sandboxes.get(request.id)
        if sandbox is not None and request.name not in (None, sandbox.name):
            raise InvalidArgument.of("name", request.name, f"is not the name of sandbox {request.id}, which is {sandbox.name}")
        if sandbox is None and request.state != "absent":
            raise NotFound(f"id: no sandbox {request.id} on this host; leave id out and give a name to make one")
        return sandbox
    named = [draft.sandboxes[key] for key in draft.sandboxes.holders(claims.name(str(request.name)))]
    return min(named, key=lambda sandbox: sandbox.removing, default=None)


def present_sandbox(draft: Draft, request: SandboxRequest, recorded: Sandbox | None, *, default_network: str) -> Sandbox:
    """Make the sandbox be as requested; ``recreated`` ends what is there and makes it anew under the same identity."""
    owner = recorded.id if recorded else draft.new_id()
    start = len(draft.steps)
    wants_net = request.namespaces is None or "net" in request.namespaces
    network = default_network if recorded is None and request.netns is None and wants_net else None
    attachments = resolve_attachments(draft, request, recorded, owner, network)
    wanted = request.resolve(recorded, new_id=owner, attachments=attachments)
    check_sysctls(wanted)
    check_targets(wanted, draft.networks)
    recreate = request.state == "recreated" and recorded is not None
    if recorded is not None and not recreate:
        for option in ("namespaces", "netns"):
            if getattr(recorded, option) != getattr(wanted, option):
                raise InvalidArgument.of(
                    option, getattr(request, option), f"cannot change on the living sandbox {wanted.name}; use state: recreated"
                )
    view = draft.observed.views[recorded.id] if recorded else SandboxView()
    if recorded is not None and recreate:
        return _recreate(draft, request, recorded, wanted, view)
    if view.changing:
        raise InUse(
            f"a process in sandbox {wanted.name} keeps changing its interfaces or routes; end that process, or use state: recreated "
            "with force: true"
        )
    _converge(draft, wanted, recorded, _furnished(draft, wanted, view), request.rootfs or ())
    _report(draft, request, wanted, recorded, view, start)
    return wanted


def return_sandbox(draft: Draft, wanted: Sandbox) -> None:
    """Make a sandbox what it was, leases included, whoever has these by now: all of them go back in the same plan."""
    recorded = draft.sandboxes.get(wanted.id)
    for item in wanted.attachments:
        for address in item.addresses:
            if item.network in draft.networks and draft.book(item.network).owner_of(address) != wanted.id:
                leases.take(draft, item.network, address, wanted.id)
    request = SandboxRequest(name=wanted.name, state="recreated", force=True)
    view = draft.observed.views[recorded.id] if recorded else SandboxView()
    if recorded is not None and (recorded.namespaces, recorded.netns) != (wanted.namespaces, wanted.netns):
        _recreate(draft, request, recorded, wanted, view)
        return
    start = len(draft.steps)
    _converge(draft, wanted, recorded, _furnished(draft, wanted, view), ())
    _report(draft, request, wanted, recorded, view, start)


def converge_sandbox(draft: Draft, sandbox: Sandbox) -> None:
    """Bring a sandbox in line with its own record, and with its networks as they are now planned."""
    present_sandbox(draft, SandboxRequest(name=sandbox.name), sandbox, default_network="")


def remove_sandbox(draft: Draft, sandbox: Sandbox, *, force: bool) -> None:
    """End it: what can be undone first, then the mark, then processes, links and namespaces, leases last of all."""
    view = draft.observed.views[sandbox.id]
    occupants = _refuse_occupied(draft, sandbox, force=force)
    draft.leaving.add(sandbox.id)
    for peer in draft.veths(sandbox.id):
        if owns_veth(sandbox, peer) and peer.up:
            draft.add(Phase.QUIESCE, SetLink(None, peer.name, (("up", False),), (("up", True),)))
    for root in sandbox.rootfs:
        draft.add(Phase.QUIESCE, RestoreRootfs(sandbox.id, root, view.rootfs.get(root)))
    if not sandbox.removing:
        draft.add(Phase.MARK, WriteRecord(KIND, sandbox.id, replace(sandbox, removing=True).as_record(), sandbox.as_record()))
    _destroy(draft, sandbox, view, occupants)
    if view.runtime or any(content is not None for content in view.files.values()):
        draft.add(Phase.DESTROY, RemoveRuntime(sandbox.id, sandbox.ns_name))
    for network, held in _leased(draft, sandbox.id):
        leases.release(draft, network, held, sandbox.id)
    draft.add(Phase.FORGET, DeleteRecord(KIND, sandbox.id))
    del draft.sandboxes[sandbox.id]
    draft.changes.append(Change(KIND, sandbox.name, {**sandbox.as_dict(), "state": _state(sandbox, ())}, {"state": "absent"}))


def problems_of(draft: Draft, sandbox: Sandbox) -> list[str]:
    """What a run would repair: the drift of a recorded sandbox, in words. Plans on a copy."""
    if sandbox.removing:
        return ["its removal was begun and not finished"]
    trial = Draft.of(draft.observed, draft.fresh_id, canonical=draft.canonical, check=True)
    try:
        converge_sandbox(trial, sandbox)
    except (InUse, InvalidArgument, NotFound, NotOurs) as error:
        return [str(error)]
    return [problem(operation) for _phase, operation in trial.finish().steps] + trial.warnings


def sandbox_result(draft: Draft, sandbox: Sandbox, pause: Pause, problems: Sequence[str]) -> dict[str, Any]:
    """The return value: the sandbox as in effect, and what another program needs to join it."""
    pins = {kind: pin_path(sandbox, kind) for kind in sandbox.pins}
    types = {"net": "network"}
    namespaces = [{"type": types.get(kind, kind), "path": path} for kind, path in pins.items()]
    if "pid" in sandbox.namespaces and pause.state == "running":
        namespaces.append({"type": "pid", "path": f"/proc/{pause.pid}/ns/pid"})
    files = resolver_paths(sandbox)
    flags = {"net": "--network", "ipc": "--ipc", "uts": "--uts"}
    podman = [word for kind, path in pins.items() for word in (flags[kind], f"ns:{path}")]
    podman += [word for name, path in files.items() for word in ("--volume", f"{path}:/etc/{name}:ro")]
    gateways = default_gateways(sandbox, dict(draft.networks.items()))
    return {
        **sandbox.as_dict(),
        "pause_pid": pause.pid if pause.state == "running" else None,
        "gateways": [str(gateway) for _version, (gateway, _interface) in sorted(gateways.items())],
        "state": _state(sandbox, problems),
        "problems": list(problems),
        "namespace_paths": pins,
        "oci_namespaces": namespaces,
        "oci_mounts": [
            {"destination": f"/etc/{name}", "type": "bind", "source": path, "options": ["rbind", "ro"]} for name, path in files.items()
        ],
        "podman_args": podman,
    }


def pin_path(sandbox: Sandbox, kind: str) -> str:
    """Where the namespace is bind-mounted."""
    return f"/run/netns/{sandbox.ns_name}" if kind == "net" else f"{PINS_DIRECTORY}/{sandbox.id}/{kind}"


def state_fields(sandbox: Sandbox) -> dict[str, Any]:
    """The fields of state.json that follow from the record."""
    known = sandbox.as_dict()
    return {key: known[key] for key in ("id", "name", "ns_name", "veth_host", "container_ip")}


def _recreate(draft: Draft, request: SandboxRequest, recorded: Sandbox, wanted: Sandbox, view: SandboxView) -> Sandbox:
    occupants = _refuse_occupied(draft, recorded, force=request.force)
    _destroy(draft, recorded, view, occupants)
    start = len(draft.steps)
    blank = SandboxView(files=view.files, rootfs=view.rootfs, state=view.state, runtime=view.runtime)
    fresh = _furnished(draft, wanted, blank)
    # Our own interfaces in a given namespace will be gone by then.
    same = recorded.netns is not None and wanted.netns == recorded.netns and not _is_replaced(draft, recorded, view)
    gone = {item.interface for item in recorded.attachments if same}
    left = {name: link for name, link in fresh.links.items() if name not in gone}
    routes = tuple(route for route in fresh.routes if route.link not in gone)
    _converge(draft, wanted, recorded, replace(fresh, links=left, routes=routes), request.rootfs or ())
    # What is built anew can only be built when the old is gone; the record goes ahead of both.
    draft.steps[start:] = [(Phase.DESTROY if phase is Phase.BUILD else phase, op) for phase, op in draft.steps[start:]]
    draft.changes.append(Change(KIND, wanted.name, sandbox_result(draft, recorded, view.pause, ()), _planned(draft, wanted)))
    return wanted


def _furnished(draft: Draft, wanted: Sandbox, view: SandboxView) -> SandboxView:
    """For a given namespace that is not pinned yet, or no more: what it holds."""
    if wanted.netns is None:
        return view
    if view.pins.get("net", Pin()).state == "good":
        if _is_replaced(draft, wanted, view):
            raise NotFound(
                f"netns: the namespace at {wanted.netns} is not the one that sandbox {wanted.name} furnishes any more: its owner made it "
                "anew; say state: recreated to furnish the new one"
            )
        return view
    target = draft.observed.targets[wanted.netns]
    known = draft.observed.sandboxes.get(wanted.id)
    if target.state == "missing" and known is not None and known.netns == wanted.netns:
        raise NotFound(f"netns: the namespace {wanted.netns} that sandbox {wanted.name} furnishes is gone; remove the sandbox")
    reasons = {
        "missing": "does not exist; start what owns it first",
        "no_namespace": "is no network namespace (a plain file, or something else)",
        "host": "is the host's own network namespace, which is never furnished",
    }
    if target.state in reasons:
        raise InvalidArgument.of("netns", wanted.netns, reasons[target.state])
    inside = Lazy(lambda name: (target.view if sysctl_home(name) == "net" else view).sysctls.get(name))
    return replace(view, links=target.view.links, routes=target.view.routes, sysctls=inside)


def _is_replaced(draft: Draft, sandbox: Sandbox, view: SandboxView) -> bool:
    """Whether there is another namespace now at the path given by ``netns``; a pid says nothing once its process is gone."""
    if sandbox.netns is None or sandbox.netns.isdigit():
        return False
    target = draft.observed.targets[sandbox.netns]
    return target.state == "good" and target.identity != view.pins.get("net", Pin()).identity


def _converge(draft: Draft, wanted: Sandbox, recorded: Sandbox | None, view: SandboxView, strict: Sequence[str]) -> None:
    """From what the view shows to what is wanted; the same for a new, a changed and a damaged sandbox.

    ``strict``: the container roots that the task itself names, and that it cannot do without.
    """
    if recorded != wanted:
        draft.add(Phase.RECORD, WriteRecord(KIND, wanted.id, wanted.as_record(), recorded.as_record() if recorded else None))
    draft.sandboxes[wanted.id] = wanted
    _release_unneeded(draft, wanted)
    first = Phase.NAMESPACES if recorded is None else Phase.BUILD
    if not view.runtime:
        draft.add(first, MakeRuntime(wanted.id, wanted.name, wanted.ns_name, view.state is None))
    created = _plan_pins(draft, wanted, view, first)
    if "net" in created:
        view = replace(view, links={"lo": Link("lo", 1)} if wanted.owns_net else view.links, routes=())
    if "uts" in wanted.namespaces and "uts" not in created and view.hostname != wanted.hostname:
        draft.add(Phase.BUILD, SetHostname(wanted.id, wanted.hostname, view.hostname or ""))
    plan_namespace_sysctls(draft, wanted, view, created)
    if wanted.has_net:
        draft.add(Phase.BUILD, *_loopback_steps(wanted, view))
    plan_attachments(draft, wanted, recorded, view, fresh="net" in created)
    _plan_files(draft, wanted, recorded, view, strict)
    fields = state_fields(wanted)
    if view.state is None or {key: view.state.get(key) for key in fields} != fields:
        previous = None if view.state is None else tuple((key, view.state.get(key)) for key in fields)
        draft.add(Phase.BUILD, SaveState(wanted.id, tuple(fields.items()), previous))
    _plan_pause(draft, wanted, view.pause, created)


def _plan_pins(draft: Draft, wanted: Sandbox, view: SandboxView, phase: Phase) -> tuple[str, ...]:
    """Pin again what is only unpinned, make what is gone; returns the kinds that are new."""
    create: list[str] = []
    for kind in wanted.pins:
        pin = view.pins.get(kind, Pin())
        path = pin_path(wanted, kind)
        if pin.state == "good":
            continue
        if pin.state in ("replaced", "occupied"):
            what = "another namespace" if pin.state == "replaced" else "something that is no namespace"
            raise NotOurs(f"sandbox {wanted.name}: {path} is {what} that podnet.linux did not put there; move it away")
        if pin.state == "unverified":
            if draft.observed.occupants[wanted.id]:
                raise InUse(
                    f"sandbox {wanted.name}: {PINS_DIRECTORY}/{wanted.id}/state.json is lost and processes live on in its namespaces; "
                    "say state: recreated and force: true to end them and make it anew"
                )
            draft.add(phase, RemovePins(wanted.id, (kind,)))
        if kind == "net" and wanted.netns is not None:
            source = f"/proc/{wanted.netns}/ns/net" if wanted.netns.isdigit() else wanted.netns
            draft.add(phase, PinNamespace(wanted.id, kind, source))
        elif pin.holder:
            draft.add(phase, PinNamespace(wanted.id, kind, f"/proc/{pin.holder}/ns/{kind}"))
        else:
            create.append(kind)
    if create:
        sysctls = tuple((name, value) for name, value in namespace_sysctls(wanted) if sysctl_home(name) in create)
        draft.add(phase, CreateNamespaces(wanted.id, tuple(create), wanted.hostname, sysctls))
    return tuple(create)


def _loopback_steps(wanted: Sandbox, view: SandboxView) -> list[Operation]:
    """Up, and with its own name: a workload may have given it one that we need, or its name to something else."""
    lo = view.links.get("lo", Link("lo", 1))
    steps: list[Operation] = []
    if wanted.owns_net and lo.renamed:
        steps += [DeleteLink("lo", wanted.id, link.index) for link in view.links.values() if link.name == "lo" and link.index != lo.index]
        # Kernels before 6.2 rename only what is down.
        steps += set_link(wanted.id, lo, {"up": False})
        steps.append(SetLink(wanted.id, "lo", (("name", "lo"),), (("name", lo.renamed),)))
        lo = replace(lo, up=False)
    return steps + set_link(wanted.id, lo, {"up": True})


def _plan_files(draft: Draft, wanted: Sandbox, recorded: Sandbox | None, view: SandboxView, strict: Sequence[str]) -> None:
    for path, content in resolver_files(wanted, draft.networks, draft.observed.resolvers).items():
        if view.files.get(path) != content:
            draft.add(Phase.BUILD, WriteFile(path, content, view.files.get(path)))
    resolv = resolv_conf(wanted, draft.networks, draft.observed.resolvers)
    for root in wanted.rootfs:
        others = (draft.sandboxes[key] for key in draft.sandboxes.holders(claims.root(root)) if key != wanted.id)
        other = next((sandbox for sandbox in others if not sandbox.removing), None)
        if other is not None:
            raise InUse(f"rootfs: {root} is furnished by sandbox {other.name}; one root belongs to one sandbox")
        current = view.rootfs.get(root)
        obstacle = draft.observed.root_obstacles.get(root) if current != resolv else None
        if obstacle is not None and root in strict:
            raise InvalidArgument(obstacle)
        if obstacle is not None:
            # Whoever owns the root must not be able to hold up what else is to be done.
            draft.warn(f"sandbox {wanted.name}: {obstacle} (it is left alone)")
        elif current != resolv:
            known = recorded is not None and root in recorded.rootfs
            draft.add(Phase.BUILD, FurnishRootfs(wanted.id, root, resolv, current if known else None))
    for root in recorded.rootfs if recorded else ():
        if root not in wanted.rootfs:
            draft.add(Phase.BUILD, RestoreRootfs(wanted.id, root, view.rootfs.get(root)))


def _plan_pause(draft: Draft, wanted: Sandbox, pause: Pause, created: tuple[str, ...]) -> None:
    """Ending a process cannot be undone, so a pause that is to be replaced goes behind everything that can fail."""
    start = StartPause(wanted.id, wanted.name, wanted.pins, "pid" in wanted.namespaces)
    alive = pause.state in ("running", "astray")
    if alive and (not wanted.pause or pause.state == "astray" or created):
        draft.add(Phase.DESTROY, StopPause(wanted.id, wanted.stop_timeout))
        if wanted.pause:
            draft.add(Phase.DESTROY, start)
    elif wanted.pause and not alive:
        draft.add(Phase.BUILD, start)


def _release_unneeded(draft: Draft, wanted: Sandbox) -> None:
    """Leases of this sandbox that its record does not name: what a killed change left."""
    needed: set[tuple[str, Held]] = {(item.network, address) for item in wanted.attachments for address in item.addresses}
    for network, held in _leased(draft, wanted.id):
        if (network, held) not in needed and network in draft.networks:
            leases.release(draft, network, held, wanted.id)


def _leased(draft: Draft, sandbox_id: str) -> list[tuple[str, Held]]:
    """What a sandbox holds, on whichever networks."""
    keys = {key for key in (*draft.observed.shelves, *draft.networks) if pool_of_key(key) is None}
    return [(key, held) for key in sorted(keys) for held in draft.book(key).held_by(sandbox_id)]


def _destroy(draft: Draft, sandbox: Sandbox, view: SandboxView, occupants: tuple[int, ...]) -> None:
    if occupants:
        draft.add(Phase.DESTROY, EndProcesses(sandbox.id, sandbox.stop_timeout))
    if view.pause.state in ("running", "astray"):
        draft.add(Phase.DESTROY, StopPause(sandbox.id, sandbox.stop_timeout))
    for peer in draft.veths(sandbox.id):
        if owns_veth(sandbox, peer):
            draft.gone.add(peer.name)
            draft.add(Phase.DESTROY, DeleteVeth(peer.name))
    pinned = tuple(kind for kind in PINNED if view.pins.get(kind, Pin()).state in ("good", "unverified", "missing"))
    if pinned:
        draft.add(Phase.DESTROY, RemovePins(sandbox.id, pinned))


def _refuse_occupied(draft: Draft, sandbox: Sandbox, *, force: bool) -> tuple[int, ...]:
    occupants = draft.observed.occupants[sandbox.id]
    if occupants and not force:
        shown = ", ".join(str(pid) for pid in occupants[:5]) + (", ..." if len(occupants) > 5 else "")
        raise InUse(
            f"sandbox {sandbox.name}: {len(occupants)} processes still live in its namespaces (pid {shown}); "
            "end them first, or say force: true to have them ended"
        )
    return occupants


def _report(draft: Draft, request: SandboxRequest, wanted: Sandbox, recorded: Sandbox | None, view: SandboxView, start: int) -> None:
    steps = [operation for _phase, operation in draft.steps[start:]]
    if not steps:
        return
    if recorded is None:
        after = _planned(draft, wanted)
        if draft.check:
            after = _masked(after, _unknown(request, wanted), wanted.id[:8])
        draft.changes.append(Change(KIND, wanted.name, {}, after))
        return
    drift = [problem(operation) for operation in steps] if recorded == wanted else []
    draft.changes.append(Change(KIND, wanted.name, sandbox_result(draft, recorded, view.pause, drift), _planned(draft, wanted, view)))


def _planned(draft: Draft, wanted: Sandbox, view: SandboxView | None = None) -> dict[str, Any]:
    """The return value as it will be."""
    now = view.pause if view is not None else Pause()
    pid = now.pid if now.state == "running" else UNKNOWN
    return {**sandbox_result(draft, wanted, now, ()), "pause_pid": pid if wanted.pause else None}


def _masked(value: Any, unknown: frozenset[str], short_id: str) -> Any:
    """Without what only the real run will know: what holds the id or is derived from it, and leased addresses."""
    if isinstance(value, dict):
        return {key: _masked(item, unknown, short_id) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, unknown, short_id) for item in value]
    return UNKNOWN if isinstance(value, str) and (value in unknown or short_id in value) else value


def _unknown(request: SandboxRequest, wanted: Sandbox) -> frozenset[str]:
    """The leased addresses and derived MACs of a sandbox that is still to be made."""
    given = {str(address) for address in request.addresses or ()}
    given.update(str(address) for item in request.networks or () for address in item.addresses or ())
    given.update(item.mac for item in request.networks or () if item.mac)
    chosen = {str(address) for item in wanted.attachments for address in item.addresses} | {item.mac for item in wanted.attachments}
    return frozenset(chosen - given)


def _state(sandbox: Sandbox, problems: Sequence[str]) -> str:
    return "degraded" if problems or sandbox.removing else "running"
