"""Curves of sums over devices from timings."""

from __future__ import annotations

import numpy as np
import pytest

from cost_analysis import InputError
from cost_analysis.distilling.exchange_curves import (
    ExchangeTimings,
    fit_reduce_curve,
    held_out_errors,
)
from cost_analysis.kernels.exchanges import LINES
from cost_analysis.kernels.shapes import AllReduce
from tests.helpers.kernels import exchange_timings

TABLES = [("h100-sxm-80gb", "vllm"), ("a100-sxm-80gb", "vllm"), ("b200", "tensorrt-llm")]
TABLES += [("l40s", "vllm")]


@pytest.mark.parametrize(("device", "engine"), TABLES)
def test_sizes_left_out_are_met(device: str, engine: str) -> None:
    found = held_out_errors(exchange_timings(device, engine))
    assert found.rows == 15
    assert found.median < 0.08
    assert abs(found.signed) < 0.05


def test_large_messages_pass_at_what_links_are_known_to_reach() -> None:
    """Eight H100 exchange 2 · 7/8 of 1 GiB in each direction at 400 to 500 GB/s."""
    curve = fit_reduce_curve(exchange_timings("h100-sxm-80gb", "vllm"))
    assert len(curve.starts) == LINES * len(curve.devices)
    assert curve.devices == (2.0, 4.0, 8.0)
    passed = 2.0 * 7.0 / 8.0 * 2.0**30
    assert 400e9 < passed / float(np.asarray(curve.seconds(AllReduce(2.0**30, 8.0)))) < 500e9


def test_two_algorithms_are_found_again() -> None:
    size = 2.0 ** np.arange(8.0, 31.0)
    seconds = np.minimum(4e-6 + 2e-11 * size, 20e-6 + 3e-12 * size)
    timings = ExchangeTimings(size, np.full_like(size, 4.0), seconds)
    curve = fit_reduce_curve(timings)
    ratios = np.asarray(curve.seconds(AllReduce(size, 4.0))) / seconds
    assert np.abs(ratios - 1.0).max() < 0.01


def test_too_few_timings_are_refused() -> None:
    size = np.array([256.0, 512.0])
    with pytest.raises(InputError, match="2 timings of a sum over 4 devices; a curve needs 8"):
        fit_reduce_curve(ExchangeTimings(size, np.full_like(size, 4.0), size))
    with pytest.raises(InputError, match="no timings of sums over devices"):
        fit_reduce_curve(ExchangeTimings(*([np.array([])] * 3)))
