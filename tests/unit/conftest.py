# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from model import World
from runs import made
from state import FOREIGN_NETNS

_QUICK = settings(
    deadline=None, derandomize=True, max_examples=120, phases=(Phase.explicit, Phase.generate), suppress_health_check=list(HealthCheck)
)
settings.register_profile("quick", _QUICK)
settings.register_profile("shrink", _QUICK, phases=tuple(Phase), report_multiple_bugs=False)
settings.register_profile("deep", _QUICK, max_examples=2500, derandomize=False, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture
def world() -> World:
    """A host on which nothing was ever declared."""
    return World()


@pytest.fixture
def pods0(world: World) -> World:
    """A host with one dual-stack network."""
    return made(world, network={"name": "pods0", "subnets": ["10.90.0.0/24", "fd00:90::/64"]})


@pytest.fixture
def web(pods0: World) -> World:
    """The same with the sandbox web on it."""
    return made(pods0, sandbox={"name": "web", "network": "pods0"})


@pytest.fixture
def theirs(pods0: World) -> World:
    """The host with a network namespace of somebody else."""
    pods0.add_netns(FOREIGN_NETNS)
    return pods0
