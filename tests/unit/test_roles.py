# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles and playbooks: what they say of themselves is what they do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_collection import ROOT, documentation

ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yml"))
WHOLE = {"network": "bridge_network", "sandbox": "pod_sandbox", "policy": "egress_policy"}
NO_DEFAULT = {
    "network": {"name", "subnets", "mtu", "dns", "state", "force"},
    "sandbox": {
        *("name", "id", "network", "networks", "netns", "addresses", "hostname", "namespaces", "egress"),
        *("dns", "dns_search", "dns_options", "state", "force"),
    },
    "policy": {"name", "sandbox", "network", "state"},
}
"""Options that no value puts back to their default, and those that say which object is meant."""


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def specs(role: str) -> dict[str, Any]:
    found: dict[str, Any] = load(ROOT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
    return found


@pytest.mark.parametrize("role", ROLES)
def test_defaults_are_those_of_the_argument_specs(role: str) -> None:
    assert load(ROOT / "roles" / role / "defaults" / "main.yml") == {
        name: option["default"] for name, option in specs(role).items() if "default" in option
    }


@pytest.mark.parametrize("role", ROLES)
def test_the_page_of_a_role_names_every_option(role: str) -> None:
    page = (ROOT / "roles" / role / "README.md").read_text()
    assert f"# podnet.linux.{role}\n" in page
    assert [name for name in specs(role) if f"`{name}`" not in page] == []


@pytest.mark.parametrize("role", ROLES)
def test_a_role_says_who_it_is(role: str) -> None:
    info = load(ROOT / "roles" / role / "meta" / "main.yml")["galaxy_info"]
    assert info["role_name"] == role and info["description"]


@pytest.mark.parametrize("role", ROLES)
def test_booleans_are_booleans_whoever_gives_them(role: str) -> None:
    """``-e host_repair=false`` gives a text that is not empty. Modules know that, conditions and templates do not."""
    for name in (name for name, option in specs(role).items() if option["type"] == "bool"):
        for path in [*(ROOT / "roles" / role).glob("tasks/*.yml"), *(ROOT / "roles" / role).glob("vars/*.yml"), *PLAYBOOKS]:
            for line in path.read_text().splitlines():
                whole = re.sub(rf'"{{{{ {name} }}}}"', "", line)
                if "force" not in line:  # a module's option in a dict
                    assert not re.search(rf"\b{name}\b(?! \| bool)", whole), (path, line)


@pytest.mark.parametrize("kind", WHOLE)
def test_items_are_stated_whole(kind: str) -> None:
    """Every option of the module goes back to its default where an item leaves it out, or has no value that would do that."""
    base = load(ROOT / "roles" / "pods" / "vars" / "main.yml")[f"pods_{kind}_base"]
    plural = {"network": "networks", "sandbox": "sandboxes", "policy": "policies"}[kind]
    options = documentation(WHOLE[kind])["options"][plural]["suboptions"]
    assert set(base) | NO_DEFAULT[kind] == set(options)
    assert not set(base) & NO_DEFAULT[kind]


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.stem)
def test_playbooks_are_in_the_readme(path: Path) -> None:
    assert path.stem == "demo" or f"podnet.linux.{path.stem}" in (ROOT / "README.md").read_text()


def test_every_role_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    assert [role for role in ROLES if f"roles/{role}/README.md" not in text] == []
