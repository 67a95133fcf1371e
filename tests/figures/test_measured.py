"""Figures of measured ratios and of predicted times: their axes, and runs of a few points.

`test_style.py` reads the labels of the usual ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from cost_analysis.figures import measured, style
from cost_analysis.fitting.measurements import MEMORY_METRIC
from cost_analysis.measure.verdicts import CLAIM_NAMES
from tests.helpers.figure_cases import measured_runs, predicted_rows

DEGENERATE: dict[str, Callable[[], Figure]] = {
    "one run of one claim": lambda: measured.measured(
        {"a.jsonl": measured_runs()["paper-fp32.jsonl"][:1]}
    ),
    "many runs": lambda: measured.measured(
        {str(i): measured_runs()["paper-bf16.jsonl"] for i in range(9)}
    ),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_figures_are_drawn(name: str) -> None:
    assert style.picture(DEGENERATE[name], "svg")


def test_a_panel_for_each_claim_that_was_judged() -> None:
    runs = measured_runs()
    claims = {verdict.claim for run in runs.values() for verdict in run}
    titles = [
        axes.get_title(loc="left") or axes.get_title() for axes in measured.measured(runs).axes
    ]
    assert titles == [CLAIM_NAMES[c].capitalize() for c in CLAIM_NAMES if c in claims]


def test_every_ratio_that_exists_lies_within_the_axis() -> None:
    runs = measured_runs()
    low, high = measured._limits(runs)
    ratios = [v.measured for run in runs.values() for v in run if 0 < v.measured < math.inf]
    assert 0 < low < min(*ratios, 1.0)
    assert max(*ratios, 1.0) < high < math.inf


def test_what_is_infinite_or_negative_moves_no_axis() -> None:
    (first, *_) = measured_runs()["paper-fp32.jsonl"]
    odd = [replace(first, measured=value, predicted=2.0) for value in (math.inf, math.nan, -3.0)]
    assert measured._limits({"a": odd}) == pytest.approx((1 / 1.6, 2 * 2.2))


def test_every_time_is_a_marker_on_one_panel() -> None:
    found = predicted_rows()
    times = [item for item in found if item.measurement.metric != MEMORY_METRIC]
    figure = measured.accuracy(found)
    marked = [
        line.get_xydata()
        for axes in figure.axes
        for line in axes.lines
        if line.get_linestyle() == "None"
    ]
    assert len(np.concatenate(marked)) == len(times)
    assert len(figure.axes) == len({item.measurement.engine_class for item in times})
