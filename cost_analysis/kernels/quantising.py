"""The time of turning 16-bit activations into the format of a product.

The tables of fp8 products time one call that quantises its input and multiplies. Tables of their
own say what the first part takes.
"""

from __future__ import annotations

from dataclasses import dataclass

from cost_analysis.common.arrays import Number, maximum
from cost_analysis.kernels.shapes import Product


@dataclass(frozen=True, slots=True)
class QuantiseCurve:
    """Time of quantising the input of a product.

    Attributes:
        start: Time of its kernels, however small [s].
        step: Further time of a large input, however large [s].
        value_seconds: Time of each value beyond that [s].
    """

    start: float
    step: float
    value_seconds: float

    def seconds(self, shape: Product, *, warm: bool = False) -> Number:
        """Time of one call [s]; the input was just written, so `warm` changes nothing.

        Args:
            shape: The product whose input is quantised.
            warm: As of other curves.
        """
        del warm
        return self.start + maximum(shape.rows * shape.inputs * self.value_seconds - self.step, 0.0)
