"""How far the timings of matrix products repeat, by what they differ by from their neighbours."""

from __future__ import annotations

import math

import numpy as np

from cost_analysis.distilling.product_timings import ProductTimings

MOST_ROWS, LEAST_WEIGHTS = 17.0, 1_500.0**2
"""Products by which noise is known: of few rows, and of so many weights that reading these is what
takes time."""

HELD = 0.8
"""Share of the deviations that noise holds."""


def product_noise(timings: ProductTimings) -> float:
    """Share within which 80 % of the ratios of a product's times at two numbers of rows repeat.

    Over few rows the time of a product hardly changes, or changes steadily. What the logarithm of a
    time differs by from the line through those of its neighbours, at the next fewer and more rows,
    is the noise of all three; scaled to that of a difference of two, it is the noise of a ratio.
    The ratio at 8 rows to 1 differs as much between two engines that call the same library: 80 %
    within 6 % on H100, 5 % on B200, 10 % on A100 between vLLM and TensorRT-LLM.

    Returns:
        The share; nan where no product was timed at three numbers of rows.
    """
    few = timings.part(
        (timings.rows <= MOST_ROWS) & (timings.inputs * timings.outputs >= LEAST_WEIGHTS)
    )
    sizes = np.stack([few.inputs, few.outputs, few.rows])
    order = np.lexsort(sizes[::-1])
    sizes, logs = sizes[:, order], np.log(few.seconds[order])
    alike = (sizes[:2, 1:] == sizes[:2, :-1]).all(axis=0) & (np.diff(sizes[2]) > 0)
    middle = 1 + np.flatnonzero(alike[:-1] & alike[1:])
    if not len(middle):
        return math.nan
    before, at, after = (sizes[2, middle + step] for step in (-1, 0, 1))
    share = (at - before) / (after - before)
    line = (1.0 - share) * logs[middle - 1] + share * logs[middle + 1]
    scale = np.sqrt(2.0 / (1.0 + share**2 + (1.0 - share) ** 2))
    off = np.abs(logs[middle] - line) * scale
    return float(np.expm1(np.quantile(off, HELD)))
