"""Where the advantage of streams over parameters ends.

The streamed model pays as long as it costs less than the parameter-scaled model of equal loss:
then the ratio of the increases is above 1. The end is the smallest batch, context, number of
streams or share of the prompt at which it costs more, found by bracketing on a grid that is
evaluated in one call, and by closing in on the first sign change.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cost_analysis.arrays import Number
from cost_analysis.dtypes import dtype_named
from cost_analysis.spec import Precision
from cost_analysis.system import Engine, Hardware

PER_OCTAVE = 48
"""Points of the first grid for each doubling."""

Advantage = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
"""From whole numbers to what the baseline costs beyond the streamed model."""


@dataclass(frozen=True, slots=True)
class Crossover:
    """Where an advantage ends on one axis.

    Attributes:
        first: The smallest value without advantage; None if there is none up to `last`.
        lowest: Where the search began.
        last: Where it ended.
    """

    first: int | None
    lowest: int
    last: int

    @property
    def always(self) -> bool:
        """The advantage holds over the whole range."""
        return self.first is None

    @property
    def never(self) -> bool:
        """There is no advantage at the lowest value already."""
        return self.first == self.lowest


def first_loss(advantage: Advantage, lowest: int, last: int) -> Crossover:
    """The smallest whole number at which an advantage is negative.

    Args:
        advantage: Evaluated for many values at once.
        lowest: The first value to look at.
        last: The last one.
    """
    grid = _grid(lowest, last)
    while True:
        lost = np.flatnonzero(advantage(grid.astype(np.float64)) < 0)
        if not len(lost):
            return Crossover(None, lowest, last)
        index = int(lost[0])
        if index == 0 or grid[index] - grid[index - 1] == 1:
            return Crossover(int(grid[index]), lowest, last)
        grid = _between(int(grid[index - 1]), int(grid[index]))


def _grid(lowest: int, last: int) -> npt.NDArray[np.int64]:
    """Whole numbers from `lowest` to `last`: all small ones, then evenly in their logarithm."""
    points = 2 + math.ceil(PER_OCTAVE * math.log2(max(last / lowest, 1)))
    return np.unique(np.round(np.geomspace(lowest, last, points)).astype(np.int64))


def _between(left: int, right: int) -> npt.NDArray[np.int64]:
    """The ends and up to 256 whole numbers between them."""
    return np.unique(np.linspace(left, right, min(right - left + 1, 258)).round().astype(np.int64))


def ridge_tokens(hardware: Hardware, engine: Engine, precision: Precision) -> Number:
    """Token-streams a pass, P·B, up to which a matrix product waits for its weights.

    Below it more streams or sequences ride free; above it each one costs. From the roofs alone:
    FLOP/s over B/s, times the bytes of a weight over the two FLOPs that a token does with it.

    Args:
        hardware: The device.
        engine: Shares of its roofs that are reached.
        precision: Storage formats.
    """
    flops = engine.flops_rate(hardware, precision.compute)
    bandwidth = engine.bytes_rate(hardware)
    return flops / bandwidth * dtype_named(precision.weights).bytes / 2.0


def compute_bound_penalty(multiplier: float, streams: int) -> float:
    """How many times the compute of the equal-loss model the streams need, P / (1 + k·ln P).

    What the streamed model costs beside the baseline once nothing rides free.

    Args:
        multiplier: 1 + k·ln P of the law.
        streams: Parallel streams, P.
    """
    return streams / multiplier
