# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # What a run needs, how it behaves beside other runs, and what a failure says.
    DOCUMENTATION = r"""
options:
  lock_timeout:
    description:
      - Seconds to wait for another run on the same host to end; then the task fails with RV(ignore:reason=lock_timeout).
    type: float
    default: 30.0
requirements:
  - Linux >= 5.10 with network namespaces, bridge, veth and nf_tables
  - Python >= 3.9
  - L(pyroute2,https://pypi.org/project/pyroute2/) >= 0.7.2 (package C(python3-pyroute2)), except for leases
  - L(netaddr,https://pypi.org/project/netaddr/) >= 0.8.0 (package C(python3-netaddr))
  - nft >= 1.0.2 (package C(nftables)), except for free-standing pools
  - CAP_NET_ADMIN and CAP_SYS_ADMIN (root), except for free-standing pools
notes:
  - Every failure returns C(msg), a sentence that says what is wrong and what to do, and C(reason), one of
    C(invalid_argument), C(not_found), C(not_ours), C(in_use), C(address_in_use), C(no_address_available), C(port_in_use),
    C(at_capacity), C(not_permitted), C(missing_dependency), C(kernel_unsupported), C(kernel_error), C(state_corrupt),
    C(lock_timeout), C(blocked_by_firewall).
  - With C(-v), what changes something returns C(operations) too, the kinds of what it did with their number and seconds. A run
    that takes longer than a few seconds says in the host's log how far it is (C(journalctl -f)).
  - A failing task leaves kernel and files as they were. A run that is killed leaves something that the next run of the
    same task converges.
"""
