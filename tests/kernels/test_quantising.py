"""The time of turning activations into fp8."""

from __future__ import annotations

import numpy as np
import pytest

from cost_analysis.kernels.quantising import QuantiseCurve
from cost_analysis.kernels.shapes import Product

CURVE = QuantiseCurve(start=2e-6, step=1e-6, value_seconds=1e-12)


def test_a_start_and_then_in_proportion_to_values() -> None:
    def seconds(rows: float) -> float:
        return float(CURVE.seconds(Product(rows, 4096.0, 1.0, "fp8")))

    assert seconds(1.0) == seconds(8.0) == 2e-6
    assert seconds(4096.0) == pytest.approx(2e-6 + 4096.0**2 * 1e-12 - 1e-6)


def test_outputs_and_warm_caches_change_nothing_and_arrays_are_rows() -> None:
    rows = np.array([1.0, 512.0, 1e5])
    shape = Product(rows, 4096.0, 8192.0, "fp8")
    many = np.asarray(CURVE.seconds(shape, warm=True))
    ones = [CURVE.seconds(Product(row, 4096.0, 1.0, "fp8")) for row in rows.tolist()]
    assert many.tolist() == ones
