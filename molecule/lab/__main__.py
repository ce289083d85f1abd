# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``run`` runs."""

from __future__ import annotations

import sys
from pathlib import Path

if sys.version_info < (3, 11):
    sys.exit(f"lab: Python 3.11 or newer is needed, {sys.executable} is {sys.version.split()[0]}")
# Python puts this directory here, of which the package's modules are to be found as lab.something only.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from lab.command import main  # noqa: E402

sys.exit(main(sys.argv[1:]))
