# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's own settings that pods need: packet forwarding, set if needed, persisted, never unset."""

from __future__ import annotations

from .._errors import NotPermitted
from .._spec import claims
from .._spec.network import Network
from .draft import VETH, Change, Draft
from .operations import Phase, SetSysctl, WriteFile

DROPIN = "/etc/sysctl.d/60-podnet.conf"
V4 = "net/ipv4/ip_forward"
V6_CONF = "net/ipv6/conf"
V6 = f"{V6_CONF}/all/forwarding"
HEADER = "# Written by podnet.linux: pods reach other networks through this host's forwarding.\n"


def plan_forwarding(draft: Draft) -> None:
    """What the declared networks need and the host does not do yet. Raises NotPermitted where it cannot be set."""
    routed = [network for network in draft.networks.values() if is_routed(draft, network) and not network.removing]
    wanted: dict[str, str] = {}
    if any(subnet.version == 4 for network in routed for subnet in network.subnets) and _value(draft, V4) == "0":
        wanted[V4] = "1"
    kept = dict(wanted)
    if any(network.has_ipv6 for network in routed):
        now, later = _ipv6(draft)
        wanted.update(now)
        kept.update(later)
    if not wanted:
        return
    before = {name: _value(draft, name) or "0" for name in wanted}
    for name, value in wanted.items():
        setting = draft.observed.sysctls.get(name)
        if setting is not None and not setting.writable:
            raise NotPermitted(
                f"{name.replace('/', '.')} is {setting.value} and /proc/sys is read-only here: set it to {value} from outside, "
                "or declare the network with internal: true"
            )
    dropin = _merged(draft.observed.sysctl_dropin, kept)
    if dropin != draft.observed.sysctl_dropin:
        draft.add(Phase.HOST, WriteFile(DROPIN, dropin, draft.observed.sysctl_dropin))
    for name in _overwritten(draft, wanted):
        draft.add(Phase.HOST, SetSysctl(None, name, _value(draft, name) or "0", _value(draft, name) or "0"))
    for name, value in wanted.items():
        draft.add(Phase.HOST, SetSysctl(None, name, value, before[name]))
    draft.changes.append(
        Change(
            "host", "forwarding", {n.replace("/", "."): v for n, v in before.items()}, {n.replace("/", "."): v for n, v in wanted.items()}
        )
    )


def is_routed(draft: Draft, network: Network) -> bool:
    """Whether the host forwards between its sandboxes and others, or, where one is bound by a policy, between themselves."""
    return not network.internal or bool(network.policies) or bool(draft.sandboxes.holders(claims.bound(network.name)))


def _overwritten(draft: Draft, wanted: dict[str, str]) -> list[str]:
    """Settings that the kernel overwrites along with a global one, in both directions: undoing has to put them back."""
    found = []
    interfaces = (*draft.observed.links, "default")
    if V4 in wanted:
        found += [f"net/ipv4/conf/{item}/forwarding" for item in interfaces if _value(draft, f"net/ipv4/conf/{item}/forwarding") == "1"]
        found += [name for name in ("net/ipv4/conf/all/accept_redirects",) if _value(draft, name) == "0"]
    if V6 in wanted:
        found += [f"{V6_CONF}/{item}/forwarding" for item in interfaces if _value(draft, f"{V6_CONF}/{item}/forwarding") == "1"]
    return found


def _ipv6(draft: Draft) -> tuple[dict[str, str], dict[str, str]]:
    """Settings for now and for the drop-in, in the order in which they must be written.

    ``force_forwarding`` (Linux 6.17, Documentation/networking/ip-sysctl.rst) forwards what arrives on an interface and
    leaves it a host towards router advertisements. Older kernels have ``all.forwarding`` only, which makes interfaces
    ignore them unless accept_ra is 2; so that goes first.
    """
    interfaces = (*_routed(draft), "default")
    ours = f"{V6} = 1" in (draft.observed.sysctl_dropin or "")
    forwards = _value(draft, V6) == "1"
    if forwards and not ours:
        return {}, {}
    if not forwards and draft.observed.sysctls.get(f"{V6_CONF}/all/force_forwarding") is not None:
        now = {name: "1" for name in (f"{V6_CONF}/{item}/force_forwarding" for item in interfaces) if _value(draft, name) == "0"}
        return now, {f"{V6_CONF}/{item}/force_forwarding": "1" for item in ("all", "default")} if now else {}
    now = {name: "2" for name in (f"{V6_CONF}/{item}/accept_ra" for item in interfaces) if _value(draft, name) == "1"}
    if not forwards:
        now[V6] = "1"
    return now, now


def _routed(draft: Draft) -> list[str]:
    """The host's interfaces with an IPv6 of their own: no port of a bridge, none of ours, not the loopback."""
    links = (draft.observed.links[name] for name in draft.observed.links if not (name.startswith("vh") and VETH.match(name)))
    return [link.name for link in links if link.master is None and link.name != "lo"]


def _value(draft: Draft, name: str) -> str | None:
    setting = draft.observed.sysctls.get(name)
    return None if setting is None else setting.value


def _merged(dropin: str | None, kept: dict[str, str]) -> str:
    """The drop-in with these settings added; forwarding stays last, behind accept_ra."""
    lines = [line for line in (dropin or HEADER).splitlines() if line]
    for name, value in kept.items():
        line = f"{name} = {value}"
        if line not in lines:
            lines.append(line)
    last = f"{V6} = 1"
    if last in lines:
        lines.remove(last)
        lines.append(last)
    return "\n".join(lines) + "\n"
