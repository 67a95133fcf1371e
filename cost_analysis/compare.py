"""What a request costs beside the same with one stream: increases, and ratios of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from cost_analysis.arrays import Number, as_float, is_finite, where
from cost_analysis.estimate import Estimate, estimate
from cost_analysis.published import PublishedCost, published_cost
from cost_analysis.request import Request

ROUNDING = 1e-9
"""An increase of at most this share of the base is rounding: nothing increases."""


class Increase(NamedTuple):
    """What a model costs beyond a baseline, in one quantity.

    Attributes:
        baseline: The baseline's value.
        value: The model's value.
    """

    baseline: Number
    value: Number

    @property
    def absolute(self) -> Number:
        """Difference, in the unit of the quantity."""
        return self.value - self.baseline

    @property
    def relative(self) -> Number:
        """Difference as a share of the baseline."""
        return self.absolute / self.baseline


def increase(model: Estimate, baseline: Estimate) -> dict[str, Increase]:
    """Memory [B], TTFT, TPOT and total time [s] of a model beside those of a baseline."""
    return {
        "memory": Increase(baseline.memory.total, model.memory.total),
        "ttft": Increase(baseline.ttft, model.ttft),
        "tpot": Increase(baseline.tpot, model.tpot),
        "total": Increase(baseline.total, model.total),
    }


def ratio_of_increases(wider: Number, streams: Number, base: Number) -> Number:
    """How many times what streams add to a cost a wider model adds to it.

    Above 1 the streams add less; a wider model that saves something has a ratio below 0. Streams
    that add nothing, or save something, have no finite ratio: where the wider model adds to the
    cost they are free beside it, and the ratio is infinite; where that adds nothing either, there
    is nothing to compare, and the ratio is nan. An increase counts from `ROUNDING` on, so that
    none of this hangs on what rounding leaves of the difference of two costs. A cost that is not
    finite is unknown, and so is its ratio: nan.

    Args:
        wider: What the wider model adds to the base, in the unit of the cost.
        streams: What the streams add to it.
        base: The base's cost, from 0.

    Returns:
        The ratio; a number for numbers, else an array of the shape that they broadcast to.
    """
    wider, streams, least = as_float(wider), as_float(streams), as_float(base) * ROUNDING
    wider = where(is_finite(wider) & is_finite(streams), wider, math.nan)
    divided = wider / where(streams > least, streams, 1.0)
    return where(streams > least, divided, where(wider > least, math.inf, math.nan))


@dataclass(frozen=True)
class Answer:
    """An estimate, and the same model with one stream; of a single request, or of many at once.

    It has no slots, so that what its columns share is calculated once.

    Attributes:
        request: What was asked; of many requests the first, with the sizes of all in `cost`.
        cost: The estimate.
        baseline: The estimate at P = 1; the same object when P is 1.
        published: The paper's own numbers; None unless they were asked for.
    """

    request: Request
    cost: Estimate
    baseline: Estimate
    published: PublishedCost | None = None

    @cached_property
    def increases(self) -> dict[str, Increase]:
        """What the streams add, by the names of `increase`."""
        return increase(self.cost, self.baseline)

    @cached_property
    def intervals(self) -> dict[str, tuple[Number, Number] | None]:
        """The 80 % intervals of TTFT, TPOT and total time [s]; None where nothing was measured."""
        times = ((name, each.value) for name, each in self.increases.items() if name != "memory")
        return {name: self.cost.interval(seconds) for name, seconds in times}


def answer(request: Request, *, with_published: bool = False) -> Answer:
    """Everything that the estimate command reports."""

    def run(streams: int) -> Estimate:
        return estimate(
            request.spec.with_streams(streams),
            request.workload,
            request.hardware,
            request.engine,
            request.precision,
            request.layout.of_streams(streams),
        )

    cost = run(request.spec.streams)
    return Answer(
        request=request,
        cost=cost,
        baseline=cost if request.spec.streams == 1 else run(1),
        published=_published(request) if with_published else None,
    )


def _published(request: Request) -> PublishedCost:
    return published_cost(
        request.spec,
        request.workload,
        request.hardware,
        request.flops_efficiency,
        request.bandwidth_efficiency,
    )
