# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run costs, in what can be counted: it does not grow with what else is on the host."""

from __future__ import annotations

import json

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


EACH = {
    "create": {"messages": 13, "files": 57, "pauses": 1},
    "no-op": {"messages": 6, "files": 18},
    "remove": {"messages": 9, "files": 32},
}
"""Of each sandbox on one IPv4 network in a run of many: messages to the kernel, files and directories opened, pauses started.

Where a number falls, write the new one; where it grows, say in the commit what for.
"""


def pods(count: int) -> list[dict[str, str]]:
    return [{"name": f"pod-{number}", "network": "four"} for number in range(count)]


def test_what_each_sandbox_of_many_costs(host: Host) -> None:
    host.do("bridge_network", name="four", subnets=["10.94.0.0/24"])
    # Directories that the first one makes are no part of it.
    host.do("pod_sandbox", name="stays", network="four")
    found: dict[str, list[dict[str, int]]] = {operation: [] for operation in EACH}
    for count in (5, 9):
        for operation in EACH:
            items = [{**item, "state": "absent"} for item in pods(count)] if operation == "remove" else pods(count)
            ran = host.drive({"sandboxes": items})
            assert ran["changed"] is (operation != "no-op")
            found[operation].append(ran["counts"])
    each = {
        operation: {kind: (nine[kind] - five[kind]) / 4 for kind in nine if nine[kind] != five[kind]}
        for operation, (five, nine) in found.items()
    }
    assert each == EACH


def test_one_more_costs_the_same_beside_many_and_another_firewall(host: Host) -> None:
    host.do("bridge_network", name="four", subnets=["10.94.0.0/24"])
    host.sh("nft 'add table ip other; add chain ip other forward { type filter hook forward priority 0; policy accept; }'")
    found = []
    for count in (3, 12):
        host.drive({"sandboxes": pods(count)})
        found.append(host.drive({"sandboxes": [{"name": f"more-{count}", "network": "four"}]})["counts"])
    assert found[0] == found[1]


def test_how_long_things_took_is_shown_on_request(host: Host) -> None:
    host.do("bridge_network", name="four", subnets=["10.94.0.0/24"])
    assert "operations" not in host.do("pod_sandbox", sandboxes=pods(1))
    shown = host.run("ansible", "localhost", "-v", "-m", "podnet.linux.pod_sandbox", "-a", json.dumps({"sandboxes": pods(3)})).stdout
    told = json.loads(shown[shown.index("{") :])["operations"]
    assert told[0]["operation"] == "look and plan" and {"operation": "CreateVeth", "count": 2} in [
        {key: item[key] for key in ("operation", "count")} for item in told
    ]
    assert all(item["seconds"] >= 0 for item in told)
