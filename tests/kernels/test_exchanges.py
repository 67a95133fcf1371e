"""Curves of sums over the devices of a node."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_analysis.common.arrays import single
from cost_analysis.kernels.exchanges import ReduceCurve
from cost_analysis.kernels.shapes import AllReduce
from tests.helpers.arrays import several

CURVE = ReduceCurve(
    devices=(2.0, 4.0, 8.0),
    starts=(4e-6, 5e-6, 12e-6, 5e-6, 8e-6, 20e-6, 6e-6, 9e-6, 30e-6),
    byte_seconds=(8e-12, 5e-12, 3e-12, 2e-11, 9e-12, 4e-12, 4e-11, 9e-12, 3.7e-12),
)
messages = st.floats(2.0, 1e9)


@given(messages, st.integers(1, 16))
def test_a_number_and_an_array_agree_to_the_last_bit(size: float, devices: int) -> None:
    times = several(CURVE.seconds(AllReduce(np.array([size, 2.0]), float(devices))))
    assert times[0] == single(CURVE.seconds(AllReduce(size, float(devices))))
    assert times[1] == single(CURVE.seconds(AllReduce(2.0, float(devices))))


@given(messages, st.floats(1.0, 10.0), st.sampled_from((2.0, 3.0, 4.0, 6.0, 8.0)))
def test_more_bytes_take_no_less(size: float, factor: float, devices: float) -> None:
    time = single(CURVE.seconds(AllReduce(size, devices)))
    assert single(CURVE.seconds(AllReduce(size * factor, devices))) >= time


def test_the_least_of_the_lines_counts() -> None:
    assert CURVE.seconds(AllReduce(1e3, 2.0)) == 4e-6 + 8e-12 * 1e3
    assert CURVE.seconds(AllReduce(1e9, 8.0)) == 30e-6 + 3.7e-12 * 1e9


def test_one_device_sums_nothing_and_numbers_between_are_interpolated() -> None:
    assert CURVE.seconds(AllReduce(1e6, 1.0)) == 0.0
    two, three, four, eight, many = (
        single(CURVE.seconds(AllReduce(1e6, devices))) for devices in (2.0, 3.0, 4.0, 8.0, 16.0)
    )
    assert three == pytest.approx((two + four) / 2.0)
    assert many == eight > four
