# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operation would repair, in words: the entries of ``problems``."""

from __future__ import annotations

from functools import singledispatch

from . import operations as ops
from .operations import Operation


@singledispatch
def problem(operation: Operation) -> str:
    """One short phrase saying what is off."""
    return f"{type(operation).__name__} is due"


@problem.register
def _write_record(operation: ops.WriteRecord) -> str:
    return f"record of {operation.kind} {operation.key} is out of date"


@problem.register
def _take_lease(operation: ops.TakeLease) -> str:
    return f"lease of {operation.held} in {operation.pool} is missing"


@problem.register
def _release_lease(operation: ops.ReleaseLease) -> str:
    return f"lease of {operation.held} in {operation.pool} is held in vain"


@problem.register
def _relist(operation: ops.Relist) -> str:
    return f"what {operation.owner} holds of {operation.pool} is not listed"


@problem.register
def _set_cursor(operation: ops.SetCursor) -> str:
    return f"next address of {operation.pool} is out of date"


@problem.register
def _write_file(operation: ops.WriteFile) -> str:
    return f"{operation.path} is {'missing' if operation.previous is None else 'altered'}"


@problem.register
def _set_sysctl(operation: ops.SetSysctl) -> str:
    return f"{operation.name.replace('/', '.')} is {'not set yet' if operation.previous is None else operation.previous}"


@problem.register
def _create_bridge(operation: ops.CreateBridge) -> str:
    return f"bridge {operation.name} is missing"


@problem.register
def _delete_link(operation: ops.DeleteLink) -> str:
    return f"{operation.name} is not the interface we made"


@problem.register
def _set_link(operation: ops.SetLink) -> str:
    names = dict(operation.settings)
    return ", ".join(
        f"{names['name']} is called {value}"
        if key == "name"
        else f"{key} of {operation.name} is {'not set' if value in (None, '') else value}"
        for key, value in operation.previous
    )


@problem.register
def _add_address(operation: ops.AddAddress) -> str:
    return f"address {operation.address} of {operation.link} is missing"


@problem.register
def _remove_address(operation: ops.RemoveAddress) -> str:
    return f"address {operation.address} of {operation.link} is foreign"


@problem.register
def _add_route(operation: ops.AddRoute) -> str:
    return f"route {operation.destination} via {operation.gateway} is missing"


@problem.register
def _remove_route(operation: ops.RemoveRoute) -> str:
    return f"route {operation.destination} via {operation.gateway} is foreign"


@problem.register
def _create_veth(operation: ops.CreateVeth) -> str:
    return f"interface {operation.interface} is missing"


@problem.register
def _delete_veth(operation: ops.DeleteVeth) -> str:
    return f"{operation.peer} has lost its other end"


@problem.register
def _delete_veths(operation: ops.DeleteVeths) -> str:
    return f"{', '.join(operation.peers)} are to go"


@problem.register
def _set_station(operation: ops.SetStation) -> str:
    if operation.known:
        return f"the bridge does not know that {operation.mac} is behind {operation.port}"
    return f"the bridge looks for {operation.mac} behind {operation.port}"


@problem.register
def _load_rules(operation: ops.LoadRules) -> str:
    return "nftables rules are missing or altered"


@problem.register
def _change_rules(operation: ops.ChangeRules) -> str:
    return "nftables sets, maps or chains of policies are not as they should be"


@problem.register
def _note_flows(operation: ops.NoteFlows) -> str:
    return "UDP flows would go where a port led before, or connections go on that policies do not allow"


@problem.register
def _flush_conntrack(operation: ops.FlushConntrack) -> str:
    return "UDP flows go where a port led before, or connections go on that policies do not allow"


@problem.register
def _set_forward(operation: ops.SetForward) -> str:
    whom = "does not let networks through" if operation.allowed else "lets networks through that are gone"
    return f"{operation.chain} of another firewall {whom}"


@problem.register
def _bind_zone(operation: ops.BindZone) -> str:
    return f"firewalld has {', '.join(operation.added or operation.removed)} in another zone than it should"


@problem.register
def _create_namespaces(operation: ops.CreateNamespaces) -> str:
    return f"namespace {', '.join(operation.kinds)} is gone"


@problem.register
def _pin_namespace(operation: ops.PinNamespace) -> str:
    return f"bind mount of the {operation.kind} namespace is missing"


@problem.register
def _remove_pins(operation: ops.RemovePins) -> str:
    return f"namespace {', '.join(operation.kinds)} is of unknown origin"


@problem.register
def _set_hostname(operation: ops.SetHostname) -> str:
    return f"hostname is {operation.previous}"


@problem.register
def _start_pause(operation: ops.StartPause) -> str:
    return "pause process is not running"


@problem.register
def _start_pauses(operation: ops.StartPauses) -> str:
    return problem(operation.pauses[0])


@problem.register
def _stop_pause(operation: ops.StopPause) -> str:
    return "pause process is outside the sandbox's namespaces"


@problem.register
def _furnish_rootfs(operation: ops.FurnishRootfs) -> str:
    return f"{operation.root}/etc/resolv.conf is not ours"


@problem.register
def _make_runtime(operation: ops.MakeRuntime) -> str:
    return f"runtime directory of {operation.where} is missing"


@problem.register
def _save_state(operation: ops.SaveState) -> str:
    return f"state.json of {operation.where} is out of date"
