# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds what: the index on disk and the plan's registry say the same as a walk through all sandboxes."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.podnet.linux.plugins.module_utils._plan.registry import Known, Planned
from ansible_collections.podnet.linux.plugins.module_utils._spec import claims
from ansible_collections.podnet.linux.plugins.module_utils._spec.forward import port_forwards
from ansible_collections.podnet.linux.plugins.module_utils._spec.sandbox import Attachment, Sandbox
from ansible_collections.podnet.linux.plugins.module_utils._store.index import Index
from hypothesis import given
from hypothesis import strategies as st

CLAIMS = ("a", "ab", "b", "port tcp 8", "port tcp 80", "port tcp 800")
KEYS = st.sampled_from([f"{number:016x}" for number in range(6)])
MADE = st.dictionaries(KEYS, st.sets(st.sampled_from(CLAIMS)))


@given(MADE, MADE, st.sets(KEYS))
def test_the_index_finds_every_claim_and_nothing_else(first: dict[str, set[str]], later: dict[str, set[str]], gone: set[str]) -> None:
    index = Index().amended(first, lambda key: first[key], ()).amended(later, lambda key: later[key], {*later, *gone})
    now = {**{key: held for key, held in first.items() if key not in gone}, **later}
    for claim in (*CLAIMS, "", "port", "z"):
        assert sorted(index.holders(claim)) == sorted(key for key, held in now.items() if claim in held)


NAMES = st.sampled_from(("web", "db", "ci"))
TASKS = st.lists(st.tuples(KEYS, st.one_of(st.none(), NAMES)), max_size=8)


@given(st.dictionaries(KEYS, NAMES), TASKS)
def test_the_plan_knows_what_it_has_changed(recorded: dict[str, str], tasks: list[tuple[str, str | None]]) -> None:
    known = Known({key: Sandbox(key, name, name) for key, name in recorded.items()})
    planned, expected = Planned(known), dict(known)
    for key, name in tasks:
        if name is not None:
            planned[key] = expected[key] = Sandbox(key, name, name)
        elif key in expected:
            del planned[key], expected[key]
    assert dict(planned) == expected and len(planned) == len(expected)
    assert {key for key in (*known, *expected) if known.get(key) != expected.get(key)} <= set(planned.changed)
    for name in ("web", "db", "ci"):
        assert sorted(planned.holders(claims.name(name))) == sorted(key for key, item in expected.items() if item.name == name)


def test_what_a_sandbox_claims() -> None:
    forwards = port_forwards("port_forwards", ["8000-8001:80-81", "192.0.2.1:53:53/udp"])
    sandbox = Sandbox("0" * 16, "web", "web", attachments=(Attachment("pods0", "eth0", "02:00:00:00:00:01"),), rootfs=("/srv/web",))
    assert set(sandbox.claims()) == {"name web", "network pods0", "mac pods0 02:00:00:00:00:01", "root /srv/web"}
    assert set(replace(sandbox, port_forwards=forwards).claims()) - set(sandbox.claims()) == {
        "port tcp 8000",
        "port tcp 8001",
        "port udp 53",
        "loopback pods0",
        "publisher pods0",
    }
