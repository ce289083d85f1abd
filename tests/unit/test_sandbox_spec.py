# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a sandbox task means: defaults at creation, what is kept afterwards, and what does not fit together."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from ansible_collections.podnet.linux.plugins.module_utils._errors import InvalidArgument
from ansible_collections.podnet.linux.plugins.module_utils._spec.sandbox import Attachment, Sandbox, SandboxRequest

ID = "0123456789abcdef"
ETH0 = Attachment("pods0", "eth0", "02:00:00:00:00:01", (ip_address("10.90.0.2"), ip_address("fd00:90::2")), 0)
ETH1 = Attachment("back", "eth1", "02:00:00:00:00:02", (ip_address("10.91.0.2"),), 3)

SAID: dict[str, tuple[Any, Any]] = {
    "hostname": ("other", "other"),
    "namespaces": (["uts", "net"], ("net", "uts")),
    "netns": ("/run/netns/x", "/run/netns/x"),
    "pause": (False, False),
    "stop_timeout": (0, 0.0),
    "dns": (["10.0.0.1"], (ip_address("10.0.0.1"),)),
    "dns_search": (["a.example"], ("a.example",)),
    "dns_options": (["ndots:2"], ("ndots:2",)),
    "hosts": (["db:fd00::1"], (("db", ip_address("fd00::1")),)),
    "rootfs": (["/srv/a/"], ("/srv/a",)),
    "sysctls": ({"net.core.somaxconn": 1024}, (("net.core.somaxconn", "1024"),)),
    "labels": ({"b": 1, "a": True}, (("a", "True"), ("b", "1"))),
    "persistent": (False, False),
}
"""By option: as a user writes it, and what it means."""


def sandbox(recorded: Sandbox | None = None, attachments: tuple[Attachment, ...] = (ETH0,), **options: Any) -> Sandbox:
    request = SandboxRequest.from_options({"name": "web", **options})
    return request.resolve(recorded, new_id=ID, attachments=attachments)


@pytest.mark.parametrize(
    ("option", "default"),
    (
        ("hostname", "web"),
        ("namespaces", ("net", "ipc", "uts")),
        ("netns", None),
        ("pause", True),
        ("stop_timeout", 2.0),
        ("dns", None),
        ("dns_search", None),
        ("dns_options", None),
        ("hosts", ()),
        ("rootfs", ()),
        ("sysctls", ()),
        ("labels", ()),
        ("persistent", True),
    ),
)
def test_a_new_sandbox_gets_defaults(option: str, default: object) -> None:
    assert getattr(sandbox(), option) == default


@pytest.mark.parametrize("option", SAID)
def test_what_is_said_holds(option: str) -> None:
    said, meant = SAID[option]
    assert getattr(sandbox(sandbox(), **{option: said}), option) == meant


@pytest.mark.parametrize("option", SAID)
def test_what_is_not_said_is_kept(option: str) -> None:
    said, meant = SAID[option]
    assert getattr(sandbox(sandbox(**{option: said})), option) == meant


@pytest.mark.parametrize("option", ("dns", "dns_search", "dns_options", "hosts", "rootfs"))
def test_an_empty_list_empties(option: str) -> None:
    recorded = sandbox(**{option: SAID[option][0]})
    assert getattr(sandbox(recorded, **{option: []}), option) == ()


@pytest.mark.parametrize("option", ("sysctls", "labels"))
def test_an_empty_dictionary_empties(option: str) -> None:
    recorded = sandbox(**{option: SAID[option][0]})
    assert getattr(sandbox(recorded, **{option: {}}), option) == ()


@pytest.mark.parametrize("option", ("pause", "persistent"))
def test_false_is_not_the_same_as_nothing_said(option: str) -> None:
    assert getattr(sandbox(sandbox(), **{option: False}), option) is False


def test_the_host_name_follows_the_name_at_creation_only() -> None:
    recorded = sandbox(hostname="other")
    assert sandbox(recorded).hostname == "other"


def test_a_name_of_63_characters_is_a_host_name() -> None:
    name = "a" * 63
    assert SandboxRequest.from_options({"name": name}).resolve(None, new_id=ID, attachments=()).hostname == name


def test_a_known_sandbox_may_be_named_by_its_id() -> None:
    request = SandboxRequest.from_options({"id": ID})
    assert request.resolve(sandbox(), new_id="f" * 16, attachments=(ETH0,)) == sandbox()


def test_name_or_id_is_required() -> None:
    with pytest.raises(InvalidArgument, match=r"sandboxes\[1\]\.name is required"):
        SandboxRequest.from_options({"network": "pods0"}, where="sandboxes[1]")


def test_a_new_sandbox_needs_a_name() -> None:
    with pytest.raises(InvalidArgument, match="name is required to create"):
        SandboxRequest.from_options({"id": ID}).resolve(None, new_id=ID, attachments=())


def test_network_is_short_for_networks() -> None:
    short, long = ({"name": "web", "network": "pods0"}, {"name": "web", "networks": [{"name": "pods0"}]})
    assert SandboxRequest.from_options(short) == SandboxRequest.from_options(long)


@pytest.mark.parametrize(
    ("options", "error"),
    (
        ({"network": "a", "networks": []}, "network and networks say the same"),
        ({"networks": [{"name": "a"}, {"name": "a"}]}, "'a' is given twice as name"),
        ({"networks": [{"name": "a", "interface": "e"}, {"name": "b", "interface": "e"}]}, "'e' is given twice as interface"),
        (
            {"networks": [{"name": "a", "mac": "02:00:00:00:00:01"}, {"name": "b", "mac": "02-00-00-00-00-01"}]},
            "is given twice as mac",
        ),
        ({"networks": [{"mac": "02:00:00:00:00:01"}]}, "has no name"),
        ({"networks": [{"name": "a", "adress": "10.0.0.1"}]}, "'adress' is no key of a network"),
        ({"networks": [{"name": "a", "interface": "lo"}]}, r"networks\.interface: 'lo'"),
        ({"networks": [{"name": "a", "addresses": ["10.0.0.1", "10.0.0.1"]}]}, "given twice"),
        ({"namespaces": ["net", "mnt"]}, "namespaces: 'mnt' is none of"),
        ({"namespaces": ["net", "net"]}, "given twice"),
        ({"namespaces": []}, "owns at least one"),
        ({"namespaces": ["net", "pid"], "pause": False}, "pause: "),
        ({"namespaces": ["net"], "hostname": "other"}, "hostname: "),
        ({"namespaces": ["net"], "sysctls": {"kernel.sem": 1}}, "sysctls: 'kernel.sem' lives in the ipc namespace"),
    ),
)
def test_what_does_not_fit_together_is_refused(options: dict[str, Any], error: str) -> None:
    with pytest.raises(InvalidArgument, match=error):
        sandbox(**options)


@pytest.mark.parametrize(
    "options", ({"dns": ["10.0.0.1"]}, {"hosts": ["a:10.0.0.1"]}, {"rootfs": ["/srv"]}, {"sysctls": {"net.core.somaxconn": 1}})
)
def test_without_a_net_namespace_nothing_of_the_network_can_be_set(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        sandbox(attachments=(), namespaces=["ipc", "uts"], **options)


@pytest.mark.parametrize("options", ({"dns_search": ["a.example"]}, {"dns_options": ["ndots:1"]}))
def test_without_a_net_namespace_no_resolver_option_can_be_set(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        sandbox(attachments=(), namespaces=["ipc", "uts"], **options)


def test_without_a_net_namespace_there_is_no_interface() -> None:
    with pytest.raises(InvalidArgument, match="without net"):
        sandbox(namespaces=["ipc", "uts"])


def test_a_given_net_namespace_counts_as_one() -> None:
    made = sandbox(namespaces=["ipc"], netns="/run/netns/x", dns=["10.0.0.1"], sysctls={"net.core.somaxconn": 1})
    assert (made.has_net, made.owns_net) == (True, False)


def test_a_given_net_namespace_is_pinned_too() -> None:
    assert sandbox(namespaces=["uts"], netns="/run/netns/x").pins == ("net", "uts")


def test_a_pid_namespace_is_never_pinned() -> None:
    assert sandbox(namespaces=["net", "pid"]).pins == ("net",)


def test_look_alike_names_stay_apart() -> None:
    requests = {SandboxRequest.from_options({"name": name}) for name in ("pod-1", "pod-10", "pod-1.0")}
    assert len({request.name for request in requests}) == 3


def test_names_on_the_host_follow_from_the_id() -> None:
    made = sandbox()
    assert (made.ns_name, made.veth_host(0), made.veth_host(12)) == ("psb-01234567", "vh-01234567", "vh12-01234567")


def test_the_container_ip_is_the_first_ipv4_address() -> None:
    v6 = replace(ETH0, addresses=(ip_address("fd00:90::2"),))
    assert sandbox(attachments=(v6, ETH1)).as_dict()["container_ip"] == "10.91.0.2"


@pytest.mark.parametrize("option", SAID)
def test_a_record_says_everything(option: str) -> None:
    made = sandbox(attachments=(ETH0, ETH1), **{option: SAID[option][0]})
    again = Sandbox.from_record(json.loads(json.dumps(made.as_record())))
    assert again == made


@pytest.mark.parametrize("removing", (True, False))
def test_a_record_says_whether_a_removal_was_begun(removing: bool) -> None:
    record = json.loads(json.dumps(replace(sandbox(), removing=removing).as_record()))
    assert Sandbox.from_record(record).removing is removing
