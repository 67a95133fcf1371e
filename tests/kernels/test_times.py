"""What a source of measured kernels gives."""

from __future__ import annotations

from cost_analysis.kernels.shapes import Product, Shape
from cost_analysis.kernels.times import FITTED, MODELLED, KernelTime, KernelTimes


class Fixed:
    """A source with one time for everything but fp8."""

    def time(self, shape: Shape) -> KernelTime | None:
        """The time of a shape."""
        known = not isinstance(shape, Product) or shape.weights != "fp8"
        return KernelTime(2e-6, 1e-6, FITTED) if known else None


def test_a_class_with_times_is_a_source() -> None:
    source: KernelTimes = Fixed()
    found = source.time(Product(1.0, 64.0, 64.0, "bf16"))
    assert found == (2e-6, 1e-6, FITTED)
    assert source.time(Product(1.0, 64.0, 64.0, "fp8")) is None
    assert FITTED != MODELLED
