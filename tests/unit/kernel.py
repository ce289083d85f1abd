# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model of one network namespace: links, addresses, routes and settings, with the kernel's side effects.

Each rule was tried on Linux 6.18 with ip(8), bridge(8) and sysctl(8).
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.podnet.linux.plugins.module_utils._plan.observed import Link, Route

CONF = "net/ipv6/conf"
CONF4 = "net/ipv4/conf"
IPV6_MIN_MTU = 1280
INDEX = itertools.count(2)
NO_PORT: dict[str, Any] = {"isolated": False, "hairpin": False, "learning": False, "flood": False, "stations": ()}
NEW_PORT: dict[str, Any] = {**NO_PORT, "learning": True, "flood": True}


class ModelError(Exception):
    """What the kernel would refuse; a plan that runs into it is wrong."""


class NetNamespace:
    """Strict: what ip(8) would answer with an error raises ModelError."""

    def __init__(self, sysctls: Mapping[str, str] | None = None) -> None:
        self.links: dict[str, Link] = {"lo": Link("lo", 1, mtu=65536)}
        self.routes: list[Route] = []
        self.sysctls: dict[str, str] = dict(sysctls or {})
        self.own_mtu: set[str] = set()

    def copy(self) -> NetNamespace:
        other = NetNamespace(self.sysctls)
        other.links, other.routes, other.own_mtu = dict(self.links), list(self.routes), set(self.own_mtu)
        return other

    def add_link(self, link: Link) -> None:
        if link.name in self.links:
            raise ModelError(f"{link.name} exists")
        self.links[link.name] = replace(link, index=next(INDEX))
        for key, value in self._born(CONF4):
            self.sysctls[f"{CONF4}/{link.name}/{key}"] = value
        if link.mtu >= IPV6_MIN_MTU:
            self._ipv6_on(link.name)

    def delete_link(self, name: str) -> None:
        link = self.links.pop(name, None)
        if link is None:
            return
        self.routes = [route for route in self.routes if route.link != name]
        for root in (CONF, CONF4):
            self._forget(f"{root}/{name}/")
        for port in [item for item in self.links.values() if item.master == name]:
            self.links[port.name] = replace(port, master=None, **NO_PORT)
        self.own_mtu.discard(name)
        if link.master:
            self._adjust_mtu(link.master)

    def set_link(self, name: str, settings: Mapping[str, Any]) -> None:
        """As Netlink.set_link: everything in one message, the port flag in a second."""
        link = self.known(name)
        if "name" in settings:
            # The loopback is known by its index, whatever it is called.
            if link.up and settings["name"] != (link.renamed or name):
                raise ModelError(f"{name} is up and cannot be renamed")
            self.links[name] = link = replace(link, renamed="" if settings["name"] == name else settings["name"])
        if "mtu" in settings:
            self._set_mtu(name, settings["mtu"])
            self.own_mtu.add(name)
        for key in ("mac", "alias"):
            if key in settings:
                self.links[name] = replace(self.links[name], **{key: settings[key] or ("" if key == "mac" else None)})
        if "master" in settings and settings["master"] != link.master:
            if settings["master"] is not None and self.known(settings["master"]).kind != "bridge":
                raise ModelError(f"{settings['master']} is no bridge")
            # A port is born with the flags of a new port.
            self.links[name] = replace(self.links[name], master=settings["master"], **(NEW_PORT if settings["master"] else NO_PORT))
            for bridge in (link.master, settings["master"]):
                if bridge:
                    self._adjust_mtu(bridge)
        if "up" in settings:
            self._set_up(name, settings["up"])
        flags = {key: settings[key] for key in ("isolated", "hairpin", "learning", "flood") if key in settings}
        if flags and self.links[name].master is None:
            raise ModelError(f"{name} is no bridge port: Operation not supported")
        self.links[name] = replace(self.links[name], **flags)

    def add_station(self, name: str, mac: str) -> None:
        link = self.known(name)
        if link.master is None:
            raise ModelError(f"{name} is no bridge port")
        self.links[name] = replace(link, stations=tuple(sorted({*link.stations, mac})))

    def remove_station(self, name: str, mac: str) -> None:
        if name in self.links:
            link = self.links[name]
            self.links[name] = replace(link, stations=tuple(item for item in link.stations if item != mac))

    def add_address(self, name: str, address: str) -> None:
        link = self.known(name)
        if address in link.addresses:
            return
        if ":" in address and not self._has_ipv6(name):
            raise ModelError(f"IPv6 is disabled on {name}")
        self.links[name] = replace(link, addresses=(*link.addresses, address))

    def remove_address(self, name: str, address: str) -> None:
        """The first IPv4 address of a subnet takes the others of it along (promote_secondaries is 0 by default)."""
        link = self.links.get(name)
        if link is None or address not in link.addresses:
            return
        gone = {address}
        if ":" not in address:
            same = [item for item in link.addresses if ":" not in item and _subnet(item) == _subnet(address)]
            if same[0] == address:
                gone.update(same)
        left = tuple(item for item in link.addresses if item not in gone)
        self.links[name] = replace(link, addresses=left)
        # The last IPv4 address of a link takes its routes along; IPv6 routes stay.
        if ":" not in address and not any(":" not in item for item in left):
            self.routes = [route for route in self.routes if route.link != name or ":" in route.destination]

    def add_route(self, destination: str, gateway: str | None, name: str) -> None:
        link = self.known(name)
        if any(route.destination == destination for route in self.routes):
            raise ModelError(f"route to {destination} exists")
        if not link.up or not any(_within(gateway, address) for address in link.addresses):
            raise ModelError(f"gateway {gateway} cannot be reached through {name}")
        self.routes.append(Route(destination, gateway, name))

    def remove_route(self, destination: str, gateway: str | None, name: str) -> None:
        self.routes = [route for route in self.routes if route != Route(destination, gateway, name)]

    def set_sysctl(self, name: str, value: str) -> None:
        if name not in self.sysctls:
            raise ModelError(f"{name} does not exist")
        changed = self.sysctls[name] != value
        self.sysctls[name] = value
        if name == f"{CONF}/all/forwarding":
            self._set_everywhere(CONF, "forwarding", value)
        elif name == "net/ipv4/ip_forward" and changed:
            self._set_everywhere(CONF4, "forwarding", value)
            if f"{CONF4}/all/accept_redirects" in self.sysctls:
                self.sysctls[f"{CONF4}/all/accept_redirects"] = "0" if value == "1" else "1"
        elif name == f"{CONF}/all/disable_ipv6":
            self._set_everywhere(CONF, "disable_ipv6", value)
        if name.startswith(CONF) and name.endswith("/disable_ipv6") and value == "1":
            scope = name.split("/")[3]
            for link in list(self.links) if scope == "all" else [scope]:
                self._drop_ipv6(link)

    def known(self, name: str) -> Link:
        if name not in self.links:
            raise ModelError(f"no interface {name}")
        return self.links[name]

    def _set_everywhere(self, root: str, key: str, value: str) -> None:
        for other in self.sysctls:
            if other.startswith(f"{root}/") and other.endswith(f"/{key}"):
                self.sysctls[other] = value

    def _born(self, root: str) -> list[tuple[str, str]]:
        prefix = f"{root}/default/"
        return [(key[len(prefix) :], value) for key, value in self.sysctls.items() if key.startswith(prefix)]

    def _forget(self, prefix: str) -> None:
        self.sysctls = {key: value for key, value in self.sysctls.items() if not key.startswith(prefix)}

    def _ipv6_on(self, name: str) -> None:
        for key, value in self._born(CONF):
            self.sysctls[f"{CONF}/{name}/{key}"] = value

    def _has_ipv6(self, name: str) -> bool:
        return self.links[name].mtu >= IPV6_MIN_MTU and self.sysctls.get(f"{CONF}/{name}/disable_ipv6", "0") == "0"

    def _drop_ipv6(self, name: str) -> None:
        if name in self.links:
            link = self.links[name]
            self.links[name] = replace(link, addresses=tuple(item for item in link.addresses if ":" not in item))
        self.routes = [route for route in self.routes if route.link != name or ":" not in route.destination]

    def _set_mtu(self, name: str, mtu: int) -> None:
        """Below 1280 bytes a link has no IPv6 at all, nor settings for it (RFC 8200, section 5)."""
        link = self.links[name]
        self.links[name] = replace(link, mtu=mtu)
        if mtu < IPV6_MIN_MTU <= link.mtu:
            self._drop_ipv6(name)
            self._forget(f"{CONF}/{name}/")
        elif link.mtu < IPV6_MIN_MTU <= mtu:
            self._ipv6_on(name)

    def _adjust_mtu(self, bridge: str) -> None:
        """A bridge whose MTU nobody has set follows its ports (br_mtu_auto_adjust)."""
        if bridge in self.links and bridge not in self.own_mtu:
            ports = [port.mtu for port in self.links.values() if port.master == bridge]
            self._set_mtu(bridge, min(ports, default=1500))

    def _set_up(self, name: str, up: bool) -> None:
        """Going down takes the link's routes and its IPv6 addresses along, and keeps the IPv4 ones."""
        if self.links[name].up and not up:
            self._drop_ipv6(name)
            self.routes = [route for route in self.routes if route.link != name]
        self.links[name] = replace(self.links[name], up=up)


def _subnet(address: str) -> object:
    return ipaddress.ip_interface(address).network


def _within(gateway: str | None, address: str) -> bool:
    subnet = ipaddress.ip_interface(address).network
    if gateway is None:
        return True
    target = ipaddress.ip_address(gateway)
    return target.version == subnet.version and target in subnet
