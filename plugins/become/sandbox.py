# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the modules of a task inside a pod sandbox."""

from __future__ import annotations

DOCUMENTATION = r"""
name: sandbox
short_description: Run any module inside a pod sandbox
version_added: 1.0.0
description:
  - Runs what a task does on the host inside one of its pod sandboxes, in its network, IPC and UTS namespaces, with its resolver
    files and its own view of C(/sys/class/net). Files, processes and users are the host's.
  - Over any connection, with and without pipelining. A user other than root enters by C(sudo -n).
author:
  - podnet.linux authors (@podnet)
options:
  sandbox:
    description: Name or id of the sandbox.
    type: str
    required: true
    ini:
      - section: podnet_sandbox_become_plugin
        key: sandbox
    vars:
      - name: podnet_sandbox
    env:
      - name: PODNET_SANDBOX
  become_user:
    description: The user that modules run as inside, entered as root and switched to by C(setpriv).
    type: str
    default: root
    ini:
      - section: privilege_escalation
        key: become_user
      - section: podnet_sandbox_become_plugin
        key: user
    vars:
      - name: ansible_become_user
      - name: podnet_sandbox_user
    env:
      - name: ANSIBLE_BECOME_USER
    keyword:
      - name: become_user
  become_exe:
    description: What makes root of a user that is not, words separated by spaces.
    type: str
    default: sudo -H -n
    ini:
      - section: privilege_escalation
        key: become_exe
    vars:
      - name: ansible_become_exe
    env:
      - name: ANSIBLE_BECOME_EXE
    keyword:
      - name: become_exe
notes:
  - Without passwords, neither sudo's nor another, are asked for.
seealso:
  - module: podnet.linux.pod_sandbox
"""

EXAMPLES = r"""
- name: What the sandbox sees
  ansible.builtin.setup:
    gather_subset: [network]
  become: true
  become_method: podnet.linux.sandbox
  vars:
    podnet_sandbox: web

- name: What it reaches
  ansible.builtin.uri:
    url: http://192.0.2.10/
  become: true
  become_method: podnet.linux.sandbox
  vars:
    podnet_sandbox: web
"""

import json
import shlex
from typing import Any

from ansible.plugins.become import BecomeBase

NOT_FOUND = "podnet.linux: there is no sandbox"

# The id, by id or by name; what a workload can choose never gets into a command.
_ENTER = f"""
sandbox={{sandbox}}
directory=
for file in /run/podnet/sandboxes/*/name; do
    id=${{{{file%/name}}}}
    id=${{{{id##*/}}}}
    if [ "$id" = "$sandbox" ] || [ "$(cat "$file" 2>/dev/null)" = "$sandbox" ]; then directory=/run/podnet/sandboxes/$id; fi
done
if [ -z "$directory" ]; then echo "{NOT_FOUND} $sandbox on this host" >&2; printf "%s\n" {{refusal}}; exit 1; fi
set --
for kind in ipc uts; do [ ! -e "$directory/$kind" ] || set -- "$@" "--$kind=$directory/$kind"; done
exec nsenter "$@" -- ip netns exec "$(cat "$directory/ns_name")" {{switch}}/bin/sh -c {{command}}
"""


class UserInside(str):
    """The same name is another user than that of the connection: Ansible leaves out plugins that would change nothing."""

    def __ne__(self, other: object) -> bool:
        return True

    __hash__ = str.__hash__


class BecomeModule(BecomeBase):  # type: ignore[misc]  # ansible-core ships no types
    """Wraps the command that Ansible runs on the host."""

    name = "podnet.linux.sandbox"

    def get_option(self, option: str, hostvars: object = None, playcontext: object = None) -> Any:
        """As others have it, but that the user is one inside."""
        value = super().get_option(option, hostvars=hostvars, playcontext=playcontext)
        return UserInside(value or "root") if option == "become_user" else value

    def build_become_command(self, cmd: str, shell: object) -> str:
        """The command, inside; ``shell`` is the connection's."""
        super().build_become_command(cmd, shell)
        if not cmd:
            return cmd
        user = str(self.get_option("become_user"))
        quoted = shlex.quote(user)
        switch = "" if user == "root" else f'setpriv --reuid={quoted} --regid="$(id -g {quoted})" --init-groups -- '
        # One word of the shell's already, where it announces that it got there.
        word = self._build_success_command(cmd, shell, noexe=True) if shell and self.success else shlex.quote(cmd)
        sandbox = self.get_option("sandbox")
        # What Ansible takes for the module's own result.
        refusal = json.dumps({"failed": True, "msg": f"{NOT_FOUND} {sandbox} on this host", "reason": "not_found"})
        script = _ENTER.format(sandbox=shlex.quote(sandbox), refusal=shlex.quote(refusal), switch=switch, command=word).strip()
        root = " ".join(map(shlex.quote, shlex.split(self.get_option("become_exe"))))
        return f'if [ "$(id -u)" = 0 ]; then set --; else set -- {root}; fi; "$@" /bin/sh -c {shlex.quote(script)}'
