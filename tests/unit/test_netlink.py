# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno

import pytest
from ansible_collections.podnet.linux.plugins.module_utils._host import netlink
from hypothesis import given
from hypothesis import strategies as st


@given(st.dictionaries(st.integers(1, 0x3FFF), st.binary(max_size=40)))
def test_what_is_put_together_is_taken_apart(values: dict[int, bytes]) -> None:
    data = b"".join(netlink.attribute(kind, value) for kind, value in values.items())
    assert len(data) % 4 == 0
    assert netlink.attributes(data) == values
    assert netlink.attributes(b"header" + data, 6) == values


@given(st.binary(max_size=60))
def test_any_bytes_come_to_an_end(data: bytes) -> None:
    netlink.attributes(data)


def test_values() -> None:
    nest = netlink.attributes(netlink.nested(18, netlink.text(1, "bridge"), netlink.number(4, 70_000)))
    inner = netlink.attributes(nest[18])
    assert (netlink.as_text(inner[1]), netlink.as_number(inner[4])) == ("bridge", 70_000)
    assert netlink.as_number(b"\x07") == 7
    assert (netlink.as_text(None), netlink.as_number(None)) == ("", 0)


def test_an_interface_name_need_not_be_utf8() -> None:
    assert netlink.text(3, netlink.as_text(b"x\xff\0")) == netlink.attribute(3, b"x\xff\0")


def test_the_kernel_says_why() -> None:
    socket = netlink.Socket(netlink.ROUTE)
    try:
        with pytest.raises(OSError) as missing:
            socket.ask(18, b"\0" * 16 + netlink.text(3, "no-such-link"))
        assert missing.value.errno == errno.ENODEV
        # A list of addresses with a prefix length in its question.
        with pytest.raises(OSError, match="Invalid values in header") as malformed:
            socket.dump(22, b"\0\x18" + b"\0" * 6)
        assert malformed.value.errno == errno.EINVAL
        assert socket.dump(22, b"\0" * 8)
    finally:
        socket.close()
