# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether packets go where they should: tried from inside sandboxes, by sockets that are opened there and used from here."""

from __future__ import annotations

import errno
import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from ipaddress import ip_address

from ._errors import NotFound
from ._host import namespaces
from ._host.machine import Machine, net_pin
from ._plan.draft import Draft
from ._plan.egress import crowd_counter, target_of
from ._plan.observed import Observed
from ._plan.sandboxes import find_sandbox
from ._session import Result, Settings, host_session
from ._spec.bound import METADATA, Bound
from ._spec.fields import IPAddress
from ._spec.probe import Probe
from ._spec.sandbox import Sandbox, SandboxRequest

_WEB = 80
_EVERYBODY = {4: "255.255.255.255", 6: "ff02::1"}
_ANSWERS = {0: "open", errno.ECONNREFUSED: "refused"}


def run_probes(probes: Sequence[Probe], settings: Settings, *, patience: float, policies: bool) -> list[Result]:
    """What was found, probe by probe, then (``policies``) policy by policy. Raises NotFound, PodnetError.

    A sandbox that an enforced policy binds tries a cloud metadata address, which nothing allows; the policy has to count it.
    ``patience``: seconds to wait for answers, for all of them together, and for a policy to count.
    """
    wait = patience
    with host_session(settings) as session:
        draft = session.draft()
        meant = [_sandbox(draft, probe) for probe in probes]
        bound = list(_bound(draft)) if policies else []
        knocks = []
        for sandbox, names in bound:
            knocks.append(_knock(draft.observed, session.machine, sandbox, names, wait))
            # Where something does not count, little else may: a thousand of them shall not take a thousand times as long.
            wait = wait if knocks[-1]["passed"] else wait / 2
    found = _tried([(sandbox, probe.to, probe.port) for sandbox, probe in zip(meant, probes)], patience)
    results = [{**probe.as_dict(), "found": state, "passed": state == probe.expect} for probe, state in zip(probes, found)]
    return [*results, *knocks]


def _sandbox(draft: Draft, probe: Probe) -> Sandbox:
    found = find_sandbox(draft, SandboxRequest(name=probe.sandbox))
    if found is None or found.removing or not found.has_net:
        raise NotFound(f"probes.sandbox: there is no sandbox {probe.sandbox} with a network on this host")
    return found


def _bound(draft: Draft) -> Iterator[tuple[Sandbox, list[str]]]:
    """Sandboxes that an enforced policy keeps from metadata, by name, and whose policies these are, as counters name them."""
    for sandbox in sorted(draft.sandboxes.values(), key=lambda item: (item.name, item.id)):
        # Where the default route leads.
        first = next((item.network for item in sandbox.attachments if _leads_out(draft, item.network)), None)
        if sandbox.removing or first is None:
            continue
        bounds = {target_of(owner): Bound(owner.policies) for owner in (sandbox, draft.networks[first])}
        if any(bound.enforced and not bound.allows_metadata for bound in bounds.values()):
            yield sandbox, list(bounds)


def _leads_out(draft: Draft, name: str) -> bool:
    network = draft.networks.get(name)
    return network is not None and not network.internal


def _knock(observed: Observed, machine: Machine, sandbox: Sandbox, targets: Sequence[str], patience: float) -> Result:
    version = min(address.version for item in sandbox.attachments for address in item.addresses)
    # What the host has no route to is dropped ahead of the rules; then it is something that never leaves the bridge.
    to = METADATA[version][0] if observed.uplink(version) else _EVERYBODY[version]
    names = [name for target in targets for name in (f"denied_{target}", crowd_counter(target))]

    def counted() -> int:
        found = machine.tables.counters()
        return sum(found.get(name, 0) for name in names)

    before = counted()
    end = time.monotonic() + patience
    with closing(_opened(sandbox, ip_address(to), socket.SOCK_DGRAM)) as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        # A packet may be on its way for a while on a busy host, or not find its way where the kernel's neighbours are too many.
        for pause in _pauses():
            with suppress(OSError):
                asking.sendto(b"podnet.linux", (to, _WEB))
            denied = counted() > before
            if denied or time.monotonic() > end:
                break
            time.sleep(min(pause, max(0.0, end - time.monotonic())))
    known = {"sandbox": sandbox.name, "to": to, "port": _WEB, "expect": "denied"}
    return {**known, "found": "denied" if denied else "not denied", "passed": denied}


def _pauses() -> Iterator[float]:
    """Seconds, from a moment to half a second."""
    pause = 0.002
    while True:
        yield pause
        pause = min(pause * 2, 0.5)


def _tried(questions: Sequence[tuple[Sandbox, IPAddress, int]], patience: float) -> list[str]:
    """All at once: open, refused, or closed where nobody answered."""
    found = ["closed"] * len(questions)
    with ExitStack() as stack, selectors.DefaultSelector() as waiting:
        for number, (sandbox, to, port) in enumerate(questions):
            asking = stack.enter_context(closing(_opened(sandbox, to, socket.SOCK_STREAM)))
            asking.setblocking(False)
            error = asking.connect_ex((str(to), port))
            if error == errno.EINPROGRESS:
                waiting.register(asking, selectors.EVENT_WRITE, (asking, number))
            else:
                found[number] = _ANSWERS.get(error, "closed")
        end = time.monotonic() + patience
        while waiting.get_map() and time.monotonic() < end:
            for key, _events in waiting.select(end - time.monotonic()):
                asking, number = key.data
                found[number] = _ANSWERS.get(asking.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "closed")
                waiting.unregister(asking)
    return found


def _opened(sandbox: Sandbox, to: IPAddress, kind: socket.SocketKind) -> socket.socket:
    """A socket belongs to the namespace that it was opened in."""
    with namespaces.entered({"net": net_pin(sandbox.id)}):
        return socket.socket(socket.AF_INET6 if to.version == 6 else socket.AF_INET, kind)
