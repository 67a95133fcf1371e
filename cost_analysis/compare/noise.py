"""How far timings of kernels repeat, and what that leaves of a ratio of latency increases.

A ratio of increases divides by what streams add, which is often no more than what two timings of
one kernel differ by. So each ratio has an interval, and where what streams add is within the noise
they are free, with a bound.

The ratio of a kernel's times at two numbers of rows repeats within a share (`kernel_noise`). The
same kernel errs alike in all layers and steps, and kernels of different shapes err independently:
what streams add is uncertain by the root of the sum over kernels of (share times time) squared.
What the wider model adds is as large as the base itself, and its noise is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cost_analysis.common.arrays import Array, Number, where
from cost_analysis.cost.estimate import Estimate, ratio_of_increases
from cost_analysis.cost.kernels import kernel_format
from cost_analysis.inputs.system import System
from cost_analysis.kernels.curves import FAMILIES, key_of, load_curves
from cost_analysis.kernels.shapes import Attention, Product, Shape
from cost_analysis.kernels.times import MODELLED

NOISE = 0.1
"""Share within which 80 % of the ratios of a product's times at neighbouring rows repeat, where the
curves do not state their own: that of the noisiest of eight tables, bf16 products on A100, H100,
L40S and B200 under vLLM and TensorRT-LLM (0.015 to 0.1, by `distilling.product_noise`)."""

EIGHTY_OVER_MEDIAN = 1.9
"""80 % quantile over the median of absolute errors, were they normal."""

FEW_ROWS = 17.0
"""Rows, or sequences, up to which the ratio of two times is known better than either time."""


def ratio_noise(system: System, family: str = "product") -> float:
    """Share within which 80 % of the ratios of a kernel's times at two numbers of few rows repeat.

    That of timings, as the curves of products state it ("noise"), and no less than the error of
    curves, on shapes that a fit had not seen, in the time at 8 rows or sequences over that at 1
    ("eight", a median). Interpolation in tables is not known to err less.

    Args:
        system: The device, the engine and how its kernels are known.
        family: "product", or "decode": attention.
    """
    noise = _errors(system, "product").get("noise", NOISE)
    return max(noise, EIGHTY_OVER_MEDIAN * _errors(system, family).get("eight", 0.0))


def _errors(system: System, family: str) -> Mapping[str, float]:
    """What is stated of the curve of a family; nothing where there is none."""
    formats, engine = system.precision, getattr(system.engine.kernels, FAMILIES[family])
    stored = formats.matrix if family in ("product", "experts") else formats.cache
    key = family, "bf16" if family == "all_reduce" else kernel_format(stored)
    fitted = load_curves(system.hardware.kernels, engine).get(key)
    return {} if fitted is None else fitted.errors


def kernel_noise(system: System, shape: Shape) -> Number:
    """Share within which 80 % of the ratios of a kernel's times at two numbers of rows repeat.

    With more than `FEW_ROWS` a kernel runs in other tiles than with one: then the times themselves
    err, as curves state it ("median" and "ninety", of which the 80 % quantile is about the mean).
    """
    family, _ = key_of(shape)
    errors, few = _errors(system, family), ratio_noise(system, family)
    many = max(few, (errors.get("median", few) + errors.get("ninety", few)) / 2.0)
    if isinstance(shape, Product):
        return where(shape.rows <= FEW_ROWS, few, many)
    if isinstance(shape, Attention) and shape.decodes:
        return where(shape.sequences <= FEW_ROWS, few, many)
    return many


def noise_seconds(cost: Estimate) -> Array:
    """Within which the time of a request repeats at another number of rows [s].

    The root of the sum over its measured kernels of (share times time) squared.
    """
    squares: Array = np.zeros(1)
    for time in (*cost.prefill.times, *cost.decode.times):
        shape = time.operator.shape
        if shape is not None:
            noise = kernel_noise(cost.system, shape) * time.total_seconds
            own = np.where(np.asarray(time.origin) != MODELLED, noise, 0.0)
            squares = squares + own * own
    return np.asarray(np.sqrt(squares))


@dataclass(frozen=True, slots=True)
class Added:
    """What streams and the wider model add to a base's latency, and the noise of the former.

    Attributes:
        base: Latency of the base [s].
        wider: What the parameter-scaled model adds [s].
        streams: What the streams add [s].
        noise: Within which 80 % of measurements of `streams` lie [s]; 0 without measurements.
    """

    base: float
    wider: float
    streams: float
    noise: float

    @property
    def is_free(self) -> bool:
        """Whether what the streams add is within the noise, or less than nothing."""
        return self.noise > 0 and self.streams <= self.noise

    @property
    def at_most(self) -> float:
        """What the streams add at most, as a share of the base; no less than the noise."""
        return (max(self.streams, 0.0) + self.noise) / self.base

    @property
    def ratio(self) -> float:
        """How many times less the streams add (`ratio_of_increases`)."""
        return self._over(self.streams)

    @property
    def low(self) -> float:
        """Lower end of the ratio's interval: by the most that streams add."""
        return self._over(self.at_most * self.base)

    @property
    def high(self) -> float:
        """Upper end; infinite where streams are free."""
        return self._over(self.streams - self.noise)

    def _over(self, streams: float) -> float:
        return float(ratio_of_increases(self.wider, streams, self.base))
