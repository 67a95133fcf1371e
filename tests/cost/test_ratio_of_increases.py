"""The ratio of increases, for numbers and arrays, also where nothing increases."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cost_analysis.compare.claims import FormatClaim, Terms
from cost_analysis.compare.comparison import Metric
from cost_analysis.cost.estimate import ROUNDING, ratio_of_increases
from cost_analysis.inputs.dtypes import Precision
from cost_analysis.measure.verdicts import Increases
from tests.helpers.arrays import several

BASE = 1e3
COSTS = st.floats(1e-6, 1e15)
"""Costs of a base: microseconds to petabytes."""
SHARES = st.one_of(
    st.sampled_from([0.0, -0.0, ROUNDING, -ROUNDING, 1e-16, math.inf, -math.inf, math.nan]),
    st.floats(-1.0, 1e6),
)
"""Increases as shares of the base, infinite and unknown ones among them."""


@given(base=COSTS, wider=SHARES, streams=SHARES)
@example(base=BASE, wider=math.inf, streams=math.nan)
@example(base=BASE, wider=math.nan, streams=0.0)
@example(base=BASE, wider=math.nan, streams=1.0)
@example(base=BASE, wider=math.inf, streams=math.inf)
def test_values_of_the_ratio(base: float, wider: float, streams: float) -> None:
    found, least = ratio_of_increases(wider * base, streams * base, base), ROUNDING * base
    assert isinstance(found, float)
    if not (math.isfinite(wider) and math.isfinite(streams)):
        assert math.isnan(found)
    elif streams * base > least:
        assert found == wider * base / (streams * base)
        assert np.sign(found) in (0.0, np.sign(wider))
    elif wider * base > least:
        assert found == math.inf
    else:
        assert math.isnan(found)


@given(base=COSTS, shares=st.lists(st.tuples(SHARES, SHARES), min_size=1, max_size=6))
def test_arrays_equal_single_numbers(base: float, shares: list[tuple[float, float]]) -> None:
    wider, streams = (np.array(column) * base for column in zip(*shares, strict=True))
    together = ratio_of_increases(wider, streams, base)
    alone = [
        ratio_of_increases(float(one), float(other), base)
        for one, other in zip(wider, streams, strict=True)
    ]
    np.testing.assert_array_equal(together, alone)
    mixed = ratio_of_increases(float(wider[0]), streams[:1], np.float64(base))
    np.testing.assert_array_equal(mixed, alone[:1])


def test_it_broadcasts() -> None:
    wider, streams = np.array([[1.0], [-2.0], [0.0]]), np.array([2.0, 0.0])
    expected = [[0.5, math.inf], [-1.0, math.nan], [0.0, math.nan]]
    np.testing.assert_array_equal(ratio_of_increases(wider, streams, BASE), expected)
    assert several(ratio_of_increases(wider, streams, np.full(2, BASE))).shape == (3, 2)


@given(factor=st.floats(0.001, 1000), wider=st.floats(0.01, 100), streams=st.floats(0.01, 100))
def test_it_has_no_unit(factor: float, wider: float, streams: float) -> None:
    one = ratio_of_increases(wider, streams, 1.0)
    assert ratio_of_increases(wider * factor, streams * factor, factor) == pytest.approx(one)
    assert ratio_of_increases(streams, wider, 1.0) == pytest.approx(1 / one)


def test_a_rounding_error_is_not_an_increase() -> None:
    left = (0.1 + 0.2) - 0.3
    assert left > 0
    assert ratio_of_increases(1.0, left, 0.3) == math.inf
    assert math.isnan(ratio_of_increases(left, left, 0.3))


def _by_metric(wider: float, streams: float) -> float:
    return Metric("memory", "Memory", "B", BASE, BASE + streams, BASE + wider).ratio


def _by_format(wider: float, streams: float) -> float:
    base, *increases = (Terms(cost, 0, 0, 0, cost, 0) for cost in (BASE, wider, streams))
    claim = FormatClaim(Precision(), base, *increases)
    assert claim.memory_ratio == claim.latency_ratio or math.isnan(claim.latency_ratio)
    return claim.memory_ratio


def _by_measurement(wider: float, streams: float) -> float:
    both = SimpleNamespace(wider=wider / BASE, streams=streams / BASE)
    samples = (np.full(9, both.streams), np.full(9, both.wider))
    found = Increases(both.streams, both.wider, *samples, 9)
    np.testing.assert_array_equal(found.interval, found.ratio)
    return found.ratio


@pytest.mark.parametrize("answer", [_by_metric, _by_format, _by_measurement])
@pytest.mark.parametrize(
    ("wider", "streams", "expected"),
    [
        (300.0, 100.0, 3.0),
        (0.0, 100.0, 0.0),
        (-50.0, 100.0, -0.5),
        (300.0, 0.0, math.inf),
        (300.0, -100.0, math.inf),
        (0.0, 0.0, math.nan),
        (-50.0, 0.0, math.nan),
        (-50.0, -100.0, math.nan),
    ],
)
def test_all_callers_have_the_same_ratio(
    answer: Callable[[float, float], Any], wider: float, streams: float, expected: float
) -> None:
    assert answer(wider, streams) == pytest.approx(expected, nan_ok=True)


def test_a_rate_has_no_ratio_of_increases() -> None:
    rate = Metric("tokens_per_s", "Tokens", "1/s", 1.0, 2.0, 3.0, less_is_better=False)
    assert math.isnan(rate.ratio)
