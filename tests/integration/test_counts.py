# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run costs, in what can be counted: it does not grow with what else is on the host."""

from __future__ import annotations

from typing import Any

from host import Host

WEB = {"name": "web", "network": "pods0", "port_forwards": ["8080:80"]}
MANY = [{"name": f"pod-{number}", "network": "pods0", "port_forwards": [f"{9000 + number}:80"]} for number in range(12)]
COMMIT = "nft --file -"
LIST = "nft --stateless --numeric-protocol --file -"
VERSION = "nft --version"


def test_one_transaction_and_no_listing(pods0: Host) -> None:
    for others in ([], MANY):
        assert pods0.drive({"sandboxes": [*others, {"name": "last", "network": "pods0"}]})["changed"]
        made = pods0.drive({"sandboxes": [WEB]})
        assert (made["changed"], sorted(made["programs"])) == (True, sorted([VERSION, COMMIT]))
        for check in (True, False):
            again = pods0.drive({"sandboxes": [WEB], "check": check})
            assert (again["changed"], again["programs"]) == (False, [])
        gone = pods0.drive({"sandboxes": [{"name": "web", "state": "absent"}]})
        assert (gone["changed"], sorted(gone["programs"])) == (True, sorted([VERSION, COMMIT]))


def test_many_cost_as_many_programs_as_one(pods0: Host) -> None:
    assert sorted(pods0.drive({"sandboxes": MANY})["programs"]) == sorted([VERSION, COMMIT])
    assert pods0.drive({"sandboxes": MANY})["programs"] == []


def test_who_else_touches_the_rules_makes_the_next_run_list_them_once(pods0: Host) -> None:
    pods0.drive({"sandboxes": [WEB]})
    pods0.sh("nft add table ip other")
    assert LIST in pods0.drive({"sandboxes": [WEB], "check": True})["programs"]
    assert LIST in pods0.drive({"sandboxes": [WEB]})["programs"]
    assert LIST not in pods0.drive({"sandboxes": [WEB]})["programs"]


COSTS = {
    "create": {
        "files": (41, 45),
        "sockets": (11, 1),
        "messages": (16, 13),
        "programs": (2, 0),
        "bytes listed": (34, 0),
        "words sent": (49, 17),
        "pauses": (0, 1),
    },
    "create again": {"files": (19, 10), "sockets": (7, 1), "messages": (9, 6)},
    "look again": {"files": (28, 10), "sockets": (5, 1), "messages": (12, 6)},
    "publish": {
        "files": (33, 14),
        "sockets": (9, 1),
        "messages": (15, 6),
        "programs": (2, 0),
        "bytes listed": (34, 0),
        "words sent": (7, 7),
    },
    "publish again": {"files": (19, 10), "sockets": (7, 1), "messages": (9, 6)},
    "bind": {
        "files": (36, 5),
        "sockets": (12, 0),
        "messages": (17, 0),
        "programs": (2, 0),
        "bytes listed": (34, 0),
        "words sent": (56, 304),
    },
    "bind again": {"files": (19, 1), "sockets": (8, 0), "messages": (10, 0)},
    "lift": {"files": (33, 5), "sockets": (8, 0), "messages": (13, 0), "programs": (2, 0), "bytes listed": (34, 0), "words sent": (56, 90)},
    "remove": {
        "files": (34, 22),
        "sockets": (8, 1),
        "messages": (14, 9),
        "programs": (2, 0),
        "bytes listed": (34, 0),
        "words sent": (56, 24),
    },
    "lease": {"files": (18, 13)},
    "lease again": {"files": (8, 6)},
    "release": {"files": (11, 6)},
}
"""Of a run over many, on one IPv4 network: what it costs at all, and what each of them adds to that.

Messages to the kernel, sockets, files and directories opened, child processes, words that these are sent and bytes that they
list, pauses started. Where a number falls, write the new one; where it grows, say in the commit what for.
"""


def pods(count: int, **options: Any) -> list[dict[str, Any]]:
    return [{"name": f"pod-{number}", "network": "four", **options} for number in range(count)]


def scenarios(count: int) -> dict[str, dict[str, Any]]:
    """What is done to so many, in this order; behind a name with "again" there is nothing left to do."""
    ports = [{**item, "port_forwards": [f"{9000 + number}:80"]} for number, item in enumerate(pods(count))]
    policies = [{"sandbox": item["name"], "allowed_cidrs": ["192.0.2.0/24", "198.51.100.0/24"]} for item in pods(count)]
    leases = [{"pool": "spare", "ranges": [{"subnet": "10.95.0.0/24"}], "owner": item["name"]} for item in pods(count)]
    return {
        "create": {"sandboxes": pods(count)},
        "create again": {"sandboxes": pods(count)},
        "look again": {"look": True},
        "publish": {"sandboxes": ports},
        "publish again": {"sandboxes": ports},
        "bind": {"policies": policies},
        "bind again": {"policies": policies},
        "lift": {"policies": [{"sandbox": item["sandbox"], "state": "absent"} for item in policies]},
        "remove": {"sandboxes": [{**item, "state": "absent"} for item in pods(count)]},
        "lease": {"allocations": leases},
        "lease again": {"allocations": leases},
        "release": {"allocations": [{**item, "state": "absent"} for item in leases]},
    }


def test_what_a_run_over_many_costs(host: Host) -> None:
    host.do("bridge_network", name="four", subnets=["10.94.0.0/24"])
    # Directories and sets that the first one makes are no part of it.
    host.drive({"sandboxes": [{"name": "stays", "network": "four"}]})
    host.drive({"policies": [{"sandbox": "stays", "allowed_cidrs": ["192.0.2.0/24", "198.51.100.0/24"]}]})
    host.drive({"allocations": [{"pool": "spare", "ranges": [{"subnet": "10.95.0.0/24"}], "owner": "stays"}]})
    few, many = ({name: ran(host, name, scenario) for name, scenario in scenarios(count).items()} for count in (5, 9))
    found = {}
    for name in few:
        grown = {kind: (many[name][kind] - few[name][kind]) / 4 for kind in many[name]}
        found[name] = {kind: (few[name][kind] - 5 * each, each) for kind, each in grown.items()}
    assert found == COSTS


def ran(host: Host, name: str, scenario: dict[str, Any]) -> dict[str, int]:
    done = host.drive(scenario)
    assert done["changed"] is not name.endswith("again"), (name, done["diffs"])
    counts: dict[str, int] = done["counts"]
    return counts


def test_a_firewall_of_others_is_listed_once_however_many_chains_it_has(pods0: Host) -> None:
    chains = [f"c{number}" for number in range(9)]
    jumps = "; ".join(f"jump {chain}" for chain in chains)
    pods0.sh(
        "nft 'table ip other { "
        + " ".join(f"chain {chain} {{ ip saddr 203.0.113.{number} accept; }};" for number, chain in enumerate(chains))
        + f" chain forward {{ type filter hook forward priority 0; policy accept; {jumps}; }}; }}'"
    )
    assert pods0.drive({"sandboxes": [WEB]})["changed"]
    again = pods0.drive({"sandboxes": [WEB]})
    assert (again["changed"], again["programs"]) == (False, ["nft --json --stateless --terse list table ip other"])


def test_one_more_costs_the_same_beside_many_and_another_firewall(host: Host) -> None:
    host.do("bridge_network", name="four", subnets=["10.94.0.0/24"])
    host.sh("nft 'add table ip other; add chain ip other forward { type filter hook forward priority 0; policy accept; }'")
    found = []
    for count in (3, 12):
        host.drive({"sandboxes": pods(count)})
        found.append(host.drive({"sandboxes": [{"name": f"more-{count}", "network": "four"}]})["counts"])
    assert found[0] == found[1]
