"""The summary of a sweep as a page and as a record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cost_analysis.common.units import format_of_column
from cost_analysis.report.render import Page, Record, Table
from cost_analysis.search.grid import Grid
from cost_analysis.search.sweep import LARGER_IS_BETTER, Row, Summary

MOST_SHOWN = 12
"""Rows of a table of the front, and values of an axis in a list."""

_WORDS = {
    "memory_total_bytes": "memory",
    "latency_ttft_s": "TTFT",
    "latency_tpot_s": "TPOT",
    "latency_total_s": "latency",
    "tokens_per_s": "tokens",
}


def sweep_page(grid: Grid, summary: Summary, objectives: Sequence[str], written: str) -> Page:
    """The axes, the extremes and the Pareto front.

    Args:
        grid: What was swept.
        summary: What it came to.
        objectives: Columns of the front.
        written: Where the rows are; "" if nowhere.
    """
    lines = [f"{summary.fitting:,} of them fit their device's memory"]
    if written:
        lines.append(f"rows in {written}")
    tables = (
        _axes_table(grid),
        _extremes_table(grid, summary),
        *_front_table(grid, summary, objectives),
    )
    return Page(f"A sweep of {summary.rows:,} rows", tuple(lines), tables, _notes(objectives))


def sweep_record(grid: Grid, summary: Summary, objectives: Sequence[str], written: str) -> Record:
    """The same as a record for JSON."""

    def plain(row: Row) -> Row:
        return {name: None if value != value else value for name, value in row.items()}

    return {
        "rows": summary.rows,
        "fitting_rows": summary.fitting,
        "output": written or None,
        "axes": {name: list(values) for name, values in grid.axes.items()},
        "least": {name: plain(row) for name, row in (summary.least or {}).items()},
        "most": {name: plain(row) for name, row in (summary.most or {}).items()},
        "pareto": list(objectives),
        "front": [plain(row) for row in summary.front],
    }


def _axes_table(grid: Grid) -> Table:
    rows = tuple((name, f"{len(values):,}", _listed(values)) for name, values in grid.axes.items())
    return Table("Axes", ("axis", "values", ""), rows, left=(0, 2))


def _listed(values: Sequence[Any]) -> str:
    """The values of an axis, the middle of a long list left out."""
    shown = [str(value) for value in values]
    if len(shown) > MOST_SHOWN:
        shown = [*shown[:4], "...", *shown[-2:]]
    return ", ".join(shown)


def _extremes_table(grid: Grid, summary: Summary) -> Table:
    rows = []
    for name, word in _WORDS.items():
        for which, found in (("least", summary.least), ("most", summary.most)):
            if found and name in found:
                row = found[name]
                rows.append((f"{which} {word}", _shown(name, row[name]), _place(grid, row)))
    return Table("Extremes", ("", "", "at"), tuple(rows), left=(0, 2))


def _place(grid: Grid, row: Row) -> str:
    """Where a row lies: the values of the axes that vary."""
    return ", ".join(f"{name} {row[name]}" for name in grid.varied if name in row) or "the only row"


def _front_table(grid: Grid, summary: Summary, objectives: Sequence[str]) -> list[Table]:
    """The front; what all its rows have in common stands in its title."""
    if not summary.front:
        return []
    chosen = _spread_out(summary.front)
    swept = [name for name in grid.varied if name in summary.front[0]]
    axes = [name for name in swept if len({row[name] for row in summary.front}) > 1]
    common = [f"{name} {chosen[0][name]}" for name in swept if name not in axes]
    rows = tuple(
        (*(_shown(name, row[name]) for name in objectives), *(str(row[name]) for name in axes))
        for row in chosen
    )
    parts = [f"Pareto front: {len(summary.front):,} rows"]
    if len(chosen) < len(summary.front):
        parts.append(f"{len(chosen)} shown")
    if common:
        parts.append(f"all at {', '.join(common)}")
    headers = (*(_WORDS.get(name, name) for name in objectives), *axes)
    text = (len(objectives) + i for i, name in enumerate(axes) if isinstance(chosen[0][name], str))
    return [Table(", ".join(parts), headers, rows, left=tuple(text))]


def _spread_out(front: Sequence[Row]) -> list[Row]:
    """Some rows of a front, from its one end to the other."""
    if len(front) <= MOST_SHOWN:
        return list(front)
    last = MOST_SHOWN - 1
    return [front[round(place * (len(front) - 1) / last)] for place in range(MOST_SHOWN)]


def _notes(objectives: Sequence[str]) -> tuple[str, ...]:
    wanted = [f"{'most' if name in LARGER_IS_BETTER else 'least'} {name}" for name in objectives]
    return (
        f"Pareto front: rows that fit, and that no other such row beats at once in "
        f"{', '.join(wanted)} (--pareto)",
    )


def _shown(name: str, value: float) -> str:
    """A number of a column in its unit."""
    if value != value:
        return "-"
    return format_of_column(name)(value)
