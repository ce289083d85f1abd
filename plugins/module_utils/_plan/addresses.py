# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the addresses that a link carries to those it should carry, in an order that the kernel goes along with."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from .operations import AddAddress, Operation, RemoveAddress


def address_steps(where: str | None, link: str, carried: Sequence[str], wanted: Sequence[str]) -> list[Operation]:
    """Removals, then additions.

    With an IPv4 address the kernel removes the later ones of its subnet (promote_secondaries is off by default,
    Documentation/networking/ip-sysctl.rst); so those are taken off first and put back, which undoing then does too.
    """
    foreign = [address for address in carried if address not in wanted]
    bounced = [
        address
        for position, address in enumerate(carried)
        if address in wanted and any(_same_subnet(address, other) for other in carried[:position] if other in foreign)
    ]
    missing = [address for address in wanted if address not in carried or address in bounced]
    # The last one first, so that undoing adds them in the order in which they were.
    going = [address for address in reversed(carried) if address in foreign or address in bounced]
    return [
        *(RemoveAddress(where, link, address) for address in going),
        *(AddAddress(where, link, address) for address in missing),
    ]


def _same_subnet(one: str, other: str) -> bool:
    first, second = (ipaddress.ip_interface(text.split()[0]) for text in (one, other))
    return first.version == second.version == 4 and first.network == second.network
