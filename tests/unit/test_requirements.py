# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the Python libraries are found and loaded; each in an interpreter of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.podnet.linux.plugins.module_utils._errors import MissingDependency
from ansible_collections.podnet.linux.plugins.module_utils._requirements import is_roots_alone

ENGINE = "ansible_collections.podnet.linux.plugins.module_utils"
NEXT = "cannot import it (ModuleNotFoundError: No module named 'pyroute2.netlink')"
"""Of a package that has nothing but its version."""

OLDEST = Path(__file__).resolve().parents[2] / ".cache" / "libraries-oldest"


def python(code: str, *path: Path) -> str:
    """What the code prints, with these directories ahead of all others."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("path", ((), (OLDEST,)), ids=("newest", "oldest"))
def test_the_rest_of_pyroute2_comes_when_it_is_asked_for(path: tuple[Path, ...]) -> None:
    code = f"""
import sys
from {ENGINE}._host import links
before = {{name for name in ("pyroute2.iproute", "pyroute2.ndb", "asyncio") if name in sys.modules}}
import pyroute2
from pyroute2 import NDB, netns
assert not before, before
assert pyroute2.IPRoute and netns.setns and hasattr(pyroute2, "__version__")
assert not hasattr(pyroute2, "no_such_thing")
print("done")
"""
    assert python(code, *path) == "done"


def test_whoever_has_imported_it_keeps_it() -> None:
    assert (
        python(f"import pyroute2; before = pyroute2; from {ENGINE}._host import links; import pyroute2; print(pyroute2 is before)")
        == "True"
    )


@pytest.mark.parametrize("path", ((), (OLDEST,)), ids=("newest", "oldest"))
def test_leasing_imports_neither(path: tuple[Path, ...]) -> None:
    names = "[name for name in sys.modules if 'netaddr' in name or name == 'pyroute2.netlink']"
    code = f"import sys; from {ENGINE} import _leasing; from {ENGINE}._host import apply; print({names})"
    assert python(code, *path) == "[]"


@pytest.mark.parametrize(
    ("version", "named"),
    (
        ("0.7.1", "finds 0.7.1"),
        ("0.5.14", "finds 0.5.14"),
        ("0.7", "finds 0.7"),
        ("unknown", "finds unknown"),
        ("0.7.2", NEXT),
        ("0.10.0", NEXT),
        ("1.0rc1", NEXT),
    ),
)
def test_versions_are_numbers(tmp_path: Path, version: str, named: str) -> None:
    """As text, 0.10 would come before 0.7."""
    package = tmp_path / "pyroute2"
    (package / "config").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "config" / "__init__.py").touch()
    (package / "config" / "version.py").write_text(f"__version__ = {version!r}\n")
    found = python(
        f"from {ENGINE}._requirements import *\ntry:\n    require(PYROUTE2)\nexcept MissingDependency as error:\n    print(error)", tmp_path
    )
    assert named in found


def test_debian_notes_the_version_beside_the_package(tmp_path: Path) -> None:
    for name in (
        "pyroute2/__init__.py",
        "pyroute2/config/__init__.py",
        "pyroute2-0.5.14.egg-info/PKG-INFO",
        "pyroute2_minimal-9.egg-info/x",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = python(
        f"from {ENGINE}._requirements import *\ntry:\n    require(PYROUTE2)\nexcept MissingDependency as error:\n    print(error)", tmp_path
    )
    assert "finds 0.5.14" in found and "python3-pyroute2" in found and sys.executable in found


def test_what_others_may_change_is_not_roots_alone(tmp_path: Path) -> None:
    assert is_roots_alone("/no/such/file") is False
    assert is_roots_alone("/usr/bin") is (os.stat("/").st_uid == 0)
    # tests run below directories that everybody may write to, as /tmp.
    assert is_roots_alone(str(tmp_path)) is False
    assert issubclass(MissingDependency, Exception)
