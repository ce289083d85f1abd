# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every operation does to the model of a host. It shares no code with the planner."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import singledispatchmethod

from ansible_collections.podnet.linux.plugins.module_utils._plan import operations as ops
from ansible_collections.podnet.linux.plugins.module_utils._plan.draft import Plan
from ansible_collections.podnet.linux.plugins.module_utils._plan.egress import is_dynamic
from ansible_collections.podnet.linux.plugins.module_utils._plan.observed import Link, Ruleset, Unflushed
from kernel import ModelError, NetNamespace
from state import HOST, IPC_SYSCTLS, POD_SYSCTLS, Process, State


class World(State):
    """A host that operations can be performed on."""

    @singledispatchmethod
    def perform(self, operation: ops.Operation) -> None:
        raise ModelError(f"the model does not know {type(operation).__name__}")

    @perform.register
    def _write_record(self, operation: ops.WriteRecord) -> None:
        self.records[operation.kind, operation.key] = json.dumps(operation.record)

    @perform.register
    def _delete_record(self, operation: ops.DeleteRecord) -> None:
        self.records.pop((operation.kind, operation.key), None)

    @perform.register
    def _take_lease(self, operation: ops.TakeLease) -> None:
        held = self.leases.setdefault(operation.pool, {})
        if held.get(operation.held) not in (operation.previous, operation.owner):
            raise ModelError(f"{operation.held} is held by {held[operation.held]}")
        held[operation.held] = operation.owner

    @perform.register
    def _release_lease(self, operation: ops.ReleaseLease) -> None:
        held = self.leases.get(operation.pool, {})
        if held.get(operation.held) == operation.owner:
            del held[operation.held]

    @perform.register
    def _set_cursor(self, operation: ops.SetCursor) -> None:
        at = self.cursors.setdefault(operation.pool, {})
        if operation.address is None:
            at.pop(operation.key, None)
        else:
            at[operation.key] = operation.address

    @perform.register
    def _forget_pool(self, operation: ops.ForgetPool) -> None:
        if self.leases.pop(operation.pool, None):
            raise ModelError(f"pool {operation.pool} still has leases")
        self.cursors.pop(operation.pool, None)

    @perform.register
    def _write_file(self, operation: ops.WriteFile) -> None:
        self.files[operation.path] = operation.content

    @perform.register
    def _remove_file(self, operation: ops.RemoveFile) -> None:
        self.files.pop(operation.path, None)

    @perform.register
    def _set_sysctl(self, operation: ops.SetSysctl) -> None:
        if operation.where is None:
            self.host.set_sysctl(operation.name, operation.value)
        elif operation.name.startswith("net."):
            inside = self.net_of(operation.where)
            path = operation.name.replace(".", "/")
            inside.set_sysctl(path if path in inside.sysctls else operation.name, operation.value)
        else:
            self._set_ipc(self.pins[operation.where, "ipc"], operation.name, operation.value)

    @perform.register
    def _create_bridge(self, operation: ops.CreateBridge) -> None:
        self.host.add_link(Link(operation.name, kind="bridge", mac=operation.mac, mtu=1500))
        self.host.set_link(operation.name, {"mtu": operation.mtu})

    @perform.register
    def _delete_link(self, operation: ops.DeleteLink) -> None:
        self.delete_link(self.net_of(operation.where), operation.name)

    @perform.register
    def _set_link(self, operation: ops.SetLink) -> None:
        self.net_of(operation.where).set_link(operation.name, dict(operation.settings))

    @perform.register
    def _add_address(self, operation: ops.AddAddress) -> None:
        self.net_of(operation.where).add_address(operation.link, operation.address)

    @perform.register
    def _remove_address(self, operation: ops.RemoveAddress) -> None:
        self.net_of(operation.where).remove_address(operation.link, operation.address)

    @perform.register
    def _set_station(self, operation: ops.SetStation) -> None:
        (self.host.add_station if operation.known else self.host.remove_station)(operation.port, operation.mac)

    @perform.register
    def _add_route(self, operation: ops.AddRoute) -> None:
        self.net_of(operation.where).add_route(operation.destination, operation.gateway, operation.link)

    @perform.register
    def _remove_route(self, operation: ops.RemoveRoute) -> None:
        self.net_of(operation.where).remove_route(operation.destination, operation.gateway, operation.link)

    @perform.register
    def _create_veth(self, operation: ops.CreateVeth) -> None:
        inside = self.net_of(operation.where)
        if operation.peer in self.host.links:
            raise ModelError(f"{operation.peer} exists")
        inside.add_link(Link(operation.interface, kind="veth", mac=operation.mac, mtu=operation.mtu))
        self.host.add_link(Link(operation.peer, kind="veth", mac=operation.peer_mac, mtu=operation.mtu))
        self.veths[operation.peer] = (self.pins[operation.where, "net"], operation.interface)

    @perform.register
    def _delete_veth(self, operation: ops.DeleteVeth) -> None:
        self.delete_link(self.host, operation.peer)

    @perform.register
    def _delete_veths(self, operation: ops.DeleteVeths) -> None:
        for peer in operation.peers:
            self.delete_link(self.host, peer)

    @perform.register
    def _load_rules(self, operation: ops.LoadRules) -> None:
        frame = operation.ruleset.frame.strip()
        self.rules = Ruleset(frame, operation.ruleset.parts) if frame else Ruleset()

    @perform.register
    def _change_rules(self, operation: ops.ChangeRules) -> None:
        now = dict(self.rules.parts or {})
        for block, gone in operation.previous.items():
            if block not in now or (isinstance(gone, frozenset) and not gone <= set(now[block])):
                raise ModelError(f"{block} has no {gone}")
            if is_dynamic(block) and block not in operation.parts:
                del now[block]
            elif isinstance(gone, frozenset):
                now[block] = frozenset(now[block]) - gone
        for block, new in operation.parts.items():
            if block not in now and not is_dynamic(block):
                raise ModelError(f"there is no {block}")
            now[block] = frozenset(now.get(block, ())) | new if isinstance(new, frozenset) else new
        self.rules = Ruleset(self.rules.frame, now)

    @perform.register
    def _note_flows(self, operation: ops.NoteFlows) -> None:
        self.unflushed = Unflushed(operation.flows, operation.sandboxes)

    @perform.register
    def _flush_conntrack(self, operation: ops.FlushConntrack) -> None:
        """The model has no traffic."""
        self.unflushed = Unflushed()

    @perform.register
    def _create_namespaces(self, operation: ops.CreateNamespaces) -> None:
        state = self.state_of(operation.where)
        for kind in operation.kinds:
            if (operation.where, kind) in self.pins:
                raise ModelError(f"the {kind} pin of {operation.where} is taken")
            number = self.number()
            self.pins[operation.where, kind] = number
            state["namespaces"] = {**state["namespaces"], kind: number}
            if kind == "net":
                self.nets[number] = NetNamespace(POD_SYSCTLS)
            elif kind == "uts":
                self.uts[number] = operation.hostname
            else:
                self.ipcs[number] = dict(IPC_SYSCTLS)
        for name, value in operation.sysctls:
            self.perform(ops.SetSysctl(operation.where, name, value, ""))

    @perform.register
    def _pin_namespace(self, operation: ops.PinNamespace) -> None:
        if (operation.where, operation.kind) in self.pins:
            raise ModelError(f"the {operation.kind} pin of {operation.where} is taken")
        if operation.source.startswith("/proc/"):
            number = self.processes[int(operation.source.split("/")[2])].namespaces[operation.kind]
        else:
            number = self.paths[operation.source]
        state = self.state_of(operation.where)
        state["namespaces"] = {**state["namespaces"], operation.kind: number}
        self.pins[operation.where, operation.kind] = number

    @perform.register
    def _remove_pins(self, operation: ops.RemovePins) -> None:
        for kind in operation.kinds:
            self.pins.pop((operation.where, kind), None)
        self.collect()

    @perform.register
    def _set_hostname(self, operation: ops.SetHostname) -> None:
        self.uts[self.pins[operation.where, "uts"]] = operation.hostname

    @perform.register
    def _start_pause(self, operation: ops.StartPause) -> None:
        pid = self.number()
        namespaces = {kind: self.pins[operation.where, kind] for kind in operation.kinds}
        self.processes[pid] = Process({**namespaces, "pid": self.number() if operation.new_pid_namespace else HOST})
        self.state_of(operation.where)["pause"] = pid

    @perform.register
    def _start_pauses(self, operation: ops.StartPauses) -> None:
        for pause in operation.pauses:
            self.perform(pause)

    @perform.register
    def _stop_pause(self, operation: ops.StopPause) -> None:
        state = self.states.get(operation.where)
        if state is not None:
            self.processes.pop(state["pause"], None)
            state["pause"] = None
        self.collect()

    @perform.register
    def _end_processes(self, operation: ops.EndProcesses) -> None:
        for pid in self.occupants(self.sandboxes()[operation.where]):
            del self.processes[pid]
        self.collect()

    @perform.register
    def _furnish_rootfs(self, operation: ops.FurnishRootfs) -> None:
        self.kept.setdefault((operation.where, operation.root), self.roots.get(operation.root))
        self.roots[operation.root] = operation.content

    @perform.register
    def _restore_rootfs(self, operation: ops.RestoreRootfs) -> None:
        if (operation.where, operation.root) in self.kept:
            kept = self.kept.pop((operation.where, operation.root))
            if operation.where in (self.roots.get(operation.root) or ""):
                self.roots[operation.root] = kept

    @perform.register
    def _make_runtime(self, operation: ops.MakeRuntime) -> None:
        self.runtimes.add(operation.where)

    @perform.register
    def _save_state(self, operation: ops.SaveState) -> None:
        self.state_of(operation.where).update(operation.fields)

    @perform.register
    def _remove_runtime(self, operation: ops.RemoveRuntime) -> None:
        if any(where == operation.where and kind != "net" for where, kind in self.pins):
            raise ModelError(f"the directory of {operation.where} is busy")
        self.runtimes.discard(operation.where)
        self.states.pop(operation.where, None)
        for path in [path for path in self.files if path.startswith(f"/etc/netns/{operation.ns_name}/")]:
            del self.files[path]

    def _set_ipc(self, number: int, name: str, value: str) -> None:
        if name not in self.ipcs[number]:
            raise ModelError(f"{name} does not exist")
        self.ipcs[number][name] = value


def apply(world: World, operations: Iterable[ops.Operation] | Plan) -> World:
    """The host after the operations, in order; the given one stays as it is."""
    after = world.copy()
    for operation in operations.operations if isinstance(operations, Plan) else operations:
        after.perform(operation)
    return after


def undo(world: World, operations: Iterable[ops.Operation]) -> World:
    """The host after taking these operations back, last one first."""
    return apply(world, [inverse for operation in reversed(list(operations)) for inverse in operation.inverse()])
