# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connection tracking: flows that the kernel would go on sending where the rules do not lead any more."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Collection, Iterator
from typing import Any

from .._plan.operations import Flow
from .._spec.fields import IPAddress

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def flush(flows: Collection[Flow], local: frozenset[IPAddress]) -> None:
    """Forget these UDP flows; ``local``: the host's own addresses. Nobody else's flows are touched. Raises OSError."""
    from pyroute2 import NetlinkError
    from pyroute2.netlink.nfnetlink.nfctsocket import NFCTSocket

    for version in sorted({flow.version for flow in flows}):
        chosen: dict[int, list[Flow]] = {}
        for flow in flows:
            if flow.version == version:
                chosen.setdefault(flow.port, []).append(flow)
        with NFCTSocket(nfgen_family=_FAMILIES[version]) as conntrack:
            for original in list(_stale(conntrack, version, chosen, local)):
                with contextlib.suppress(NetlinkError):  # gone by itself
                    conntrack.entry("del", tuple_orig=original)


def _stale(conntrack: Any, version: int, chosen: dict[int, list[Flow]], local: frozenset[IPAddress]) -> Iterator[Any]:
    from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple

    for message in conntrack.dump():
        if message["nfgen_family"] != _FAMILIES[version]:
            continue
        original = NFCTAttrTuple.from_netlink(_FAMILIES[version], message.get_attr("CTA_TUPLE_ORIG"))
        reply = NFCTAttrTuple.from_netlink(_FAMILIES[version], message.get_attr("CTA_TUPLE_REPLY"))
        if original.proto != socket.IPPROTO_UDP or original.dport not in chosen:
            continue
        asked = ipaddress.ip_address(original.daddr)
        answers = ipaddress.ip_address(reply.saddr), reply.sport
        for flow in chosen[original.dport]:
            if flow.host not in (None, asked) or asked not in local:
                continue
            if answers == (flow.target or (asked, original.dport)):
                yield original
                break
