# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A throw-away host to test on: real namespaces, real ansible runs, gone with its first process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
THROWAWAY = ROOT / "tests" / "throwaway"
CALLBACKS = ROOT / "tests" / "integration" / "callback"
DRIVER = ROOT / "tests" / "integration" / "driver.py"
BIN = Path(sys.executable).parent
UNKNOWN = "(known after apply)"
TIMEOUT = 300


class Failed(AssertionError):
    """A task failed that was expected to go well."""


class Host:
    """One host; ``run`` runs a command on it, ``play`` real ansible tasks."""

    def __init__(self) -> None:
        init = "echo ready; while :; do sleep 3600 & wait $!; done"
        self._process = subprocess.Popen([str(THROWAWAY), "bash", "-c", init], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        self.pid = int(children[0])
        self._enter = ["nsenter", f"--target={self.pid}", "--net", "--mount", "--pid", "--ipc", "--uts"]
        if os.geteuid():
            self._enter += ["--user", "--preserve-credentials"]
        self._home = tempfile.TemporaryDirectory(prefix="podnet-test-")
        self.tmp = Path(self._home.name)
        # The same directory on both sides, so that files of tests can be told to tasks by their path.
        self.env = {
            "PATH": f"{BIN}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": self._home.name,
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(next((Path(sys.prefix) / "lib").glob("python3*/site-packages"))),
            "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
            "ANSIBLE_STDOUT_CALLBACK": "results",
            # Ansible takes ~ from the password file, which may name a directory that is not ours.
            "ANSIBLE_REMOTE_TMP": f"{self._home.name}/.ansible/tmp",
            "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        }

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._home.cleanup()

    def run(
        self, *argv: str, check: bool = True, text: str | None = None, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """A command on the host; its failure is the test's unless ``check`` is false."""
        result = subprocess.run(
            [*self._enter, "--", *argv],
            input=text,
            capture_output=True,
            text=True,
            env={**self.env, **(env or {})},
            cwd="/",
            check=False,
            timeout=TIMEOUT,
        )
        if check and result.returncode:
            raise Failed(f"{' '.join(argv)}: exit {result.returncode}\n{result.stdout}\n{result.stderr}")
        return result

    def sh(self, script: str, *, check: bool = True) -> str:
        return self.run("sh", "-ec", script, check=check).stdout

    def start(self, *argv: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        """A process that goes on; it ends with the host at the latest."""
        return subprocess.Popen(
            [*self._enter, "--", *argv], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.env
        )

    def play(self, *tasks: dict[str, Any], env: dict[str, str] | None = None) -> list[dict[str, Any]]:
        """Real ansible-playbook: the result of every task. Failures are results here; see ``failed``."""
        book = [{"hosts": "localhost", "gather_facts": False, "tasks": [{"ignore_errors": True, **task} for task in tasks]}]
        path = self.tmp / "play.yml"
        path.write_text(json.dumps(book))
        done = self.run(str(BIN / "ansible-playbook"), str(path), check=False, env=env)
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"task"')]
        if len(lines) != len(tasks):
            raise Failed(f"ansible-playbook: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return [{**line["result"], "failed": line["status"] == "failed"} for line in lines]

    def do(self, module: str, **options: Any) -> dict[str, Any]:
        """One task that must go well; ``check_mode`` and ``diff`` are the task's, the rest the module's."""
        return self.must(self.play(task(module, **options))[0])

    def refused(self, module: str, **options: Any) -> dict[str, Any]:
        """One task that must fail."""
        result = self.play(task(module, **options))[0]
        assert result["failed"], result
        assert "Traceback" not in json.dumps(result)
        assert result["reason"], result
        return result

    @staticmethod
    def must(result: dict[str, Any]) -> dict[str, Any]:
        if result["failed"]:
            raise Failed(json.dumps(result, indent=1))
        return result

    def quartet(self, module: str, **options: Any) -> dict[str, Any]:
        """Check mode, run, run again, check mode again: predicted, done, idempotent. The real run's result."""
        return self.quartets((module, options))[0]

    def quartets(self, *steps: tuple[str, dict[str, Any]] | str) -> list[dict[str, Any]]:
        """A quartet for every (module, options), shell scripts in between, all in one playbook; the real runs' results."""
        tasks: list[dict[str, Any]] = []
        for step in steps:
            if isinstance(step, str):
                tasks.append({"ansible.builtin.shell": step})
                continue
            module, options = step
            for dry in (True, False, False, True):
                tasks.append(task(module, check_mode=dry, diff=True, **options))
        results = iter(self.play(*tasks))
        reals = []
        for step in steps:
            if isinstance(step, str):
                self.must(next(results))
                continue
            dry, real, again, dry_again = (self.must(next(results)) for _run in range(4))
            assert dry["changed"] is real["changed"] is True, (step, dry, real)
            assert predicted(dry["diff"], real["diff"]), (step, dry["diff"], real["diff"])
            assert again["changed"] is False, (step, again["diff"])
            assert dry_again["changed"] is False, (step, dry_again["diff"])
            assert again["diff"] == dry_again["diff"] == []
            reals.append(real)
        return reals

    def refusals(self, module: str, *cases: tuple[dict[str, Any], str, str]) -> None:
        """Tasks that must fail, in one playbook: the options, the reason, and what the message must name."""
        for case, result in zip(cases, self.play(*(task(module, **options) for options, _reason, _named in cases))):
            _options, reason, named = case
            assert result["failed"] and result.get("reason") == reason and named in result["msg"], (case, result)
            assert "Traceback" not in json.dumps(result), result

    def drive(self, scenario: dict[str, Any]) -> dict[str, Any]:
        """The engine in a process of its own, for what no playbook can do: failing and dying behind an operation."""
        done = self.run(sys.executable, str(DRIVER), text=json.dumps(scenario))
        return json.loads(done.stdout.splitlines()[-1])

    def inside(self, sandbox: dict[str, Any], *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command in a sandbox's network namespace, with its resolver files."""
        return self.run("ip", "netns", "exec", sandbox["ns_name"], *argv, check=check)

    def pings(self, sandbox: dict[str, Any], address: str) -> bool:
        return self.inside(sandbox, "ping", "-c1", "-W1", "-n", address, check=False).returncode == 0

    def json(self, *argv: str) -> Any:
        return json.loads(self.run(*argv).stdout or "[]")

    def tree(self) -> dict[str, str]:
        """What podnet.linux keeps in files: path and content."""
        return self.drive({"snapshot": True})["files"]


def task(module: str, *, check_mode: bool | None = None, diff: bool | None = None, **options: Any) -> dict[str, Any]:
    out: dict[str, Any] = {f"podnet.linux.{module}": options}
    if check_mode is not None:
        out["check_mode"] = check_mode
    if diff is not None:
        out["diff"] = diff
    return out


def predicted(dry: Any, real: Any) -> bool:
    """Equal, what only the run could know left out."""
    if dry == UNKNOWN:
        return True
    if isinstance(dry, dict) and isinstance(real, dict):
        return dry.keys() == real.keys() and all(predicted(dry[key], real[key]) for key in dry)
    if isinstance(dry, list) and isinstance(real, list):
        return len(dry) == len(real) and all(predicted(one, other) for one, other in zip(dry, real))
    return dry == real
