"""Errors of predictions and of fits as pages and rows."""

from __future__ import annotations

import numpy as np
import pytest

from cost_analysis.fitting.accuracy import Prediction, Summary
from cost_analysis.fitting.coverage import Coverage, read_coverages
from cost_analysis.fitting.engine_fit import EngineFit
from cost_analysis.fitting.measurements import MEMORY_METRIC
from cost_analysis.fitting.product_fit import DeviceFit
from cost_analysis.report.accuracy import (
    HEADERS,
    WORST,
    accuracy_page,
    accuracy_rows,
    coverage_tables,
    fit_page,
    fit_rows,
    summary_cells,
)
from cost_analysis.report.render import Page
from tests.helpers.figure_cases import predicted_rows
from tests.helpers.pages import printed


@pytest.fixture(scope="module")
def found() -> list[Prediction]:
    return predicted_rows()


def test_cells_of_a_summary() -> None:
    cells = summary_cells(Summary(1234, 0.051, 0.25, 0.5, -0.0123, 0.8))
    assert cells == ("1,234", "5.1%", "25.0%", "50%", "-1.2%", "80%")
    assert len(cells) == len(HEADERS)
    assert summary_cells(Summary(1, 0, 0, 1, 0))[-1] == ""  # memory has no interval


def test_groups_of_a_table_hold_every_row_once(found: list[Prediction]) -> None:
    refused = [(found[0].measurement, "no reason"), (found[1].measurement, "no reason")]
    page = accuracy_page(found, refused)
    times = [item for item in found if item.measurement.metric != MEMORY_METRIC]
    for table in page.tables:
        if table.title.startswith("Time by"):
            assert sum(int(row[1].replace(",", "")) for row in table.rows) == len(times)
    titles = {table.title: table for table in page.tables}
    assert len(titles["Worst rows"].rows) == WORST
    (row,) = titles["Rows that cannot be represented"].rows
    assert row == ("no reason", "2", found[0].measurement.texts["id"])
    assert f"{len(found)} rows, 2 that cannot be represented" in printed(page)


def test_worst_rows_are_the_farthest_in_ratio(found: list[Prediction]) -> None:
    (table,) = (t for t in accuracy_page(found, ()).tables if t.title == "Worst rows")
    times = [item for item in found if item.measurement.metric != MEMORY_METRIC]
    worst = max(times, key=lambda item: max(1 + item.error, 1 / (1 + item.error)))
    assert table.rows[0][:2] == (worst.measurement.texts["id"], f"{worst.error:+.0%}")


def test_coverage_of_what_was_left_out(found: list[Prediction]) -> None:
    coverage = [
        Coverage("source", "LAB", 1200, 0.9, 0.8, 1.25),
        Coverage("source", "OTHER", 20, 0.7, 0.5, 2.0),
        Coverage("device", "t4", 3, 1.0, 0.9, 1.1),
    ]
    page = accuracy_page(found, (), coverage)
    sources, devices = page.tables[-2:]
    assert sources.title == "Intervals of sources left out"
    assert sources.rows[0] == ("LAB", "1,200", "90%", "0.80-1.25")
    assert sources.rows[-1] == ("mean", "1,220", "80%", "")  # each source counts the same
    assert devices.rows[0] == ("t4", "3", "100%", "0.90-1.10")
    assert max(map(len, printed(page).splitlines())) <= 80


def test_the_shipped_coverage_fits_a_terminal() -> None:
    page = Page("Coverage", tables=tuple(coverage_tables(read_coverages())))
    assert len(page.tables) == 4
    assert max(map(len, printed(page).splitlines())) <= 80


def test_no_rows_are_a_page_without_tables() -> None:
    assert accuracy_page((), ()).tables == ()


def test_rows_have_the_same_columns_whether_or_not_they_are_represented(
    found: list[Prediction],
) -> None:
    rows = list(accuracy_rows(found[:2], [(found[2].measurement, "why")]))
    assert [list(row) for row in rows] == [list(rows[0])] * 3
    assert rows[0]["lower"] <= rows[0]["predicted"] <= rows[0]["upper"]
    assert [row["not_represented"] for row in rows] == ["", "", "why"]
    assert (rows[2]["predicted"], rows[2]["measured"]) == (None, found[2].measurement.value)


def test_a_fit_by_hand(found: list[Prediction]) -> None:
    name = found[0].engine.name
    items = [item for item in found if item.engine.name == name][:3]
    rows = [item.measurement for item in items]
    logs = {"in sample": np.log([1.1, 0.9, 1.0]), "by source": np.log([1.2, 0.8, 1.0])}
    flat = fit_rows(rows, logs)
    assert [row["in sample"] for row in flat] == pytest.approx([1.1, 0.9, 1.0])
    assert [row["id"] for row in flat] == [row.texts["id"] for row in rows]
    engine = items[0].engine
    fit = EngineFit({name: engine}, {name: {"kernel_floor": 0.12}}, {name: 3})
    device = DeviceFit("a100", 2, 4.5e-6, 0.8, 0.9, np.array([0.1, -0.1]))
    page = fit_page(rows, logs, fit, [device])
    titles = {table.title: table for table in page.tables}
    (line,) = titles[f"{name}: 3 rows"].rows
    assert line == ("kernel_floor", f"{engine.kernel_floor * 1e6:.3g} us", "±12%")
    (products,) = titles["Matrix products of single operators"].rows
    assert products[:4] == ("a100", "4.5 us", "0.800", "0.900")
    text = printed(page)
    assert "10.0%" in text
    assert "20.0%" in text
