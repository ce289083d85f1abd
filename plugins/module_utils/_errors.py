# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors that users see: each is a sentence and carries the ``reason`` a playbook can test."""

from __future__ import annotations


class PodnetError(Exception):
    """Base of every failure that a module reports; ``str()`` of it becomes ``msg``."""

    reason = "kernel_error"


class InvalidArgument(PodnetError):
    reason = "invalid_argument"

    @classmethod
    def of(cls, option: str, value: object, why: str) -> InvalidArgument:
        return cls(f"{option}: {value!r} {why}")


class NotFound(PodnetError):
    reason = "not_found"


class NotOurs(PodnetError):
    reason = "not_ours"


class InUse(PodnetError):
    reason = "in_use"


class AddressInUse(PodnetError):
    reason = "address_in_use"


class NoAddressAvailable(PodnetError):
    reason = "no_address_available"


class PortInUse(PodnetError):
    reason = "port_in_use"


class AtCapacity(PodnetError):
    reason = "at_capacity"


class NotPermitted(PodnetError):
    reason = "not_permitted"


class MissingDependency(PodnetError):
    reason = "missing_dependency"


class KernelUnsupported(PodnetError):
    reason = "kernel_unsupported"


class KernelError(PodnetError):
    reason = "kernel_error"


class StateCorrupt(PodnetError):
    reason = "state_corrupt"


class BlockedByFirewall(PodnetError):
    reason = "blocked_by_firewall"


class LockTimeout(PodnetError):
    reason = "lock_timeout"
