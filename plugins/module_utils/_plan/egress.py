# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What egress policies mean in nftables.

Whatever a sandbox sends is checked by the host: what is routed, and what is for the host itself, in the inet table, told by
bridge and source address, which the bridge table has checked against the port it came in by. What a bound sandbox exchanges
with neighbours is routed through the host as well (its frames are turned over to the host in the bridge table), so that one
stateful chain sees both directions. Destinations are those that the sandbox asked for (``ct original``), not what a published
port made of them. Answers to what others began pass (``ct direction reply``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from .._spec.bound import Bound
from .._spec.fields import IPAddress
from .._spec.network import Network
from .._spec.policy import BITS, Allowance, Policy, ports_name
from .._spec.sandbox import Sandbox
from .observed import Parts

LOG_PREFIX = "podnet-egress-denied: "
LOG_GROUP = 4096
"""Of nfnetlink_log, for hosts whose kernel log is not their own."""

VERSIONS = (4, 6)
_FAMILY = {4: "ip", 6: "ip6"}
_ICMP = {4: "icmp", 6: "ipv6-icmp"}
DISPATCH = {(kind, version): f"inet map {kind}{version}" for kind in ("policies", "logs") for version in VERSIONS}
CEILINGS = "inet map ceilings"
RESOLVERS = {version: f"inet set resolvers{version}" for version in VERSIONS}
ROUTED = "bridge set routed"
ROUTED_MACS = "bridge set routed_macs"
CROWDS = "bridge map crowds"
BLOCKS = (*DISPATCH.values(), CEILINGS, *RESOLVERS.values(), ROUTED, ROUTED_MACS, CROWDS)
"""The sets and maps that policies have elements in."""

_CHAINS = ("sandbox_", "bound_", "deny_", "log_", "limit_", "ceiling_", "crowd")
_SETS = {"to4_": "ipv4_addr", "to6_": "ipv6_addr", "ports_": "inet_service"}


def is_dynamic(block: str) -> bool:
    """Whether it comes and goes with policies."""
    _family, kind, name = block.split(" ", 2)
    return kind == "counter" or name.startswith(_CHAINS if kind == "chain" else tuple(_SETS))


def is_shared_set(block: str) -> bool:
    return block.startswith("inet set ") and is_dynamic(block)


def set_type(block: str) -> str:
    """Of a set that comes and goes with policies."""
    name = block.rpartition(" ")[2]
    return next(kind for start, kind in _SETS.items() if name.startswith(start))


def counter_names(target: str, policy: str) -> tuple[str, str]:
    """Of what the policy has allowed, and of what its target was denied; see target_of()."""
    return f"allowed_{target}_{policy}", f"denied_{target}"


def crowd_counter(target: str) -> str:
    """Of what the target sent to many at once, multicast and broadcast, which is never allowed."""
    return f"crowd_{target}"


def target_of(owner: Sandbox | Network) -> str:
    return owner.id[:8] if isinstance(owner, Sandbox) else f"on_{owner.name}"


def network_parts(networks: Mapping[str, Network]) -> Parts:
    """Of the policies that bind whole networks."""
    found = Collected()
    for network in networks.values():
        if network.policies and not network.removing:
            bound = Bound(network.policies)
            found.add(CEILINGS, f'"{network.name}" : jump ceiling_{network.name}')
            logs = [f"iifname . {_FAMILY[version]} saddr vmap @logs{version}" for version in VERSIONS] if bound.logs else []
            _collect_chains(found, bound, f"ceiling_{network.name}", target_of(network), logs)
            found.counter(crowd_counter(target_of(network)), "bridge")
    return found.parts()


def sandbox_parts(sandbox: Sandbox, networks: Mapping[str, Network], servers: Sequence[IPAddress]) -> Parts:
    """Of the policies that bind one sandbox, its own and its networks'. ``servers``: its resolvers."""
    found = Collected()
    own, target = Bound(sandbox.policies), target_of(sandbox)
    bounds = [own] if own.policies else []
    for item in sandbox.attachments:
        ceiling = Bound(networks[item.network].policies if item.network in networks else ())
        here = [bound for bound in (own, ceiling) if bound.policies]
        if not here:
            continue
        bounds += [ceiling] if ceiling.policies else []
        peer = f'"{sandbox.veth_host(item.position)}"'
        found.add(ROUTED, peer)
        found.add(ROUTED_MACS, item.mac)
        found.add(CROWDS, f"{peer} : jump crowd{item.position}_{target}")
        counted = [target] if own.policies else []
        counted += [target_of(networks[item.network])] if ceiling.policies else []
        crowd = [f'counter name "{crowd_counter(name)}"' for name in counted]
        crowd += [_log(sandbox, 1)] if any(bound.logs for bound in here) else []
        crowd += ["drop"] if any(bound.enforced for bound in here) else []
        found.chain(f"crowd{item.position}_{target}", *crowd, family="bridge")
        for name in counted:
            found.counter(crowd_counter(name), "bridge")
        judges = [f"sandbox_{target}"] if own.policies else []
        judges += [f"limit_{target}"] if any(bound.max_connections for bound in here) else []
        if len(judges) > 1:
            found.chain(f"bound_{target}", *(f"jump {chain}" for chain in judges))
        jumps = {
            "policies": f"bound_{target}" if len(judges) > 1 else "".join(judges),
            "logs": f"log_{target}" if any(bound.logs for bound in here) else "",
        }
        for address in item.senders():
            key = f'"{item.network}" . {address}'
            for kind, chain in jumps.items():
                if chain:
                    found.add(DISPATCH[kind, address.version], f"{key} : jump {chain}")
            for server in servers:
                if server.version == address.version:
                    found.add(RESOLVERS[address.version], f"{key} . {server}")
    if own.policies:
        _collect_chains(found, own, f"sandbox_{target}", target, [f"jump log_{target}"] if own.logs else [])
    if any(bound.logs for bound in bounds):
        found.chain(f"log_{target}", _log(sandbox, 4))
    limits = [bound.max_connections for bound in bounds if bound.max_connections is not None]
    if limits:
        verdict = " drop" if any(bound.enforced for bound in bounds) else ""
        # A closed connection is not counted, and yet in the table for two minutes more (nf_conntrack_tcp_timeout_time_wait).
        rate = f"limit rate over {min(limits)}/minute burst {min(limits)} packets"
        found.chain(f"limit_{target}", *(f"ct state new {each} counter{verdict}" for each in (rate, f"ct count over {min(limits)}")))
    return found.parts()


class Collected:
    """Parts while they are put together."""

    def __init__(self) -> None:
        self._elements: dict[str, set[str]] = {}
        self._others: dict[str, frozenset[str] | tuple[str, ...]] = {}

    def add(self, block: str, element: str) -> None:
        self._elements.setdefault(block, set()).add(element)

    def chain(self, name: str, *lines: str, family: str = "inet") -> None:
        self._others[f"{family} chain {name}"] = lines

    def counter(self, name: str, family: str = "inet") -> None:
        self._others[f"{family} counter {name}"] = ()

    def set(self, name: str, elements: frozenset[str]) -> None:
        self._others[f"inet set {name}"] = elements

    def parts(self) -> Parts:
        return {**{block: frozenset(items) for block, items in self._elements.items()}, **self._others}


def _log(sandbox: Sandbox, a_minute: int) -> str:
    """Five a minute for each sandbox: one of what it sends to many, four of the rest, since two tables share no limit."""
    prefix = f'log prefix "{LOG_PREFIX}{sandbox.name} {sandbox.id} "'
    return f"limit rate {a_minute}/minute burst {a_minute} packets {prefix} {prefix} group {LOG_GROUP}"


def _collect_chains(found: Collected, bound: Bound, chain: str, target: str, logs: Sequence[str]) -> None:
    """A chain that returns for what is allowed, and one for what is not, with the sets and counters that they use."""
    found.chain(chain, *_allowing(bound, target), f"goto deny_{target}")
    found.chain(f"deny_{target}", f'counter name "denied_{target}"', *logs, *(["drop"] if bound.enforced else []))
    for policy in bound.policies:
        for name in counter_names(target, policy.name):
            found.counter(name)
        for allowance in bound.allowances_of(policy):
            for version in allowance.versions:
                found.set(f"to{version}_{allowance.digest}", _destinations(allowance, version))
            for _protocol, ports in allowance.ports:
                found.set(ports_name(ports), frozenset(ports))


def _allowing(bound: Bound, target: str) -> Iterator[str]:
    if bound.keeps_established:
        yield "ct state established return"
    for policy in bound.counting:
        passes = _passes(target, policy)
        for allowance in bound.allowances_of(policy):
            for version in allowance.versions:
                to = f"ct original {_FAMILY[version]} daddr @to{version}_{allowance.digest}"
                if allowance.any_protocol:
                    yield f"{to} {passes}"
                for protocol, ports in allowance.ports:
                    yield f"meta l4proto {protocol} ct original proto-dst @{ports_name(ports)} {to} {passes}"
                if allowance.icmp:
                    yield f"meta l4proto {_ICMP[version]} {to} {passes}"
    asking = [policy for policy in bound.counting if policy.allow_dns][:1]
    if asking and not bound.allows_metadata:
        for version in VERSIONS:
            yield f"ct original {_FAMILY[version]} daddr @metadata{version} goto deny_{target}"
    for policy in asking:
        for version, family in _FAMILY.items():
            resolver = f"iifname . {family} saddr . ct original {family} daddr @resolvers{version}"
            # nft knows what a port is by the protocol that it belongs to.
            for protocol in ("tcp", "udp"):
                yield f"meta l4proto {protocol} ct original proto-dst 53 {resolver} {_passes(target, policy)}"


def _passes(target: str, policy: Policy) -> str:
    return f'counter name "{counter_names(target, policy.name)[0]}" return'


@cache
def _destinations(allowance: Allowance, version: int) -> frozenset[str]:
    nets = allowance.destinations(version).iter_cidrs()
    return frozenset(str(net.ip) if net.prefixlen == BITS[version] else str(net) for net in nets)
