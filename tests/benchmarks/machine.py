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
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "molecule" / "lab" / "run"
HOST, ADDRESS = "bench", "10.231.9.1"
TREES = ("containers", "peers", "libraries")
_THERE = "/opt/bench"
_PEERS = {"podman": "/usr/bin/podman", "cni": "/usr/lib/cni/bridge"}


class Machine:
    """Up within ``with``. ``missing``: rivals that are not installed, and why."""

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}
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
        for peer, program in _PEERS.items():
            if subprocess.run([LAB, "exec", HOST, "test", "-x", program], check=False).returncode:
                self.missing[peer] = f"{program} is not there"
        self._inventory.mkdir(parents=True, exist_ok=True)
        (self._inventory.parent / "ansible.cfg").write_text("[defaults]\n")
        (self._inventory / "hosts.yml").write_text(json.dumps({"all": {"hosts": {HOST: {"ansible_host": ADDRESS}}}}))
        return self

    def __exit__(self, *_error: object) -> None:
        subprocess.run([LAB, "down", HOST], check=True)

    def run(self, program: str, *arguments: str) -> Any:
        """What one of the programs in ``inside`` prints, which run there."""
        argv = ["env", f"PYTHONPATH={_THERE}", "/usr/bin/python3", f"{_THERE}/inside/{program}", *arguments]
        done = subprocess.run([LAB, "exec", HOST, *argv], stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{program} {' '.join(arguments)[:200]} failed on the host")
        return json.loads(done.stdout.splitlines()[-1])

    def engine(self, *operations: list[Any]) -> list[float]:
        """Seconds of each."""
        return [float(seconds) for seconds in self.run("engine.py", json.dumps(operations))]

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
            raise SystemExit(f"ansible-playbook: {done.stdout[-2000:]}")
        return time.perf_counter() - start
