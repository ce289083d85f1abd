# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Single values: what is taken, in which form, and what is refused, naming option and value."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.podnet.linux.plugins.module_utils._errors import InvalidArgument
from ansible_collections.podnet.linux.plugins.module_utils._spec import fields
from hypothesis import given
from hypothesis import strategies as st

HOSTILE = ("", " ", "a\nb", "a\0b", "../a", "a/b", "a b", "a;b", "$(id)", "é", "٣", "\u202e", "-a", "a\n", "\ta", "%s", '"a"')
"""Text that must never reach a path, a command, a file or the kernel as a name."""

NAMES = (fields.bridge_name, fields.interface_name, fields.sandbox_name, fields.object_id, fields.hostname)


@pytest.mark.parametrize("parse", NAMES)
@pytest.mark.parametrize("text", HOSTILE)
def test_no_name_takes_hostile_text(parse: Callable[[str, Any], str], text: str) -> None:
    with pytest.raises(InvalidArgument, match="name: "):
        parse("name", text)


@pytest.mark.parametrize("parse", (*NAMES, fields.mac, fields.address, fields.network, fields.word, fields.absolute_path, fields.netns))
def test_an_error_names_option_and_value(parse: Callable[[str, Any], Any]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse("networks[3].thing", "no\ngood value")
    assert str(caught.value).startswith("networks[3].thing: 'no\\ngood value' ")


@pytest.mark.parametrize("name", ("pods0", "a", "9", "br-lan.4_x", "a" * 15, "All", "LO"))
def test_a_bridge_name_is_kept_as_it_is(name: str) -> None:
    assert fields.bridge_name("name", name) == name


@pytest.mark.parametrize("name", ("all", "default", "lo", ".", "..", "a" * 16, "_a", ".a", "a:1", "a@b", "a*"))
def test_a_bridge_name_the_kernel_would_misread_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument):
        fields.bridge_name("name", name)


@pytest.mark.parametrize("name", ("web", "web-1", "web-10", "a", "1", "a.b", "a" * 63, "0123456789abcde", "0123456789abcdef0"))
def test_a_sandbox_name_is_kept_as_it_is(name: str) -> None:
    assert fields.sandbox_name("name", name) == name


@pytest.mark.parametrize("name", ("Web", "web-", "web.", "a" * 64, "a_b", "0123456789abcdef"))
def test_a_sandbox_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument):
        fields.sandbox_name("name", name)


@pytest.mark.parametrize("text", ("0123456789ABCDEF", "0123456789abcde", "0123456789abcdef0", "0123456789abcdeg", "0123456789abcdef\n"))
def test_a_sandbox_id_has_16_lower_case_digits(text: str) -> None:
    with pytest.raises(InvalidArgument):
        fields.object_id("id", text)


@pytest.mark.parametrize("name", ("a..b", ".a", "a.", "a-", "a_b", "a" * 65, "a" * 64 + ".b"))
def test_a_host_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument):
        fields.hostname("hostname", name)


def test_a_host_name_may_have_64_characters() -> None:
    name = "a" * 32 + "." + "b" * 31
    assert fields.hostname("hostname", name) == name


@pytest.mark.parametrize("text", ("10.0.0.1", "fd00::1"))
def test_an_address_is_read(text: str) -> None:
    assert fields.address("dns", text) == ipaddress.ip_address(text)


def test_an_address_is_read_in_its_short_form() -> None:
    assert str(fields.address("dns", "FD00:0:0:0::0001")) == "fd00::1"


@pytest.mark.parametrize(
    "text",
    (
        "10.0.0",
        "10.0.0.256",
        "010.0.0.1",
        "10.0.0.1/24",
        "fe80::1%eth0",
        "::g",
        "10.0.0.1\n",
        "\u0661\u0660.0.0.1",
        "1" * 400,
        "0x0a000001",
    ),
)
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="dns: "):
        fields.address("dns", text)


@pytest.mark.parametrize("number", (1, 167772161, True, None, 3.5))
def test_a_number_is_no_address(number: object) -> None:
    with pytest.raises(InvalidArgument):
        fields.address("dns", number)


def test_host_bits_are_refused_with_the_network_that_was_meant() -> None:
    with pytest.raises(InvalidArgument, match=r"10\.89\.0\.0/24"):
        fields.network("subnets", "10.89.0.7/24")


@pytest.mark.parametrize("text", ("10.89.0.0", "10.89.0.0/33", "10.89.0.0/-1", "fd00::/129", "/24", "10.89.0.0/24/24", "fe80::%eth0/64"))
def test_a_network_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="subnets: "):
        fields.network("subnets", text)


@pytest.mark.parametrize("text", ("10.0.0.0/30", "10.0.0.0/8", "fd00::/126", "fd00::/64", "192.0.2.0/24"))
def test_a_subnet_has_room_for_a_gateway_and_a_pod(text: str) -> None:
    assert str(fields.subnet("subnets", text)) == text


@pytest.mark.parametrize("text", ("10.0.0.0/31", "10.0.0.0/32", "fd00::/127", "fd00::/128"))
def test_a_subnet_too_small_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="too small"):
        fields.subnet("subnets", text)


@pytest.mark.parametrize(
    "text", ("224.0.0.0/24", "127.0.0.0/8", "169.254.0.0/16", "fe80::/64", "ff00::/16", "0.0.0.0/0", "::/0", "0.0.0.0/8")
)
def test_a_subnet_that_is_not_unicast_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        fields.subnet("subnets", text)


@pytest.mark.parametrize("text", ("126.0.0.0/7", "192.0.0.0/2", "fe00::/8", "160.0.0.0/3"))
def test_a_subnet_that_contains_what_is_not_unicast_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        fields.subnet("subnets", text)


def test_an_address_stands_for_the_network_of_itself() -> None:
    assert str(fields.address_or_network("reserved", "10.0.0.1")) == "10.0.0.1/32"


@pytest.mark.parametrize("text", ("02:00:00:AA:BB:CC", "02-00-00-aa-bb-cc"))
def test_a_mac_gets_one_form(text: str) -> None:
    assert fields.mac("mac", text) == "02:00:00:aa:bb:cc"


@pytest.mark.parametrize(
    "text", ("01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "02:00:00:aa:bb", "020000aabbcc", "02:00:00:aa:bb:cg")
)
def test_a_mac_that_no_interface_may_have_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="mac: "):
        fields.mac("mac", text)


@pytest.mark.parametrize(("value", "ipv6"), ((68, False), (1280, True), (65535, True), ("1500", True)))
def test_an_mtu_is_read(value: object, ipv6: bool) -> None:
    assert fields.mtu("mtu", value, ipv6=ipv6) == int(str(value))


@pytest.mark.parametrize(
    ("value", "ipv6"), ((67, False), (1279, True), (65536, False), (-1, False), (10**30, False), (True, False), ("9k", False))
)
def test_an_mtu_out_of_bounds_is_refused(value: object, ipv6: bool) -> None:
    with pytest.raises(InvalidArgument, match="mtu: "):
        fields.mtu("mtu", value, ipv6=ipv6)


@pytest.mark.parametrize("value", ("1.5", 1.5, "٣", "1\n", " 1", "1_000", "+1", "", None, True, "0x10"))
def test_an_integer_is_plain_digits(value: object) -> None:
    with pytest.raises(InvalidArgument):
        fields.integer("port", value)


def test_an_integer_of_thousands_of_digits_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        fields.mtu("mtu", "9" * 5000, ipv6=False)


@pytest.mark.parametrize("value", (0, 3600, "2.5", 1e-3))
def test_seconds_are_read(value: object) -> None:
    assert fields.seconds("stop_timeout", value) == float(str(value))


@pytest.mark.parametrize("value", (-1, 3601, "nan", "inf", "-inf", "x", None, [], 10**400))
def test_seconds_out_of_bounds_are_refused(value: object) -> None:
    with pytest.raises(InvalidArgument, match="stop_timeout: "):
        fields.seconds("stop_timeout", value)


@pytest.mark.parametrize("text", ("", "a b", "a\n", "a\tb", "ä", "x" * 256))
def test_a_word_is_one_printable_word(text: str) -> None:
    with pytest.raises(InvalidArgument):
        fields.word("dns_options", text)


@pytest.mark.parametrize(
    ("text", "name", "address"),
    (("web:10.0.0.1", "web", "10.0.0.1"), ("web:fd00::1", "web", "fd00::1"), ("web:[fd00::1]", "web", "fd00::1")),
)
def test_a_host_entry_is_a_name_and_an_address(text: str, name: str, address: str) -> None:
    assert fields.host_entry("hosts", text) == (name, ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "text", ("web", "web:", ":10.0.0.1", "web:x", "we b:10.0.0.1", "web\n6.6.6.6 x:10.0.0.1", "web:10.0.0.1\n", "web:]fd00::1[")
)
def test_a_host_entry_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        fields.host_entry("hosts", text)


@pytest.mark.parametrize(
    "name", ("net.core.somaxconn", "net.ipv4.conf.eth0/1.rp_filter", "kernel.shmmax", "kernel.msgmnb", "kernel.sem", "fs.mqueue.msg_max")
)
def test_a_sysctl_of_a_sandbox_is_taken(name: str) -> None:
    assert fields.sysctls("sysctls", {name: 1}) == ((name, "1"),)


@pytest.mark.parametrize(
    "name",
    (
        "kernel.core_pattern",
        "kernel.semaphore",
        "vm.overcommit_memory",
        "net",
        "net.",
        "netfilter.x",
        "net..core",
        "net.core.",
        "net.../x",
        "net.//x",
        "net./../kernel",
        "kernel.shm/../core_pattern",
        "net.core\nx",
        "net.core.x\0",
        "NET.core.x",
        "kernel.hostname",
        "fs.mqueue",
        "",
    ),
)
def test_a_sysctl_of_the_host_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match="sysctls: "):
        fields.sysctls("sysctls", {name: 1})


@pytest.mark.parametrize(("value", "text"), ((True, "1"), (False, "0"), ("32000  1024\t500", "32000 1024 500"), (0, "0")))
def test_a_sysctl_value_gets_one_form(value: object, text: str) -> None:
    assert fields.sysctls("sysctls", {"kernel.sem": value}) == (("kernel.sem", text),)


@pytest.mark.parametrize("value", ("", " ", "a\0", "ä"))
def test_a_sysctl_value_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(InvalidArgument, match=r"sysctls\.kernel\.sem: "):
        fields.sysctls("sysctls", {"kernel.sem": value})


@pytest.mark.parametrize("text", ("/srv/a", "/", "/srv/a b", "/srv/..a"))
def test_an_absolute_path_is_taken(text: str) -> None:
    assert fields.absolute_path("rootfs", text) == text


def test_a_path_loses_its_last_slash() -> None:
    assert fields.absolute_path("rootfs", "/srv/a/") == "/srv/a"


@pytest.mark.parametrize("text", ("srv", "", "/srv/../etc", "/..", "/a\0b", "/a\nb", "~/a"))
def test_a_path_that_could_lead_elsewhere_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        fields.absolute_path("rootfs", text)


@pytest.mark.parametrize(("text", "parsed"), (("1234", "1234"), (7, "7"), ("0042", "42"), ("/run/netns/x", "/run/netns/x")))
def test_a_netns_is_a_process_or_a_path(text: object, parsed: str) -> None:
    assert fields.netns("netns", text) == parsed


@pytest.mark.parametrize("text", ("0", "-1", "x", "٣", "²", "12 ", "9" * 5000))
def test_a_netns_that_is_neither_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="netns: "):
        fields.netns("netns", text)


def test_a_repeated_value_is_refused_in_any_spelling() -> None:
    with pytest.raises(InvalidArgument, match="dns: 'FD00::1' is given twice"):
        fields.many("dns", ["fd00::1", "FD00::1"], fields.address)


@given(
    st.sampled_from((*NAMES, fields.mac, fields.address, fields.subnet, fields.integer, fields.seconds, fields.word, fields.netns)),
    st.text(),
)
def test_any_text_is_parsed_or_refused(parse: Callable[[str, Any], Any], text: str) -> None:
    try:
        parse("option", text)
    except InvalidArgument as error:
        assert str(error).startswith("option: ")
