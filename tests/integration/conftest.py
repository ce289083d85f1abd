# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterator

import pytest
from host import FORK_SERVER, Host
from talk import add_lan


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
    """A host with a neighbour called lan on its segment."""
    add_lan(host)
    return host
