# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run costs, in what can be counted: it does not grow with what else is on the host."""

from __future__ import annotations

from host import Host

WEB = {"name": "web", "network": "pods0", "port_forwards": ["8080:80"]}
MANY = [{"name": f"pod-{number}", "network": "pods0", "port_forwards": [f"{9000 + number}:80"]} for number in range(12)]
LOOK = "nft --json --stateless list chains"
"""For firewalls of others."""
COMMIT = "nft --file -"
LIST = "nft --stateless --numeric-protocol --file -"
VERSION = "nft --version"


def test_one_transaction_and_no_listing(pods0: Host) -> None:
    for others in ([], MANY):
        assert pods0.drive({"sandboxes": [*others, {"name": "last", "network": "pods0"}]})["changed"]
        made = pods0.drive({"sandboxes": [WEB]})
        assert (made["changed"], sorted(made["programs"])) == (True, sorted([VERSION, LOOK, COMMIT]))
        for check in (True, False):
            again = pods0.drive({"sandboxes": [WEB], "check": check})
            assert (again["changed"], again["programs"]) == (False, [LOOK])
        gone = pods0.drive({"sandboxes": [{"name": "web", "state": "absent"}]})
        assert (gone["changed"], sorted(gone["programs"])) == (True, sorted([VERSION, LOOK, COMMIT]))


def test_many_cost_as_many_programs_as_one(pods0: Host) -> None:
    assert sorted(pods0.drive({"sandboxes": MANY})["programs"]) == sorted([VERSION, LOOK, COMMIT])
    assert pods0.drive({"sandboxes": MANY})["programs"] == [LOOK]


def test_who_else_touches_the_rules_makes_the_next_run_list_them_once(pods0: Host) -> None:
    pods0.drive({"sandboxes": [WEB]})
    pods0.sh("nft add table ip other")
    assert LIST in pods0.drive({"sandboxes": [WEB], "check": True})["programs"]
    assert LIST in pods0.drive({"sandboxes": [WEB]})["programs"]
    assert LIST not in pods0.drive({"sandboxes": [WEB]})["programs"]
