"""A range of models of one depth and one number of heads, from narrow to wide."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from cost_analysis.arrays import Number
from cost_analysis.baselines import TOLERANCE, family, hidden_multiple, in_family, size_of
from cost_analysis.spec import ModelSpec

Array = npt.NDArray[np.float64]

LARGEST = 1e12
"""Parameters without embeddings at which a ladder ends."""


def size_ladder(base: ModelSpec, largest: float = LARGEST) -> ModelSpec:
    """Models of the depth, heads and vocabulary of `base` in steps of 1 % of their size or less.

    Hidden sizes are multiples of the heads and of 128; between two of them the MLP is widened or
    narrowed in powers of two, so that the sizes follow on each other. The base is among them, and
    where it is a published model the other published ones are too.

    Args:
        base: The model, of any number of streams.
        largest: Parameters without embeddings at which to stop, N.

    Returns:
        One model whose widths are arrays (sizes,), N rising.
    """
    multiple = hidden_multiple(base)
    reach = math.sqrt(largest / size_of(base.with_streams(1)))
    steps = max(2, math.ceil(reach * base.hidden_size / multiple) + 2)
    hidden = np.arange(1, steps + 1) * float(multiple)
    widths = [pair for row in _bands(base, hidden) for pair in row]
    members = family() if in_family(base) else (base,)
    widths += [(float(m.hidden_size), float(m.intermediate_size)) for m in members]
    found = base.with_widths(*np.array(sorted(set(widths))).T)
    sizes = size_of(found)
    order = np.argsort(sizes, kind="stable")[: np.count_nonzero(sizes <= largest)]
    return base.with_widths(found.hidden_size[order], found.intermediate_size[order])


def _bands(base: ModelSpec, hidden: Array) -> list[list[tuple[float, float]]]:
    """For each hidden size the MLP widths up to halfway to its neighbours' sizes."""
    one, two = (size_of(base.with_widths(hidden, np.full_like(hidden, width))) for width in (1, 2))
    slope = two - one
    shape = base.intermediate_size / base.hidden_size
    middle = one + (shape * hidden - 1) * slope
    between = np.sqrt(middle[1:] * middle[:-1])
    lows = np.concatenate([middle[:1] / 2, between])
    highs = np.concatenate([between, middle[-1:]])
    bands = []
    for row in zip(hidden, one, slope, middle, lows, highs, strict=True):
        bands.append(_band(*row))
    return bands


def _band(
    hidden: Number, one: Number, slope: Number, middle: Number, low: Number, high: Number
) -> list[tuple[float, float]]:
    """MLP widths of one hidden size between two sizes: multiples of a power of two."""
    step = 2.0 ** max(0, math.floor(math.log2(TOLERANCE * min(low, middle) / slope)))
    first = max(1, math.ceil((low - one + slope) / slope / step))
    last = math.ceil((high - one + slope) / slope / step) + 1  # so that no gap is left
    return [(float(hidden), width * step) for width in range(first, last)]
