# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links, addresses and routes of one network namespace, by rtnetlink."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
from collections.abc import Callable, Iterable
from typing import Any

from .._errors import KernelError, NotFound
from .._plan.observed import Link, Route
from .._spec.fields import IPNetwork

_NODAD = 0x02
_TENTATIVE_FREE = frozenset((errno.ENODEV, errno.ESRCH, errno.EADDRNOTAVAIL, errno.ENOENT))
_MAIN_TABLE = 254
_IFF_UP = 1
_LOOPBACK = 1
_RTN_UNICAST = 1
_RTN_LOCAL = 2
_SCOPE_NOWHERE = 255
_USUAL_PRIORITY = {socket.AF_INET: 0, socket.AF_INET6: 1024}
_NO_ADDRESS_GENERATION = 1
_SCOPE_LINK = 253
_PORT_FLAGS = {"isolated": "isolated", "hairpin": "mode"}


class Netlink:
    """An open socket; it stays in the namespace in which it was opened.

    Methods raise OSError with the kernel's reason. What removes is content when nothing is there.
    """

    def __init__(self) -> None:
        from pyroute2 import IPRoute, NetlinkError

        self._failure = NetlinkError
        self._socket = IPRoute()

    def close(self) -> None:
        self._socket.close()

    def links(self) -> dict[str, Link]:
        """Every link with its global addresses, by name: two dumps."""
        addresses: dict[int, list[str]] = {}
        for message in self._dump(self._socket.get_addr):
            if message["scope"] == _SCOPE_LINK:
                continue
            far = message.get_attr("IFA_ADDRESS")
            text = message.get_attr("IFA_LOCAL") or far
            note = "" if far in (None, text) else f" peer {far}"
            addresses.setdefault(message["index"], []).append(f"{text}/{message['prefixlen']}{note}")
        messages = self._dump(self._socket.get_links)
        # The first link of a namespace is its loopback, whatever somebody has renamed it to, or has called lo.
        names = {m["index"]: "lo" if m["index"] == _LOOPBACK else m.get_attr("IFLA_IFNAME") for m in messages}
        links = [_link(message, names, tuple(addresses.get(message["index"], ()))) for message in messages]
        return {f"lo at {link.index}" if link.name == "lo" and link.index != _LOOPBACK else link.name: link for link in links}

    def default_routes(self) -> tuple[Route, ...]:
        """The default routes of the main table, v4 and v6."""
        names = {message["index"]: message.get_attr("IFLA_IFNAME") for message in self._dump(self._socket.get_links)}
        return tuple(
            _default_route(message, names) for message in self._main_table() if not message["dst_len"] and message["type"] != _RTN_LOCAL
        )

    def destinations(self, links: Iterable[Link]) -> tuple[tuple[IPNetwork, str], ...]:
        """What the main table routes where: network and device, the default route and link-local ones left out."""
        names = {link.index: link.name for link in links}
        found = []
        for message, _gateway in self._routes():
            destination = message.get_attr("RTA_DST")
            if destination is None or not message["dst_len"]:
                continue
            network = ipaddress.ip_network(f"{destination}/{message['dst_len']}", strict=False)
            if not network.is_link_local and not network.is_multicast:
                found.append((network, names.get(message.get_attr("RTA_OIF"), "")))
        return tuple(found)

    def default_device(self) -> str | None:
        """The device of the best default route, v4 first."""
        best = sorted(
            (message["family"] == socket.AF_INET6, message.get_attr("RTA_PRIORITY") or 0, message.get_attr("RTA_OIF") or 0)
            for message, _gateway in self._routes()
            if not message["dst_len"] and message.get_attr("RTA_OIF")
        )
        return socket.if_indextoname(best[0][2]) if best else None

    def create_bridge(self, name: str, mac: str, mtu: int) -> None:
        """Only an MTU that differs from the one at birth, and is set later, does not follow the ports (br_mtu_auto_adjust)."""
        birth = 1500 if mtu != 1500 else 1280
        self._do(self._socket.link, "add", ifname=name, kind="bridge", address=mac, mtu=birth, br_stp_state=0, br_forward_delay=0)
        try:
            self.set_link(name, {"mtu": mtu})
        except BaseException:
            self.delete_link(name)
            raise

    def create_veth(self, interface: str, mac: str, mtu: int, peer: str, peer_mac: str, peer_netns: int) -> None:
        """Both ends at once, each born where it belongs; ``peer_netns`` is an open descriptor."""
        self._do(
            self._socket.link,
            "add",
            ifname=interface,
            kind="veth",
            address=mac,
            mtu=mtu,
            peer={"ifname": peer, "address": peer_mac, "mtu": mtu, "net_ns_fd": peer_netns},
        )

    def delete_link(self, name: str, index: int = 0) -> None:
        index = index or self._index(name)
        if index:
            self._gone_is_fine(self._socket.link, "del", index=index)

    def set_link(self, name: str, settings: dict[str, Any]) -> None:
        """Any of up, mtu, mac, alias, master (a name, or None), isolated, hairpin, name: one message, and one for the flags."""
        index = self._known(name)
        words: dict[str, Any] = {}
        if "name" in settings:
            words["ifname"] = settings["name"]
        if "mtu" in settings:
            words["mtu"] = settings["mtu"]
        if "mac" in settings:
            words["address"] = settings["mac"]
        if "alias" in settings:
            words["ifalias"] = settings["alias"] or ""
        if "master" in settings:
            words["master"] = self._known(settings["master"]) if settings["master"] else 0
        if settings.get("master"):
            # A port needs no address of its own; without one it floods no duplicate address detection.
            words["IFLA_AF_SPEC"] = {"attrs": [("AF_INET6", {"attrs": [("IFLA_INET6_ADDR_GEN_MODE", _NO_ADDRESS_GENERATION)]})]}
        if "up" in settings:
            words["state"] = "up" if settings["up"] else "down"
        if words:
            try:
                self._do(self._socket.link, "set", index=index, **words)
            except OSError as error:
                if "IFLA_AF_SPEC" not in words or error.errno not in (errno.EAFNOSUPPORT, errno.EINVAL, errno.EOPNOTSUPP):
                    raise
                del words["IFLA_AF_SPEC"]
                self._do(self._socket.link, "set", index=index, **words)
        flags = {word: int(settings[key]) for key, word in _PORT_FLAGS.items() if key in settings}
        if flags:
            self._do(self._socket.brport, "set", index=index, **flags)

    def add_address(self, link: str, address: str) -> None:
        """Without duplicate address detection: the lease is what keeps it unique, and detection takes seconds."""
        flags = {"flags": _NODAD} if ":" in address else {}
        with contextlib.suppress(FileExistsError):
            self._do(self._socket.addr, "add", index=self._known(link), **_address_words(address), **flags)

    def remove_address(self, link: str, address: str) -> None:
        index = self._index(link)
        if index:
            self._gone_is_fine(self._socket.addr, "del", index=index, **_address_words(address))

    def add_route(self, destination: str, gateway: str | None, link: str) -> None:
        self._do(self._socket.route, "add", **self._route(destination, gateway, link))

    def remove_route(self, destination: str, gateway: str | None, link: str, odd: tuple[int, int, int] | None = None) -> None:
        if odd is None and ":" not in destination:
            # One default route per tos and priority: told by those it is found also where it hangs on a nexthop object.
            odd = (_RTN_UNICAST, 0, 0)
        if odd is not None:
            family = socket.AF_INET6 if ":" in destination else socket.AF_INET
            kind, tos, priority = odd
            words = {"family": family, "dst_len": 0, "table": _MAIN_TABLE, "type": kind, "scope": _SCOPE_NOWHERE, "tos": tos}
            self._gone_is_fine(self._socket.route, "del", **words, **({"priority": priority} if priority else {}))
        elif self._index(link):
            self._gone_is_fine(self._socket.route, "del", **self._route(destination, gateway, link))

    def _route(self, destination: str, gateway: str | None, link: str) -> dict[str, Any]:
        return {"dst": destination, "oif": self._known(link), **({"gateway": gateway} if gateway else {})}

    def _routes(self) -> list[tuple[Any, str | None]]:
        return [(message, message.get_attr("RTA_GATEWAY")) for message in self._main_table() if message["type"] == _RTN_UNICAST]

    def _main_table(self) -> list[Any]:
        return [
            message
            for family in (socket.AF_INET, socket.AF_INET6)
            for message in self._dump(self._socket.get_routes, family=family)
            if (message.get_attr("RTA_TABLE") or message["table"]) == _MAIN_TABLE
        ]

    def _index(self, name: str) -> int:
        if name == "lo":
            return _LOOPBACK
        found = self._socket.link_lookup(ifname=name)
        return found[0] if found else 0

    def _known(self, name: str) -> int:
        index = self._index(name)
        if not index:
            raise NotFound(f"the interface {name} vanished while it was worked on; run again")
        return index

    def _dump(self, call: Callable[..., Any], **words: Any) -> list[Any]:
        return list(self._do(call, **words))

    def _gone_is_fine(self, call: Callable[..., Any], *args: Any, **words: Any) -> None:
        try:
            self._do(call, *args, **words)
        except OSError as error:
            if error.errno not in _TENTATIVE_FREE:
                raise

    def _do(self, call: Callable[..., Any], *args: Any, **words: Any) -> Any:
        try:
            return call(*args, **words)
        except self._failure as error:
            code = int(getattr(error, "code", 0))
            if not code:
                raise KernelError(f"netlink: {error}") from None
            raise OSError(code, str(error.args[1]) if len(error.args) > 1 else "netlink error") from None


def _address_words(text: str) -> dict[str, Any]:
    """Of address/length, or address/length peer address."""
    own, _peer, far = text.partition(" peer ")
    address, _slash, length = own.partition("/")
    return {"address": far, "local": address, "prefixlen": int(length)} if far else {"address": address, "prefixlen": int(length)}


def _default_route(message: Any, names: dict[int, str]) -> Route:
    destination = "::/0" if message["family"] == socket.AF_INET6 else "0.0.0.0/0"
    priority = message.get_attr("RTA_PRIORITY") or 0
    usual = message["type"] == _RTN_UNICAST and not message["tos"] and priority == _USUAL_PRIORITY[message["family"]]
    if not usual or message.get_attr("RTA_MULTIPATH") or message.get_attr("RTA_NH_ID") or message.get_attr("RTA_OIF") not in names:
        return Route(destination, None, "", (message["type"], message["tos"], priority))
    return Route(destination, message.get_attr("RTA_GATEWAY"), names[message.get_attr("RTA_OIF")])


def _link(message: Any, names: dict[int, str], addresses: tuple[str, ...]) -> Link:
    info = message.get_attr("IFLA_LINKINFO")
    port = info.get_attr("IFLA_INFO_SLAVE_DATA") if info and info.get_attr("IFLA_INFO_SLAVE_KIND") == "bridge" else None
    return Link(
        name=names[message["index"]],
        index=message["index"],
        renamed="" if names[message["index"]] == message.get_attr("IFLA_IFNAME") else message.get_attr("IFLA_IFNAME"),
        kind=(info.get_attr("IFLA_INFO_KIND") if info else None) or "",
        mac=message.get_attr("IFLA_ADDRESS") or "",
        mtu=message.get_attr("IFLA_MTU") or 0,
        up=bool(message["flags"] & _IFF_UP),
        master=names.get(message.get_attr("IFLA_MASTER") or 0),
        alias=message.get_attr("IFLA_IFALIAS") or None,
        isolated=bool(port and port.get_attr("IFLA_BRPORT_ISOLATED")),
        hairpin=bool(port and port.get_attr("IFLA_BRPORT_MODE")),
        peer=message.get_attr("IFLA_LINK") or 0,
        addresses=addresses,
    )
