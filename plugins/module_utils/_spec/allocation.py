# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task says of one lease: who wants it, out of which pool, and which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._errors import InvalidArgument
from . import fields
from .fields import IPAddress, IPNetwork
from .pool import PoolRange, pool_key, pool_ranges

STRATEGIES = ("sequential", "random")


@dataclass(frozen=True)
class AllocationRequest:
    """None is "not said". Exactly one of ``network`` and ``pool`` is given; ``ranges`` and ``reserved`` are the pool's."""

    owner: str
    network: str | None = None
    pool: str | None = None
    state: str = "present"
    ranges: tuple[PoolRange, ...] | None = None
    reserved: tuple[IPNetwork, ...] | None = None
    address: IPAddress | None = None
    prefix_length: int | None = None
    strategy: str = STRATEGIES[0]

    @property
    def key(self) -> str:
        """What the books of its pool are kept under."""
        return str(self.network) if self.network is not None else pool_key(str(self.pool))

    @property
    def title(self) -> str:
        return f"network {self.network}" if self.network is not None else f"pool {self.pool}"

    @classmethod
    def from_options(cls, options: Mapping[str, Any], *, where: str = "") -> AllocationRequest:
        """Parse module options; raises InvalidArgument naming the option (prefixed by ``where``)."""

        def named(option: str) -> str:
            return f"{where}.{option}" if where else option

        def single(option: str, parse: Any) -> Any:
            value = options.get(option)
            return None if value is None else parse(named(option), value)

        if options.get("owner") is None:
            raise InvalidArgument(f"{named('owner')} is required: who holds the lease")
        given = [option for option in ("network", "pool") if options.get(option) is not None]
        if len(given) != 1:
            raise InvalidArgument(f"{named('network')} or pool: exactly one of them says where the lease comes from")
        for option in ("ranges", "reserved"):
            if given == ["network"] and options.get(option) is not None:
                raise InvalidArgument(f"{named(option)}: belongs to a pool; those of a network are set with podnet.linux.bridge_network")
        reserved = options.get("reserved")
        request = cls(
            owner=fields.owner(named("owner"), options["owner"]),
            network=single("network", fields.bridge_name),
            pool=single("pool", fields.pool_name),
            state=options.get("state") or "present",
            ranges=single("ranges", pool_ranges),
            reserved=None if reserved is None else fields.many(named("reserved"), reserved, fields.address_or_network),
            address=single("address", fields.address),
            prefix_length=single("prefix_length", fields.integer),
            strategy=options.get("strategy") or STRATEGIES[0],
        )
        if request.prefix_length is not None and not 1 <= request.prefix_length <= 128:
            raise InvalidArgument.of(named("prefix_length"), request.prefix_length, "is no prefix length: 1 to 128")
        if request.address is not None and request.prefix_length is not None:
            fields.network(named("address"), f"{request.address}/{request.prefix_length}")
        return request
