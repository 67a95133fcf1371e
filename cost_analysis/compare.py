"""Increases over a baseline."""

from __future__ import annotations

from typing import NamedTuple

from cost_analysis.arrays import Number
from cost_analysis.estimate import Estimate


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
