# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The quality gate. All parts, side by side, or those that are named: ``make test PART="unit docs"``."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
BIN = ROOT / ".venv" / "bin"
CACHE = ROOT / ".cache"
IMPORTER = CACHE / "galaxy-importer" / "bin"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
SITE_PACKAGES = BIN.parent / "lib" / f"python{PYTHON}" / "site-packages"

# Nothing of the caller's Ansible or Python set-up gets in, and no tool writes to the home directory.
ENV = {
    **{name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHON", "MAKE", "MFLAGS"))},
    "PATH": f"{BIN}:{os.environ['PATH']}:/usr/sbin:/sbin",
    "HOME": str(CACHE / "home"),
    # Before ~/.ansible, where an installed copy would hide the working tree.
    "ANSIBLE_COLLECTIONS_PATH": str(SITE_PACKAGES),
    "MYPYPATH": f"{CACHE / 'tree'}:{ROOT / 'molecule'}",
    "MYPY_CACHE_DIR": str(CACHE / "mypy"),
    "RUFF_CACHE_DIR": str(CACHE / "ruff"),
    "HYPOTHESIS_STORAGE_DIRECTORY": str(CACHE / "hypothesis"),
}


SCENARIOS = ("default", "fleet")


class Failed(Exception):
    """A part failed; its output has said why."""


def succeeds(*argv: str | Path, cwd: Path = ROOT, **env: str) -> bool:
    """Run a command, show it, and tell whether it exited with 0."""
    print("$", *argv, flush=True)
    return subprocess.run(argv, cwd=cwd, env={**ENV, **env}, check=False).returncode == 0


def run(*argv: str | Path, cwd: Path = ROOT, **env: str) -> None:
    """Run a command, show it, and fail the part with it."""
    if not succeeds(*argv, cwd=cwd, **env):
        raise Failed(f"{Path(argv[0]).name} failed")


def at_once(commands: dict[str, list[str]], **env: str) -> None:
    """Run commands at the same time, show each one's output as a whole, and fail the part with those that fail."""
    failed = []
    with contextlib.ExitStack() as outputs:
        running = []
        for name, argv in commands.items():
            print("$", *argv, flush=True)
            output = outputs.enter_context(tempfile.TemporaryFile())
            process = subprocess.Popen(argv, cwd=ROOT, env={**ENV, **env}, stdout=output, stderr=output)
            running.append((name, process, output))
        for name, process, output in running:
            failed += [name] if process.wait() else []
            show(output)
    if failed:
        raise Failed(f"{', '.join(failed)} failed")


def show(output: IO[bytes]) -> None:
    """Print all of a file."""
    output.seek(0)
    sys.stdout.flush()
    shutil.copyfileobj(output, sys.stdout.buffer)
    sys.stdout.flush()


def code() -> None:
    checks = (
        ("ruff", "format", "--check", "."),
        ("ruff", "check", "."),
        ("mypy", "-p", "ansible_collections.podnet.linux.plugins"),
        ("mypy", "-p", "lab"),
    )
    failed = [" ".join(check[:2]) for check in checks if not succeeds(*check)]
    if failed:
        raise Failed(f"{', '.join(failed)} failed")


def pytest(tests: str, *argv: str) -> None:
    run("pytest", "-o", f"cache_dir={CACHE / 'pytest' / tests}", *argv, tests)


def unit() -> None:
    pytest("tests/unit")


def integration(*argv: str) -> None:
    pytest("tests/integration", "-n", "4", "--dist", "worksteal", "--durations", "25", "--durations-min", "0.1", *argv)


def integration_ansible() -> None:
    integration("--ansible")


def oldest_libraries() -> None:
    """What is imported from this directory hides the libraries in .venv."""
    oldest = str(CACHE / "libraries-oldest")
    for tests, workers in (("tests/unit", "2"), ("tests/integration", "4")):
        run("pytest", "-o", f"cache_dir={CACHE / 'pytest' / tests}", "-n", workers, "--dist", "worksteal", tests, PYTHONPATH=oldest)


def sanity() -> None:
    """ansible-test follows the link in site-packages and then refuses to work, so it gets a copy."""
    copy = CACHE / "sanity" / "ansible_collections" / "podnet" / "linux"
    shutil.rmtree(copy, ignore_errors=True)
    listing = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    for name in filter(None, listing.stdout.split("\0")):
        if (ROOT / name).is_file():  # git lists what is deleted but not yet committed, too
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    if not copy.exists():
        raise Failed("git ls-files listed nothing")
    # Or ansible-test asks the repository around it, which ignores .cache, and has no file to test.
    run("git", "init", "--quiet", copy)

    # ansible-test wants a script off the network to put pip into its environments; Python brings its own.
    get_pip = Path(ENV["HOME"]) / ".ansible" / "test" / "cache" / "get_pip_24_2.py"
    get_pip.parent.mkdir(parents=True, exist_ok=True)
    get_pip.write_text("import ensurepip; ensurepip.bootstrap()\n")

    argv = ["ansible-test", "sanity", "--local", "--python", PYTHON, "--requirements", "--color", "no"]
    print("$", *argv, flush=True)
    started = skipped = 0
    with subprocess.Popen(argv, cwd=copy, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            started += line.startswith("Running sanity test ")
            skipped += "Skipping" in line
    print(f"{started} sanity tests ran, {skipped} were skipped")
    if process.returncode or not started or skipped:
        raise Failed("ansible-test failed, or did not run everything")


def molecule() -> None:
    """Scenarios on hosts of molecule/lab, at the same time, since each waits a lot; and then nothing may be left of the hosts."""
    lab = ROOT / "molecule" / "lab" / "run"
    check = subprocess.run([lab, "check"], env=ENV, capture_output=True, text=True, timeout=60, check=False)
    if check.returncode == 77:
        print(f"The scenarios are left out: {check.stderr.strip()}")
        return
    if check.returncode:
        raise Failed(check.stderr.strip())
    try:
        # The pattern is molecule's own; named, it keeps molecule from recommending another place.
        env = {"MOLECULE_GLOB": "molecule/*/molecule.yml"}
        at_once({name: ["timeout", "--kill-after=30", "1200", "molecule", "test", "-s", name] for name in SCENARIOS}, **env)
    finally:
        run(lab, "down", "--all")
        run(lab, "leftovers")


def demo() -> None:
    run(ROOT / "scripts" / "demo")


def lint() -> None:
    run("ansible-lint", "--offline")


def docs() -> None:
    run("antsibull-docs", "lint-collection-docs", "--plugin-docs", "--skip-rstcheck", ".")


def changelog() -> None:
    run("antsibull-changelog", "lint")


def build() -> None:
    out = CACHE / "build"
    shutil.rmtree(out, ignore_errors=True)
    run("ansible-galaxy", "collection", "build", "--output-path", out)
    (artifact,) = out.glob("*.tar.gz")
    run(
        IMPORTER / "python",
        "-m",
        "galaxy_importer.main",
        artifact.name,
        cwd=out,
        PATH=f"{IMPORTER}:{ENV['PATH']}",
        GALAXY_IMPORTER_CHECK_REQUIRED_TAGS="true",
        GALAXY_IMPORTER_REQUIRE_V1_OR_GREATER="true",
    )
    # As ansible-builder does for an execution environment: the files that meta/execution-environment.yml names are there.
    installed = out / "installed"
    run("ansible-galaxy", "collection", "install", artifact, "--offline", "--force", ANSIBLE_COLLECTIONS_PATH=str(installed))
    run(IMPORTER / "ansible-builder", "introspect", installed, "--write-bindep", out / "bindep.txt")
    if "nftables" not in (out / "bindep.txt").read_text():
        raise Failed("ansible-builder did not find what the collection needs")


PARTS: dict[str, tuple[str, Callable[[], None]]] = {
    "integration": ("modules run for real on throw-away hosts", integration),
    "code": ("format, style and types", code),
    "unit": ("the parts that need no root and no kernel", unit),
    "lint": ("ansible-lint, profile production", lint),
    "docs": ("the modules' documentation", docs),
    "changelog": ("the changelog's fragments", changelog),
    "build": ("build the collection, import it as Galaxy would, introspect it as ansible-builder does", build),
    "demo": ("the tour, as make demo takes it", demo),
    "sanity": (f"ansible-test sanity on Python {PYTHON}", sanity),
    "molecule": ("hosts with a real systemd, over SSH", molecule),
    "oldest-libraries": ("unit and integration tests with the oldest supported pyroute2 and netaddr", oldest_libraries),
    "integration-ansible": ("the integration tests, each task through the real ansible-playbook", integration_ansible),
}
"""In the order in which they are started."""

ON_DEMAND = ("integration-ansible", "oldest-libraries")
AT_ONCE = 2
"""Parts that run at the same time: one waits while another computes, and two cores are what the gate is made for."""

ALONE = ("molecule",)
"""Parts that run beside no other: the hosts of the scenarios use both cores already."""

HEARTBEAT = 30.0
"""Seconds between two signs of life of a run of several parts."""

CLEANUP = 60.0
"""Seconds that interrupted parts have to clean up."""

LINGER = 3.0
"""Seconds after the end of a part until its processes count as left behind."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Each ends the run, and all of its parts."""

INSIDE = "--inside"
"""The argument of a process that is itself a part."""


def perform(name: str) -> bool:
    """Run one part in this process; True when it passed."""
    print(f"\n== {name}: {PARTS[name][0]} ==", flush=True)
    start, passed = time.monotonic(), True
    try:
        PARTS[name][1]()
    except Failed as failure:
        passed = False
        print(f"-- {name}: {failure}; to repeat this part alone: make test PART={name}")
    print(f"-- {name}: {'passed' if passed else 'FAILED'} in {time.monotonic() - start:.1f} s", flush=True)
    return passed


@dataclass
class Part:
    """A part that runs in a session of its own (setsid(2)), so that all of it can be ended. ``output``: a file; None: this one's."""

    name: str
    output: IO[bytes] | None
    process: subprocess.Popen[bytes] = field(init=False)
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        argv = [sys.executable, __file__, INSIDE, self.name]
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output, start_new_session=True)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def last_line(self) -> str:
        """The end of what it has printed so far."""
        if self.output is None:
            return ""
        # Without moving the position at which it writes.
        size = os.fstat(self.output.fileno()).st_size
        lines = os.pread(self.output.fileno(), 500, max(0, size - 500)).decode(errors="replace").split("\n")
        return next((line.strip()[-60:] for line in reversed(lines) if line.strip()), "")

    def signal(self, number: int) -> None:
        """To every process of the session: a shell and timeout(1) put what they start into process groups of their own."""
        subprocess.run(["pkill", f"--signal={number}", f"--session={self.process.pid}"], check=False)

    def close(self) -> None:
        """Print its output, and kill what it has left behind: what has not ended by itself a few seconds later."""
        if self.output is not None:
            show(self.output)
            self.output.close()
        listing = ["pgrep", "--list-full", f"--session={self.process.pid}"]
        deadline = time.monotonic() + LINGER
        while left := subprocess.run(listing, capture_output=True, text=True, check=False).stdout:
            if time.monotonic() > deadline:
                print(f"-- {self.name}: processes that it left behind are killed:\n{left}", end="", flush=True)
                self.signal(signal.SIGKILL)
                return
            time.sleep(0.1)


def end(parts: list[Part]) -> None:
    """Interrupt parts, as Ctrl-C would; what has not cleaned up after a minute is killed. Further signals are ignored."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    for part in parts:
        part.signal(signal.SIGINT)
    deadline = time.monotonic() + CLEANUP
    for part in parts:
        with contextlib.suppress(subprocess.TimeoutExpired):
            part.process.wait(max(0.0, deadline - time.monotonic()))
    for part in parts:
        # What did not clean up in time has no more to say.
        if part.process.poll() is None:
            part.signal(signal.SIGKILL)
            part.process.wait()
        # The output may be what is closed.
        with contextlib.suppress(BrokenPipeError):
            part.close()


def may_start(name: str, running: list[str]) -> bool:
    """Whether this part may run beside those that do already."""
    return not running or (len(running) < AT_ONCE and not {name, *running} & set(ALONE))


def perform_at_once(names: list[str]) -> list[tuple[str, bool, float]]:
    """Run the parts, some at a time; each one's output is printed as a whole when it ends. By part: passed, and seconds.

    The output of a part that is the only one is printed as it comes.
    """
    results = []
    waiting, running = list(names), list[Part]()
    output: Callable[[], IO[bytes] | None] = tempfile.TemporaryFile if len(names) > 1 else lambda: None
    shown = time.monotonic()
    try:
        while waiting or running:
            while waiting and may_start(waiting[0], [part.name for part in running]):
                # A signal in between would leave behind a part that is not in the list.
                signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
                running.append(Part(waiting.pop(0), output()))
                signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
                if len(names) > 1:
                    print(f"-- {running[-1].name}: started", flush=True)
            time.sleep(0.1)
            for part in [part for part in running if part.process.poll() is not None]:
                results.append((part.name, part.process.returncode == 0, part.seconds))
                part.close()
                running.remove(part)
                shown = time.monotonic()
            if len(names) > 1 and time.monotonic() - shown > HEARTBEAT:
                shown = time.monotonic()
                print("\n".join(f"-- {part.name}: running for {part.seconds:.0f} s: {part.last_line()}" for part in running), flush=True)
    except BaseException:
        end(running)
        raise
    return sorted(results, key=lambda result: names.index(result[0]))


def main(names: list[str]) -> int:
    # The calling process may ignore or block them, which is inherited.
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    if names[:1] == [INSIDE]:
        return 0 if perform(names[1]) else 1
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"No such part: {' '.join(unknown)}. The parts are: {' '.join(PARTS)}", file=sys.stderr)
        return 2
    (CACHE / "home").mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    # Once each.
    names = list(dict.fromkeys(names)) or [name for name in PARTS if name not in ON_DEMAND]
    results = perform_at_once(names)
    failed = sum(not passed for _name, passed, _seconds in results)
    if len(names) > 1:
        print()
        for name, passed, seconds in results:
            print(f"{name:<20}{'passed' if passed else 'FAILED':<8}{seconds:7.1f} s")
        print(f"{'all of them':<28}{time.monotonic() - start:7.1f} s")
        print(f"{len(results) - failed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
