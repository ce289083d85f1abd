# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one sandbox has that others are asked about: words to find it by, without reading every record."""

from __future__ import annotations


def name(text: str) -> str:
    return f"name {text}"


def network(bridge: str) -> str:
    """Being attached to it."""
    return f"network {bridge}"


def address(bridge: str, item: object) -> str:
    return f"address {bridge} {item}"


def mac(bridge: str, item: str) -> str:
    return f"mac {bridge} {item}"


def root(path: str) -> str:
    """Furnishing it."""
    return f"root {path}"


def port(protocol: str, number: int) -> str:
    """Publishing it, on whatever address of the host."""
    return f"port {protocol} {number}"


def publisher(bridge: str) -> str:
    """Being attached to it, and publishing something."""
    return f"publisher {bridge}"


def destinations(name: str) -> str:
    """Being bound by a policy that uses this set of the rules."""
    return f"set {name}"


def bound(bridge: str) -> str:
    """Being attached to it, with a policy of one's own."""
    return f"bound {bridge}"


def loopback(bridge: str) -> str:
    """Being attached to it, and publishing something on the host's 127.0.0.1."""
    return f"loopback {bridge}"
