# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real payload: servers that tell who asked, clients that ask them, and the neighbour called lan."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from host import Host

HOST = ("198.51.100.1", "2001:db8:1::1")
LAN = ("198.51.100.2", "2001:db8:1::2")

SERVE = """
import selectors, socket, sys
name, ports = sys.argv[1], [int(port) for port in sys.argv[2:]]
chosen = selectors.DefaultSelector()
for port in ports:
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            server = socket.socket(family, kind)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            server.bind((address, port))
            if kind == socket.SOCK_STREAM:
                server.listen(50)
            chosen.register(server, selectors.EVENT_READ, (kind, port))
print("ready", flush=True)
while True:
    for key, _events in chosen.select():
        kind, port = key.data
        if kind == socket.SOCK_STREAM:
            peer, at = key.fileobj.accept()
            peer.settimeout(5)
            try:
                peer.sendall(b" ".join((name.encode(), str(port).encode(), at[0].encode(), peer.recv(2000))))
            except OSError:
                pass
            peer.close()
        else:
            text, at = key.fileobj.recvfrom(2000)
            key.fileobj.sendto(b" ".join((name.encode(), str(port).encode(), at[0].encode(), text)), at)
"""
ASK = """
import json, selectors, socket, subprocess, sys, time
QUESTION = b"x" * 1200
found, waiting = {}, selectors.DefaultSelector()
def begin(number, kind, address, port):
    if kind == "ping":
        started = subprocess.Popen(["ping", "-c1", "-W" + sys.argv[2], "-n", address], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        waiting.register(started.stdout, selectors.EVENT_READ, (number, started, b""))
        return
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    s.setblocking(False)
    error = s.connect_ex(socket.getaddrinfo(address, port)[0][4])
    if error in (0, 115):
        waiting.register(s, selectors.EVENT_WRITE, (number, s, b""))
def go_on(key, event):
    number, asked, text = key.data
    if isinstance(asked, subprocess.Popen):
        text += asked.stdout.read1()
        ended = asked.poll() is not None
        if b" bytes from " in text:
            found[number] = "pong"
    elif event & selectors.EVENT_WRITE:
        asked.sendall(QUESTION)
        waiting.modify(asked, selectors.EVENT_READ, (number, asked, b""))
        return
    else:
        piece = asked.recv(2000)
        text += piece
        ended = not piece or text.endswith(QUESTION)
        if ended and text:
            words = text.decode().split()
            found[number] = " ".join(words[:3]) if text.endswith(QUESTION) else "cut: " + text.decode()
    if ended or number in found:
        waiting.unregister(key.fileobj)
    else:
        waiting.modify(key.fileobj, selectors.EVENT_READ, (number, asked, text))
questions, patience = json.loads(sys.argv[1]), float(sys.argv[2])
for number, question in enumerate(questions):
    try:
        begin(number, *question)
    except OSError:
        pass
until = time.monotonic() + patience
while waiting.get_map() and time.monotonic() < until:
    for key, event in waiting.select(max(0, until - time.monotonic())):
        before = len(found)
        try:
            go_on(key, event)
        except OSError:
            waiting.unregister(key.fileobj)
        if len(found) > before:
            until = time.monotonic() + patience
# A part of an answer is one, too: something got through.
for key in list((waiting.get_map() or {}).values()):
    number, asked, text = key.data
    if text and not isinstance(asked, subprocess.Popen):
        found[number] = "cut: " + text.decode()
print(json.dumps([found.get(number) for number in range(len(questions))]))
"""


def add_lan(host: Host) -> None:
    """Add a neighbour called lan to the host's segment; it knows no way to any pod."""
    host.sh(
        "ip netns add lan; ip link add up0 type veth peer name eth0 netns lan;"
        "ip addr add 198.51.100.1/24 dev up0; ip addr add 2001:db8:1::1/64 dev up0 nodad; ip link set up0 up;"
        "ip -n lan addr add 198.51.100.2/24 dev eth0; ip -n lan addr add 2001:db8:1::2/64 dev eth0 nodad;"
        "ip -n lan link set eth0 up; ip -n lan link set lo up"
    )
    # The kernel adds the routes of an interface a moment after its carrier has come (net/core/link_watch.c).
    for neighbour in LAN:
        host.until(f"ping -c1 -W0.5 -n {neighbour} >/dev/null 2>&1")


def serve(host: Host, where: str | None, name: str, *ports: int) -> Any:
    """Start a server that answers with its name, the port, the sender's address, and the question."""
    return serve_all(host, (where, name, *ports))[0]


def serve_all(host: Host, *servers: tuple[Any, ...]) -> list[Any]:
    """Start such servers, each (namespace, name, port...), at the same time."""
    started = []
    for where, name, *ports in servers:
        enter = ("ip", "netns", "exec", where) if where else ()
        started.append(host.start(*enter, "python3", "-c", SERVE, name, *(str(port) for port in ports)))
    for server in started:
        assert server.stdout is not None and server.stdout.readline() == "ready\n"
    return started


def ask(host: Host, where: str | None, *questions: tuple[str, str, int], patience: float = 5) -> list[str | None]:
    """What each address and port answers to that namespace, all asked at once; None where nothing does.

    A question is ("tcp" or "udp", address, port) or ("ping", address, 0), whose answer is "pong". ``patience``: seconds
    without any answer until the rest is given up.
    """
    enter = ("ip", "netns", "exec", where) if where else ()
    answers: list[str | None] = json.loads(host.run(*enter, "python3", "-c", ASK, json.dumps(questions), str(patience)).stdout)
    return answers


def pings(host: Host, where: str | None, *addresses: str, patience: float = 2) -> list[bool]:
    """Which addresses answer an echo request from that namespace, all asked at once."""
    return [answer is not None for answer in ask(host, where, *(("ping", address, 0) for address in addresses), patience=patience)]


def everywhere(port: int) -> list[tuple[str, str, int]]:
    return [(kind, address, port) for kind in ("tcp", "udp") for address in HOST]


def bridge_netfilter(host: Host, value: int) -> None:
    """Whether what crosses a bridge meets the rules for IP too, where the kernel has br_netfilter."""
    for name in ("iptables", "ip6tables"):
        host.sh(f"! test -e /proc/sys/net/bridge/bridge-nf-call-{name} || sysctl -qw net.bridge.bridge-nf-call-{name}={value}")


HOLD = """
import socket, sys
held = [socket.create_connection((address, int(port)), 5) for address, port in (item.rsplit(",", 1) for item in sys.argv[1:])]
print("open", flush=True)
for line in sys.stdin:
    answers = []
    for s in held:
        s.settimeout(1)
        try:
            s.sendall(b"x")
            answers.append(s.recv(1).decode())
        except OSError as error:
            answers.append("-")
    print("".join(answers), flush=True)
"""
ECHO = """
import socket, sys, threading
def serve(peer):
    while (data := peer.recv(100)):
        peer.sendall(data)
def listen(family, address):
    s = socket.socket(family)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, 7000))
    s.listen()
    while True:
        threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
for address in sys.argv[1:]:
    threading.Thread(target=listen, args=(socket.AF_INET6 if ":" in address else socket.AF_INET, address)).start()
print("ready", flush=True)
"""


def hold(host: Host, where: str | None, *targets: str) -> Any:
    """Connections that stay open; see still_open()."""
    enter = ("ip", "netns", "exec", where) if where else ()
    client = host.start(*enter, "python3", "-c", HOLD, *targets, stdin=subprocess.PIPE)
    assert client.stdout is not None and client.stdout.readline() == "open\n"
    return client


def still_open(client: Any) -> str:
    client.stdin.write("go\n")
    client.stdin.flush()
    return client.stdout.readline().strip()


def echo(host: Host, where: str | None, *addresses: str) -> None:
    """Says on port 7000 what it hears, as long as the connection is open."""
    enter = ("ip", "netns", "exec", where) if where else ()
    server = host.start(*enter, "python3", "-c", ECHO, *addresses)
    assert server.stdout is not None and server.stdout.readline() == "ready\n"
