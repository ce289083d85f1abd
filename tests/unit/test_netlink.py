# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import socket
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from ansible_collections.podnet.linux.plugins.module_utils._host import messages, netlink
from ansible_collections.podnet.linux.plugins.module_utils._host.messages import Attributes, Message, read
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink import NETLINK_ROUTE, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE
from pyroute2.netlink.rtnl import RTM_GETADDR, RTM_GETLINK, RTM_NEWADDR, RTM_NEWROUTE
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg


def built(kind: Any, attributes: list[tuple[str, Any]], **fixed: int) -> Message:
    return Message(kind, tuple(attributes), tuple(fixed.items()))


def encoded(kind: int, message: Message) -> bytes:
    return messages.encoded(kind, message, 0).data


def test_the_kernel_says_why() -> None:
    asked = netlink.Socket(NETLINK_ROUTE)
    try:
        with pytest.raises(OSError) as missing:
            asked.ask(RTM_GETLINK, built(ifinfmsg, [("IFLA_IFNAME", "no-such-link")]))
        assert missing.value.errno == errno.ENODEV
        with pytest.raises(OSError, match="Invalid values in header for address dump request") as malformed:
            asked.dump(messages.question(RTM_GETADDR, built(ifaddrmsg, [], family=0, prefixlen=24)))
        assert malformed.value.errno == errno.EINVAL
        assert asked.dump(messages.question(RTM_GETADDR, built(ifaddrmsg, [], family=0)))
    finally:
        asked.close()


@pytest.mark.parametrize("torn", (2, 10))
def test_a_torn_dump_is_asked_for_again(torn: int) -> None:
    """No kernel tears them when it is told to: this one answers from the other end of a pair of sockets."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

    def answer() -> None:
        for attempt in range(min(torn + 1, 10)):
            _length, _kind, _flags, sequence, _port = struct.unpack_from("=IHHII", there.recv(4096))
            item = ifaddrmsg()
            item.update(family=socket.AF_INET, attrs=[("IFA_LOCAL", f"192.0.2.{attempt}")])
            flags = NLM_F_DUMP_INTR if attempt < torn else 0
            item["header"] = {"type": RTM_NEWADDR, "flags": flags, "sequence_number": sequence, "pid": 0}
            item.encode()
            end = struct.pack("=IHHIIi", 20, NLMSG_DONE, 0, sequence, 0, 0)
            stray = struct.pack("=IHHIIi", 20, NLMSG_DONE, 0, sequence + 1, 0, 0)
            there.send(stray + bytes(item.data) + end)

    asked = netlink.Socket(NETLINK_ROUTE)
    asked.close()
    asked._socket = here
    with here, there, ThreadPoolExecutor() as kernel:
        answering = kernel.submit(answer)
        if torn == 10:
            with pytest.raises(OSError, match="changed during each of 10 dumps") as given_up:
                asked.dump(messages.question(RTM_GETADDR, built(ifaddrmsg, [], family=0)))
            assert given_up.value.errno == errno.EAGAIN
        else:
            (message,) = asked.dump(messages.question(RTM_GETADDR, built(ifaddrmsg, [], family=0)))
            assert Attributes(read(ifaddrmsg, message)).text("IFA_LOCAL") == "192.0.2.2"
        answering.result()


def test_what_was_encoded_is_told_again_of_another_interface() -> None:
    for index in (7, 9, 7):
        words, fixed = [("IFLA_IFNAME", "vh-1"), ("IFLA_MTU", 1400)], {"flags": 1, "change": 1}
        request = messages.encoded(RTM_GETLINK, built(ifinfmsg, words, index=index, **fixed), 5)
        told = ifinfmsg()
        told.update(fixed, index=index, attrs=words)
        told["header"] = {"type": RTM_GETLINK, "flags": 5, "sequence_number": request.sequence, "pid": 0}
        told["header"]["flags"] |= NLM_F_REQUEST
        told.encode()
        assert request.data == bytes(told.data)
    assert (
        messages.encoded(RTM_GETLINK, built(ifinfmsg, [], index=7), 0).data
        != messages.encoded(RTM_GETADDR, built(ifinfmsg, [], index=7), 0).data
    )


def test_an_interface_name_need_not_be_utf8() -> None:
    message = built(ifinfmsg, [("IFLA_IFNAME", b"x\xff"), ("IFLA_IFALIAS", "y")])
    found = Attributes(read(ifinfmsg, messages.pruned(ifinfmsg, encoded(RTM_GETLINK, message))))
    assert (found.text("IFLA_IFNAME"), found.text("IFLA_IFALIAS"), found.text("IFLA_QDISC")) == ("x\udcff", "y", "")
    assert (found.number("IFLA_MTU"), "IFLA_MTU" in found) == (0, False)


def test_what_a_sandbox_adds_to_a_route_chooses_no_class() -> None:
    """pyroute2's rtmsg walks on from an RTA_ENCAP by lengths that it does not check, of which one may be 0."""
    encapsulated = struct.pack("=HHHH", 8, 0x8000 | 22, 0, 0) + bytes(8)
    message = built(rtmsg, [("RTA_OIF", 7)], family=socket.AF_INET, table=messages.RT_TABLE_MAIN)
    data = encoded(RTM_NEWROUTE, message) + encapsulated
    data = struct.pack("=I", len(data)) + data[4:]
    found = Attributes(read(messages.RouteMessage, messages.pruned(messages.RouteMessage, data)))
    assert found.number("RTA_OIF") == 7


def test_what_counts_packets_is_pruned() -> None:
    """And what is left means the same."""
    port = {"attrs": [("IFLA_BRPORT_STATE", 3), ("IFLA_BRPORT_MODE", 1), ("IFLA_BRPORT_HOLD_TIMER", 7), ("IFLA_BRPORT_ISOLATED", 1)]}
    kind = {"attrs": [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_SLAVE_KIND", "bridge"), ("IFLA_INFO_SLAVE_DATA", port)]}
    words = [("IFLA_IFNAME", "vh-1"), ("IFLA_TXQLEN", 5), ("IFLA_LINKINFO", kind), ("IFLA_CARRIER_CHANGES", 2), ("IFLA_MASTER", 4)]
    data = encoded(RTM_GETLINK, built(ifinfmsg, words, index=9))
    whole, left = read(ifinfmsg, data), read(ifinfmsg, messages.pruned(ifinfmsg, data))
    assert len(messages.pruned(ifinfmsg, data)) < len(data) and left["header"]["length"] == len(messages.pruned(ifinfmsg, data))
    assert messages.pruned(ifinfmsg, messages.pruned(ifinfmsg, data)) == messages.pruned(ifinfmsg, data)
    assert (left["index"], left.get_attr("IFLA_IFNAME"), left.get_attr("IFLA_MASTER")) == (9, "vh-1", 4)
    assert [name for name, *_rest in left["attrs"]] == ["IFLA_IFNAME", "IFLA_LINKINFO", "IFLA_MASTER"]
    ports = [item.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_SLAVE_DATA") for item in (whole, left)]
    assert [name for name, *_rest in ports[1]["attrs"]] == ["IFLA_BRPORT_MODE", "IFLA_BRPORT_ISOLATED"]
    assert len({(item.get_attr("IFLA_BRPORT_MODE"), item.get_attr("IFLA_BRPORT_ISOLATED")) for item in ports}) == 1


@given(st.binary(max_size=80))
def test_any_bytes_are_pruned(data: bytes) -> None:
    head = encoded(RTM_GETLINK, built(ifinfmsg, [], index=9))
    left = messages.pruned(ifinfmsg, head + data)
    assert left[:4] == len(left).to_bytes(4, sys.byteorder) and len(left) <= len(head + data)


def test_the_fixed_part_is_what_pyroute2_reads() -> None:
    message = built(rtmsg, [("RTA_OIF", 7)], family=socket.AF_INET6, dst_len=64, table=254, proto=4, scope=253, type=1, flags=1 << 20)
    data = encoded(RTM_NEWROUTE, message)
    whole = read(rtmsg, data)
    assert all(messages.field(rtmsg, name)(data) == whole[name] for name, _code in rtmsg.fields)
