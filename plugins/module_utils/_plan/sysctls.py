# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel settings inside a sandbox: those of its namespaces, and those of its interfaces."""

from __future__ import annotations

from collections.abc import Container, Mapping

from .._errors import InvalidArgument
from .._spec.fields import sysctl_home
from .._spec.sandbox import Attachment, Sandbox
from .draft import Draft
from .observed import SandboxView
from .operations import Operation, Phase, SetSysctl

_OFF = "disable_ipv6"


def namespace_sysctls(sandbox: Sandbox) -> tuple[tuple[str, str], ...]:
    """Those that can be set before there is any interface of ours."""
    return tuple((name, value) for name, value in sandbox.sysctls if _interface(name) not in _interfaces(sandbox))


def check_sysctls(sandbox: Sandbox) -> None:
    """Raises InvalidArgument for an interface that there will not be, and where IPv6 is turned off and wanted at once."""
    for name, _value in sandbox.sysctls if sandbox.owns_net else ():
        interface = _interface(name)
        if interface not in (None, "all", "default", "lo", *_interfaces(sandbox)):
            raise InvalidArgument.of("sysctls", name, f"names an interface that sandbox {sandbox.name} does not have")
    for item in sandbox.attachments:
        if not any(address.version == 6 for address in item.addresses):
            continue
        for scope in ("all", item.interface):
            name = f"net.ipv6.conf.{scope}.{_OFF}"
            value = dict(sandbox.sysctls).get(name, "0")
            if value != "0":
                raise InvalidArgument(
                    f"sysctls: {name} is {value} and sandbox {sandbox.name} has an IPv6 address on network {item.network}; "
                    "leave it out, or use a network without IPv6"
                )


def plan_namespace_sysctls(draft: Draft, wanted: Sandbox, view: SandboxView, created: tuple[str, ...]) -> None:
    """Those of new namespaces are set while they are made."""
    for name, value in namespace_sysctls(wanted):
        if sysctl_home(name) in created:
            continue
        current = view.sysctls.get(name)
        if current is None:
            raise InvalidArgument.of("sysctls", name, f"does not exist in sandbox {wanted.name}")
        if current != value:
            draft.add(Phase.BUILD, SetSysctl(wanted.id, name, value, current))


def interface_sysctl_steps(
    wanted: Sandbox, item: Attachment, sysctls: Mapping[str, str | None], *, born: Container[str]
) -> list[Operation]:
    """What the interface needs and what was asked for; ``born``: families whose settings are made in this run, from defaults.

    ``sysctls``: as they are in the namespace; empty for a new one.
    """
    needed = {f"net.ipv6.conf.{item.interface}.{_OFF}": "0"} if any(a.version == 6 for a in item.addresses) else {}
    asked = {name: value for name, value in wanted.sysctls if _interface(name) == item.interface}
    steps: list[Operation] = []
    for name, value in {**needed, **asked}.items():
        fresh = name.split(".")[1] in born
        if not fresh:
            current = sysctls.get(name)
        elif name in asked:
            current = None
        else:
            default = f"net.ipv6.conf.default.{_OFF}"
            current = dict(wanted.sysctls).get(default) or sysctls.get(default) or "0"
        if current != value:
            steps.append(SetSysctl(wanted.id, name, value, None if fresh else current))
    return steps


def _interfaces(sandbox: Sandbox) -> frozenset[str]:
    return frozenset(item.interface for item in sandbox.attachments)


def _interface(name: str) -> str | None:
    """Of net.FAMILY.conf.INTERFACE.KEY and net.FAMILY.neigh.INTERFACE.KEY, a slash in it standing for a dot (sysctl(8))."""
    parts = name.split(".")
    return parts[3].replace("/", ".") if len(parts) == 5 and parts[0] == "net" and parts[2] in ("conf", "neigh") else None
