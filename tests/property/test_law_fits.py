"""Laws of the scaling law: what a fit finds on any runs, and what any law obeys."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from cost_analysis.law_curve import Points, log_predictions, objective, points_of, surface
from cost_analysis.law_intervals import bootstrap
from cost_analysis.law_minimum import minimum
from cost_analysis.scaling_law import ScalingLaw, fit, residuals
from cost_analysis.training_runs import Runs

Array = npt.NDArray[np.float64]


def powers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(np.log(low), np.log(high)).map(lambda value: float(np.exp(value)))


@st.composite
def laws(draw: st.DrawFn) -> ScalingLaw:
    """A law whose power is from a thirtieth to ten times its floor at 1e9 parameters."""
    floor, alpha, k = draw(powers(0.01, 10)), draw(powers(0.05, 2)), draw(powers(0.02, 5))
    return ScalingLaw(floor, 1e9 * (floor * draw(powers(0.03, 10))) ** (1 / alpha), alpha, k)


@st.composite
def designs(draw: st.DrawFn) -> tuple[Array, Array]:
    """N and P of runs: three to seven sizes, each at two to five values of P."""
    sizes = draw(st.integers(3, 7))
    smallest, span = draw(powers(1e8, 2e9)), draw(powers(4, 300))
    size = smallest * np.geomspace(1, span, sizes)
    streams = 2.0 ** np.arange(draw(st.integers(2, 5)))
    return np.repeat(size, len(streams)), np.tile(streams, sizes)


@st.composite
def noisy_runs(draw: st.DrawFn) -> Runs:
    law, (size, streams) = draw(laws()), draw(designs())
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    noise = draw(powers(1e-4, 0.02)) * random.standard_t(3, len(size)).clip(-8, 8)
    loss = law.loss(size, streams) * np.exp(noise)
    # A design and a law may leave nothing to see: then noise, not the law, ranks the sizes.
    loss *= (size / size.min()) ** -0.02
    return Runs(size, streams, loss)


def fields(law: ScalingLaw) -> list[float]:
    return [law.E, law.A, law.alpha, law.k]


@settings(max_examples=30)
@given(laws(), designs())
def test_a_law_is_recovered_from_its_own_losses(law: ScalingLaw, design: Any) -> None:
    size, streams = design
    found = fit(Runs(size, streams, law.loss(size, streams)))
    assert fields(found.law) == pytest.approx(fields(law), rel=1e-4)
    assert found.r_squared > 1 - 1e-9


def huber(logs: Array, runs: Runs) -> float:
    """The published objective in other coordinates, times 1e6 for scipy's tolerances."""
    floor, scale, alpha, k = np.exp(logs)
    size = runs.parameters / 1e9 * (1 + k * np.log(runs.streams))
    error = np.abs(np.log(floor + scale * size**-alpha) - np.log(runs.loss))
    return float(np.where(error <= 1e-3, error**2 / 2, 1e-3 * (error - 5e-4)).sum() * 1e6)


@settings(max_examples=8)
@given(noisy_runs(), st.integers(0, 2**32 - 1))
def test_scipy_from_random_starts_finds_nothing_lower(runs: Runs, seed: int) -> None:
    random = np.random.default_rng(seed)
    height = np.log(runs.loss.min())
    low = [height - 3, height - 3, np.log(0.03), np.log(0.02)]
    high = [height, height + 1, np.log(3), np.log(5)]
    with np.errstate(all="ignore"):
        found = [
            minimize(huber, random.uniform(low, high), (runs,), method="L-BFGS-B").fun
            for _ in range(8)
        ]
    assert fit(runs).objective * 1e6 <= min(found) * (1 + 1e-6) + 1e-9


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


@settings(max_examples=12)
@given(noisy_runs(), powers(1e-6, 1e6), powers(0.01, 100), st.randoms(use_true_random=False))
def test_units_and_order_do_not_matter(
    runs: Runs, unit: float, height: float, shuffle: Any
) -> None:
    order = list(range(len(runs)))
    shuffle.shuffle(order)
    one = fit(runs)
    other = fit(Runs(runs.parameters[order] * unit, runs.streams[order], runs.loss[order] * height))
    assert other.objective == pytest.approx(one.objective, rel=1e-6, abs=1e-15)
    assert other.r_squared == pytest.approx(one.r_squared, abs=1e-4)


@settings(max_examples=12)
@given(noisy_runs())
def test_any_runs_have_intervals(runs: Runs) -> None:
    fitted = fit(runs)
    samples = bootstrap(fitted, samples=20)
    narrow, wide = (samples.interval(lambda law: law.loss(1e9, 4), level) for level in (0.5, 1.0))
    assert 0 <= wide.low <= narrow.low <= narrow.high <= wide.high
    for name in ("E", "A", "alpha", "k"):
        low, high = samples.interval(attrgetter(name))
        assert low <= high
    assert abs(residuals(fitted.law, runs)[0].error) >= 0


@given(laws(), powers(1e6, 1e12), st.integers(1, 64))
def test_equal_loss_is_the_inverse(law: ScalingLaw, size: float, streams: int) -> None:
    loss = law.loss(size, streams)
    equal = law.equal_loss_size(size, streams)
    assert equal >= size
    assert law.loss(equal, 1) == pytest.approx(loss, rel=1e-12)
    if loss - law.E > 1e-6 * loss:
        assert law.equal_loss_parameters(loss) == pytest.approx(equal, rel=1e-6)
    assert law.loss(size * 2, streams) <= loss
    assert law.loss(size, streams + 1) <= loss


@given(laws(), st.lists(st.tuples(powers(1e6, 1e12), st.integers(1, 64)), min_size=1, max_size=20))
def test_arrays_agree_with_single_values(law: ScalingLaw, models: list[tuple[float, int]]) -> None:
    size, streams = (np.array(column, float) for column in zip(*models, strict=True))
    together, sizes = law.loss(size, streams), law.equal_loss_size(size, streams)
    reached = law.equal_loss_parameters(together)
    for row, (one_size, one_streams) in enumerate(models):
        assert law.loss(one_size, one_streams) == together[row]
        assert law.equal_loss_size(one_size, one_streams) == sizes[row]
        if together[row] > law.E:
            assert law.equal_loss_parameters(together[row]) == reached[row]
    many = ScalingLaw(*(np.full(3, value) for value in fields(law)))
    assert np.all(many.loss(size[:, None], streams[:, None]) == together[:, None])
