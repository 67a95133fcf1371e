"""How fast the matrix products of one device go, as measured there, by the rows that share weights.

Two roofs say too little of a processor whose kernels take another path for every few rows: two
float32 rows may cost 1.7 times one. A calibrated device carries the times themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

from cost_analysis.arrays import Number, interpolated, maximum
from cost_analysis.errors import InputError


@dataclass(frozen=True, slots=True)
class ProductRates:
    """Measured products of one data type.

    Attributes:
        rows: Rows of the matrix that weights are multiplied with, from the fewest up.
        rates: Weights that go through a product of so many rows [B/s].
        starts: Time of such a product, however small its weights are, a kernel [s].
    """

    rows: tuple[float, ...]
    rates: tuple[float, ...]
    starts: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            InputError: Not a positive rate for each of some rising numbers of rows.
        """
        rising = all(a < b for a, b in zip((0.0, *self.rows), self.rows, strict=False))
        if not self.rows or not rising:
            raise InputError("rows of measured products must be positive and rise")
        if len(self.rates) != len(self.rows) or not all(0 < rate < 1e18 for rate in self.rates):
            raise InputError("measured products need a positive rate for each number of rows")
        if len(self.starts) != len(self.rows) or not all(0 <= start < 1 for start in self.starts):
            raise InputError("measured products need a start, 0 or more, for each number of rows")

    def seconds(self, weight_bytes: Number, rows: Number) -> Number:
        """Time that weights need [s]: linear between measured rows, in proportion beyond the last.

        Args:
            weight_bytes: Of the weights [B].
            rows: Rows that they are multiplied with.
        """
        each = interpolated(rows, self.rows, tuple(1.0 / rate for rate in self.rates))
        return weight_bytes * each * maximum(rows / self.rows[-1], 1.0)

    def start(self, rows: Number) -> Number:
        """Time that a product of so many rows takes before and beside its weights [s]."""
        return interpolated(rows, self.rows, self.starts)
