# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Egress policies on one target, taken together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from ipaddress import ip_address

from .policy import Allowance, Policy, ports_name

METADATA = {
    4: (
        # EC2, Google, Azure, OpenStack, DigitalOcean, Hetzner, Oracle, ...: the link-local address of instance metadata.
        "169.254.169.254",
        # ECS task metadata and credentials (docs.aws.amazon.com/AmazonECS, task-metadata-endpoint-v4), EKS pod identity.
        "169.254.170.2",
        "169.254.170.23",
        # Azure's platform address (learn.microsoft.com/azure/virtual-network, what-is-ip-address-168-63-129-16).
        "168.63.129.16",
        # Alibaba Cloud instance metadata (alibabacloud.com/help/ecs, view-instance-metadata).
        "100.100.100.200",
        # Oracle Cloud at Customer and classic instance metadata (docs.oracle.com).
        "192.0.0.192",
    ),
    6: (
        # EC2 and EKS pod identity by IPv6 (docs.aws.amazon.com/AWSEC2, instancedata-data-retrieval).
        "fd00:ec2::254",
        "fd00:ec2::23",
        # Google Compute Engine by IPv6 (cloud.google.com/compute/docs/metadata).
        "fd20:ce::254",
        # OpenStack by IPv6 (docs.openstack.org/nova, metadata-service).
        "fe80::a9fe:a9fe",
    ),
}


@dataclass(frozen=True)
class Bound:
    """Policies on one target, taken together: any that is enforced makes those that only audit allow nothing."""

    policies: tuple[Policy, ...]

    @property
    def enforced(self) -> bool:
        return any(policy.enforced for policy in self.policies)

    @property
    def counting(self) -> tuple[Policy, ...]:
        """Those whose allowances count."""
        return tuple(policy for policy in self.policies if policy.enforced or not self.enforced)

    def allowances_of(self, policy: Policy) -> tuple[Allowance, ...]:
        """Of one of them, as they count: cloud metadata is left out of the destinations, unless any allows it."""
        if policy not in self.counting:
            return ()
        return policy.allowances if self.allows_metadata else tuple(map(_without_metadata, policy.allowances))

    def set_names(self) -> set[str]:
        """Of the sets that the rules of these policies use; those of the same content are the same."""
        found: set[str] = set()
        for allowance in (item for policy in self.policies for item in self.allowances_of(policy)):
            found.update(f"to{version}_{allowance.digest}" for version in allowance.versions)
            found.update(ports_name(ports) for _protocol, ports in allowance.ports)
        return found

    @property
    def logs(self) -> bool:
        return any(policy.log_denied for policy in self.policies)

    @property
    def allows_metadata(self) -> bool:
        return any(policy.allow_metadata for policy in self.counting)

    @property
    def keeps_established(self) -> bool:
        return all(policy.established == "keep" for policy in self.policies)

    @property
    def max_connections(self) -> int | None:
        return min((policy.max_connections for policy in self.policies if policy.max_connections is not None), default=None)


@cache
def _without_metadata(allowance: Allowance) -> Allowance:
    """Itself where it has nothing of it."""
    known = (address for version in allowance.versions for address in METADATA[version])
    held = [address for address in known if allowance.covers(ip_address(address))]
    return replace(allowance, excluded=(*allowance.excluded, *held)) if held else allowance
