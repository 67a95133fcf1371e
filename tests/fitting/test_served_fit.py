"""The fit of serving engines: coefficients found again, and what is left out is not seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cost_analysis import load_engine
from cost_analysis.fitting.served_fit import (
    FOLDS,
    IN_SAMPLE,
    SERVED,
    ServedFit,
    described_served,
    prototypes,
)
from cost_analysis.fitting.served_rows import represented_runs, served_rows
from cost_analysis.fitting.serving_runs import ServedRun, read_serving_runs
from tests.helpers.data import DATA

ENGINES = prototypes(load_engine("graphs"))
TRUE = {"vllm": 5e-6, "vllm-2025": 7e-6, "sglang": 4e-6, "tensorrt-llm": 2e-6}
"""Floors of small kernels by which runs are made up."""


def made_up() -> list[ServedRun]:
    """Runs whose times are those of known engines, at several batches."""
    read = [
        run
        for name in ("serving_runs.csv", "steps_at_a_batch.csv")
        for run in read_serving_runs(DATA / name)
    ]
    kept, _ = represented_runs(read)
    runs = [
        replace(run, id=f"{run.id} {batch}", batch=batch)
        for run in kept
        for batch in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
    ]
    for rows in served_rows(runs, lambda run: ENGINES[run.engine]):
        name = rows.runs[0].engine
        seconds = rows.predicted(replace(ENGINES[name], kernel_floor=TRUE[name]))
        for place, value in zip(rows.places, seconds, strict=True):
            runs[place] = replace(runs[place], seconds=float(value))
    return runs


@pytest.fixture(scope="module")
def problem() -> ServedFit:
    return ServedFit(made_up())


def test_coefficients_are_found_again(problem: ServedFit) -> None:
    fit = problem.fitted()
    assert set(fit.engines) == set(TRUE)
    for name, floor in TRUE.items():
        assert fit.engines[name].kernel_floor == pytest.approx(floor, rel=0.25)
        assert fit.engines[name].kernels == load_engine(name).kernels
    errors = problem.errors(fit)
    assert set(errors) == {IN_SAMPLE, *FOLDS}
    assert np.median(np.abs(errors[IN_SAMPLE])) < 0.01
    assert all(np.isfinite(values).all() for values in errors.values())


def test_a_model_that_is_left_out_is_not_seen() -> None:
    runs = made_up()
    how = "held out by model"
    before = ServedFit(runs).held_out(FOLDS[how])
    slow = [
        replace(run, seconds=2.0 * run.seconds) if run.profile == "llama-3.1-8b" else run
        for run in runs
    ]
    after = ServedFit(slow).held_out(FOLDS[how])
    own = np.array([run.profile == "llama-3.1-8b" for run in runs])
    np.testing.assert_allclose(after[own], before[own] - np.log(2.0), rtol=0, atol=1e-9)
    assert np.abs(after[~own] - before[~own]).max() > 1e-3


def test_an_engine_without_runs_is_what_all_share() -> None:
    runs = [run for run in made_up() if run.engine != "sglang"]
    fit = ServedFit(runs).fitted()
    shared = fit.engines["sglang"]
    assert fit.rows["sglang"] == 0
    assert shared.kernels == load_engine("sglang").kernels
    for item in SERVED:
        ends = sorted(getattr(fit.engines[name], item.name) for name in ("vllm", "tensorrt-llm"))
        assert 0.4 * ends[0] < getattr(shared, item.name) < 2.5 * ends[1]


def test_spreads_and_sources(problem: ServedFit) -> None:
    fit = problem.fitted()
    errors = problem.errors(fit)
    found = described_served(fit, problem.runs, errors)
    for name, engine in found.engines.items():
        spread = engine.spread
        assert spread is not None
        assert spread.low < 1.0 < spread.high
        assert set(spread.devices) == {run.hardware for run in problem.runs if run.engine == name}
        assert "by a fit that has not seen their model" in engine.source
