# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host of molecule/lab to measure on: with a real systemd, and with the rivals."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "molecule" / "lab" / "run"
HOST, ADDRESS = "bench", "10.231.9.1"
TREES = ("containers", "peers", "libraries")
_THERE = "/opt/bench"
_BEFORE = "/opt/before"
_CODE = ("plugins", "tests/benchmarks/inside")
_PEERS = {"podman": "/usr/bin/podman", "cni": "/usr/lib/cni/bridge"}


class Failed(Exception):
    """A program failed on the host."""


class Machine:
    """Up within ``with``. ``missing``: rivals that are not installed, and why; ``before``: a commit to compare with."""

    def __init__(self, before: str = "") -> None:
        self.missing: dict[str, str] = {}
        self.engines = ("engine", "before") if before else ("engine",)
        self._before = before
        self._inventory = ROOT / ".cache" / "bench" / "inventory"

    def __enter__(self) -> Machine:
        trees = [ROOT / ".cache" / tree for tree in TREES]
        arguments = [word for tree in trees if tree.is_dir() for word in ("--tree", str(tree))]
        subprocess.run([LAB, "up", f"{HOST}={ADDRESS}", *arguments], check=True, stdout=subprocess.DEVNULL)
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as archive:
            archive.add(ROOT / "plugins", f"{_THERE}/ansible_collections/podnet/linux/plugins")
            archive.add(ROOT / "tests" / "benchmarks" / "inside", f"{_THERE}/inside")
        subprocess.run([LAB, "exec", HOST, "tar", "-C", "/", "-xf", "-"], input=data.getvalue(), check=True)
        if self._before:
            self._bring(self._before)
        for peer, program in _PEERS.items():
            if subprocess.run([LAB, "exec", HOST, "test", "-x", program], check=False).returncode:
                self.missing[peer] = f"{program} is not there"
        self._inventory.mkdir(parents=True, exist_ok=True)
        (self._inventory.parent / "ansible.cfg").write_text("[defaults]\n")
        (self._inventory / "hosts.yml").write_text(json.dumps({"all": {"hosts": {HOST: {"ansible_host": ADDRESS}}}}))
        return self

    def __exit__(self, *_error: object) -> None:
        subprocess.run([LAB, "down", HOST], check=True)

    def restart(self) -> None:
        """Go on with a host on which nothing has happened."""
        self.__exit__()
        self.__enter__()

    def _bring(self, commit: str) -> None:
        """Its engine, and its own way of calling it."""
        with tempfile.TemporaryDirectory() as directory:
            archive = subprocess.run(["git", "-C", ROOT, "archive", commit, *_CODE], check=True, stdout=subprocess.PIPE).stdout
            subprocess.run(["tar", "-C", directory, "-xf", "-"], input=archive, check=True)
            data = io.BytesIO()
            with tarfile.open(fileobj=data, mode="w") as both:
                both.add(Path(directory) / "plugins", f"{_BEFORE}/ansible_collections/podnet/linux/plugins")
                both.add(Path(directory) / "tests" / "benchmarks" / "inside", f"{_BEFORE}/inside")
        subprocess.run([LAB, "exec", HOST, "tar", "-C", "/", "-xf", "-"], input=data.getvalue(), check=True)

    def forget_leases(self) -> None:
        """Remove all free-standing pools, so that the next lease is the first one."""
        subprocess.run([LAB, "exec", HOST, "rm", "-rf", "/var/lib/podnet/pools", "/var/lib/podnet/leases"], check=True)

    def run(self, program: str, *arguments: str, there: str = _THERE) -> Any:
        """What one of the programs in ``inside`` prints, which run there."""
        argv = ["env", f"PYTHONPATH={there}", "/usr/bin/python3", f"{there}/inside/{program}", *arguments]
        done = subprocess.run([LAB, "exec", HOST, *argv], stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise Failed(f"{program} {' '.join(arguments)[:200]} failed on the host")
        return json.loads(done.stdout.splitlines()[-1])

    def engine(self, *operations: list[Any], column: str = "engine") -> list[float]:
        """Seconds of each; ``column``: of this engine, or of the one "before"."""
        there = _BEFORE if column == "before" else _THERE
        return [float(seconds) for seconds in self.run("engine.py", json.dumps(operations), there=there)]

    def ansible(self, module: str, **options: Any) -> float:
        """Seconds of a task, from the command line to its end."""
        playbook = self._inventory / "playbook.json"
        playbook.write_text(json.dumps([{"hosts": HOST, "gather_facts": False, "tasks": [{module: options}]}]))
        env = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "tree"),
            "ANSIBLE_CONFIG": str(self._inventory.parent / "ansible.cfg"),
            "ANSIBLE_PIPELINING": "1",
            "MOLECULE_PROJECT_DIRECTORY": str(ROOT),
        }
        inventories = [
            f"--inventory={path}" for path in (ROOT / "molecule" / "shared" / "inventory" / "lab.yml", self._inventory / "hosts.yml")
        ]
        program = ROOT / ".venv" / "bin" / "ansible-playbook"
        start = time.perf_counter()
        done = subprocess.run([program, *inventories, playbook], env=env, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise Failed(f"ansible-playbook: {done.stdout[-2000:]}")
        return time.perf_counter() - start
