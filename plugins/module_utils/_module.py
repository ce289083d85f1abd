# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AnsibleModule in, result out: the one place where errors become fail_json."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.respawn import has_respawned, respawn_module

from ._errors import InvalidArgument, KernelError, MissingDependency, NotPermitted, PodnetError
from ._requirements import NETADDR, PYROUTE2, VENV_PYTHON, Library, is_roots_alone, require
from ._unpacked import prefer_unpacked

PYTHON_OLDEST = (3, 9)

LIBRARIES = (PYROUTE2, NETADDR)
"""The libraries that most modules need."""

LOCK_ARGUMENTS: dict[str, Any] = {"lock_timeout": {"type": "float", "default": 30.0}}

STATE_ARGUMENTS: dict[str, Any] = {
    "exclusive": {"type": "bool", "default": False},
    "force": {"type": "bool", "default": False},
    **LOCK_ARGUMENTS,
}

POLICY_OPTIONS: dict[str, Any] = {
    "allowed_cidrs": {"type": "list", "elements": "str"},
    "allowed_tcp_ports": {"type": "list", "elements": "str"},
    "allowed_udp_ports": {"type": "list", "elements": "str"},
    "allow_dns": {"type": "bool"},
    "log_denied": {"type": "bool"},
    "max_connections": {"type": "int"},
    "rules": {
        "type": "list",
        "elements": "dict",
        "options": {
            "cidrs": {"type": "list", "elements": "str", "required": True},
            "except": {"type": "list", "elements": "str"},
            "ports": {"type": "list", "elements": "str"},
            "icmp": {"type": "bool"},
        },
    },
    "allow_metadata": {"type": "bool"},
    "established": {"type": "str", "choices": ["drop", "keep"]},
    "mode": {"type": "str", "choices": ["enforce", "audit"]},
}
"""What an egress policy says, whoever it binds."""


class PodnetModule(AnsibleModule):  # type: ignore[misc]  # ansible-core ships no types
    """An AnsibleModule whose refusals of malformed options carry a reason too."""

    def fail_json(self, msg: str, **result: Any) -> None:
        result.setdefault("reason", InvalidArgument.reason)
        super().fail_json(msg, **result)


def run(module: AnsibleModule, runner: Callable[[AnsibleModule], Mapping[str, Any]], needs: Sequence[Library] = LIBRARIES) -> None:
    """Call the runner and leave with its result, or with its failure as ``msg`` and ``reason``.

    The runner imports the engine. ``needs``: the libraries that the engine imports.
    """
    try:
        _require_python()
        _require_libraries(module, needs)
        prefer_unpacked(check=module.check_mode)
        result = runner(module)
    except PodnetError as error:
        module.fail_json(msg=str(error), reason=error.reason)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        reason = NotPermitted.reason if isinstance(error, PermissionError) else KernelError.reason
        module.fail_json(msg=f"{where}{error.strerror or error}; see what is there and who may use it", reason=reason)
    except Exception as error:
        module.fail_json(
            msg=f"podnet.linux met something it does not expect ({type(error).__name__}: {error}); please report it",
            reason="kernel_error",
        )
    else:
        for warning in result.get("warnings", ()):
            module.warn(warning)
        module.exit_json(**{key: value for key, value in result.items() if key != "warnings"})


def list_arguments(plural: str, options: Mapping[str, Any], states: tuple[str, ...], *, force: bool = True) -> dict[str, Any]:
    """The argument spec of a changing module: one object's options, and the same again as items of a list."""
    item = {**options, "state": {"type": "str", "choices": list(states)}, **({"force": {"type": "bool"}} if force else {})}
    return {
        **options,
        **{name: argument for name, argument in STATE_ARGUMENTS.items() if force or name != "force"},
        "state": {"type": "str", "choices": list(states), "default": "present"},
        plural: {"type": "list", "elements": "dict", "options": item},
    }


def settings_of(module: AnsibleModule, *, check: bool, **more: Any) -> Any:
    """The engine's settings, from what every module has."""
    from ._session import Settings

    return Settings(
        **more,
        check=check,
        lock_timeout=_seconds(module.params["lock_timeout"]),
        exclusive=module.params.get("exclusive", False),
        force=module.params.get("force", False),
    )


def run_changes(
    module: AnsibleModule, singular: str, plural: str, load: Callable[[], tuple[Any, Any]], needs: Sequence[Library] = LIBRARIES
) -> None:
    """The shape that every changing module has: one object by its options, or many as a list.

    ``load()`` imports the engine, once it is known that it can be imported, and gives ``parse(options, where=...)``,
    which makes a request, and ``change(requests, settings)``, which gives an Outcome.
    """

    def runner(module: AnsibleModule) -> dict[str, Any]:
        parse, change = load()
        params = module.params
        items = params[plural]
        if items is None:
            if params["exclusive"]:
                raise InvalidArgument(f"exclusive: needs the list {plural}, which says what is to stay")
            requests = [parse(params)]
        else:
            _refuse_single_options(module, plural)
            requests = [parse(_item(item, params), where=f"{plural}[{number}]") for number, item in enumerate(items)]
        from ._progress import Progress

        # A module cannot show anything before its end; the host's log can.
        progress = Progress(module.log, check=module.check_mode)
        outcome = change(requests, settings_of(module, check=module.check_mode, before=progress.begin, after=progress.after))
        result: dict[str, Any] = {"changed": outcome.changed, "warnings": outcome.warnings, "diff": outcome.diffs}
        if items is None:
            result[singular] = {key: value for key, value in outcome.results[0].items() if key != "changed"}
        else:
            result[plural] = outcome.results
        progress.end()
        if module._verbosity > 0:
            result["operations"] = progress.operations
        return result

    run(module, runner, needs)


def _seconds(value: float) -> float:
    from ._spec.fields import seconds

    return seconds("lock_timeout", value)


def _refuse_single_options(module: AnsibleModule, plural: str) -> None:
    """Beside a list, an option of one object would have no object."""
    allowed = {*STATE_ARGUMENTS, "state", plural}
    given = sorted(key for key in module.argument_spec if key not in allowed and module.params.get(key) is not None)
    if given:
        raise InvalidArgument(f"{given[0]}: belongs into the items of {plural} when that list is given")


def _item(item: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """An item of a list; the task's state and force hold where it has none of its own."""
    inherited = {key: params[key] for key in ("state", "force") if key in params and item.get(key) is None}
    return {**item, **inherited}


def _require_libraries(module: AnsibleModule, needs: Sequence[Library]) -> None:
    """Restart the module in the virtual environment of the role podnet.linux.host if this interpreter lacks a library."""
    try:
        require(*needs)
    except MissingDependency:
        if has_respawned() or not is_roots_alone(VENV_PYTHON):
            raise
        respawn_module(VENV_PYTHON)


def _require_python() -> None:
    if tuple(sys.version_info[:2]) < PYTHON_OLDEST:
        found = ".".join(str(part) for part in sys.version_info[:3])
        raise MissingDependency(
            f"{sys.executable} is Python {found} and podnet.linux needs 3.9: set ansible_python_interpreter to a newer one"
        )
