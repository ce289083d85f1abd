# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as a whole: documentation agrees with code, and imports point one way."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.podnet.linux.plugins.module_utils import _module

ROOT = Path(_module.__file__).parents[2]
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("[!_]*.py"))
LOOKING = [name for name in MODULES if name.endswith("_info") or name == "pod_probe"]
CHANGING = [name for name in MODULES if name not in LOOKING]
UTILS = ROOT / "plugins/module_utils"
PREFIX = "ansible_collections.podnet.linux.plugins"


class Captured(Exception):
    """Carries what a module hands to AnsibleModule."""


@cache
def constant(path: Path, name: str) -> Any:
    """A YAML text assigned at the top of a file, or in the class of a documentation fragment."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and any(isinstance(target, ast.Name) and target.id == name for target in node.targets):
            return yaml.safe_load(ast.literal_eval(node.value))
    raise AssertionError(f"{path} has no {name}")


def documentation(module: str) -> dict[str, Any]:
    """As ansible-doc would show it: the module's own part and those of its fragments."""
    own = dict(constant(ROOT / f"plugins/modules/{module}.py", "DOCUMENTATION"))
    for fragment in own.get("extends_documentation_fragment", []):
        parts = fragment.removeprefix("podnet.linux.").split(".")
        extra = constant(ROOT / f"plugins/doc_fragments/{parts[0]}.py", (parts[1] if len(parts) > 1 else "documentation").upper())
        for key, value in extra.items():
            if isinstance(value, dict):
                own[key] = {**value, **own.get(key, {})}
    return own


def argument_spec(module: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the module hands to AnsibleModule; nothing of Ansible is run."""
    loaded = importlib.import_module(f"{PREFIX}.modules.{module}")

    def capture(**words: Any) -> None:
        raise Captured(words)

    monkeypatch.setattr(loaded, "PodnetModule", capture)
    with pytest.raises(Captured) as caught:
        loaded.main()
    words: dict[str, Any] = caught.value.args[0]
    return words


def imports(path: Path) -> Iterator[str]:
    """What a file imports, as dotted names; relative ones resolved below module_utils."""
    package = path.relative_to(UTILS).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield from ([stem] if node.module else []) or (".".join([*base, alias.name]) for alias in node.names)


def engine_files() -> list[str]:
    return sorted(str(path.relative_to(UTILS)) for path in UTILS.rglob("*.py") if path.name != "_module.py")


def assert_same(options: dict[str, Any], spec: dict[str, Any], where: str) -> None:
    assert set(options) == set(spec), where
    for name, option in options.items():
        argument, at = spec[name], f"{where}.{name}"
        assert option.get("type", "str") == argument.get("type", "str"), at
        assert option.get("elements") == argument.get("elements"), at
        assert option.get("default") == argument.get("default"), at
        assert option.get("choices") == argument.get("choices"), at
        assert bool(option.get("required")) == bool(argument.get("required")), at
        assert sorted(option.get("aliases", [])) == sorted(argument.get("aliases", [])), at
        assert ("suboptions" in option) == ("options" in argument), at
        if "suboptions" in option:
            assert_same(option["suboptions"], argument["options"], at)


def test_the_action_group_holds_every_module() -> None:
    runtime = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())
    assert sorted(runtime["action_groups"]["all"]) == MODULES


@pytest.mark.parametrize("module", [name for name in CHANGING if name not in ("prune", "boot_engine", "snapshot")])
def test_a_changing_module_has_an_information_module(module: str) -> None:
    assert f"{module}_info" in MODULES


@pytest.mark.parametrize("module", MODULES)
def test_documented_options_are_the_options(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_same(documentation(module).get("options", {}), argument_spec(module, monkeypatch)["argument_spec"], module)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_can_run_in_check_mode(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert argument_spec(module, monkeypatch)["supports_check_mode"] is True


@pytest.mark.parametrize("module", CHANGING)
def test_a_changing_module_says_that_it_predicts_and_shows_differences(module: str) -> None:
    attributes = documentation(module)["attributes"]
    assert [attributes[name]["support"] for name in ("check_mode", "diff_mode", "idempotent")] == ["full"] * 3


@pytest.mark.parametrize("module", LOOKING)
def test_an_information_module_says_that_it_has_no_differences(module: str) -> None:
    attributes = documentation(module)["attributes"]
    assert [attributes[name]["support"] for name in ("check_mode", "diff_mode")] == ["full", "N/A"]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_says_that_it_is_in_the_action_group(module: str) -> None:
    assert documentation(module)["attributes"]["action_group"]["membership"] == ["podnet.linux.all"]


@pytest.mark.parametrize("module", MODULES)
def test_documentation_is_of_the_module(module: str) -> None:
    documented = documentation(module)
    assert documented["module"] == module
    assert {"short_description", "description", "author", "version_added"} <= set(documented)


@pytest.mark.parametrize("module", MODULES)
def test_examples_use_modules_that_exist_with_options_that_exist(module: str) -> None:
    used = []
    for task in constant(ROOT / f"plugins/modules/{module}.py", "EXAMPLES"):
        names = [key for key in task if key.count(".") == 2]
        assert len(names) == 1, task
        if names[0].startswith("ansible.builtin."):
            continue
        used.append(names[0].removeprefix("podnet.linux."))
        options = documentation(used[-1]).get("options", {})
        known = set(options) | {alias for option in options.values() for alias in option.get("aliases", [])}
        assert set(task[names[0]] or {}) <= known
    assert module in used and set(used) <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_every_example_has_a_name(module: str) -> None:
    assert all(task.get("name") for task in constant(ROOT / f"plugins/modules/{module}.py", "EXAMPLES"))


@pytest.mark.parametrize("module", MODULES)
def test_return_values_are_described(module: str) -> None:
    values = constant(ROOT / f"plugins/modules/{module}.py", "RETURN")
    assert values and all({"description", "returned", "type"} <= set(value) for value in values.values())


@pytest.mark.parametrize("module", MODULES)
def test_what_is_seen_also_exists(module: str) -> None:
    seen = [item["module"] for item in documentation(module).get("seealso", []) if "module" in item]
    assert {item.removeprefix("podnet.linux.") for item in seen} <= set(MODULES)


@pytest.mark.parametrize("file", [name for name in engine_files() if name.startswith(("_spec", "_plan"))])
def test_spec_and_plan_need_no_linux_no_root_no_ansible(file: str) -> None:
    barred = ("ansible", "_host", "_store", "_engine", "_leasing", "_module", "os", "subprocess", "socket", "ctypes", "fcntl")
    assert not [name for name in imports(UTILS / file) if name.split(".")[0] in barred]


@pytest.mark.parametrize("file", [name for name in engine_files() if name.startswith("_spec")])
def test_spec_knows_nothing_of_plans(file: str) -> None:
    assert not [name for name in imports(UTILS / file) if name.split(".")[0] == "_plan"]


@pytest.mark.parametrize("file", engine_files())
def test_the_engine_knows_nothing_of_ansible(file: str) -> None:
    assert not [name for name in imports(UTILS / file) if name.split(".")[0] == "ansible"]


def test_imports_are_seen_at_all() -> None:
    assert {"ansible.module_utils.basic", "_errors"} <= set(imports(UTILS / "_module.py"))
    assert {"_errors", "_spec.fields", "_plan.draft"} <= set(imports(UTILS / "_plan/leases.py"))


@pytest.mark.parametrize("path", sorted(str(path.relative_to(ROOT)) for path in (ROOT / "plugins").rglob("*.py") if path.read_text()))
def test_a_file_starts_with_copyright_and_license(path: str) -> None:
    lines = [line for line in (ROOT / path).read_text().splitlines() if not line.startswith("#!")]
    assert lines[0].startswith("# Copyright (c)") and "SPDX-License-Identifier: GPL-3.0-or-later" in lines[2]


@pytest.mark.parametrize("path", sorted(str(path.relative_to(ROOT)) for path in (ROOT / "plugins").rglob("*.py") if path.read_text()))
def test_no_plugin_asserts(path: str) -> None:
    assert not [node for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.Assert)]
