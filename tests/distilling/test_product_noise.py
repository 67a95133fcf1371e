"""How far timings of products repeat: found again where it is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cost_analysis.distilling.product_noise import product_noise
from cost_analysis.distilling.product_timings import ProductTimings
from tests.helpers.data import read_rows

ROWS = np.array([1.0, 2.0, 3.0, 4.0, 8.0, 16.0, 64.0])
SIZES = np.array([2048.0 + 64.0 * step for step in range(200)])


def timings(noise: float, seed: int = 0) -> ProductTimings:
    """Products of many shapes, whose logarithms of time are a line in rows and normal noise."""
    rows, outputs = (each.ravel() for each in np.meshgrid(ROWS, SIZES))
    inputs = np.full(len(rows), 2048.0)
    errors = np.random.default_rng(seed).normal(0.0, noise, len(rows))
    seconds = 1e-9 * outputs * np.exp(0.01 * rows + errors)
    return ProductTimings(rows, inputs, outputs, seconds)


@pytest.mark.parametrize("noise", [0.005, 0.02, 0.05])
def test_the_noise_of_a_ratio_is_found(noise: float) -> None:
    # Of a ratio of two times, and 80 % of a normal distribution within 1.2816 deviations.
    expected = math.expm1(1.2816 * math.sqrt(2.0) * noise)
    assert product_noise(timings(noise)) == pytest.approx(expected, rel=0.08)


def test_what_changes_steadily_is_no_noise() -> None:
    assert product_noise(timings(0.0)) == pytest.approx(0.0, abs=1e-12)


def test_the_order_of_rows_and_repeated_shapes_do_not_matter() -> None:
    found = timings(0.03)
    mixed = found.part(np.random.default_rng(1).permutation(len(found.rows)))
    assert product_noise(mixed) == product_noise(found)


def test_without_neighbours_nothing_is_known() -> None:
    found = timings(0.03)
    assert math.isnan(product_noise(found.part(found.rows <= 2.0)))
    small = ProductTimings(found.rows, found.inputs / 32.0, found.outputs, found.seconds)
    assert math.isnan(product_noise(small))
    assert math.isnan(product_noise(found.part(found.rows < 0)))


@pytest.mark.golden
def test_of_published_timings() -> None:
    """They repeat within some per cent, not exactly, and not within a factor."""
    rows = [row for row in read_rows("kernel_products.csv") if row["weights"] == "bf16"]
    kinds = {(row["device"], row["engine"]) for row in rows}
    for kind in kinds:
        own = [row for row in rows if (row["device"], row["engine"]) == kind]
        columns = (
            np.array([float(row[name]) for row in own])
            for name in ("rows", "inputs", "outputs", "seconds")
        )
        assert 0.002 < product_noise(ProductTimings(*columns)) < 0.3
