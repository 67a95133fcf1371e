"""Attention that grows from decode step to decode step: its time over all of them.

Modelled, it is the larger of two linear functions, whose sum has a closed form; measured kernels
are integrated numerically. Beside it stands the time that the device waits for the host, which
changes with it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from cost_analysis.common.arrays import (
    Label,
    Number,
    ceil,
    clip,
    floor,
    maximum,
    minimum,
    square_root,
    where,
)
from cost_analysis.cost.operator import Growth, Operator, arithmetic_sum
from cost_analysis.cost.roofline import OperatorTime, Speeds
from cost_analysis.inputs.engine import Engine
from cost_analysis.kernels.shapes import Attention, LatentAttention
from cost_analysis.kernels.times import MODELLED


def waiting_beyond(host: Number, device: Number, engine: Engine) -> Number:
    """Time that a device waits for the host that launches its kernels [s].

    Args:
        host: Time of the host alone [s].
        device: Time of the kernels alone [s].
        engine: With `soft_roofs` the two hide each other in part only: what the host launches while
            long kernels run waits in a queue, and the queue is empty after short ones.
    """
    if engine.soft_roofs:
        return square_root(host * host + device * device) - device
    return maximum(host - device, 0.0)


class GrowingRoofs(NamedTuple):
    """The roofs of an attention that grows with every step: the larger of two linear functions.

    Attributes:
        compute: Time at the compute roof in the first step [s].
        compute_slope: Increase for each further step [s].
        transfer: Time at the memory roof in the first step [s].
        transfer_slope: Increase for each further step [s].
        growth: Its growth, which may end.
        overhead: Floor of its kernels in each step, beyond the roofs [s].
        origin: "modelled".
    """

    compute: Number
    compute_slope: Number
    transfer: Number
    transfer_slope: Number
    growth: Growth
    overhead: Number
    origin: Label = MODELLED

    def sum(self, steps: Number) -> Number:
        """Time of the first steps [s]."""
        growing = self.growth.growing(steps)
        grown = sum_of_maxima(
            self.compute, self.compute_slope, self.transfer, self.transfer_slope, growing
        )
        if self.growth.is_endless:
            return grown
        last = maximum(
            self.compute + self.compute_slope * self.growth.steps,
            self.transfer + self.transfer_slope * self.growth.steps,
        )
        return grown + last * (steps - growing)

    def at(self, step: Number) -> Number:
        """Time of one step, counted from 0 [s]."""
        step = self.growth.growing(step)
        return maximum(
            self.compute + self.compute_slope * step, self.transfer + self.transfer_slope * step
        )

    def steps_below(self, limit: Number, steps: Number) -> Number:
        """How many of the first steps take less than a limit."""
        growing = self.growth.growing(steps)
        by_compute = _steps_below(limit, self.compute, self.compute_slope, growing)
        by_transfer = _steps_below(limit, self.transfer, self.transfer_slope, growing)
        return minimum(by_compute, by_transfer)


NODES = (
    (0.5 - 0.4305681557970263, 0.17392742256872693),
    (0.5 - 0.16999052179242813, 0.3260725774312731),
    (0.5 + 0.16999052179242813, 0.3260725774312731),
    (0.5 + 0.4305681557970263, 0.17392742256872693),
)
"""Places and weights of Gauss's quadrature with four nodes on [0, 1] (Abramowitz and Stegun, table
25.4): the time of a step is close to a polynomial of its context, over a decode of any length."""


class GrowingKernels(NamedTuple):
    """A measured attention that grows with every step, whose sums are integrals.

    Attributes:
        first: The operator in the first step.
        growth: Its growth, which may end.
        speeds: Times of its kernels.
        origin: Of the time of its first step.
    """

    first: Operator
    growth: Growth
    speeds: Speeds
    origin: Label
    overhead: float = 0.0

    def sum(self, steps: Number) -> Number:
        """Time of the first steps [s]."""
        growing = self.growth.growing(steps)
        grown = sum((each * self.at(step) for step, each in _nodes(growing)), 0.0)
        if self.growth.is_endless:
            return grown
        return grown + self.at(self.growth.steps) * (steps - growing)

    def at(self, step: Number) -> Number:
        """Time of one step, counted from 0, whole or not [s]."""
        shape = self.first.shape
        assert isinstance(shape, Attention | LatentAttention)
        context = shape.context + self.growth.growing(step)
        grown = replace(self.first, shape=shape._replace(context=context))
        return self.speeds.time(grown).seconds


def _nodes(steps: Number) -> list[tuple[Number, Number]]:
    """Steps, and how many each stands for, so that sums over 0 … steps − 1 become integrals."""
    return [(place * steps - 0.5, weight * steps) for place, weight in NODES]


def growing(first: Operator, growth: Growth, speeds: Speeds) -> GrowingRoofs | GrowingKernels:
    """An attention that grows with every step, by measured kernels where there are any."""
    measured = speeds.measured(first)
    if measured is not None:
        return GrowingKernels(first, growth, speeds, measured.origin)
    added = growth.operator
    return GrowingRoofs(
        speeds.compute(first),
        speeds.compute(added),
        speeds.transfer(first),
        speeds.transfer(added),
        growth,
        speeds.overhead(first),
    )


def grown_time(
    first: Operator,
    growth: Growth,
    kind: GrowingRoofs | GrowingKernels,
    steps: Number,
    speeds: Speeds,
) -> OperatorTime:
    """All steps of an operator that grows with every step."""
    overhead = kind.overhead * steps
    seconds = overhead + kind.sum(steps)
    total = growth.total(first, steps)
    return OperatorTime(total, speeds, overhead, seconds, origin=kind.origin)


class GrowingTogether(NamedTuple):
    """Attentions of several kinds, which grow at the same time.

    Attributes:
        kinds: Each kind.
    """

    kinds: tuple[GrowingRoofs | GrowingKernels, ...]

    def waiting(self, host: Number, others: Number, steps: Number, engine: Engine) -> Number:
        """Time that the device waits for the host, over all steps.

        The attention grows, so without `soft_roofs` the device waits in the first steps only, while
        the attention takes less than what the host takes beyond all other operators.

        Args:
            host: Time of the host in a step [s].
            others: Time of all but the growing part of attention [s].
            steps: Steps.
            engine: What runs them.
        """
        if engine.soft_roofs or any(isinstance(kind, GrowingKernels) for kind in self.kinds):
            each = (
                (waiting_beyond(host, others + self.at(step), engine), share)
                for step, share in _nodes(steps)
            )
            return sum((waited * share for waited, share in each), 0.0)
        slack = host - others
        count = self.steps_below(slack, steps)
        return maximum(slack * count - self.sum(count), 0.0)

    def sum(self, steps: Number) -> Number:
        """Time of the first steps [s]."""
        return sum((kind.sum(steps) for kind in self.kinds), 0.0)

    def at(self, step: Number) -> Number:
        """Time of one step, counted from 0 [s]."""
        return sum((kind.at(step) for kind in self.kinds), 0.0)

    def steps_below(self, limit: Number, steps: Number) -> Number:
        """How many of the first steps take less than a limit.

        A single kind without a window has a closed form; otherwise bisection finds the count, since
        no step takes less than the one before.
        """
        only = self.kinds[0]
        if len(self.kinds) == 1 and only.growth.is_endless and isinstance(only, GrowingRoofs):
            return only.steps_below(limit, steps)
        low, high = steps * 0.0, steps  # the count is in [low, high]
        for _ in range(STEP_BITS):
            middle = floor((low + high) / 2.0)
            below = self.at(middle) < limit
            inside = middle < high
            low = where(below & inside, middle + 1.0, low)
            high = where(below, high, middle)
        return low


STEP_BITS = 32
"""Bisections that suffice for the largest number of steps of a workload (`LARGEST_SIZE`)."""


def _steps_below(limit: Number, start: Number, slope: Number, steps: Number) -> Number:
    """How many of the first `steps` terms of a rising sequence lie below a limit."""
    rising = where(slope > 0, slope, 1.0)
    below = where(slope > 0, ceil((limit - start) / rising), steps)
    return where(limit > start, clip(below, 0.0, steps), 0.0)


def sum_of_maxima(
    start_a: Number, slope_a: Number, start_b: Number, slope_b: Number, count: Number
) -> Number:
    """Sum over j = 0 … count − 1 of max(start_a + j·slope_a, start_b + j·slope_b).

    In closed form: the sum of the second sequence, plus the positive part of the difference,
    which is an arithmetic series over the steps where the first sequence is above.
    """
    start, slope = start_a - start_b, slope_a - slope_b
    last = start + slope * (count - 1.0)
    high, step = maximum(start, last), maximum(slope, -slope)
    crossing = ceil(high / where(step > 0, step, 1.0))
    above = where(minimum(start, last) >= 0, count, clip(crossing, 0.0, count))
    above = where(high > 0, above, 0.0)
    return arithmetic_sum(start_b, slope_b, count) + arithmetic_sum(high, -step, above)
