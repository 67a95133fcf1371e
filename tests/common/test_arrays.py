"""Functions of numbers and arrays, and checks of sizes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_analysis import InputError
from cost_analysis.common import arrays
from cost_analysis.common.checks import check_divides, whole_number
from tests.helpers.arrays import several

numbers = st.floats(-1e6, 1e6)


@pytest.mark.property
@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=5), numbers)
def test_numbers_and_arrays_agree(pairs: list[tuple[float, float]], limit: float) -> None:
    first, second = np.array(pairs).T
    calls: dict[str, Any] = {
        "maximum": lambda a, b: arrays.maximum(a, b),
        "minimum": lambda a, b: arrays.minimum(a, b),
        "where": lambda a, b: arrays.where(a > b, a, b),
        "clip": lambda a, _: arrays.clip(a, -abs(limit), abs(limit)),
        "ceil": lambda a, _: arrays.ceil(a),
        "floor": lambda a, _: arrays.floor(a),
        "square root": lambda a, _: arrays.square_root(abs(a)),
        "count": lambda a, b: arrays.as_count(a > b),
        "finite": lambda a, _: arrays.is_finite(a),
    }
    for name, call in calls.items():
        together = call(first, second)
        for place, (a, b) in enumerate(pairs):
            assert together[place] == call(a, b), name


@pytest.mark.parametrize("function", [arrays.ceil, arrays.floor])
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_infinity_and_nan_are_not_rounded(function: Any, value: float) -> None:
    assert function(value) == value or math.isnan(function(value))
    np.testing.assert_array_equal(function(np.array([value])), [value])


@pytest.mark.property
@given(st.floats(0, 1), st.integers(0, 2**40))
def test_whole_powers(base: float, exponent: int) -> None:
    found = arrays.whole_power(base, float(exponent))
    # An error of rounding is raised to the power, too.
    assert found == pytest.approx(base**exponent, rel=1e-14 + 1e-15 * exponent, abs=1e-300)
    rows = arrays.whole_power(np.array([base, 1.0]), np.array([float(exponent), 7.0]))
    assert several(rows).tolist() == [found, 1.0]


@pytest.mark.property
@given(st.lists(numbers, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_interpolation_equals_numpys(values: list[float], random: Any) -> None:
    places = sorted({round(random.uniform(-1e6, 1e6), 3) for _ in range(4)})
    heights = [random.uniform(-10, 10) for _ in places]
    alone = [arrays.single(arrays.interpolated(value, places, heights)) for value in values]
    together = arrays.interpolated(np.array(values), places, heights)
    np.testing.assert_allclose(several(together), alone, rtol=1e-9, atol=1e-9)


def test_interpolation_outside_the_points_is_constant() -> None:
    assert [arrays.interpolated(x, (1, 3), (10, 30)) for x in (0, 1, 2, 3, 9)] == [
        10, 10, 20, 30, 30,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "real"),
    [
        (1, True), (1.5, True), (np.int8(3), True), (np.array([1, 2]), True), (np.float32(1), True),
        (True, False), (np.bool_(True), False), ("1", False), (None, False), (1j, False),
        (np.array(["a"]), False), (np.array([True]), False),
    ],
)  # fmt: skip
def test_what_is_a_number(value: object, real: bool) -> None:
    assert arrays.is_real(value) == real


def test_arrays_are_those_with_an_axis() -> None:
    assert arrays.is_array(np.zeros(1))
    assert not arrays.is_array(np.zeros(()))
    assert not arrays.is_array([1.0])
    whole: Any = np.array([1, 2])
    assert several(arrays.as_float(whole)).dtype == np.float64
    one: Any = np.int64(3)
    assert isinstance(arrays.as_float(one), float)


def test_sizes_are_ints_or_float64() -> None:
    assert isinstance(whole_number("x", 4.0, 1), int)
    assert several(whole_number("x", np.array([1, 2], np.int16), 1)).dtype == np.float64
    for value, sentence in (
        (-(10**30), "P is far too small"),
        (2**31, "P is 2147483648; it must be a whole number from 1 to 2147483647"),
        (np.array([1.0, 1.5]), "P holds 1.5"),
        (np.array([True]), "P is an array of bool"),
    ):
        with pytest.raises(InputError, match=sentence):
            whole_number("P", value, 1)


def test_a_remainder_is_refused() -> None:
    check_divides(12, 4, "never")
    check_divides(np.array([12, 8]), 4, "never")
    with pytest.raises(InputError, match=r"^no: 13 / 4 leaves 1$"):
        check_divides(13, 4, "no")
    with pytest.raises(InputError, match=r"^no \(in at least one row\)$"):
        check_divides(np.array([12, 13]), 4, "no")
