# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import socket
import struct
from typing import Any

import pytest
from ansible_collections.podnet.linux.plugins.module_utils._host import messages, netlink
from ansible_collections.podnet.linux.plugins.module_utils._host.messages import Attributes, read
from pyroute2.netlink import NETLINK_ROUTE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLMSG_DONE
from pyroute2.netlink.rtnl import RTM_GETADDR, RTM_GETLINK, RTM_NEWADDR, RTM_NEWROUTE
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg


def built(kind: Any, attributes: list[tuple[str, Any]], **fixed: int) -> Any:
    message = kind()
    message.update(fixed, attrs=attributes)
    return message


def test_the_kernel_says_why() -> None:
    asked = netlink.Socket(NETLINK_ROUTE)
    try:
        with pytest.raises(OSError) as missing:
            asked.ask(RTM_GETLINK, built(ifinfmsg, [("IFLA_IFNAME", "no-such-link")]))
        assert missing.value.errno == errno.ENODEV
        with pytest.raises(OSError, match="Invalid values in header for address dump request") as malformed:
            asked.dump(netlink.request(RTM_GETADDR, built(ifaddrmsg, [], family=0, prefixlen=24), NLM_F_DUMP))
        assert malformed.value.errno == errno.EINVAL
        assert asked.dump(netlink.request(RTM_GETADDR, built(ifaddrmsg, [], family=0), NLM_F_DUMP))
    finally:
        asked.close()


@pytest.mark.parametrize("attempts", (3, 10))
def test_a_torn_dump_is_asked_for_again(attempts: int) -> None:
    """No kernel tears them when it is told to: this one answers from the other end of a pair of sockets."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    asked = netlink.Socket(NETLINK_ROUTE)
    asked.close()
    asked._socket = here
    with here, there:
        dump = netlink.request(RTM_GETADDR, built(ifaddrmsg, [], family=0), NLM_F_DUMP)
        for attempt in range(attempts):
            item = built(ifaddrmsg, [("IFA_LOCAL", f"192.0.2.{attempt}")], family=socket.AF_INET)
            flags = NLM_F_DUMP_INTR if attempt < 2 or attempts == 10 else 0
            item["header"] = {"type": RTM_NEWADDR, "flags": flags, "sequence_number": dump.sequence, "pid": 0}
            item.encode()
            end = struct.pack("=IHHIIi", 20, NLMSG_DONE, 0, dump.sequence, 0, 0)
            stray = struct.pack("=IHHIIi", 20, NLMSG_DONE, 0, dump.sequence + 1, 0, 0)
            there.send(stray + bytes(item.data) + end)
        if attempts == 10:
            with pytest.raises(OSError, match="kept changing") as given_up:
                asked.dump(dump)
            assert given_up.value.errno == errno.EAGAIN
        else:
            (message,) = asked.dump(dump)
            assert Attributes(read(ifaddrmsg, message)).text("IFA_LOCAL") == "192.0.2.2"


def test_an_interface_name_need_not_be_utf8() -> None:
    message = built(ifinfmsg, [("IFLA_IFNAME", b"x\xff"), ("IFLA_IFALIAS", "y")])
    found = Attributes(read(messages.LinkMessage, netlink.request(RTM_GETLINK, message, 0).data))
    assert (found.text("IFLA_IFNAME"), found.text("IFLA_IFALIAS"), found.text("IFLA_QDISC")) == ("x\udcff", "y", "")
    assert (found.number("IFLA_MTU"), "IFLA_MTU" in found) == (0, False)


def test_what_a_sandbox_adds_to_a_route_chooses_no_class() -> None:
    """pyroute2's rtmsg walks on from an RTA_ENCAP by lengths that it does not check, of which one may be 0."""
    encapsulated = struct.pack("=HHHH", 8, 0x8000 | 22, 0, 0) + bytes(8)
    message = built(rtmsg, [("RTA_OIF", 7)], family=socket.AF_INET, table=messages.RT_TABLE_MAIN)
    data = netlink.request(RTM_NEWROUTE, message, 0).data + encapsulated
    data = struct.pack("=I", len(data)) + data[4:]
    found = Attributes(read(messages.RouteMessage, data))
    assert found.number("RTA_OIF") == 7


def test_the_fixed_part_is_what_pyroute2_reads() -> None:
    message = built(rtmsg, [("RTA_OIF", 7)], family=socket.AF_INET6, dst_len=64, table=254, proto=4, scope=253, type=1, flags=1 << 20)
    data = netlink.request(RTM_NEWROUTE, message, 0).data
    whole = read(rtmsg, data)
    assert messages.Fixed(rtmsg).of(data) == {name: whole[name] for name, _code in rtmsg.fields}
