# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forwarding is switched on without costing the host its own default route."""

from __future__ import annotations

import time

import pytest
from host import Host

ADVERTISE = """
import socket, struct, sys
out = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
out.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 1800, 1800, 0) + socket.inet_pton(socket.AF_INET6, "2001:db8:7::")
message = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, int(sys.argv[1]), 0, 0) + prefix
out.sendto(message, ("ff02::1", 0, 0, socket.if_nametoindex("eth0")))
"""
PATIENCE = 20
"""Seconds; an advertisement may get lost while the link comes up."""

DUAL = {"name": "pods0", "subnets": ["10.90.0.0/24", "fd00:90::/64"]}


@pytest.fixture
def advertised(host: Host) -> Host:
    """A host that has its IPv6 default route from a router's advertisements."""
    host.sh(
        "ip netns add router; ip link add up0 type veth peer name eth0 netns router; sysctl -qw net.ipv6.conf.up0.accept_dad=0;"
        "ip netns exec router sysctl -qw net.ipv6.conf.eth0.accept_dad=0 net.ipv6.conf.all.forwarding=1;"
        "ip -n router addr add 2001:db8:7::1/64 dev eth0 nodad; ip -n router link set eth0 up; ip link set up0 up"
    )
    advertise(host)
    assert learned(host)
    return host


def advertise(host: Host, lifetime: int = 1800) -> None:
    """Until the host has understood."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        host.run("ip", "netns", "exec", "router", "python3", "-c", ADVERTISE, str(lifetime), check=False)
        if learned(host) == bool(lifetime):
            return
        time.sleep(0.05)


def learned(host: Host) -> bool:
    return "proto ra" in host.sh("ip -6 route show default")


def reaches_the_router(host: Host) -> bool:
    sandbox = host.do("pod_sandbox", name="web", network="pods0")["sandbox"]
    return host.pings(sandbox, "2001:db8:7::1")


def test_force_forwarding_leaves_the_host_a_host(advertised: Host) -> None:
    assert advertised.sh("ls /proc/sys/net/ipv6/conf/all/force_forwarding"), "this kernel is too old for this test"
    advertised.do("bridge_network", **DUAL)
    assert advertised.sh("sysctl -n net.ipv6.conf.all.forwarding net.ipv6.conf.up0.accept_ra") == "0\n1\n"
    assert learned(advertised) and reaches_the_router(advertised)
    # Advertisements are still believed: one with lifetime 0 takes the route away, the next brings it back.
    advertise(advertised, lifetime=0)
    assert not learned(advertised)
    advertise(advertised)
    assert learned(advertised)
    dropin = advertised.sh("cat /etc/sysctl.d/60-podnet.conf")
    assert "net/ipv6/conf/default/force_forwarding = 1" in dropin and "all/forwarding" not in dropin


def test_without_force_forwarding_advertisements_are_believed_all_the_same(advertised: Host) -> None:
    done = advertised.drive({"networks": [DUAL], "without": ["net/ipv6/conf/all/force_forwarding"]})
    assert done["changed"], done
    assert advertised.sh("sysctl -n net.ipv6.conf.all.forwarding net.ipv6.conf.up0.accept_ra") == "1\n2\n"
    assert learned(advertised) and reaches_the_router(advertised)
    advertise(advertised, lifetime=0)
    assert not learned(advertised)
    advertise(advertised)
    assert learned(advertised)
    lines = [line.split(" = ")[0] for line in advertised.sh("cat /etc/sysctl.d/60-podnet.conf").splitlines()]
    assert lines[-1] == "net/ipv6/conf/all/forwarding" and "net/ipv6/conf/up0/accept_ra" in lines


def test_a_pod_cannot_advertise_itself_to_the_host(host: Host) -> None:
    host.do("bridge_network", **DUAL)
    sandbox = host.do("pod_sandbox", name="web", network="pods0")["sandbox"]
    for _number in range(3):
        host.inside(sandbox, "python3", "-c", ADVERTISE, "1800")
    assert not learned(host)
    assert "2001:db8:7:" not in host.sh("ip -6 addr show dev pods0")


def test_a_failed_run_puts_forwarding_back(host: Host) -> None:
    before = host.sh("sysctl -n net.ipv4.ip_forward net.ipv6.conf.all.forwarding net.ipv6.conf.default.force_forwarding")
    host.drive({"networks": [DUAL], "fail_after": 9, "without": ["net/ipv6/conf/all/force_forwarding"]})
    assert host.sh("sysctl -n net.ipv4.ip_forward net.ipv6.conf.all.forwarding net.ipv6.conf.default.force_forwarding") == before
