# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a sandbox's resolv.conf and hosts files say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .._spec.fields import IPAddress
from .._spec.network import Network
from .._spec.sandbox import Sandbox

DIRECTORY = "/etc/netns"
MARK = "# Written by podnet.linux for sandbox"


def resolver_files(sandbox: Sandbox, networks: Mapping[str, Network], upstream: Sequence[IPAddress]) -> dict[str, str]:
    """Path and content; see resolver_paths()."""
    content = {"resolv.conf": lambda: resolv_conf(sandbox, networks, upstream), "hosts": lambda: hosts(sandbox)}
    return {path: content[name]() for name, path in resolver_paths(sandbox).items()}


def resolver_paths(sandbox: Sandbox) -> dict[str, str]:
    """Of the files that ip-netns(8) binds over those in /etc, by their names there; none without a net namespace."""
    return {name: f"{DIRECTORY}/{sandbox.ns_name}/{name}" for name in ("resolv.conf", "hosts") if sandbox.has_net}


def resolvers(sandbox: Sandbox, networks: Mapping[str, Network], upstream: Sequence[IPAddress]) -> Sequence[IPAddress]:
    """The sandbox's own, else those of its first network with a way out, else none. ``upstream``: those of the host."""
    if sandbox.dns is not None:
        return sandbox.dns
    network = _network(sandbox, networks)
    if network is not None and network.dns is not None:
        return network.dns
    return () if network is None or network.internal else upstream


def resolv_conf(sandbox: Sandbox, networks: Mapping[str, Network], upstream: Sequence[IPAddress]) -> str:
    """See resolv.conf(5)."""
    network = _network(sandbox, networks)
    servers = resolvers(sandbox, networks, upstream)
    search = sandbox.dns_search if sandbox.dns_search is not None else (network.dns_search if network else ())
    options = sandbox.dns_options if sandbox.dns_options is not None else (network.dns_options if network else ())
    lines = [f"{MARK} {sandbox.name} ({sandbox.id})", *(f"nameserver {server}" for server in servers)]
    if search:
        lines.append("search " + " ".join(search))
    if options:
        lines.append("options " + " ".join(options))
    return "\n".join(lines) + "\n"


def _network(sandbox: Sandbox, networks: Mapping[str, Network]) -> Network | None:
    attached = [networks[item.network] for item in sandbox.attachments if item.network in networks]
    return next((item for item in attached if not item.internal), attached[0] if attached else None)


def hosts(sandbox: Sandbox) -> str:
    lines = [f"{MARK} {sandbox.name} ({sandbox.id})", "127.0.0.1 localhost", "::1 localhost"]
    names = sandbox.hostname if sandbox.hostname == sandbox.name else f"{sandbox.hostname} {sandbox.name}"
    lines += [f"{address} {names}" for item in sandbox.attachments for address in item.addresses]
    lines += [f"{address} {name}" for name, address in sandbox.hosts]
    return "\n".join(lines) + "\n"
