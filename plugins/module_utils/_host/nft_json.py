# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of others as nft tells them (libnftables-json(5)), as far as they are understood."""

from __future__ import annotations

import contextlib
import ipaddress
import json
from functools import cached_property
from typing import Any

from .._errors import KernelError
from .._plan.foreign import WHOLE, Match, Rule
from .._spec.address_sets import networks_between
from . import programs

_NAMES = {
    "iifname": "iifname",
    "iif": "iifname",
    "oifname": "oifname",
    "oif": "oifname",
    "iifkind": "iifkind",
    "oifkind": "oifkind",
    "mark": "mark",
}
_VERSIONS = {"ipv4": 4, "ip": 4, "ipv6": 6, "ip6": 6}
_DECIDES_NOTHING = ("counter", "log", "mangle", "notrack", "flow", "dup", "comment")
_VERDICTS = {"accept": "accept", "drop": "drop", "reject": "drop", "return": "return", "jump": "jump", "goto": "goto"}
_UNKNOWN = Match("")
_REST = "*"
"""The key of what no other key of a map matches."""

_MOST = 1000
"""Combinations that are looked at; a rule of more is one of which nothing is known."""


def listed(*words: str) -> list[tuple[str, dict[str, Any]]]:
    """What ``nft list`` shows: the kind of each object, and the object. Raises KernelError, MissingDependency."""
    options = [word for word in words if word.startswith("--")]
    names = [word for word in words if word not in options]
    result = programs.run([programs.required("nft", "nftables"), "--json", "--stateless", *options, "list", *names])
    try:
        found = json.loads(result.stdout)["nftables"]
    except (ValueError, KeyError):
        raise KernelError(f"nft cannot list what other firewalls do: {result.stderr.strip()[:200]}") from None
    return [(kind, value) for item in found for kind, value in item.items() if kind != "metainfo"]


class Table:
    """One of somebody else's, listed once however many of its chains are asked for; without what is in its sets."""

    def __init__(self, family: str, name: str) -> None:
        self._where = family, name

    def rules(self, chain: str) -> list[tuple[Rule, ...] | None]:
        """Those of one chain, in order: what each of nft's comes to, None for one that only iptables can tell."""
        return [_rule(item["expr"], self._where) for item in self._rules if item["chain"] == chain]

    @cached_property
    def _rules(self) -> list[dict[str, Any]]:
        return [item for kind, item in listed("--terse", "table", *self._where) if kind == "rule"]


def _rule(statements: list[dict[str, Any]], table: tuple[str, str]) -> tuple[Rule, ...] | None:
    """Several for what maps values to verdicts, and for one of several combinations of values."""
    ways: list[tuple[Match, ...]] = [()]
    for statement in statements:
        kind, what = _only(statement)
        if kind == "xt":
            return None
        if kind in _VERDICTS:
            return tuple(Rule(way, *_verdict(statement)) for way in ways)
        if kind == "vmap":
            return _mapped(ways, what, table)
        if kind == "match":
            ways = [(*way, *more) for way in ways for more in _match(what["left"], what["op"], what["right"], table)]
        elif kind not in _DECIDES_NOTHING:
            ways = [(*way, _UNKNOWN) for way in ways]
    return ()


def _mapped(ways: list[tuple[Match, ...]], what: dict[str, Any], table: tuple[str, str]) -> tuple[Rule, ...]:
    found: list[Rule] = []
    rest: tuple[str, str] | None = None
    items = _elements(what["data"], "map", table)
    for value, verdict in items:
        if value == _REST:
            rest = _verdict(verdict)
        else:
            found += [Rule((*way, *more), *_verdict(verdict)) for way in ways for more in _match(what["key"], "==", value, table)]
    if rest is not None:
        others = {"set": [value for value, _verdict_of in items if value != _REST]}
        found += [Rule((*way, *more), *rest) for way in ways for more in _match(what["key"], "!=", others, table)]
    return tuple(found)


def _only(item: dict[str, Any]) -> tuple[str, Any]:
    """The one key, and what it stands for."""
    return next(iter(item.items()))


def _verdict(statement: dict[str, Any]) -> tuple[str, str]:
    kind, what = _only(statement)
    return _VERDICTS.get(kind, ""), what["target"] if kind in ("jump", "goto") else ""


def _match(left: Any, operator: str, right: Any, table: tuple[str, str]) -> list[tuple[Match, ...]]:
    """What has to hold, in one of these ways."""
    if isinstance(left, dict) and "concat" in left:
        return _combined(left["concat"], operator, right, table)
    return [_single(left, operator, right, table)]


def _combined(left: list[Any], operator: str, right: Any, table: tuple[str, str]) -> list[tuple[Match, ...]]:
    combinations = _elements(right, "set", table)
    parts = [item["concat"] for item in combinations if isinstance(item, dict) and "concat" in item]
    if operator != "==" or len(parts) != len(combinations) or len(parts) > _MOST:
        return [(_UNKNOWN,)]
    return [tuple(match for key, value in zip(left, values) for match in _single(key, "==", value, table)) for values in parts]


def _single(left: Any, operator: str, right: Any, table: tuple[str, str]) -> tuple[Match, ...]:
    if operator not in ("==", "!=", "in") or not isinstance(left, dict):
        return (_UNKNOWN,)
    mask = WHOLE
    if "&" in left and isinstance(left["&"], list) and isinstance(left["&"][1], int):
        left, mask = left["&"]
    if not isinstance(left, dict):
        return (_UNKNOWN,)
    kind, what = _only(left)
    key, needs = "", []
    if kind == "meta":
        key = _NAMES.get(what["key"], "version" if what["key"] in ("nfproto", "protocol") else "")
    elif kind == "ct":
        key = what["key"] if what["key"] in ("state", "status", "direction") else ""
    elif kind == "payload" and what.get("protocol") in ("ip", "ip6"):
        key = what["field"] if what["field"] in ("saddr", "daddr") else ""
        needs = [Match("version", (_VERSIONS[what["protocol"]],))]
    if not key or (mask != WHOLE and key != "mark"):
        return (*needs, _UNKNOWN)
    values = tuple(item for value in _elements(right, "set", table) for item in _values(key, value))
    return (*needs, Match(key, values, operator == "!=", mask))


def _elements(data: Any, kind: str, table: tuple[str, str]) -> list[Any]:
    """Of an anonymous set or map, or of one that is named; a plain value is a set of one."""
    if isinstance(data, str) and data.startswith("@"):
        found = listed(kind, *table, data[1:])
        data = {"set": next((item.get("elem", []) for name, item in found if name == kind), [])}
    items = data["set"] if isinstance(data, dict) and "set" in data else data if isinstance(data, list) else [data]
    return [item["elem"]["val"] if isinstance(item, dict) and "elem" in item else item for item in items]


def _values(key: str, value: Any) -> list[Any]:
    """Something that equals no value stands for what is not understood."""
    if key == "version":
        return [_VERSIONS.get(value, 0)]
    if key not in ("saddr", "daddr"):
        return [value]
    with contextlib.suppress(ValueError, TypeError, KeyError):
        if isinstance(value, str):
            return [ipaddress.ip_network(value)]
        if "prefix" in value:
            return [ipaddress.ip_network(f"{value['prefix']['addr']}/{value['prefix']['len']}")]
        if "range" in value:
            first, last = (ipaddress.ip_address(item) for item in value["range"])
            return [*networks_between(first, last)]
    return [None]
