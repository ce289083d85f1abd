# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user is told, in one line, instead of a traceback."""

from __future__ import annotations


class LabError(Exception):
    """Something that the user can understand, and mostly do something about."""


class NotPossible(LabError):
    """This user or this machine cannot have a lab at all; tests leave it out."""
