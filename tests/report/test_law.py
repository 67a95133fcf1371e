"""A fitted law as rows and notes."""

from __future__ import annotations

import numpy as np
import pytest

from cost_analysis.law.runs import Runs, published_runs
from cost_analysis.law.scaling_law import ScalingLaw, fit
from cost_analysis.report.law import PARAMETERS, fit_notes, fit_rows

FITTED = fit(published_runs("stack"))


def test_rows_are_parameters_multipliers_and_predictions() -> None:
    rows = fit_rows(FITTED, 0.9, 20, 0, [(1.6e9, 8)])
    assert [row["parameter"] for row in rows] == [
        *PARAMETERS, "1 + k ln 2", "1 + k ln 4", "1 + k ln 8",
        "loss at 1.60B, P = 8", "equal-loss N of 1.60B, P = 8",
    ]  # fmt: skip
    of = {row["parameter"]: row for row in rows}
    assert of["E"]["value"] == FITTED.law.E
    assert of["1 + k ln 8"]["value"] == pytest.approx(1 + FITTED.law.k * np.log(8))
    assert of["loss at 1.60B, P = 8"]["value"] == pytest.approx(FITTED.law.loss(1.6e9, 8))
    for row in rows:
        assert row["bootstrap_low"] < row["value"] < row["bootstrap_high"]
        assert row["leave_one_out_low"] <= row["leave_one_out_high"]


def test_runs_too_few_to_leave_any_out_have_one_interval() -> None:
    size = np.array([1e8, 4e8, 1.6e9, 1e8, 4e8, 1.6e9])
    streams = np.array([1, 1, 1, 4, 4, 4])
    loss = ScalingLaw(1.0, 1e8, 0.3, 0.4).loss(size, streams) * np.array([1, 1.001, 1, 1, 0.999, 1])
    for row in fit_rows(fit(Runs(size, streams, loss)), 0.9, 5, 0):
        assert row["leave_one_out_low"] is row["leave_one_out_high"] is None
        assert row["bootstrap_low"] <= row["bootstrap_high"]


def test_notes_name_the_largest_residual_and_what_is_extrapolated() -> None:
    notes = fit_notes(FITTED, 0.9)
    assert notes[0].startswith("bootstrap: 90% of refits")
    assert notes[1].startswith("largest residual: 4.4B, P = 1, measured ")
    assert len(notes) == 2
    beyond = fit_notes(FITTED, 0.9, [(1e11, 16)])
    assert any("P = 16 is beyond the runs" in sentence for sentence in beyond)
    assert any("N = 100B is above the runs" in sentence for sentence in beyond)
