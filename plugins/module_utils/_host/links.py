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
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pyroute2.netlink import NETLINK_ROUTE, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE
from pyroute2.netlink.rtnl import (
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_DELLINKPROP,
    RTM_DELNEIGH,
    RTM_DELROUTE,
    RTM_GETADDR,
    RTM_GETLINK,
    RTM_GETNEIGH,
    RTM_GETROUTE,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWNEIGH,
    RTM_NEWROUTE,
    rt_proto,
    rt_scope,
    rt_type,
)
from pyroute2.netlink.rtnl.ifaddrmsg import IFA_F_NODAD, ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import IFF_NOARP, IFF_UP, ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import NUD_NOARP, NUD_PERMANENT, ndmsg
from pyroute2.netlink.rtnl.rtmsg import IP6_RT_PRIO_USER, rtmsg

from .._errors import NotFound
from .._plan.observed import Link, Route
from .._spec.fields import IPNetwork
from . import netlink
from .link_messages import (
    PORT_FLAGS,
    LinkFacts,
    RouteFacts,
    address_message,
    carried_address,
    link_facts,
    neighbour_mac,
    nested,
    new_message,
    packed_name,
    route_facts,
    route_message,
    station_message,
)
from .memo import Memo
from .messages import (
    IN6_ADDR_GEN_MODE_NONE,
    LOOPBACK_IFINDEX,
    RT_TABLE_MAIN,
    RTEXT_FILTER_SKIP_STATS,
    Message,
    RouteMessage,
    attribute_bytes,
    field,
    pruned,
    question,
)

_GONE = frozenset((errno.ENODEV, errno.ESRCH, errno.EADDRNOTAVAIL, errno.ENOENT))
_USUAL_PRIORITY: dict[int, int] = {socket.AF_INET: 0, socket.AF_INET6: IP6_RT_PRIO_USER}

_ifindex, _address_ifindex, _port_ifindex = field(ifinfmsg, "index"), field(ifaddrmsg, "index"), field(ndmsg, "ifindex")
_address_scope, _neighbour_state = field(ifaddrmsg, "scope"), field(ndmsg, "state")
_route_family, _route_length = field(rtmsg, "family"), field(rtmsg, "dst_len")


_ALL_LINKS = question(RTM_GETLINK, new_message(ifinfmsg, {"IFLA_EXT_MASK": RTEXT_FILTER_SKIP_STATS}))
_ALL_ADDRESSES = question(RTM_GETADDR, new_message(ifaddrmsg, family=socket.AF_UNSPEC))
_MAIN_TABLE = question(RTM_GETROUTE, new_message(rtmsg, family=socket.AF_UNSPEC, table=RT_TABLE_MAIN))


class Links:
    """Those of the network namespace in which this was opened; ``inside``: the namespace belongs to a sandbox.

    Methods raise OSError with the kernel's reason. What removes is content when nothing is there.
    """

    def __init__(self, memo: Memo | None = None, *, inside: bool = False) -> None:
        self._memo = memo or Memo()
        self._inside = inside
        self._socket = netlink.Socket(NETLINK_ROUTE)
        self._indexes: dict[str, int] = {}

    def close(self) -> None:
        self._socket.close()

    def all(self, *, ports: bool = True) -> dict[str, Link]:
        """Every link with its global addresses, by name; ``ports``: with stations. A dump for each."""
        addresses: dict[int, list[str]] = {}
        for index, address in self.addresses():
            addresses.setdefault(index, []).append(address)
        found = [self._facts(message) for message in self._socket.dump(_ALL_LINKS)]
        names = {facts.ifindex: facts.shown for facts in found}
        stations: dict[int, list[str]] = {}
        for index, mac in self.stations() if ports else ():
            stations.setdefault(index, []).append(mac)
        links = [link_of(facts, names, addresses.get(facts.ifindex, ()), stations.get(facts.ifindex, ())) for facts in found]
        return {f"lo at {link.index}" if link.name == "lo" and link.index != LOOPBACK_IFINDEX else link.name: link for link in links}

    def default_routes(self, links: Iterable[Link]) -> tuple[Route, ...]:
        """The default routes of the main table, v4 and v6."""
        names = {link.index: link.name for link in links}
        local = rt_type["local"]
        return tuple(_default_route(route, names) for route in self._main_table(defaults=True) if route.type != local)

    def destinations(self) -> tuple[tuple[IPNetwork, int], ...]:
        """What the main table routes where: network and index of the device, link-local ones left out; the best first."""
        found = []
        for route in sorted(self._main_table(), key=lambda route: route.priority):
            # Those with several next hops lead to no single device.
            if route.type == rt_type["unicast"] and (route.length or route.out):
                network = ipaddress.ip_network(f"{route.destination}/{route.length}", strict=False)
                if not network.is_link_local and not network.is_multicast:
                    found.append((network, route.out))
        return tuple(found)

    def one(self, name: str = "", index: int = 0) -> LinkFacts | None:
        """One link, by its name or index."""
        message = self._one(name, index)
        return None if message is None else self._facts(message)

    def _one(self, name: str = "", index: int = 0) -> bytes | None:
        message = self._by_any_name(name, index)
        # The alternative name of another link is not its name.
        return None if message is None or (name and not _is_named(message, name)) else message

    def _by_any_name(self, name: str = "", index: int = 0) -> bytes | None:
        """As the kernel finds links: by index, name, or alternative name."""
        asked = {"IFLA_EXT_MASK": RTEXT_FILTER_SKIP_STATS, **({"IFLA_IFNAME": packed_name(name)} if name else {})}
        try:
            (message,) = self._socket.ask(RTM_GETLINK, new_message(ifinfmsg, asked, index=index))
        except OSError as error:
            if error.errno in (errno.ENODEV, errno.ERANGE, errno.EINVAL):
                return None
            raise
        return message

    def _facts(self, message: bytes) -> LinkFacts:
        return LinkFacts(*self._memo.decoded("link", pruned(ifinfmsg, message), link_facts))

    def create_bridge(self, name: str, mac: str, mtu: int) -> None:
        """Only an MTU that differs from the one at birth, and is set later, does not follow the ports (br_mtu_auto_adjust)."""
        options = {
            "IFLA_BR_FORWARD_DELAY": 0,
            "IFLA_BR_STP_STATE": 0,
            # Snooping learns from MLD reports, and the rules of the network drop these (_plan/ruleset.py).
            "IFLA_BR_MCAST_SNOOPING": 0,
        }
        born = {"IFLA_IFNAME": packed_name(name), "IFLA_ADDRESS": mac, "IFLA_MTU": 1500 if mtu != 1500 else 1280}
        kind = nested({"IFLA_INFO_KIND": "bridge", "IFLA_INFO_DATA": nested(options)})
        self._make(RTM_NEWLINK, new_message(ifinfmsg, {**born, "IFLA_LINKINFO": kind}))
        try:
            self.set(name, {"mtu": mtu})
        except BaseException:
            self.delete(name)
            raise

    def create_veth(self, interface: str, mac: str, mtu: int, peer: str, peer_mac: str, peer_netns: int) -> None:
        """Both ends at once, each born where it belongs; ``peer_netns`` is an open descriptor."""
        far = {"IFLA_IFNAME": packed_name(peer), "IFLA_ADDRESS": peer_mac, "IFLA_MTU": mtu, "IFLA_NET_NS_FD": peer_netns}
        # Whatever ARP gets to a bridge's port itself was not meant for the host: it shall not fill the host's tables.
        deaf = {"flags": IFF_NOARP, "change": IFF_NOARP, **nested(far)}
        pair = nested({"IFLA_INFO_KIND": "veth", "IFLA_INFO_DATA": nested({"VETH_INFO_PEER": deaf})})
        near = {"IFLA_IFNAME": packed_name(interface), "IFLA_ADDRESS": mac, "IFLA_MTU": mtu, "IFLA_LINKINFO": pair}
        try:
            self._make(RTM_NEWLINK, new_message(ifinfmsg, near))
        except FileExistsError:
            self._free_name(interface)
            self._make(RTM_NEWLINK, new_message(ifinfmsg, near))

    def delete(self, name: str, index: int = 0) -> None:
        index = index or self._index(name)
        self._indexes.clear()
        if index:
            self._gone_is_fine(RTM_DELLINK, new_message(ifinfmsg, index=index))

    def delete_all(self, names: Sequence[str]) -> None:
        """Many at once: as a group of links of their own (ip-link(8), group), for which the kernel waits once."""
        present = [index for index in map(self._index, names) if index]
        self._indexes.clear()
        # Groups that people use are small numbers.
        group = {"IFLA_GROUP": 1 << 30 | secrets.randbits(30)}
        for index in present:
            self._gone_is_fine(RTM_NEWLINK, new_message(ifinfmsg, group, index=index))
        if present:
            self._gone_is_fine(RTM_DELLINK, new_message(ifinfmsg, group))

    def set(self, name: str, settings: dict[str, Any]) -> None:
        """Any of up, mtu, mac, alias, name, master (a name, or None): one message; isolated, hairpin, learning, flood: another."""
        index = self._known(name)
        words: dict[str, Any] = {}
        if "name" in settings:
            self._indexes.clear()
            words["IFLA_IFNAME"] = packed_name(settings["name"])
        if "mtu" in settings:
            words["IFLA_MTU"] = settings["mtu"]
        if "mac" in settings:
            words["IFLA_ADDRESS"] = settings["mac"]
        if "alias" in settings:
            words["IFLA_IFALIAS"] = packed_name(settings["alias"] or "")
        if "master" in settings:
            words["IFLA_MASTER"] = self._known(settings["master"]) if settings["master"] else 0
        fixed = {"index": index, "flags": IFF_UP if settings.get("up") else 0, "change": IFF_UP if "up" in settings else 0}
        if settings.get("master"):
            # A port needs no address of its own; without one it floods no duplicate address detection.
            quiet = nested({"AF_INET6": nested({"IFLA_INET6_ADDR_GEN_MODE": IN6_ADDR_GEN_MODE_NONE})})
            try:
                self._socket.ask(RTM_NEWLINK, new_message(ifinfmsg, {**words, "IFLA_AF_SPEC": quiet}, **fixed))
            except OSError as error:
                if error.errno not in (errno.EAFNOSUPPORT, errno.EINVAL, errno.EOPNOTSUPP):
                    raise
                self._socket.ask(RTM_NEWLINK, new_message(ifinfmsg, words, **fixed))
        elif words or "up" in settings:
            try:
                self._socket.ask(RTM_NEWLINK, new_message(ifinfmsg, words, **fixed))
            except FileExistsError:
                self._free_name(settings.get("name", ""))
                self._socket.ask(RTM_NEWLINK, new_message(ifinfmsg, words, **fixed))
        flags = {attribute: int(settings[key]) for key, attribute in PORT_FLAGS.items() if key in settings}
        if flags:
            port = nested({"IFLA_INFO_SLAVE_KIND": "bridge", "IFLA_INFO_SLAVE_DATA": nested(flags)})
            self._socket.ask(RTM_NEWLINK, new_message(ifinfmsg, {"IFLA_LINKINFO": port}, index=index))

    def _free_name(self, name: str) -> None:
        """Remove an alternative name (ip-link(8), altname) of another link of a sandbox: it would keep a link from this name."""
        if self._inside and name:
            message = self._by_any_name(name)
            if message is not None and not _is_named(message, name):
                names = nested({"IFLA_ALT_IFNAME": packed_name(name)})
                self._gone_is_fine(RTM_DELLINKPROP, new_message(ifinfmsg, {"IFLA_PROP_LIST": names}, index=_ifindex(message)))

    def add_station(self, port: str, mac: str) -> None:
        self._socket.ask(RTM_NEWNEIGH, station_message(self._known(port), mac), NLM_F_CREATE | NLM_F_REPLACE)

    def remove_station(self, port: str, mac: str) -> None:
        index = self._index(port)
        if index:
            self._gone_is_fine(RTM_DELNEIGH, station_message(index, mac))

    def stations(self, port: int = 0) -> list[tuple[int, str]]:
        """Index of the port and MAC of what bridges were told to find behind their ports; ``port``: of this one alone."""
        found = []
        for message in self._socket.dump(question(RTM_GETNEIGH, new_message(ndmsg, family=socket.AF_BRIDGE, ifindex=port))):
            index, state = _port_ifindex(message), _neighbour_state(message)
            # Static FDB entries only. Permanent ones are the MAC addresses of the ports (bridge(8)).
            if state & NUD_NOARP and not state & NUD_PERMANENT and port in (0, index):
                found.append((index, self._memo.decoded("station", pruned(ndmsg, message), neighbour_mac)))
        return found

    def add_address(self, link: str, address: str) -> None:
        """Without duplicate address detection: the lease is what keeps it unique, and detection takes seconds."""
        with contextlib.suppress(FileExistsError):
            self._make(RTM_NEWADDR, address_message(self._known(link), address, IFA_F_NODAD if ":" in address else 0))

    def remove_address(self, link: str, address: str) -> None:
        index = self._index(link)
        if index:
            self._gone_is_fine(RTM_DELADDR, address_message(index, address, 0))

    def add_route(self, destination: str, gateway: str | None, link: str) -> None:
        network = ipaddress.ip_network(destination)
        scope = rt_scope["universe" if gateway or network.version == 6 else "link"]
        ways = self._way(network, gateway, link)
        self._make(RTM_NEWROUTE, route_message(network, ways, proto=rt_proto["static"], scope=scope, type=rt_type["unicast"]))

    def remove_route(self, destination: str, gateway: str | None, link: str, odd: tuple[int, int, int] | None = None) -> None:
        network = ipaddress.ip_network(destination)
        unicast = rt_type["unicast"]
        if odd is None and network.version == 4:
            # One default route per tos and priority: told by those it is found also where it hangs on a nexthop object.
            odd = (unicast, 0, 0)
        if odd is not None:
            kind, tos, priority = odd
            words = {"RTA_PRIORITY": priority} if priority else {}
            self._gone_is_fine(RTM_DELROUTE, route_message(network, words, scope=rt_scope["nowhere"], type=kind, tos=tos))
        elif self._index(link):
            self._gone_is_fine(
                RTM_DELROUTE, route_message(network, self._way(network, gateway, link), scope=rt_scope["universe"], type=unicast)
            )

    def _way(self, network: IPNetwork, gateway: str | None, link: str) -> dict[str, Any]:
        return {
            **({"RTA_DST": str(network.network_address)} if network.prefixlen else {}),
            **({"RTA_GATEWAY": gateway} if gateway else {}),
            "RTA_OIF": self._known(link),
        }

    def addresses(self) -> list[tuple[int, str]]:
        """Index of the link and address/length, or address/length peer address, of every address but link-local ones."""
        found, link_local = [], rt_scope["link"]
        for message in self._socket.dump(_ALL_ADDRESSES):
            if _address_scope(message) != link_local:
                address = self._memo.decoded("address", pruned(ifaddrmsg, message), carried_address)
                if address:
                    found.append((_address_ifindex(message), address))
        return found

    def _main_table(self, *, defaults: bool = False) -> list[RouteFacts]:
        """Of both families, and of no other that a kernel may have (MPLS); ``defaults``: those to everywhere alone."""
        found = []
        for message in self._socket.dump(_MAIN_TABLE):
            if not (defaults and _route_length(message)) and _route_family(message) in _USUAL_PRIORITY:
                facts = RouteFacts(*self._memo.decoded("route", pruned(RouteMessage, message), route_facts))
                found += [facts] if facts.table == RT_TABLE_MAIN else []
        return found

    def _index(self, name: str) -> int:
        """0 where there is none; asked once, until something is deleted or renamed."""
        if name == "lo":
            return LOOPBACK_IFINDEX
        if name not in self._indexes:
            message = self._one(name)
            if message is None:
                return 0
            self._indexes[name] = _ifindex(message)
        return self._indexes[name]

    def _known(self, name: str) -> int:
        index = self._index(name)
        if not index:
            raise NotFound(f"the interface {name} vanished while it was worked on; run again")
        return index

    def _make(self, kind: int, message: Message) -> None:
        self._socket.ask(kind, message, NLM_F_CREATE | NLM_F_EXCL)

    def _gone_is_fine(self, kind: int, message: Message) -> None:
        try:
            self._socket.ask(kind, message)
        except OSError as error:
            if error.errno not in _GONE:
                raise


def _is_named(message: bytes, name: str) -> bool:
    return attribute_bytes(new_message(ifinfmsg, {"IFLA_IFNAME": packed_name(name)})) in message


def _default_route(route: RouteFacts, names: Mapping[int, str]) -> Route:
    destination = "::/0" if route.family == socket.AF_INET6 else "0.0.0.0/0"
    usual = route.type == rt_type["unicast"] and not route.tos and route.priority == _USUAL_PRIORITY[route.family]
    if not usual or route.odd or route.out not in names:
        return Route(destination, None, "", (route.type, route.tos, route.priority))
    return Route(destination, route.gateway or None, names[route.out])


def link_of(facts: LinkFacts, names: Mapping[int, str], addresses: Sequence[str], stations: Sequence[str]) -> Link:
    name = names[facts.ifindex]
    return Link(
        name=name,
        index=facts.ifindex,
        renamed="" if name == facts.name else facts.name,
        kind=facts.kind,
        mac=facts.mac,
        mtu=facts.mtu,
        up=facts.up,
        master=names.get(facts.master) or None,
        alias=facts.alias or None,
        stations=tuple(sorted(stations)),
        peer=facts.peer,
        addresses=tuple(addresses),
        **dict(zip(PORT_FLAGS, facts.flags)),
    )
