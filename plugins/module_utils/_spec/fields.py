# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Single values: text as the user wrote it in, canonical typed value out, or InvalidArgument naming the option."""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, Union

from .._errors import InvalidArgument

IPAddress = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
IPNetwork = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
ADDRESSES = (ipaddress.IPv4Address, ipaddress.IPv6Address)
T = TypeVar("T")

ID = re.compile(r"[0-9a-f]{16}\Z")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}\Z")
_VETH = re.compile(r"vh\d*-[0-9a-f]{8}\Z")
_SANDBOX = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?\Z")
_HOST = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*\Z")
_POOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")
_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}\Z")
_WORD = re.compile(r"[!-~]{1,255}\Z")
_SYSCTL = re.compile(r"(net\.[A-Za-z0-9_./:@-]+|kernel\.(shm[a-z_]+|msg[a-z_]+|sem)|fs\.mqueue\.[a-z_]+)\Z")
IPV6_LEAST_MTU = 1280
"""Bytes (RFC 8200, section 5)."""

_NO_UNICAST: tuple[IPNetwork, ...] = tuple(
    ipaddress.ip_network(text)
    # RFC 6890: this network, loopback, link-local, multicast and beyond; unspecified, loopback and IPv4 in
    # IPv6 clothes, link-local, multicast.
    for text in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/96", "::ffff:0:0/96", "fe80::/10", "ff00::/8")
)
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
"""Addresses of this network are for sockets, and never in packets (RFC 4291, 2.5.5.2)."""

_MAPPED_MESSAGE = "is an IPv4 address written as IPv6; write it as IPv4"
_RESERVED_INTERFACES = frozenset(("all", "default", "lo"))


def many(option: str, values: Iterable[Any], parse: Callable[[str, Any], T]) -> tuple[T, ...]:
    """Each value parsed, in order; a repeated one is refused."""
    out: list[T] = []
    for value in values:
        parsed = parse(option, value)
        if parsed in out:
            raise InvalidArgument.of(option, value, "is given twice")
        out.append(parsed)
    return tuple(out)


def bridge_name(option: str, value: Any) -> str:
    """The name of a network, which is that of its bridge."""
    text = interface_name(option, value, what="bridge")
    if _VETH.match(text):
        raise InvalidArgument.of(option, value, "is how the host ends of sandboxes are named; choose another name")
    return text


def interface_name(option: str, value: Any, *, what: str = "interface") -> str:
    """The kernel takes 15 bytes (IFNAMSIZ); paths below /proc/sys take no surprises."""
    text = str(value)
    if not _INTERFACE.match(text) or text in _RESERVED_INTERFACES:
        raise InvalidArgument.of(
            option,
            value,
            f"is no {what} name: 1-15 of A-Z a-z 0-9 _ . -, starting with a letter or digit, not all, default or lo",
        )
    return text


def sandbox_name(option: str, value: Any) -> str:
    text = str(value)
    if not _SANDBOX.match(text):
        raise InvalidArgument.of(option, value, "is no sandbox name: 1-63 of a-z 0-9 - . that starts and ends with a letter or digit")
    if ID.match(text):
        raise InvalidArgument.of(option, value, "reads as a sandbox id (16 hexadecimal digits); choose another name")
    return text


def object_id(option: str, value: Any) -> str:
    """Of a sandbox or a network."""
    text = str(value)
    if not ID.match(text):
        raise InvalidArgument.of(option, value, "is no id: 16 hexadecimal digits in lower case")
    return text


def pool_name(option: str, value: Any) -> str:
    text = str(value)
    if not _POOL.match(text):
        raise InvalidArgument.of(option, value, "is no pool name: 1-63 of A-Z a-z 0-9 _ . -, starting with a letter or digit")
    return text


def owner(option: str, value: Any) -> str:
    """Whatever tells one holder of leases from another: a host's name, a path, a sentence."""
    text = str(value)
    if not 1 <= len(text) <= 255 or not text.isprintable() or text != text.strip():
        raise InvalidArgument.of(option, value, "is no owner: 1-255 printable characters, no white space around them")
    return text


def hostname(option: str, value: Any) -> str:
    """RFC 1123 labels; 64 bytes at most (the kernel's __NEW_UTS_LEN)."""
    text = str(value)
    if not _HOST.match(text) or len(text) > 64:
        raise InvalidArgument.of(option, value, "is no host name: letters, digits, - and ., 64 characters at most")
    return text


def address(option: str, value: Any) -> IPAddress:
    text = str(value)
    try:
        parsed = ipaddress.IPv6Address(text) if ":" in text else ipaddress.IPv4Address(text)
    except ValueError:
        raise InvalidArgument.of(option, value, "is no IPv4 or IPv6 address") from None
    if getattr(parsed, "scope_id", None):
        raise InvalidArgument.of(option, value, "carries a zone; give the address alone")
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        raise InvalidArgument.of(option, value, _MAPPED_MESSAGE)
    return parsed


def network(option: str, value: Any) -> IPNetwork:
    """A CIDR without host bits."""
    text = str(value)
    if "%" in text:
        raise InvalidArgument.of(option, value, "carries a zone; give the network alone")
    if "/" not in text:
        raise InvalidArgument.of(option, value, "has no prefix length; write it as a CIDR such as 10.89.0.0/24")
    if not text.rpartition("/")[2].isdecimal():
        raise InvalidArgument.of(option, value, "is no CIDR: what follows the slash is a prefix length")
    try:
        parsed = ipaddress.ip_network(text)
    except ValueError:
        pass
    else:
        if isinstance(parsed, ipaddress.IPv6Network) and parsed.subnet_of(_MAPPED):
            raise InvalidArgument.of(option, value, _MAPPED_MESSAGE)
        return parsed
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise InvalidArgument.of(option, value, "is no IPv4 or IPv6 network") from None
    raise InvalidArgument.of(option, value, f"has host bits set; the network is {meant}")


def subnet(option: str, value: Any) -> IPNetwork:
    """A network with room for a gateway and at least one pod beside what is never leased."""
    parsed = network(option, value)
    if parsed.prefixlen > parsed.max_prefixlen - 2:
        raise InvalidArgument.of(option, value, f"is too small for a gateway and a pod; use /{parsed.max_prefixlen - 2} or larger")
    for special in _NO_UNICAST:
        if parsed.version == special.version and parsed.overlaps(special):
            raise InvalidArgument.of(option, value, f"overlaps {special}, which is not for unicast between hosts; use another network")
    return parsed


def address_or_network(option: str, value: Any) -> IPNetwork:
    if "/" in str(value):
        return network(option, value)
    return ipaddress.ip_network(address(option, value))


def mac(option: str, value: Any) -> str:
    """A unicast MAC in lower case, colon separated."""
    text = str(value).lower().replace("-", ":")
    if not _MAC.match(text):
        raise InvalidArgument.of(option, value, "is no MAC address of the form 02:00:00:aa:bb:cc")
    if int(text[:2], 16) & 1 or text == "00:00:00:00:00:00":
        raise InvalidArgument.of(option, value, "is a group or null MAC; use a unicast one, such as one that starts with 02:")
    return text


def mtu(option: str, value: Any, *, ipv6: bool) -> int:
    """Bytes; IPv4 needs 68 on every link (RFC 791)."""
    number = integer(option, value)
    least = IPV6_LEAST_MTU if ipv6 else 68
    if not least <= number <= 65535:
        raise InvalidArgument.of(option, value, f"is no MTU here: {least} to 65535")
    return number


def integer(option: str, value: Any) -> int:
    if isinstance(value, bool) or not re.match(r"-?[0-9]{1,18}\Z", str(value)):
        raise InvalidArgument.of(option, value, "is no whole number")
    return int(value)


def seconds(option: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = -1.0
    if not 0 <= number <= 3600:
        raise InvalidArgument.of(option, value, "is no number of seconds from 0 to 3600")
    return number


def word(option: str, value: Any) -> str:
    """One printable word: what a line of resolv.conf may hold without becoming another line."""
    text = str(value)
    if not _WORD.match(text):
        raise InvalidArgument.of(option, value, "is no single printable word")
    return text


def host_entry(option: str, value: Any) -> tuple[str, IPAddress]:
    """``name:address`` of a hosts file; the first colon separates, so IPv6 needs no brackets."""
    name, colon, rest = str(value).partition(":")
    if not colon or not _HOST.match(name):
        raise InvalidArgument.of(option, value, "is no name:address")
    bracketed = rest.startswith("[") and rest.endswith("]")
    return name, address(option, rest[1:-1] if bracketed else rest)


def sysctls(option: str, value: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Only names that live in a network or IPC namespace; anything else would change the host."""
    out: dict[str, str] = {}
    for name, setting in value.items():
        text = str(name).replace("/", ".") if "/" in str(name) and "." not in str(name) else str(name)
        if not _SYSCTL.match(text) or ".." in text or any(part in ("", ".", "..") for part in text.replace("/", ".").split(".")):
            raise InvalidArgument.of(
                option, name, "does not live in a sandbox; net.*, kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.* do"
            )
        if isinstance(setting, bool):
            setting = int(setting)
        words = str(setting).split()
        if not words or not all(_WORD.match(item) for item in words):
            raise InvalidArgument.of(f"{option}.{text}", setting, "is no sysctl value")
        out[text] = " ".join(words)
    return tuple(sorted(out.items()))


def sysctl_home(name: str) -> str:
    """The kind of namespace that the setting lives in."""
    return "net" if name.startswith("net.") else "ipc"


def labels(option: str, value: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((str(key), str(item)) for key, item in value.items()))


def absolute_path(option: str, value: Any) -> str:
    text = str(value)
    if not text.startswith("/") or "\0" in text or "\n" in text or ".." in text.split("/"):
        raise InvalidArgument.of(option, value, "is no absolute path without ..")
    return posixpath.normpath(text)


def container_root(option: str, value: Any) -> str:
    path = absolute_path(option, value)
    if path == "/":
        raise InvalidArgument.of(option, value, "is the host's own root")
    return path


def netns(option: str, value: Any) -> str:
    """A process id, or the path of a pinned network namespace."""
    text = str(value)
    if re.match(r"[0-9]{1,10}\Z", text):
        if int(text) < 1:
            raise InvalidArgument.of(option, value, "is no process id")
        return str(int(text))
    return absolute_path(option, value)
