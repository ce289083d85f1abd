# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark's results: a table to read, a file to compare, a chart to show."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from html import escape

from rows import COLUMNS, TARGETS, Results

_WORTH_A_WORD = 0.03
_CHARTED = "create 200 pods"
_WIDTH, _BAR, _LEFT = 860, 26, 330


def table(results: Results, missing: dict[str, str]) -> str:
    """Markdown: medians, and behind them the least and the most."""
    rows = [("", *COLUMNS), ("---", *(["---:"] * len(COLUMNS)))]
    rows += [(row, *(_cell(row, cells.get(column), missing.get(column)) for column in COLUMNS)) for row, cells in results.items()]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines += ["", *(f"- **{name}**: {text}{f' ({missing[name]})' if name in missing else ''}" for name, text in COLUMNS.items())]
    return "\n".join(lines)


def ratios(results: Results) -> dict[str, float]:
    """Of the targets, those that were measured."""
    found = {}
    for target in TARGETS:
        with suppress(KeyError, ValueError, ZeroDivisionError):
            found[target.name] = target.ratio(results)
    return found


def targets(found: Mapping[str, float], before: Mapping[str, float]) -> list[str]:
    """One line each; those that are missed say so. ``before``: the ratios of an earlier run."""
    lines = []
    for target in TARGETS:
        if target.name not in found:
            lines.append(f"{target.name}: not measured")
            continue
        earlier = f"; the run before: {before[target.name]:.2f}" if target.name in before else ""
        missed = "" if target.reached(found[target.name]) else " MISSED"
        lines.append(f"{target.name}: {found[target.name]:.2f} ({target.bound}{earlier}){missed}")
    return lines


def compared(results: Results) -> list[str]:
    """One line for each row that another commit was measured in too, in turns."""
    rows = {row: cells for row, cells in results.items() if cells.get("engine") and cells.get("before")}
    medians = {row: [statistics.median(cells[column]) for column in ("engine", "before")] for row, cells in rows.items()}
    return [f"{row}, against the commit before: {now / before:.2f}" for row, (now, before) in medians.items()]


def profiles(found: Mapping[str, Mapping[str, float]]) -> str:
    """Markdown: of one run of each row the milliseconds, and what takes most of them."""
    lines = ["| | ms | where they go |", "|---|---:|---|"]
    for row, times in found.items():
        whole = sum(times.values())
        most = [f"{name} {took:.1f}" for name, took in times.items() if took >= whole * _WORTH_A_WORD]
        lines.append(f"| {row} | {whole:.1f} | {', '.join(most)} |")
    return "\n".join(lines)


def chart(results: Results, missing: Mapping[str, str]) -> str:
    """SVG: what one of 200 pods takes, column by column, on a logarithmic scale; what is missing, by name."""
    cells = {
        column: statistics.median(times) * 1000 / 200 for column, times in results.get(_CHARTED, {}).items() if times and column in COLUMNS
    }
    scale = (_WIDTH - _LEFT - 90) / max([_log(value) for value in cells.values()] + [0.1])
    bars = []
    for number, (column, value) in enumerate(sorted(cells.items(), key=lambda item: item[1])):
        top = 40 + number * (_BAR + 8)
        ours = column in ("engine", "ansible")
        bars.append(f'<text x="{_LEFT - 10}" y="{top + 18}" text-anchor="end">{escape(COLUMNS[column])}</text>')
        width = max(2.0, _log(value) * scale)
        bars.append(f'<rect x="{_LEFT}" y="{top}" width="{width:.0f}" height="{_BAR}" fill="{"#1f6feb" if ours else "#8b949e"}"/>')
        bars.append(f'<text x="{_LEFT + width + 8:.0f}" y="{top + 18}">{value:.1f} ms</text>')
    for number, column in enumerate(missing, len(cells)):
        top = 58 + number * (_BAR + 8)
        bars.append(f'<text x="{_LEFT - 10}" y="{top}" text-anchor="end">{escape(COLUMNS[column])}</text>')
        bars.append(f'<text x="{_LEFT}" y="{top}">missing: {escape(missing[column])}</text>')
    height = 52 + (len(cells) + len(missing)) * (_BAR + 8)
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" font-family="sans-serif" font-size="14">',
            f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
            '<text x="10" y="24" font-weight="bold">One of 200 pods created, in milliseconds (logarithmic)</text>',
            *bars,
            "</svg>",
            "",
        )
    )


def _log(value: float) -> float:
    """From half a millisecond on."""
    return math.log10(max(value, 0.5) / 0.5)


def _cell(row: str, values: Sequence[float] | None, missing: str | None) -> str:
    if missing:
        return "missing"
    if not values:
        return ""
    shown = [_shown(row, value) for value in (statistics.median(values), min(values), max(values))]
    return shown[0] if len(values) == 1 else f"{shown[0]} ({shown[1]} to {shown[2]})"


def _shown(row: str, value: float) -> str:
    if "/s," in row:
        return f"{value / 1000:.1f}k"
    if "kB" in row:
        return f"{value:.0f} kB"
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.2f} s"
