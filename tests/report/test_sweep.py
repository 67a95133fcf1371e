"""The summary of a sweep as a page and a record."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cost_analysis.report.sweep import MOST_SHOWN, sweep_page, sweep_record
from cost_analysis.search.grid import Grid, make_grid
from cost_analysis.search.sweep import Summary, rows_of, summary_of
from tests.helpers.pages import printed

GOALS = ("memory_total_bytes", "latency_tpot_s")


def summed(axes: dict[str, Any], goals: tuple[str, ...] = GOALS) -> tuple[Grid, Summary]:
    grid = make_grid(axes)
    return grid, summary_of(rows_of(grid, range(grid.piece_count)), goals)


def test_the_page_has_axes_extremes_and_the_front() -> None:
    grid, summary = summed({"model": "1.6B", "P": [1, 8], "batch_size": [1, 2, 4]})
    page = sweep_page(grid, summary, GOALS, "rows.csv")
    axes, extremes, front = page.tables
    assert page.title == "A sweep of 6 rows"
    assert page.summary == ("6 of them fit their device's memory", "rows in rows.csv")
    assert axes.rows[-1] == ("batch_size", "3", "1, 2, 4")
    assert {row[0]: row[2] for row in extremes.rows}["least memory"] == "P 1, batch_size 1"
    assert {row[0]: row[2] for row in extremes.rows}["most memory"] == "P 8, batch_size 4"
    # One stream and one sequence need the least of both: no other row is on the front.
    assert front.title == "Pareto front: 1 rows, all at P 1, batch_size 1"
    assert "least memory_total_bytes, least latency_tpot_s (--pareto)" in " ".join(
        printed(page).split()
    )


def test_a_long_axis_and_a_long_front_are_shown_in_part() -> None:
    goals = ("memory_total_bytes", "tokens_per_s")
    grid, summary = summed({"model": "1.6B", "batch_size": "1:40"}, goals)
    page = sweep_page(grid, summary, goals, "")
    assert page.tables[0].rows[-1] == ("batch_size", "40", "1, 2, 3, 4, ..., 39, 40")
    front = page.tables[2]
    assert len(summary.front) == 40  # each larger batch needs more memory and makes more tokens
    assert front.title == f"Pareto front: 40 rows, {MOST_SHOWN} shown"
    assert (front.rows[0][-1], front.rows[-1][-1]) == ("1", "40")
    assert len(front.rows) == MOST_SHOWN
    assert "most tokens_per_s" in printed(page)


def test_what_does_not_exist_is_null_and_a_dash() -> None:
    """One output token has no time per token after the first."""
    grid, summary = summed({"model": "1.6B", "P": [1, 2], "output_length": 1})
    text = printed(sweep_page(grid, summary, ("memory_total_bytes",), ""))
    assert "TPOT" not in text.split("Extremes")[1].split("Pareto front")[0]
    record = sweep_record(grid, summary, GOALS, "")
    assert record["output"] is None
    assert record["least"]["memory_total_bytes"]["latency_tpot_s"] is None
    assert json.dumps(record, allow_nan=False)


def test_the_record_has_all_of_the_front() -> None:
    grid, summary = summed({"model": "1.6B,2.8B", "P": [1, 4], "batch_size": "1:20"})
    record = sweep_record(grid, summary, GOALS, "rows.csv")
    assert record["rows"] == 80
    assert record["axes"]["model"] == ["1.6B", "2.8B"]
    assert (record["output"], record["pareto"]) == ("rows.csv", list(GOALS))
    assert len(record["front"]) == len(summary.front)
    least = record["least"]["memory_total_bytes"]["memory_total_bytes"]
    assert least == pytest.approx(record["front"][0]["memory_total_bytes"])


def test_nothing_that_fits_has_no_front() -> None:
    grid, summary = summed({"model": "qwen2.5-72b", "gpu_config": "t4"})
    page = sweep_page(grid, summary, GOALS, "")
    assert page.summary == ("0 of them fit their device's memory",)
    assert [table.title for table in page.tables] == ["Axes", "Extremes"]
    assert "the only row" in printed(page)
