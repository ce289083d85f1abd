# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod sandbox as declared: the request of a task, and the whole sandbox it means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .._errors import InvalidArgument
from . import claims, fields
from .address_sets import link_local
from .bound import Bound
from .fields import IPAddress
from .forward import PortForward, port_forwards
from .network import derived_mac
from .policy import DEFAULT, Policy, PolicyRequest, sandbox_policy, with_policy

NAMESPACES = ("net", "ipc", "uts", "pid")
DEFAULT_NAMESPACES = ("net", "ipc", "uts")
PINNED = ("net", "ipc", "uts")
STATES = ("present", "absent", "recreated")


@dataclass(frozen=True)
class Attachment:
    """One interface of a sandbox on one network, with its leased addresses.

    ``position`` numbers the veth pair (vh-, vh1-, ...); an attachment keeps its own when others go.
    """

    network: str
    interface: str
    mac: str
    addresses: tuple[IPAddress, ...] = ()
    position: int = 0

    def senders(self) -> tuple[IPAddress, ...]:
        """What it may send from: its addresses, and the link-local one that the kernel makes of the MAC."""
        return (*self.addresses, link_local(self.mac))

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.network,
            "interface": self.interface,
            "mac": self.mac,
            "addresses": [str(item) for item in self.addresses],
            "position": self.position,
        }


@dataclass(frozen=True)
class Sandbox:
    """One sandbox as in effect. The resolver fields None mean "as the network says". ``policies``: its own, by name."""

    id: str
    name: str
    hostname: str
    namespaces: tuple[str, ...] = DEFAULT_NAMESPACES
    attachments: tuple[Attachment, ...] = ()
    netns: str | None = None
    pause: bool = True
    stop_timeout: float = 2.0
    dns: tuple[IPAddress, ...] | None = None
    dns_search: tuple[str, ...] | None = None
    dns_options: tuple[str, ...] | None = None
    hosts: tuple[tuple[str, IPAddress], ...] = ()
    rootfs: tuple[str, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    persistent: bool = True
    port_forwards: tuple[PortForward, ...] = ()
    policies: tuple[Policy, ...] = ()
    removing: bool = field(default=False, compare=False)

    @property
    def ns_name(self) -> str:
        return f"psb-{self.id[:8]}"

    @property
    def alias(self) -> str:
        return f"podnet:{self.id}"

    @property
    def owns_net(self) -> bool:
        return "net" in self.namespaces and self.netns is None

    @property
    def has_net(self) -> bool:
        return "net" in self.namespaces or self.netns is not None

    @property
    def pins(self) -> tuple[str, ...]:
        """The namespaces kept alive by a bind mount; a furnished net is pinned too, so that its name stays good."""
        return tuple(kind for kind in PINNED if kind in self.namespaces or (kind == "net" and self.netns is not None))

    def veth_host(self, position: int) -> str:
        return f"vh{position or ''}-{self.id[:8]}"

    def host_mac(self, position: int) -> str:
        return derived_mac(self.id, "host", str(position))

    def claims(self) -> Iterator[str]:
        """What others are asked whether they have it; see claims.py."""
        yield claims.name(self.name)
        for item in self.attachments:
            yield claims.network(item.network)
            yield claims.mac(item.network, item.mac)
            for address in item.addresses:
                yield claims.address(item.network, address)
        for root in self.rootfs:
            yield claims.root(root)
        for item in self.attachments if self.policies else ():
            yield claims.bound(item.network)
        for name in Bound(self.policies).set_names():
            yield claims.destinations(name)
        for forward in self.port_forwards:
            for number in forward.host_ports:
                yield claims.port(forward.protocol, number)
        for item in self.attachments if self.port_forwards else ():
            yield claims.publisher(item.network)
        if any(forward.on_loopback for forward in self.port_forwards):
            for item in self.attachments:
                yield claims.loopback(item.network)

    def as_dict(self) -> dict[str, Any]:
        """The declared part of the return value."""
        first = self.attachments[0] if self.attachments else None
        return {
            "id": self.id,
            "name": self.name,
            "ns_name": self.ns_name,
            "veth_host": self.veth_host(first.position) if first else None,
            "container_ip": next((str(a) for item in self.attachments for a in item.addresses if a.version == 4), None),
            "addresses": [str(address) for item in self.attachments for address in item.addresses],
            "mac": first.mac if first else None,
            "hostname": self.hostname,
            "namespaces": list(self.namespaces),
            "netns": self.netns,
            "networks": [item.as_dict() for item in self.attachments],
            "pause": self.pause,
            "stop_timeout": self.stop_timeout,
            "dns": _texts(self.dns),
            "dns_search": _texts(self.dns_search),
            "dns_options": _texts(self.dns_options),
            "hosts": [f"{name}:{address}" for name, address in self.hosts],
            "rootfs": list(self.rootfs),
            "sysctls": dict(self.sysctls),
            "labels": dict(self.labels),
            "persistent": self.persistent,
            "port_forwards": [item.as_dict() for item in self.port_forwards],
            "egress": next((policy.as_options() for policy in self.policies if policy.name == DEFAULT), None),
        }

    def as_record(self) -> dict[str, Any]:
        whole = {**self.as_dict(), "policies": [policy.as_record() for policy in self.policies], "removing": self.removing}
        del whole["egress"]
        return whole

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Sandbox:
        request = SandboxRequest.from_options(
            {key: value for key, value in record.items() if key not in ("id", "addresses", "networks")}, where="record"
        )
        attachments = tuple(
            Attachment(
                network=item["name"],
                interface=item["interface"],
                mac=item["mac"],
                addresses=tuple(fields.address("addresses", address) for address in item["addresses"]),
                position=item["position"],
            )
            for item in record["networks"]
        )
        sandbox = request.resolve(None, new_id=fields.object_id("id", record["id"]), attachments=attachments)
        policies = tuple(Policy.from_record(item) for item in record["policies"])
        return replace(sandbox, policies=policies, removing=bool(record["removing"]))


@dataclass(frozen=True)
class AttachmentRequest:
    """One item of ``networks``; what is None is kept, or chosen."""

    network: str
    addresses: tuple[IPAddress, ...] | None = None
    mac: str | None = None
    interface: str | None = None


@dataclass(frozen=True)
class SandboxRequest:
    """What a task says of one sandbox; None is "not said"."""

    name: str | None
    id: str | None = None
    state: str = "present"
    force: bool = False
    networks: tuple[AttachmentRequest, ...] | None = None
    addresses: tuple[IPAddress, ...] | None = None
    netns: str | None = None
    hostname: str | None = None
    namespaces: tuple[str, ...] | None = None
    pause: bool | None = None
    stop_timeout: float | None = None
    dns: tuple[IPAddress, ...] | None = None
    dns_search: tuple[str, ...] | None = None
    dns_options: tuple[str, ...] | None = None
    hosts: tuple[tuple[str, IPAddress], ...] | None = None
    rootfs: tuple[str, ...] | None = None
    sysctls: tuple[tuple[str, str], ...] | None = None
    labels: tuple[tuple[str, str], ...] | None = None
    persistent: bool | None = None
    port_forwards: tuple[PortForward, ...] | None = None
    egress: PolicyRequest | None = None

    @classmethod
    def from_options(cls, options: Mapping[str, Any], *, where: str = "") -> SandboxRequest:
        """Parse module options; raises InvalidArgument naming the option (prefixed by ``where``)."""

        def named(option: str) -> str:
            return f"{where}.{option}" if where else option

        def parsed(option: str, parse: Any) -> Any:
            value = options.get(option)
            return None if value is None else fields.many(named(option), value, parse)

        def single(option: str, parse: Any) -> Any:
            value = options.get(option)
            return None if value is None else parse(named(option), value)

        request = cls(
            name=single("name", fields.sandbox_name),
            id=single("id", fields.object_id),
            state=options.get("state") or "present",
            force=bool(options.get("force")),
            networks=_networks(named, options),
            addresses=parsed("addresses", fields.address),
            netns=single("netns", fields.netns),
            hostname=single("hostname", fields.hostname),
            namespaces=parsed("namespaces", _namespace),
            pause=options.get("pause"),
            stop_timeout=single("stop_timeout", fields.seconds),
            dns=parsed("dns", fields.address),
            dns_search=parsed("dns_search", fields.hostname),
            dns_options=parsed("dns_options", fields.word),
            hosts=parsed("hosts", fields.host_entry),
            rootfs=parsed("rootfs", fields.container_root),
            sysctls=single("sysctls", fields.sysctls),
            labels=single("labels", fields.labels),
            persistent=options.get("persistent"),
            port_forwards=single("port_forwards", port_forwards),
            egress=single("egress", sandbox_policy),
        )
        if request.name is None and request.id is None:
            raise InvalidArgument(f"{named('name')} is required (or id, for a sandbox that exists)")
        return request

    def resolve(self, recorded: Sandbox | None, *, new_id: str, attachments: tuple[Attachment, ...]) -> Sandbox:
        """The whole sandbox this means. ``attachments`` come from the planner, which knows leases.

        Raises InvalidArgument for values that do not fit together.
        """

        def value(option: str, default: Any) -> Any:
            given = getattr(self, option)
            if given is not None:
                return given
            return getattr(recorded, option) if recorded else default

        name = recorded.name if recorded else self.name
        if name is None:
            raise InvalidArgument("name is required to create a sandbox")
        namespaces = value("namespaces", DEFAULT_NAMESPACES)
        sandbox = Sandbox(
            id=recorded.id if recorded else new_id,
            name=name,
            hostname=value("hostname", name),
            namespaces=tuple(kind for kind in NAMESPACES if kind in namespaces),
            attachments=attachments,
            netns=value("netns", None),
            pause=value("pause", True),
            stop_timeout=value("stop_timeout", 2.0),
            dns=value("dns", None),
            dns_search=value("dns_search", None),
            dns_options=value("dns_options", None),
            hosts=value("hosts", ()),
            rootfs=value("rootfs", ()),
            sysctls=value("sysctls", ()),
            labels=value("labels", ()),
            persistent=value("persistent", True),
            port_forwards=value("port_forwards", ()),
            policies=self._policies(recorded),
        )
        _check(sandbox)
        return sandbox

    def _policies(self, recorded: Sandbox | None) -> tuple[Policy, ...]:
        """``egress`` is the whole of the policy of that name; omitted, what there is stays."""
        known = recorded.policies if recorded else ()
        if self.egress is None:
            return known
        policy = self.egress.resolve(None, origin="pod_sandbox")
        return known if policy in known else with_policy(known, policy.name, policy)

    def wants_network(self) -> bool:
        return self.networks is not None or self.addresses is not None


def _check(sandbox: Sandbox) -> None:
    if not sandbox.namespaces:
        raise InvalidArgument("namespaces: a sandbox owns at least one of net, ipc, uts, pid")
    resolver = (sandbox.dns, sandbox.dns_search, sandbox.dns_options)
    needs_net = sandbox.attachments or sandbox.rootfs or sandbox.hosts or sandbox.port_forwards or sandbox.policies
    if not sandbox.has_net and (needs_net or any(item is not None for item in resolver)):
        raise InvalidArgument(
            "namespaces: without net there is no network, dns, hosts, rootfs, port_forwards or egress to set; add net or leave those out"
        )
    if "pid" in sandbox.namespaces and not sandbox.pause:
        raise InvalidArgument("pause: a pid namespace dies with its first process, so pid in namespaces needs pause: true")
    if "uts" not in sandbox.namespaces and sandbox.hostname != sandbox.name:
        raise InvalidArgument("hostname: without uts in namespaces the host's own name would change; add uts or leave hostname out")
    for name, _setting in sandbox.sysctls:
        home = fields.sysctl_home(name)
        if home not in sandbox.namespaces and not (home == "net" and sandbox.netns is not None):
            raise InvalidArgument.of("sysctls", name, f"lives in the {home} namespace, which this sandbox does not own")


def _networks(named: Any, options: Mapping[str, Any]) -> tuple[AttachmentRequest, ...] | None:
    """``network`` is short for a list of one; giving both is refused."""
    short, items = options.get("network"), options.get("networks")
    if short is not None and items is not None:
        raise InvalidArgument(f"{named('network')} and networks say the same thing; give one of them")
    if short is not None:
        items = [{"name": short}]
    if items is None:
        return None
    found: list[AttachmentRequest] = []
    for item in items:
        unknown = set(item) - {"name", "addresses", "mac", "interface"}
        if unknown:
            raise InvalidArgument.of(named("networks"), sorted(unknown)[0], "is no key of a network; name, addresses, mac, interface are")
        if item.get("name") is None:
            raise InvalidArgument(f"{named('networks')}: an item has no name")
        found.append(
            AttachmentRequest(
                network=fields.bridge_name(named("networks.name"), item["name"]),
                addresses=None
                if item.get("addresses") is None
                else fields.many(named("networks.addresses"), item["addresses"], fields.address),
                mac=None if item.get("mac") is None else fields.mac(named("networks.mac"), item["mac"]),
                interface=None if item.get("interface") is None else fields.interface_name(named("networks.interface"), item["interface"]),
            )
        )
    for key in ("network", "interface", "mac"):
        values = [getattr(item, key) for item in found if getattr(item, key) is not None]
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise InvalidArgument.of(named("networks"), twice, f"is given twice as {'name' if key == 'network' else key}")
    return tuple(found)


def _namespace(option: str, value: Any) -> str:
    if value not in NAMESPACES:
        raise InvalidArgument.of(option, value, f"is none of {', '.join(NAMESPACES)}")
    return str(value)


def _texts(values: tuple[Any, ...] | None) -> list[str] | None:
    return None if values is None else [str(value) for value in values]
