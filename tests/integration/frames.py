# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Raw frames, as root in a sandbox can send them, and who hears them."""

from __future__ import annotations

import json
from typing import Any

from host import Host

SEND = """
import ipaddress, json, socket, struct, sys

def mac(text): return bytes.fromhex(text.replace(":", ""))
def ip(text): return ipaddress.ip_address(text).packed

def checksum(data):
    data += b"\\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF

def udp(source, destination, sport, dport, text):
    length = 8 + len(text)
    pseudo = ip(source) + ip(destination) + (struct.pack("!II", length, 17) if ":" in source else struct.pack("!HH", 17, length))
    head = struct.pack("!HHHH", sport, dport, length, 0)
    return struct.pack("!HHHH", sport, dport, length, checksum(pseudo + head + text) or 0xFFFF) + text

def inside(source, destination, protocol, body, hops, longer=0):
    if ":" in source:
        return 0x86DD, struct.pack("!IHBB", 6 << 28, len(body), protocol, hops) + ip(source) + ip(destination) + body
    head = struct.pack("!BBHHHBBH4s4s", 69, 0, 20 + len(body) + longer, 1, 0, 64, protocol, 0, ip(source), ip(destination))
    return 0x0800, head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body

def icmp6(source, destination, kind, body):
    pseudo = ip(source) + ip(destination) + struct.pack("!II", 4 + len(body), 58)
    return struct.pack("!BBH", kind, 0, checksum(pseudo + struct.pack("!BBH", kind, 0, 0) + body)) + body

def arp(operation, sender_mac, sender, target):
    return 0x0806, struct.pack("!HHBBH", 1, 0x800, 6, 4, operation) + mac(sender_mac) + ip(sender) + bytes(6) + ip(target)

out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((sys.argv[2], 0))
for name, frame in json.loads(sys.argv[1]):
    text = f"<{name}>".encode()
    kind, tag = frame["kind"], b""
    if kind == "udp":
        body = udp(frame["from"], frame["to"], frame.get("sport", 9), frame.get("dport", 9), text)
        ethertype, data = inside(frame["from"], frame["to"], 17, body, 255, frame.get("longer", 0))
    elif kind == "arp":
        ethertype, data = arp(frame["operation"], frame["sender"], frame["from"], frame["to"])
        data += text
    elif kind == "icmp6":
        body = bytes(4) + (ip(frame["about"]) if "about" in frame else bytes(8)) + text
        body = icmp6(frame["from"], frame["to"], frame["type"], body)
        ethertype, data = inside(frame["from"], frame["to"], 58, body, frame.get("hops", 255))
    else:
        ethertype, data = frame["ethertype"], text
    if "vlan" in frame:
        tag = struct.pack("!HH", frame["tpid"], frame["vlan"])
    head = mac(frame.get("target", "ff:ff:ff:ff:ff:ff")) + mac(frame["source"]) + tag
    out.send(head + struct.pack("!H", ethertype) + data.ljust(46, b"\\0"))
"""
LISTEN = """
import re, select, socket, sys, time
sockets = []
for name in sys.argv[1:]:
    ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    ear.bind((name, 0))
    sockets.append(ear)
print("ready", flush=True)
heard = set()
while b"end" not in heard:
    for ear in select.select(sockets, [], [], 20)[0]:
        heard |= set(re.findall(rb"<([a-z0-9 -]+)>", ear.recv(4000)))
print(*sorted(name.decode() for name in heard), sep=",", flush=True)
"""


def send(host: Host, sandbox: dict[str, Any], named: dict[str, Any]) -> None:
    host.inside(sandbox, "python3", "-c", SEND, json.dumps(list(named.items())), "eth0")


def listen(host: Host, where: str | None, *interfaces: str) -> Any:
    """Hears frames until one is named "end"; see heard()."""
    enter = ("ip", "netns", "exec", where) if where else ()
    ear = host.start(*enter, "python3", "-c", LISTEN, *interfaces)
    assert ear.stdout is not None and ear.stdout.readline() == "ready\n"
    return ear


def heard(ear: Any) -> set[str]:
    """The names of the frames that got there."""
    return set(ear.stdout.readline().strip().split(","))
