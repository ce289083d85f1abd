# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links, addresses and routes of one network namespace, by rtnetlink(7)."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import secrets
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from .._errors import NotFound
from .._plan.observed import Link, Route
from .._spec.fields import IPNetwork
from . import netlink
from .netlink import as_number, as_text, attribute, attributes, nested, number, text

_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_NEWNEIGH, _DELNEIGH, _GETNEIGH = 28, 29, 30
_NEWROUTE, _DELROUTE, _GETROUTE = 24, 25, 26

_link_header = struct.Struct("=BxHiII")
_neighbour_header = struct.Struct("=BxHiHBB")
_address_header = struct.Struct("=BBBBI")
_route_header = struct.Struct("=BBBBBBBBI")

# The attributes of include/uapi/linux/if_link.h, if_addr.h and rtnetlink.h that are used here.
_ADDRESS, _IFNAME, _MTU, _PEER, _MASTER, _LINKINFO, _ALIAS, _AF_SPEC, _GROUP, _NETNS_FD, _EXT_MASK = 1, 3, 4, 5, 10, 18, 20, 26, 27, 28, 29
_INFO_KIND, _INFO_DATA, _INFO_PORT_KIND, _INFO_PORT_DATA = 1, 2, 4, 5
_VETH_PEER = 1
_BRIDGE_FORWARD_DELAY, _BRIDGE_STP, _BRIDGE_MULTICAST_SNOOPING = 1, 5, 23
_PORT_FLAGS = {"isolated": 33, "hairpin": 4, "learning": 8, "flood": 9}
_INET6_ADDR_GEN_MODE = 8
_FAR, _LOCAL = 1, 2
_LLADDR = 2
_DESTINATION, _OUT, _GATEWAY, _PRIORITY, _MULTIPATH, _TABLE, _NEXTHOP = 1, 4, 5, 6, 9, 15, 30

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_NODAD = 0x02
_NOARP, _PERMANENT = 0x40, 0x80
"""Of a bridge's entries: those that were told, and those of the ports themselves (bridge(8): static, permanent)."""

_NTF_MASTER = 0x04
_GONE = frozenset((errno.ENODEV, errno.ESRCH, errno.EADDRNOTAVAIL, errno.ENOENT))
_MAIN_TABLE = 254
_IFF_UP, _IFF_NOARP = 1, 0x80
_LOOPBACK = 1
_RTN_UNICAST = 1
_RTN_LOCAL = 2
_RTPROT_STATIC = 4
_SCOPE_NOWHERE = 255
_SCOPE_LINK = 253
_USUAL_PRIORITY = {socket.AF_INET: 0, socket.AF_INET6: 1024}
_NO_ADDRESS_GENERATION = 1
_SKIP_STATISTICS = 8
_ONE_BY_ONE = 24
"""From so many links on, reading all of them takes less time."""


class Links:
    """Those of the network namespace in which this was opened.

    Methods raise OSError with the kernel's reason. What removes is content when nothing is there.
    """

    def __init__(self) -> None:
        self._socket = netlink.Socket(netlink.ROUTE)
        self._indexes: dict[str, int] = {}

    def close(self) -> None:
        self._socket.close()

    def all(self, *, ports: bool = True) -> dict[str, Link]:
        """Every link with its global addresses, by name; ``ports``: with stations. A dump for each."""
        addresses: dict[int, list[str]] = {}
        for index, address in self.addresses():
            addresses.setdefault(index, []).append(address)
        messages = self._link_messages()
        names = _names(messages)
        stations: dict[int, list[str]] = {}
        for index, mac in self.stations() if ports else ():
            stations.setdefault(index, []).append(mac)
        links = [_link(*message, names, addresses.get(message[0], ()), stations.get(message[0], ())) for message in messages]
        return {f"lo at {link.index}" if link.name == "lo" and link.index != _LOOPBACK else link.name: link for link in links}

    def default_routes(self, links: Iterable[Link]) -> tuple[Route, ...]:
        """The default routes of the main table, v4 and v6."""
        names = {link.index: link.name for link in links}
        return tuple(_default_route(route, names) for route in self._main_table() if not route.length and route.type != _RTN_LOCAL)

    def table(self) -> Table:
        return Table(self)

    def destinations(self) -> tuple[tuple[IPNetwork, int], ...]:
        """What the main table routes where: network and index of the device, link-local ones left out; the best first."""
        found = []
        for route in sorted(self._main_table(), key=lambda route: route.priority):
            # Those with several next hops lead to no single device.
            if route.type == _RTN_UNICAST and (route.length or route.out):
                any_address = bytes(16 if route.family == socket.AF_INET6 else 4)
                network = ipaddress.ip_network((route.found.get(_DESTINATION, any_address), route.length), strict=False)
                if not network.is_link_local and not network.is_multicast:
                    found.append((network, route.out))
        return tuple(found)

    def one(self, name: str = "", index: int = 0) -> _LinkMessage | None:
        """Index, flags and attributes of one link, by its name or index."""
        try:
            (body,) = self._socket.ask(_GETLINK, _link_header.pack(0, 0, index, 0, 0) + (text(_IFNAME, name) if name else b""))
        except OSError as error:
            if error.errno in (errno.ENODEV, errno.ERANGE, errno.EINVAL):
                return None
            raise
        return _taken_apart(body)

    def create_bridge(self, name: str, mac: str, mtu: int) -> None:
        """Only an MTU that differs from the one at birth, and is set later, does not follow the ports (br_mtu_auto_adjust)."""
        birth = 1500 if mtu != 1500 else 1280
        # Groups go to all: whoever listens to them is never asked.
        groups = attribute(_BRIDGE_MULTICAST_SNOOPING, b"\0")
        options = nested(_INFO_DATA, number(_BRIDGE_FORWARD_DELAY, 0), number(_BRIDGE_STP, 0), groups)
        body = _link_header.pack(0, 0, 0, 0, 0) + text(_IFNAME, name) + attribute(_ADDRESS, _mac(mac)) + number(_MTU, birth)
        self._make(_NEWLINK, body + nested(_LINKINFO, text(_INFO_KIND, "bridge"), options))
        try:
            self.set(name, {"mtu": mtu})
        except BaseException:
            self.delete(name)
            raise

    def create_veth(self, interface: str, mac: str, mtu: int, peer: str, peer_mac: str, peer_netns: int) -> None:
        """Both ends at once, each born where it belongs; ``peer_netns`` is an open descriptor."""
        empty = _link_header.pack(0, 0, 0, 0, 0)
        # Whatever ARP gets to a bridge's port itself was not meant for the host: it shall not fill the host's tables.
        deaf = _link_header.pack(0, 0, 0, _IFF_NOARP, _IFF_NOARP)
        near = empty + text(_IFNAME, interface) + attribute(_ADDRESS, _mac(mac)) + number(_MTU, mtu)
        far = deaf + text(_IFNAME, peer) + attribute(_ADDRESS, _mac(peer_mac)) + number(_MTU, mtu) + number(_NETNS_FD, peer_netns)
        self._make(_NEWLINK, near + nested(_LINKINFO, text(_INFO_KIND, "veth"), nested(_INFO_DATA, attribute(_VETH_PEER, far))))

    def delete(self, name: str, index: int = 0) -> None:
        index = index or self._index(name)
        self._indexes.clear()
        if index:
            self._gone_is_fine(_DELLINK, _link_header.pack(0, 0, index, 0, 0))

    def delete_all(self, names: Sequence[str]) -> None:
        """Many at once: as a group of links of their own (ip-link(8), group), for which the kernel waits once."""
        present = [index for index in map(self._index, names) if index]
        self._indexes.clear()
        # Groups that people use are small numbers.
        group = 1 << 30 | secrets.randbits(30)
        for index in present:
            self._gone_is_fine(_NEWLINK, _link_header.pack(0, 0, index, 0, 0) + number(_GROUP, group))
        if present:
            self._gone_is_fine(_DELLINK, _link_header.pack(0, 0, 0, 0, 0) + number(_GROUP, group))

    def set(self, name: str, settings: dict[str, Any]) -> None:
        """Any of up, mtu, mac, alias, name, master (a name, or None): one message; isolated, hairpin, learning, flood: another."""
        index = self._known(name)
        words = b""
        if "name" in settings:
            self._indexes.clear()
            words += text(_IFNAME, settings["name"])
        if "mtu" in settings:
            words += number(_MTU, settings["mtu"])
        if "mac" in settings:
            words += attribute(_ADDRESS, _mac(settings["mac"]))
        if "alias" in settings:
            words += attribute(_ALIAS, (settings["alias"] or "").encode())
        if "master" in settings:
            words += number(_MASTER, self._known(settings["master"]) if settings["master"] else 0)
        up = int(bool(settings.get("up")))
        header = _link_header.pack(0, 0, index, up, int("up" in settings))
        if settings.get("master"):
            # A port needs no address of its own; without one it floods no duplicate address detection.
            quiet = nested(_AF_SPEC, nested(socket.AF_INET6, attribute(_INET6_ADDR_GEN_MODE, bytes([_NO_ADDRESS_GENERATION]))))
            try:
                self._socket.ask(_NEWLINK, header + words + quiet)
            except OSError as error:
                if error.errno not in (errno.EAFNOSUPPORT, errno.EINVAL, errno.EOPNOTSUPP):
                    raise
                self._socket.ask(_NEWLINK, header + words)
        elif words or "up" in settings:
            self._socket.ask(_NEWLINK, header + words)
        flags = [attribute(kind, bytes([settings[key]])) for key, kind in _PORT_FLAGS.items() if key in settings]
        if flags:
            port = nested(_LINKINFO, text(_INFO_PORT_KIND, "bridge"), nested(_INFO_PORT_DATA, *flags))
            self._socket.ask(_NEWLINK, _link_header.pack(0, 0, index, 0, 0) + port)

    def add_station(self, port: str, mac: str) -> None:
        self._socket.ask(_NEWNEIGH, _station(self._known(port), mac), netlink.CREATE | netlink.REPLACE)

    def remove_station(self, port: str, mac: str) -> None:
        index = self._index(port)
        if index:
            self._gone_is_fine(_DELNEIGH, _station(index, mac))

    def stations(self, port: int = 0) -> list[tuple[int, str]]:
        """Index of the port and MAC of what bridges were told to find behind their ports; ``port``: of this one alone."""
        found = []
        for body in self._socket.dump(_GETNEIGH, _neighbour_header.pack(socket.AF_BRIDGE, 0, port, 0, 0, 0)):
            _family, _pad, index, state, _flags, _type = _neighbour_header.unpack_from(body)
            if state & _NOARP and not state & _PERMANENT and port in (0, index):
                found.append((index, attributes(body, _neighbour_header.size)[_LLADDR].hex(":")))
        return found

    def add_address(self, link: str, address: str) -> None:
        """Without duplicate address detection: the lease is what keeps it unique, and detection takes seconds."""
        with contextlib.suppress(FileExistsError):
            self._make(_NEWADDR, _address_body(self._known(link), address, _NODAD if ":" in address else 0))

    def remove_address(self, link: str, address: str) -> None:
        index = self._index(link)
        if index:
            self._gone_is_fine(_DELADDR, _address_body(index, address, 0))

    def add_route(self, destination: str, gateway: str | None, link: str) -> None:
        network = ipaddress.ip_network(destination)
        scope = 0 if gateway or network.version == 6 else _SCOPE_LINK
        family = _FAMILIES[network.version]
        header = _route_header.pack(family, network.prefixlen, 0, 0, _MAIN_TABLE, _RTPROT_STATIC, scope, _RTN_UNICAST, 0)
        self._make(_NEWROUTE, header + self._way(network, gateway, link))

    def remove_route(self, destination: str, gateway: str | None, link: str, odd: tuple[int, int, int] | None = None) -> None:
        network = ipaddress.ip_network(destination)
        if odd is None and network.version == 4:
            # One default route per tos and priority: told by those it is found also where it hangs on a nexthop object.
            odd = (_RTN_UNICAST, 0, 0)
        kind, tos, priority = odd or (_RTN_UNICAST, 0, 0)
        header = _route_header.pack(
            _FAMILIES[network.version], network.prefixlen, 0, tos, _MAIN_TABLE, 0, _SCOPE_NOWHERE if odd else 0, kind, 0
        )
        if odd is not None:
            self._gone_is_fine(_DELROUTE, header + (number(_PRIORITY, priority) if priority else b""))
        elif self._index(link):
            self._gone_is_fine(_DELROUTE, header + self._way(network, gateway, link))

    def _way(self, network: IPNetwork, gateway: str | None, link: str) -> bytes:
        return (
            (attribute(_DESTINATION, network.network_address.packed) if network.prefixlen else b"")
            + (attribute(_GATEWAY, ipaddress.ip_address(gateway).packed) if gateway else b"")
            + number(_OUT, self._known(link))
        )

    def _link_messages(self) -> list[_LinkMessage]:
        bodies = self._socket.dump(_GETLINK, _link_header.pack(0, 0, 0, 0, 0) + number(_EXT_MASK, _SKIP_STATISTICS))
        return [_taken_apart(body) for body in bodies]

    def addresses(self) -> list[tuple[int, str]]:
        """Index of the link and address/length, or address/length peer address, of every address but link-local ones."""
        found = []
        for body in self._socket.dump(_GETADDR, _address_header.pack(0, 0, 0, 0, 0)):
            _family, length, _flags, scope, index = _address_header.unpack_from(body)
            if scope != _SCOPE_LINK:
                words = attributes(body, _address_header.size)
                far = words.get(_FAR)
                own = words.get(_LOCAL) or far
                if own is not None:
                    note = "" if far in (None, own) else f" peer {ipaddress.ip_address(far)}"
                    found.append((index, f"{ipaddress.ip_address(own)}/{length}{note}"))
        return found

    def _main_table(self) -> list[_RouteMessage]:
        """Of both families, and of no other that a kernel may have (MPLS)."""
        bodies = self._socket.dump(_GETROUTE, _route_header.pack(socket.AF_UNSPEC, 0, 0, 0, _MAIN_TABLE, 0, 0, 0, 0))
        families = _FAMILIES.values()
        routes = (_RouteMessage(body) for body in bodies if body[0] in families)
        return [route for route in routes if route.table == _MAIN_TABLE]

    def _index(self, name: str) -> int:
        """0 where there is none; asked once, until something is deleted or renamed."""
        if name == "lo":
            return _LOOPBACK
        if name not in self._indexes:
            found = self.one(name)
            if found is None:
                return 0
            self._indexes[name] = found[0]
        return self._indexes[name]

    def _known(self, name: str) -> int:
        index = self._index(name)
        if not index:
            raise NotFound(f"the interface {name} vanished while it was worked on; run again")
        return index

    def _make(self, kind: int, body: bytes) -> None:
        self._socket.ask(kind, body, netlink.CREATE | netlink.EXCLUSIVE)

    def _gone_is_fine(self, kind: int, body: bytes) -> None:
        try:
            self._socket.ask(kind, body)
        except OSError as error:
            if error.errno not in _GONE:
                raise


class Table(Mapping[str, Link]):
    """The links of the namespace by name; those that are asked for one by one are read one by one, many all at once."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self._known: dict[str, Link | None] = {}
        self._names = {0: ""}
        self._whole = False
        self._addresses: dict[int, list[str]] = {}
        for index, address in links.addresses():
            self._addresses.setdefault(index, []).append(address)

    @property
    def addresses(self) -> Iterator[tuple[str, str]]:
        """Name of the link and address/length of every address but link-local ones."""
        return ((self.name_of(index), address) for index, addresses in self._addresses.items() for address in addresses)

    def name_of(self, index: int) -> str:
        """Empty where there is no such link."""
        if index not in self._names:
            found = self._links.one(index=index)
            self._names[index] = "" if found is None else "lo" if index == _LOOPBACK else as_text(found[2][_IFNAME])
        return self._names[index]

    def __getitem__(self, name: str) -> Link:
        if name not in self._known and not self._whole:
            if len(self._known) < _ONE_BY_ONE and self._loopback_is_lo:
                self._known[name] = self._read(name)
            else:
                self._read_all()
        link = self._known.get(name)
        if link is None:
            raise KeyError(name)
        return link

    def __iter__(self) -> Iterator[str]:
        if not self._whole and self._loopback_is_lo:
            return iter(self._listed)
        self._read_all()
        return (name for name, link in self._known.items() if link is not None)

    def __len__(self) -> int:
        return sum(1 for _name in self)

    @cached_property
    def _listed(self) -> list[str]:
        """Here the kernel lists names much faster than as netlink messages (proc_pid_net(5))."""
        with open("/proc/thread-self/net/dev", encoding="utf-8", errors="surrogateescape") as file:
            return [line.split(":", 1)[0].strip() for line in file][2:]

    @cached_property
    def _loopback_is_lo(self) -> bool:
        found = self._links.one(index=_LOOPBACK)
        return found is not None and as_text(found[2][_IFNAME]) == "lo"

    def _read(self, name: str) -> Link | None:
        found = self._links.one(name)
        if found is None:
            return None
        index, _flags, words = found
        names = {item: self.name_of(item) for item in (index, as_number(words.get(_MASTER)))}
        stations = [mac for _index, mac in self._links.stations(index)] if _MASTER in words else ()
        return _link(*found, names, self._addresses.get(index, ()), stations)

    def _read_all(self) -> None:
        if not self._whole:
            self._known = dict(self._links.all())
            self._whole = True


_LinkMessage = tuple[int, int, dict[int, bytes]]


class _RouteMessage:
    def __init__(self, body: bytes) -> None:
        self.family, self.length, _from, self.tos, table, _protocol, _scope, self.type, _flags = _route_header.unpack_from(body)
        self.found = attributes(body, _route_header.size)
        self.table = as_number(self.found.get(_TABLE)) or table
        self.priority = as_number(self.found.get(_PRIORITY))
        self.out = as_number(self.found.get(_OUT))


def _taken_apart(body: bytes) -> _LinkMessage:
    _family, _type, index, flags, _change = _link_header.unpack_from(body)
    return index, flags, attributes(body, _link_header.size)


def _station(index: int, mac: str) -> bytes:
    return _neighbour_header.pack(socket.AF_BRIDGE, 0, index, _NOARP, _NTF_MASTER, 0) + attribute(_LLADDR, _mac(mac))


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _address_body(index: int, address: str, flags: int) -> bytes:
    """Of address/length, or address/length peer address."""
    own, _peer, far = address.partition(" peer ")
    here = ipaddress.ip_interface(own)
    there = ipaddress.ip_address(far) if far else here.ip
    header = _address_header.pack(_FAMILIES[here.version], here.network.prefixlen, flags, 0, index)
    return header + attribute(_LOCAL, here.ip.packed) + attribute(_FAR, there.packed)


def _names(messages: Iterable[_LinkMessage]) -> dict[int, str]:
    """By index. The first link of a namespace is its loopback, whatever somebody has renamed it to, or has called lo."""
    return {index: "lo" if index == _LOOPBACK else as_text(found[_IFNAME]) for index, _flags, found in messages}


def _default_route(route: _RouteMessage, names: dict[int, str]) -> Route:
    destination = "::/0" if route.family == socket.AF_INET6 else "0.0.0.0/0"
    usual = route.type == _RTN_UNICAST and not route.tos and route.priority == _USUAL_PRIORITY[route.family]
    if not usual or _MULTIPATH in route.found or _NEXTHOP in route.found or route.out not in names:
        return Route(destination, None, "", (route.type, route.tos, route.priority))
    gateway = route.found.get(_GATEWAY)
    return Route(destination, str(ipaddress.ip_address(gateway)) if gateway else None, names[route.out])


def _link(
    index: int, flags: int, found: dict[int, bytes], names: dict[int, str], addresses: Sequence[str], stations: Sequence[str]
) -> Link:
    info = attributes(found.get(_LINKINFO, b""))
    port = attributes(info.get(_INFO_PORT_DATA, b"")) if as_text(info.get(_INFO_PORT_KIND)) == "bridge" else {}
    name = as_text(found[_IFNAME])
    return Link(
        name=names[index],
        index=index,
        renamed="" if names[index] == name else name,
        kind=as_text(info.get(_INFO_KIND)),
        mac=found.get(_ADDRESS, b"").hex(":"),
        mtu=as_number(found.get(_MTU)),
        up=bool(flags & _IFF_UP),
        master=names.get(as_number(found.get(_MASTER))) or None,
        alias=as_text(found.get(_ALIAS)) or None,
        isolated=bool(as_number(port.get(_PORT_FLAGS["isolated"]))),
        hairpin=bool(as_number(port.get(_PORT_FLAGS["hairpin"]))),
        learning=bool(as_number(port.get(_PORT_FLAGS["learning"]))),
        flood=bool(as_number(port.get(_PORT_FLAGS["flood"]))),
        stations=tuple(sorted(stations)),
        peer=as_number(found.get(_PEER)),
        addresses=tuple(addresses),
    )
