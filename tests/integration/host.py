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
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import forkserver
from forkserver import Answer, ForkServer

ROOT = Path(__file__).resolve().parents[2]
THROWAWAY = ROOT / "tests" / "throwaway"
CALLBACKS = ROOT / "tests" / "integration" / "callback"
BIN = Path(sys.executable).parent
PREFIX = "podnet.linux."
FORK_SERVER = ForkServer()
KILL = "kill -9 {pid}; while grep -qs '^State:.[^Z]' /proc/{pid}/status; do sleep 0.01; done"
"""A shell script: a killed process still runs for a moment, until it is gone or a zombie."""
QUARTET = (True, False, False, True)
"""Check mode or not, run by run."""
UNKNOWN = "(known after apply)"
TIMEOUT = 300
"""Seconds until a command counts as hanging."""

TASK_TIMEOUT = 30
"""Seconds that each task of a playbook adds to that."""


class Failed(AssertionError):
    """A task failed that was expected to go well."""


class Host:
    """One host; ``run`` runs a command on it, ``play`` modules, ``playbook`` whatever ansible-playbook can."""

    real_ansible = False
    """Whether ``play`` goes through ansible-playbook too: ``pytest --ansible``."""

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
            "ANSIBLE_ASYNC_DIR": f"{self._home.name}/.ansible_async",
            "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        }

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._home.cleanup()

    def run(
        self, *argv: str, check: bool = True, text: str | None = None, env: dict[str, str] | None = None, seconds: float = TIMEOUT
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
            timeout=seconds,
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

    def until(self, condition: str) -> None:
        """Wait until a shell command succeeds, at most 30 seconds: the kernel and programs finish some things later."""
        deadline = time.monotonic() + 30
        while self.run("sh", "-c", condition, check=False).returncode:
            if time.monotonic() > deadline:
                raise Failed(f"not within 30 s: {condition}")
            time.sleep(0.02)

    def occupy(self, *enter: str) -> subprocess.Popen[str]:
        """Start a process in the namespaces that the command enters; it is there when this returns."""
        process = self.start(*enter, "sh", "-c", "echo ready; exec sleep 300")
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        return process

    def kill(self, pid: int | str) -> None:
        """Kill a process on the host, and wait for its end."""
        self.sh(KILL.format(pid=pid))

    def play(self, *tasks: dict[str, Any], env: dict[str, str] | None = None, enter: Sequence[str] = ()) -> list[dict[str, Any]]:
        """The result of every task: modules of this collection, with no keyword but check_mode and diff.

        Each runs as its own process with a real AnsibleModule, without Ansible's controller; see ``playbook`` for the rest,
        and for all under ``pytest --ansible``. Failures are results here; see ``failed``. ``enter``: a command that runs
        another one, such as ``unshare``.
        """
        if self.real_ansible:
            return self.playbook(*tasks, env=env, enter=enter)
        return [self._module_result(env, enter, **_parsed(task)) for task in tasks]

    def playbook(
        self, *tasks: dict[str, Any], env: dict[str, str] | None = None, enter: Sequence[str] = (), ansible: Path = BIN
    ) -> list[dict[str, Any]]:
        """Real ansible-playbook, the one in the directory ``ansible``: the result of every task, whatever it is."""
        argv = [*enter, str(ansible / "ansible-playbook"), self._book(*tasks)]
        done = self.run(*argv, check=False, env=env, seconds=TIMEOUT + TASK_TIMEOUT * len(tasks))
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"task"')]
        if len(lines) != len(tasks):
            raise Failed(f"ansible-playbook: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return [{**line["result"], "failed": line["status"] == "failed"} for line in lines]

    def _book(self, *tasks: dict[str, Any]) -> str:
        """The path of a playbook with these tasks, none of which stops it."""
        book = [{"hosts": "localhost", "gather_facts": False, "tasks": [{"ignore_errors": True, **task} for task in tasks]}]
        with tempfile.NamedTemporaryFile("w", dir=self.tmp, suffix=".yml", delete=False) as file:
            json.dump(book, file)
        return file.name

    def _module_result(self, env: dict[str, str] | None, enter: Sequence[str], module: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The result of one module, read as the controller reads it."""
        job = self._job(module, arguments)
        done: Answer | subprocess.CompletedProcess[str]
        if enter:
            done = self.run(*enter, sys.executable, forkserver.__file__, "--once", text=json.dumps(job), check=False, env=env)
        else:
            done = FORK_SERVER.run(self.pid, job, {**self.env, **(env or {})})
        try:
            result = json.loads(done.stdout)
        except ValueError:
            raise Failed(f"{module}: exit {done.returncode}\n{done.stdout}\n{done.stderr}") from None
        assert (done.returncode != 0) is result.get("failed", False), (module, done)
        if "warnings" in result:
            # ansible-core 2.19 and newer send them with the place that they come from.
            result["warnings"] = [item if isinstance(item, str) else item["event"]["msg"] for item in result["warnings"]]
        return {"failed": False, **result}

    def start_task(self, task: dict[str, Any]) -> subprocess.Popen[str]:
        """Start one module in a process of its own; it prints its result."""
        if self.real_ansible:
            return self.start(str(BIN / "ansible-playbook"), self._book(task))
        process = self.start(sys.executable, forkserver.__file__, "--once", stdin=subprocess.PIPE)
        assert process.stdin is not None
        process.stdin.write(json.dumps(self._job(**_parsed(task))))
        process.stdin.close()
        return process

    def _job(self, module: str, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"module": module, "arguments": {"_ansible_remote_tmp": self.env["ANSIBLE_REMOTE_TMP"], **arguments}}

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

    def quartets(self, *steps: tuple[str, dict[str, Any]] | str, ansible: Path | None = None) -> list[dict[str, Any]]:
        """A quartet for every (module, options), shell scripts in between; the real runs' results.

        ``ansible``: where the ansible-playbook is that runs them; see ``playbook``.
        """
        results = iter(self._results_of(steps, ansible))
        reals = []
        for step in steps:
            if isinstance(step, str):
                continue
            dry, real, again, dry_again = (self.must(next(results)) for _run in range(4))
            assert dry["changed"] is real["changed"] is True, (step, dry, real)
            assert predicted(dry["diff"], real["diff"]), (step, dry["diff"], real["diff"])
            assert again["changed"] is False, (step, again["diff"])
            assert dry_again["changed"] is False, (step, dry_again["diff"])
            assert again["diff"] == dry_again["diff"] == []
            reals.append(real)
        return reals

    def _results_of(self, steps: Sequence[tuple[str, dict[str, Any]] | str], ansible: Path | None) -> list[dict[str, Any]]:
        """Run the steps in order: the four results of every (module, options); a shell script must go well."""
        runs = [
            [{"ansible.builtin.shell": step}]
            if isinstance(step, str)
            else [task(step[0], check_mode=dry, diff=True, **step[1]) for dry in QUARTET]
            for step in steps
        ]
        results: list[dict[str, Any]] = []
        if self.real_ansible or ansible:
            tasks = [task for run in runs for task in run]
            for done, result in zip(tasks, self.playbook(*tasks, ansible=ansible or BIN)):
                if "ansible.builtin.shell" in done:
                    self.must(result)
                else:
                    results.append(result)
            return results
        for step, run in zip(steps, runs):
            if isinstance(step, str):
                self.run("sh", "-c", step)
            else:
                results += self.play(*run)
        return results

    def refusals(self, module: str, *cases: tuple[dict[str, Any], str, str]) -> None:
        """Tasks that must fail, in one playbook: the options, the reason, and what the message must name."""
        for case, result in zip(cases, self.play(*(task(module, **options) for options, _reason, _named in cases))):
            _options, reason, named = case
            assert result["failed"] and result.get("reason") == reason and named in result["msg"], (case, result)
            assert "Traceback" not in json.dumps(result), result

    def drive(self, scenario: dict[str, Any]) -> dict[str, Any]:
        """The engine in a process of its own, for what no playbook can do; ``{"died": signal}`` when one ended it."""
        done = FORK_SERVER.run(self.pid, {"scenario": scenario}, self.env)
        if done.returncode < 0:
            return {"died": -done.returncode}
        if done.returncode:
            raise Failed(f"exit {done.returncode}\n{done.stdout}\n{done.stderr}")
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


def _parsed(task: dict[str, Any]) -> dict[str, Any]:
    """The module of a task, and its arguments as Ansible hands them over."""
    (name,) = (key for key in task if key.startswith(PREFIX))
    keywords = {key: value for key, value in task.items() if key != name}
    arguments = {**task[name], "_ansible_check_mode": keywords.pop("check_mode", False), "_ansible_diff": keywords.pop("diff", False)}
    if keywords:
        raise TypeError(f"{', '.join(keywords)}: only a playbook has these; use Host.playbook")
    return {"module": name.removeprefix(PREFIX), "arguments": {**arguments, "_ansible_module_name": name}}


def task(module: str, *, check_mode: bool | None = None, diff: bool | None = None, **options: Any) -> dict[str, Any]:
    out: dict[str, Any] = {f"{PREFIX}{module}": options}
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
