# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection that is tried from inside a sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._errors import InvalidArgument
from . import fields
from .fields import IPAddress


@dataclass(frozen=True)
class Probe:
    """``expect``: open where somebody has to answer, refused where it has to get there and nobody listens, else closed."""

    sandbox: str
    to: IPAddress
    port: int
    expect: str = "open"

    @classmethod
    def from_options(cls, options: Mapping[str, Any], *, where: str) -> Probe:
        """Raises InvalidArgument."""
        port = fields.integer(f"{where}.port", options["port"])
        if not 1 <= port <= 65535:
            raise InvalidArgument.of(f"{where}.port", port, "is no port: 1 to 65535")
        return cls(str(options["sandbox"]), fields.address(f"{where}.to", options["to"]), port, options.get("expect") or "open")

    def as_dict(self) -> dict[str, Any]:
        return {"sandbox": self.sandbox, "to": str(self.to), "port": self.port, "expect": self.expect}
