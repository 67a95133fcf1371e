"""What measured kernels say of a shape, whatever the source: curves or tables."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from cost_analysis.common.arrays import Label, Number
from cost_analysis.kernels.shapes import Shape

MODELLED = "modelled"
"""The origin of a time that no measured kernel gives: the roofline model's own."""

FITTED = "fitted"
"""The origin of a time from a curve that was fitted to measured kernels."""


INSIDE = "included"
"""The origin of no time: of an operator that runs inside the measured kernels of experts."""


class KernelTime(NamedTuple):
    """The time of one call of a kernel.

    Attributes:
        seconds: Its time [s].
        start: Time that such a kernel takes at least, however small [s].
        origin: "fitted" by a curve; from a table "measured", "interpolated" or "extrapolated", with
            the factor beyond the table.
    """

    seconds: Number
    start: Number
    origin: Label


class KernelTimes(Protocol):
    """A source of measured times for one engine on one device."""

    def time(self, shape: Shape) -> KernelTime | None:
        """The time of a shape; None where no such kernel was measured.

        Raises:
            InputError: Kernels of that family were measured, but not in the format asked for, and
                the source was asked for by the user.
        """
