# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterator

import pytest
from host import Host


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
