# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterator

import pytest
from host import FORK_SERVER, Host
from talk import LAN


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--ansible", action="store_true", help="run every task through the real ansible-playbook")


def pytest_configure(config: pytest.Config) -> None:
    Host.real_ansible = config.getoption("ansible")


def pytest_unconfigure() -> None:
    FORK_SERVER.close()


@pytest.fixture
def host() -> Iterator[Host]:
    """A host on which nothing was ever declared."""
    host = Host()
    yield host
    host.close()


@pytest.fixture
def pods0(host: Host) -> Host:
    """A host with one dual-stack network."""
    host.do("bridge_network", name="pods0", subnets=["10.90.0.0/24", "fd00:90::/64"])
    return host


@pytest.fixture
def lan(host: Host) -> Host:
    """A neighbour called lan on the host's segment; it knows no way to any pod."""
    host.sh(
        "ip netns add lan; ip link add up0 type veth peer name eth0 netns lan;"
        "ip addr add 198.51.100.1/24 dev up0; ip addr add 2001:db8:1::1/64 dev up0 nodad; ip link set up0 up;"
        "ip -n lan addr add 198.51.100.2/24 dev eth0; ip -n lan addr add 2001:db8:1::2/64 dev eth0 nodad;"
        "ip -n lan link set eth0 up; ip -n lan link set lo up"
    )
    # The kernel adds the routes of an interface a moment after its carrier has come (net/core/link_watch.c).
    for neighbour in LAN:
        host.until(f"ping -c1 -W0.5 -n {neighbour} >/dev/null 2>&1")
    return host
