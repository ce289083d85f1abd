# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Performing a plan: in order, and back again when something fails before the point of no return."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shutil
from collections.abc import Callable
from functools import singledispatch
from typing import Any

from .._errors import InvalidArgument, KernelError, NotPermitted, PodnetError
from .._plan import operations as ops
from .._plan.draft import Plan
from .._plan.operations import Operation
from .._plan.problems import problem
from .._spec.fields import sysctl_home
from .._store import files, flows, leases, paths
from . import cgroups, iptables, namespaces, pauses, processes, rootfs
from .identities import owned_identities
from .machine import Machine, pin

Step = Callable[[Operation], None]


def apply(plan: Plan, machine: Machine, after: Step | None = None) -> None:
    """Perform every operation. When one fails, everything is undone, unless the point of no return was passed: then the
    next run goes on from there.

    ``after`` is called behind each operation. Raises PodnetError.
    """
    done: list[Operation] = []
    committed = False
    for phase, operation in plan.steps:
        committed = committed or phase.commits
        try:
            _performed(operation, machine)
            done.append(operation)
            if after is not None:
                after(operation)
        except BaseException as error:
            left = [] if committed else _undo(done, machine)
            if left and isinstance(error, PodnetError):
                raise type(error)(f"{error}; besides, this could not be undone: {'; '.join(left)}: run the task again") from error
            raise


def _undo(done: list[Operation], machine: Machine) -> list[str]:
    failed = []
    for operation in reversed(done):
        for inverse in operation.inverse():
            try:
                _performed(inverse, machine)
            except Exception as error:
                # Undo the remaining operations after any failure.
                failed.append(str(error) if isinstance(error, PodnetError) else f"{_says(inverse)} ({type(error).__name__}: {error})")
    return failed


def _performed(operation: Operation, machine: Machine) -> None:
    try:
        perform(operation, machine)
    except PermissionError as error:
        raise NotPermitted(
            f"{_says(operation)}, and the kernel does not permit it ({_reason(error)}): run as root on the host itself"
        ) from error
    except OSError as error:
        raise KernelError(f"{_says(operation)}, and setting it right failed: {_reason(error)}") from error


def _says(operation: Operation) -> str:
    return problem(operation)


def _reason(error: OSError) -> str:
    return f"{error.strerror or error}" + (f" ({error.filename})" if error.filename else "")


@singledispatch
def perform(operation: Operation, machine: Machine) -> None:
    """Do one operation, wholly or not at all. Raises PodnetError and OSError."""
    raise KernelError(f"podnet.linux does not know how to perform {type(operation).__name__}")


@perform.register
def _write_record(operation: ops.WriteRecord, machine: Machine) -> None:
    machine.records.write(operation.kind, operation.key, operation.record, machine.boot_id)


@perform.register
def _delete_record(operation: ops.DeleteRecord, machine: Machine) -> None:
    machine.records.delete(operation.kind, operation.key)


@perform.register
def _take_lease(operation: ops.TakeLease, machine: Machine) -> None:
    leases.take(operation.pool, operation.held, operation.owner, operation.previous, machine.boot_id)


@perform.register
def _release_lease(operation: ops.ReleaseLease, machine: Machine) -> None:
    leases.release(operation.pool, operation.held, operation.owner)


@perform.register
def _relist(operation: ops.Relist, machine: Machine) -> None:
    leases.relist(operation.pool, operation.owner, operation.held)


@perform.register
def _set_cursor(operation: ops.SetCursor, machine: Machine) -> None:
    leases.set_cursor(operation.pool, operation.key, operation.address)


@perform.register
def _forget_pool(operation: ops.ForgetPool, machine: Machine) -> None:
    leases.forget(operation.pool)


@perform.register
def _write_file(operation: ops.WriteFile, machine: Machine) -> None:
    files.write(operation.path, operation.content)


@perform.register
def _remove_file(operation: ops.RemoveFile, machine: Machine) -> None:
    files.remove(operation.path)


@perform.register
def _set_sysctl(operation: ops.SetSysctl, machine: Machine) -> None:
    if operation.where is None:
        namespaces.write_sysctl(operation.name, operation.value)
        return
    home = sysctl_home(operation.name)
    with namespaces.entered({home: pin(operation.where, home)}):
        shown = _write_inner_sysctl(operation.name, operation.value)
    known = (machine.state(operation.where) or {}).get("sysctls", {})
    machine.update_state(operation.where, {"sysctls": {**known, operation.name: [operation.value, shown]}})


@perform.register
def _create_bridge(operation: ops.CreateBridge, machine: Machine) -> None:
    machine.host.create_bridge(operation.name, operation.mac, operation.mtu)


@perform.register
def _delete_link(operation: ops.DeleteLink, machine: Machine) -> None:
    machine.links_of(operation.where).delete(operation.name, operation.index)


@perform.register
def _set_link(operation: ops.SetLink, machine: Machine) -> None:
    machine.links_of(operation.where).set(operation.name, dict(operation.settings))


@perform.register
def _set_station(operation: ops.SetStation, machine: Machine) -> None:
    (machine.host.add_station if operation.known else machine.host.remove_station)(operation.port, operation.mac)


@perform.register
def _add_address(operation: ops.AddAddress, machine: Machine) -> None:
    machine.links_of(operation.where).add_address(operation.link, operation.address)


@perform.register
def _remove_address(operation: ops.RemoveAddress, machine: Machine) -> None:
    machine.links_of(operation.where).remove_address(operation.link, operation.address)


@perform.register
def _add_route(operation: ops.AddRoute, machine: Machine) -> None:
    machine.links_of(operation.where).add_route(operation.destination, operation.gateway, operation.link)


@perform.register
def _remove_route(operation: ops.RemoveRoute, machine: Machine) -> None:
    machine.links_of(operation.where).remove_route(operation.destination, operation.gateway, operation.link, operation.odd)


@perform.register
def _create_veth(operation: ops.CreateVeth, machine: Machine) -> None:
    inside = machine.links_of(operation.where)
    host = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        inside.create_veth(operation.interface, operation.mac, operation.mtu, operation.peer, operation.peer_mac, host)
    finally:
        os.close(host)


@perform.register
def _delete_veth(operation: ops.DeleteVeth, machine: Machine) -> None:
    machine.host.delete(operation.peer)


@perform.register
def _delete_veths(operation: ops.DeleteVeths, machine: Machine) -> None:
    machine.host.delete_all(operation.peers)


@perform.register
def _load_rules(operation: ops.LoadRules, machine: Machine) -> None:
    machine.tables.load(operation.ruleset, operation.previous)


@perform.register
def _change_rules(operation: ops.ChangeRules, machine: Machine) -> None:
    machine.tables.change(operation.parts, operation.previous)


@perform.register
def _note_flows(operation: ops.NoteFlows, machine: Machine) -> None:
    flows.write(operation.flows, operation.sandboxes)


@perform.register
def _flush_conntrack(operation: ops.FlushConntrack, machine: Machine) -> None:
    # Imported on use: operations on leases do not need pyroute2.
    from . import conntrack

    conntrack.cut(operation.cuts)
    conntrack.forget(operation.addresses)
    loopback = (ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1"))
    carried = (ipaddress.ip_interface(address.split()[0]).ip for _index, address in machine.host.addresses())
    conntrack.flush(operation.flows, frozenset((*loopback, *carried)))
    flows.remove()


@perform.register
def _set_forward(operation: ops.SetForward, machine: Machine) -> None:
    (iptables.insert if operation.allowed else iptables.delete)(operation.tool, operation.chain)


@perform.register
def _bind_zone(operation: ops.BindZone, machine: Machine) -> None:
    from . import firewalld

    firewalld.bind(operation.added, operation.removed, last=operation.last)


@perform.register
def _create_namespaces(operation: ops.CreateNamespaces, machine: Machine) -> None:
    """Written down before they are pinned: a pin that no record explains is never taken for ours."""
    machine.leave(operation.where)

    def furnish() -> None:
        if "uts" in operation.kinds:
            namespaces.set_hostname(operation.hostname)
        # A pod is configured by leases: a neighbour's router advertisements are none of its business, and nobody else has
        # its addresses, so that it need not wait to see whether somebody does.
        # Whether it has IPv6 is said by its networks, not by what the host gives new namespaces (devconf_inherit_init_net).
        # Its link-local address is made of the MAC, which the rules go by.
        for key in ("accept_ra", "accept_dad", "disable_ipv6", "addr_gen_mode") if "net" in operation.kinds else ():
            name = f"net.ipv6.conf.default.{key}"
            if namespaces.read_sysctl(name) not in (None, "0"):
                namespaces.write_sysctl(name, "0")
        for name, value in operation.sysctls:
            shown[name] = [value, _write_inner_sysctl(name, value)]

    shown: dict[str, list[str | None]] = {}
    fds = namespaces.create(operation.kinds, furnish)
    try:
        state = machine.state(operation.where) or {}
        known = state.get("namespaces", {})
        made = {kind: [os.fstat(fd).st_dev, os.fstat(fd).st_ino] for kind, fd in fds.items()}
        machine.update_state(operation.where, {"namespaces": {**known, **made}, "sysctls": {**state.get("sysctls", {}), **shown}})
        machine.pin(operation.where, {kind: f"/proc/self/fd/{fd}" for kind, fd in fds.items()})
    finally:
        for fd in fds.values():
            os.close(fd)


@perform.register
def _pin_namespace(operation: ops.PinNamespace, machine: Machine) -> None:
    machine.leave(operation.where)
    identity = namespaces.identity(operation.source)
    if identity is None or identity == namespaces.host_identity(operation.kind):
        raise KernelError(f"{operation.source} is no namespace of a sandbox any more; run again")
    known = (machine.state(operation.where) or {}).get("namespaces", {})
    machine.update_state(operation.where, {"namespaces": {**known, operation.kind: list(identity)}})
    machine.pin(operation.where, {operation.kind: operation.source})


@perform.register
def _remove_pins(operation: ops.RemovePins, machine: Machine) -> None:
    machine.leave(operation.where)
    for kind in operation.kinds:
        namespaces.unpin(pin(operation.where, kind))


@perform.register
def _set_hostname(operation: ops.SetHostname, machine: Machine) -> None:
    with namespaces.entered({"uts": pin(operation.where, "uts")}):
        namespaces.set_hostname(operation.hostname)


@perform.register
def _start_pauses(operation: ops.StartPauses, machine: Machine) -> None:
    pauses.start([_pause(item, machine) for item in operation.pauses])


def _pause(operation: ops.StartPause, machine: Machine) -> pauses.Wanted:
    def write_down(process: processes.Process) -> None:
        machine.update_state(operation.where, {"pause": {"pid": process.pid, "start": process.start}, "pause_pid": process.pid})
        files.write(f"{paths.sandbox_directory(operation.where)}/pause.pid", f"{process.pid}\n")

    return pauses.Wanted(
        pins={kind: pin(operation.where, kind) for kind in operation.kinds},
        new_pid=operation.new_pid_namespace,
        unit=_unit(operation.where),
        title=f"Pod sandbox {operation.name} of podnet.linux",
        write_down=write_down,
    )


@perform.register
def _stop_pause(operation: ops.StopPause, machine: Machine) -> None:
    state = machine.state(operation.where) or {}
    if state.get("pause"):
        process = processes.Process(state["pause"]["pid"], state["pause"]["start"])
        if process.alive:
            processes.end([process.pid], operation.timeout, lambda _pid: process.alive)
    cgroups.remove(_unit(operation.where))
    if state:
        machine.update_state(operation.where, {"pause": None, "pause_pid": None})
        files.remove(f"{paths.sandbox_directory(operation.where)}/pause.pid")


@perform.register
def _end_processes(operation: ops.EndProcesses, machine: Machine) -> None:
    sandbox = machine.records.sandbox(operation.where)
    pause = (machine.state(operation.where) or {}).get("pause") or {}
    processes.end_all_in(owned_identities(machine, sandbox), frozenset((pause.get("pid", 0),)), operation.timeout)


@perform.register
def _furnish_rootfs(operation: ops.FurnishRootfs, machine: Machine) -> None:
    rootfs.furnish(operation.where, operation.root, operation.content)


@perform.register
def _restore_rootfs(operation: ops.RestoreRootfs, machine: Machine) -> None:
    rootfs.restore(operation.where, operation.root)


@perform.register
def _make_runtime(operation: ops.MakeRuntime, machine: Machine) -> None:
    directory = paths.sandbox_directory(operation.where)
    files.write(f"{directory}/name", f"{operation.name}\n")
    files.write(f"{directory}/ns_name", f"{operation.ns_name}\n")


@perform.register
def _save_state(operation: ops.SaveState, machine: Machine) -> None:
    fields: dict[str, Any] = dict(operation.fields)
    machine.update_state(operation.where, fields)


@perform.register
def _remove_runtime(operation: ops.RemoveRuntime, machine: Machine) -> None:
    machine.forget_state(operation.where)
    for directory in (paths.sandbox_directory(operation.where), f"{paths.ETC_NETNS}/{operation.ns_name}"):
        _remove_tree(directory)


@perform.register
def _remove_orphan(operation: ops.RemoveOrphan, machine: Machine) -> None:
    if namespaces.identity(operation.path) is not None:
        namespaces.unpin(operation.path)
    else:
        _remove_tree(operation.path)


def _write_inner_sysctl(name: str, value: str) -> str | None:
    """Returns what the kernel shows for it, which may be written otherwise (8080,8081 becomes 8080-8081)."""
    try:
        namespaces.write_sysctl(name, value)
    except PermissionError:
        raise InvalidArgument.of("sysctls", name, "cannot be set in a sandbox on this kernel") from None
    return namespaces.read_sysctl(name)


def _remove_tree(directory: str) -> None:
    """rmtree follows no symlink; a directory replaced by one is unlinked."""
    if os.path.islink(directory):
        os.unlink(directory)
        return
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(directory)
    files.remove_empty(os.path.dirname(directory))


def _unit(sandbox_id: str) -> str:
    return f"podnet-pause-{sandbox_id}"
