# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from . import hosts, needs
from .errors import LabError, NotPossible
from .leftovers import leftovers
from .place import Host, Lab, here

# What the command exits with where there can be no lab, as in tests/throwaway.
_NOT_POSSIBLE = 77


def main(argv: list[str]) -> int:
    """Run one command; the exit status. The user gets one line, not a traceback."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(here(), arguments)
        return 0
    except NotPossible as error:
        print(f"lab: {error}", file=sys.stderr)
        return _NOT_POSSIBLE
    except (LabError, OSError) as error:
        print(f"lab: {error}", file=sys.stderr)
    except subprocess.TimeoutExpired as error:
        print(f"lab: {' '.join(map(str, error.cmd))} took more than {error.timeout:.0f} s", file=sys.stderr)
    except KeyboardInterrupt:
        print("lab: interrupted; `down --all` removes what is there", file=sys.stderr)
    return 1


def _up(lab: Lab, arguments: argparse.Namespace) -> None:
    if arguments.logind and arguments.init != "systemd":
        raise LabError("--logind takes --init systemd")
    trees = tuple(str(tree.resolve()) for tree in arguments.tree)
    pairs = [text.partition("=")[::2] for text in arguments.hosts]
    made = [Host(name, address, arguments.init, arguments.logind, trees) for name, address in pairs]
    hosts.up(lab, made, arguments.timeout)


def _down(lab: Lab, arguments: argparse.Namespace) -> None:
    if arguments.all == bool(arguments.names):
        raise LabError("down takes names, or --all")
    if arguments.all:
        hosts.down_all(lab)
    else:
        hosts.down(lab, arguments.names)


def _leftovers(lab: Lab, _arguments: argparse.Namespace) -> None:
    # An SSH client that was told to end does so a moment later.
    deadline = time.monotonic() + 5
    while found := list(leftovers(lab)):
        if time.monotonic() > deadline:
            raise LabError("; ".join(["left over", *found]))
        time.sleep(0.1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description="Throw-away hosts with a real systemd, made of namespaces. Takes root.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="make and boot hosts")
    up.set_defaults(run=_up)
    up.add_argument("hosts", nargs="+", metavar="NAME=ADDRESS", help="addresses are out of 10.231.0.0/16, except 10.231.0.1")
    up.add_argument("--init", choices=("systemd", "sshd"), default="systemd", help="sshd: nothing but sshd, for many small hosts")
    up.add_argument("--logind", action="store_true", help="with systemd-logind, so that logins are sessions")
    up.add_argument("--tree", action="append", type=Path, default=[], help="an unpacked package to put into the hosts")

    down = commands.add_parser("down", help="remove hosts, and the lab with the last one")
    down.set_defaults(run=_down)
    down.add_argument("names", nargs="*", metavar="NAME")
    down.add_argument("--all", action="store_true", help="everything, also what a killed run has left")

    reboot = commands.add_parser("reboot", help="reboot hosts: /etc and /var stay, /run, /tmp and the kernel's state are lost")
    reboot.set_defaults(run=lambda lab, given: hosts.reboot(lab, given.names, hard=given.hard, seconds=given.timeout))
    reboot.add_argument("names", nargs="+", metavar="NAME")
    reboot.add_argument("--hard", action="store_true", help="cut the power instead of asking systemd")

    for command in (up, reboot):
        command.add_argument("--timeout", type=float, default=60, metavar="SECONDS", help="to be up by then (60)")

    execute = commands.add_parser("exec", help="run a command inside a host")
    execute.set_defaults(run=lambda lab, given: hosts.execute(lab, given.name, given.argv))
    execute.add_argument("name", metavar="NAME")
    controller = commands.add_parser("controller", help="run a command in the network between the hosts, at 10.231.0.1")
    controller.set_defaults(run=lambda lab, given: hosts.execute_as_controller(lab, given.argv))
    for command in (execute, controller):
        command.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND")

    for name, text, run in (
        ("list", "print the hosts", lambda lab, _given: hosts.show(lab)),
        ("where", "print the lab's directory", lambda lab, _given: print(lab.base)),
        ("check", "say what is missing for a lab on this machine; 77 if there can be none", lambda _lab, _given: needs.check()),
        ("leftovers", "fail with what is left of a lab that is down", _leftovers),
    ):
        commands.add_parser(name, help=text).set_defaults(run=run)
    return parser
