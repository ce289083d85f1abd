# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # What holds for every module that changes something.
    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Can run in check mode and predict what a real run does, without changing anything.
    support: full
  diff_mode:
    description: Returns what was and what is, object by object, for what differs.
    support: full
  idempotent:
    description: A second run of the same task changes nothing.
    support: full
  platform:
    description: The systems it runs on.
    platforms: linux
    support: full
  action_group:
    description: Use C(group/podnet.linux.all) in C(module_defaults) to set defaults for all modules of this collection.
    support: full
    membership:
      - podnet.linux.all
"""

    # For modules that only look.
    INFO = r"""
attributes:
  check_mode:
    description: Can run in check mode; it never changes anything.
    support: full
  diff_mode:
    description: There is nothing to show a difference of.
    support: N/A
  idempotent:
    description: It never changes anything.
    support: full
  platform:
    description: The systems it runs on.
    platforms: linux
    support: full
  action_group:
    description: Use C(group/podnet.linux.all) in C(module_defaults) to set defaults for all modules of this collection.
    support: full
    membership:
      - podnet.linux.all
"""
