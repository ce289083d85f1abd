# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that has imported every module and the engine, and forks to run one of them on a throw-away host.

Starting ansible-playbook costs a second and each of its tasks half a second; a fork costs some milliseconds. The child
enters the namespaces of the host (setns(2)) and runs the module's own ``main()`` with a real AnsibleModule.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from typing import Any

COLLECTION = "ansible_collections.podnet.linux.plugins"
ANSWER_TIMEOUT = 300.0
"""Seconds until a run counts as hanging. It hangs too when it leaves its standard output open in another process."""

_NAMESPACES = {"user": 0x10000000, "mnt": 0x00020000, "net": 0x40000000, "ipc": 0x08000000, "uts": 0x04000000, "pid": 0x20000000}
"""The flags of setns(2), in the order in which they are entered: the user namespace gives the right to the others."""


_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Answer:
    """What a run printed, and its exit status: the signal's number, negated, when a signal ended it."""

    stdout: str
    stderr: str
    returncode: int


class ForkServer:
    """The client's side; the server starts with the first run."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(self, host_pid: int, job: dict[str, Any], env: dict[str, str]) -> Answer:
        """Run a job on the host whose first process is ``host_pid``, with this environment.

        Jobs: ``{"module": name, "arguments": {...}}`` and ``{"scenario": {...}}`` (see driver.py).
        """
        if self._process is None:
            self._process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"host_pid": host_pid, "job": job, "env": env}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the fork server ended with {self._process.wait()}")
        return Answer(**json.loads(line))

    def close(self) -> None:
        """End the server; the next run starts another."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()
            self._process = None


def serve() -> None:
    """Answer the requests on standard input, one line each, until it is closed."""
    answers = os.fdopen(os.dup(1), "w")
    # Keep other output of this process and its children out of the answers.
    os.dup2(2, 1)
    _import_everything()
    # Keep the garbage collector away from the parent's objects, so that children share their memory (gc.freeze).
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        request = json.loads(line)
        answers.write(json.dumps(_answer(**request)) + "\n")
        answers.flush()


def _import_everything() -> None:
    importlib.import_module("ansible.module_utils.testing")
    for package in (f"{COLLECTION}.module_utils", f"{COLLECTION}.modules"):
        for item in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            importlib.import_module(item.name)
    importlib.import_module("driver")


def _answer(host_pid: int, job: dict[str, Any], env: dict[str, str]) -> dict[str, Any]:
    """Run the job in a child, and collect what it prints until no process holds its output.

    That is how Ansible waits for a module too: a process left behind with the module's output hangs the task.
    """
    pipes = [os.pipe(), os.pipe()]
    child = os.fork()
    if child == 0:
        _child(lambda: _enter_and_run(host_pid, job, env), pipes[0][1], pipes[1][1])
    for _read, write in pipes:
        os.close(write)
    (stdout, errors), ended = _read_until_closed([read for read, _write in pipes], time.monotonic() + ANSWER_TIMEOUT)
    if not ended:
        os.kill(child, signal.SIGKILL)
        errors += f"\nthe run, or a process that it left behind with its output, goes on after {ANSWER_TIMEOUT:.0f} s"
    _pid, status = os.waitpid(child, 0)
    return {"stdout": stdout, "stderr": errors, "returncode": os.waitstatus_to_exitcode(status) if ended else -signal.SIGKILL}


def _read_until_closed(pipes: list[int], deadline: float) -> tuple[list[str], bool]:
    """Read pipes to their end, and close them; False when one is still open at the deadline."""
    data = dict.fromkeys(pipes, b"")
    waiting = set(pipes)
    while waiting and (readable := select.select(waiting, [], [], max(0.0, deadline - time.monotonic()))[0]):
        for fd in readable:
            piece = os.read(fd, 65536)
            data[fd] += piece
            if not piece:
                waiting.remove(fd)
    for fd in pipes:
        os.close(fd)
    return [data[fd].decode(errors="replace") for fd in pipes], not waiting


def _child(run: Any, stdout: int, stderr: int) -> None:
    """Run with these descriptors and no other, and exit as the interpreter would."""
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        os.closerange(3, 1024)
        code = run()
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else 0 if exit_.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        # What an interpreter does at its end: a module that leaves a thread behind hangs here, too.
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _enter_and_run(host_pid: int, job: dict[str, Any], env: dict[str, str]) -> int:
    """Enter the host and run the job in a child, since a process does not change its own PID namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    kinds = [kind for kind in _NAMESPACES if kind != "user" or os.geteuid()]
    fds = {kind: os.open(f"/proc/{host_pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in kinds}
    for kind, fd in fds.items():
        if libc.setns(fd, _NAMESPACES[kind]) < 0:
            raise OSError(ctypes.get_errno(), f"setns to {kind} of {host_pid}")
        os.close(fd)
    os.chdir("/")
    child = os.fork()
    if child:
        _pid, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            # Pass the signal on, so that the server sees how the run ended.
            os.kill(os.getpid(), -code)
        return code
    # When the server gives up and kills the parent, this process ends as well (prctl(2)).
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.environ.clear()
    os.environ.update(env)
    _run_job(job)
    return 0


def _run_job(job: dict[str, Any]) -> None:
    if "scenario" in job:
        from driver import answer

        print(json.dumps(answer(job["scenario"]), default=str))
        return
    from ansible.module_utils import testing

    with testing.patch_module_args(job["arguments"]):
        importlib.import_module(f"{COLLECTION}.modules.{job['module']}").main()


def run_once() -> None:
    """Run the one job on standard input in this process, wherever it is."""
    _run_job(json.load(sys.stdin))


if __name__ == "__main__":
    run_once() if sys.argv[1:] == ["--once"] else serve()
