"""The minimum of the fit's objective, and its derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cost_analysis.law.minimiser import (
    Points,
    log_predictions,
    minimum,
    objective,
    points_of,
    surface,
)
from cost_analysis.law.runs import Runs
from cost_analysis.law.scaling_law import fit
from tests.helpers.law_strategies import Array, noisy_runs


@pytest.mark.property
@settings(max_examples=12)
@given(noisy_runs(), st.integers(0, 2**32 - 1))
def test_hundreds_of_random_starts_find_nothing_lower(runs: Runs, seed: int) -> None:
    random = np.random.default_rng(seed)
    points = points_of(runs.parameters, runs.streams, runs.loss)
    shape, weights = 600, np.ones((600, len(runs)))
    begin = [
        random.normal(0, 0.3, shape),
        np.exp(random.uniform(-7, 1, shape)),
        np.exp(random.uniform(-9, 2, shape)),
        random.uniform(0, 4, shape),
    ]
    brute = objective(minimum(points, weights, np.stack(begin, axis=1)), points, weights)
    assert fit(runs).objective <= brute.min() * 1e-6 * (1 + 1e-4) + 1e-15


def around(function: Any, place: Array, axis: int, step: float) -> Array:
    """Central difference of a function of (1, 4) coordinates."""
    shift = np.zeros((1, 4))
    shift[0, axis] = step
    return np.asarray((function(place + shift) - function(place - shift)) / (2 * step))


@pytest.mark.property
@given(
    noisy_runs(), st.floats(0.05, 1), st.floats(0.05, 1), st.floats(0.05, 2), st.floats(-0.3, 0.3)
)
def test_derivatives_against_differences(
    runs: Runs, slope: float, bend: float, growth: float, level: float
) -> None:
    points = points_of(runs.parameters, runs.streams, runs.loss)
    weights, place = np.ones((1, len(runs))), np.array([[level, slope, bend, growth]])
    here = surface(place, points, weights)
    scale = np.abs(here.gradient).max()
    for axis in range(4):
        slopes = around(lambda at: surface(at, points, weights).value, place, axis, 1e-6)
        assert here.gradient[:, axis] == pytest.approx(slopes, rel=1e-4, abs=1e-5 * scale)
    if not near_a_crease(points, place):
        for axis in range(4):
            bends = around(lambda at: surface(at, points, weights).gradient, place, axis, 1e-6)
            size = np.abs(here.hessian).max()
            assert here.hessian[:, axis] == pytest.approx(bends, rel=1e-4, abs=1e-5 * size)
    assert np.linalg.eigvalsh(here.metric).min() > -1e-9 * here.metric.max()


def near_a_crease(points: Points, place: Array) -> bool:
    """Whether some error is where the Huber loss has no second derivative."""
    errors = np.abs(log_predictions(place, points) - points.log_loss)
    return bool(np.any(np.abs(errors - 1e-3) < 1e-4))
