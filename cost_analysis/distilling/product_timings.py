"""Timings of matrix products of one table: what of it is of use, and which shapes are left out.

A table holds the times of products of one format, on one device, under one engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from cost_analysis.common.arrays import Array
from cost_analysis.kernels.shapes import Product

Indices: TypeAlias = npt.NDArray[np.intp]

FOLDS = 5
"""Parts into which shapes are divided for leaving one out."""

HOST_FLOOR = 18e-6
"""Median time of the smallest products above which it is the host's, who launches them [s].

Where the timing is of the kernels alone, conversion of the inputs included, it is 2 to 14 µs; where
it is not, 22 to 300."""


@dataclass(frozen=True, slots=True)
class ProductTimings:
    """Measured products, one an element: arrays of the same length.

    Attributes:
        rows: M.
        inputs: K.
        outputs: N.
        seconds: Of one call [s].
    """

    rows: Array
    inputs: Array
    outputs: Array
    seconds: Array

    def part(self, chosen: npt.NDArray[np.bool_] | Indices) -> ProductTimings:
        """Those that a mask or indices choose."""
        columns = (self.rows, self.inputs, self.outputs, self.seconds)
        return ProductTimings(*(column[chosen] for column in columns))

    def shape(self) -> Product:
        """Their shapes; the format is that of the table."""
        return Product(self.rows, self.inputs, self.outputs, "")


@dataclass(frozen=True, slots=True)
class ProductFacts:
    """What datasheet and format say; the fields are those of `ProductCurve`.

    Attributes:
        multiprocessors: Of the device.
        cache: Size of L2 [B].
        bandwidth: Of memory [B/s].
        peak: Of the format, dense [FLOP/s].
        weight_bytes: Of one weight [B].
        input_bytes: Of one value of the inputs as it is multiplied [B].
    """

    multiprocessors: float
    cache: float
    bandwidth: float
    peak: float
    weight_bytes: float
    input_bytes: float


@dataclass(frozen=True, slots=True)
class CleanTimings:
    """What of a table is of use, and how many rows are not.

    Attributes:
        timings: One a shape, the median where it was measured more than once.
        repeated: Rows that repeat a shape.
        beyond_roofs: Shapes that were faster than the peak allows, or than memory gives what of the
            weights exceeds L2.
        host_bound: Shapes whose time is that of the host, not of the kernel.
    """

    timings: ProductTimings
    repeated: int
    beyond_roofs: int
    host_bound: int

    @property
    def is_of_host(self) -> bool:
        """Whether most shapes took the host's time: the table says nothing of decode steps.

        Engines launch those as graphs. A curve of the few large products that remain would be
        extrapolated to all others: such a table counts as missing.
        """
        return self.host_bound > len(self.timings.seconds)


def clean_timings(timings: ProductTimings, facts: ProductFacts) -> CleanTimings:
    """Each shape once, without what breaks a roof or is the host's time."""
    single = _merged(timings)
    rows, inputs, outputs, seconds = single.rows, single.inputs, single.outputs, single.seconds
    weights = inputs * outputs * facts.weight_bytes
    least = np.maximum(
        2.0 * rows * inputs * outputs / facts.peak, (weights - facts.cache) / facts.bandwidth
    )
    beyond = seconds < least
    small = (inputs * outputs <= 2.0**20) & (rows <= 256)
    host = np.zeros(len(seconds), dtype=bool)
    if small.any() and np.median(seconds[small]) > HOST_FLOOR:
        host = ~beyond & (seconds < 1.5 * np.quantile(seconds[small], 0.9))
    return CleanTimings(
        timings=single.part(~beyond & ~host),
        repeated=len(timings.seconds) - len(seconds),
        beyond_roofs=int(beyond.sum()),
        host_bound=int(host.sum()),
    )


def fold_of(inputs: Array, outputs: Array) -> Indices:
    """The part, from 0 to `FOLDS` - 1, that each (inputs, outputs) belongs to; always the same."""
    first = outputs.astype(np.uint64) * np.uint64(2654435761)
    second = inputs.astype(np.uint64) * np.uint64(2246822519)
    mixed = ((first ^ second) % np.uint64(1 << 32)) >> np.uint64(9)
    return (mixed % np.uint64(FOLDS)).astype(np.intp)


def _merged(timings: ProductTimings) -> ProductTimings:
    """Each shape once, with the median of its times."""
    keys = np.stack([timings.rows, timings.inputs, timings.outputs])
    order = np.lexsort((timings.seconds, *keys))
    keys, seconds = keys[:, order], timings.seconds[order]
    new = np.ones(len(seconds), dtype=bool)
    new[1:] = (keys[:, 1:] != keys[:, :-1]).any(axis=0)
    starts = np.flatnonzero(new)
    ends = np.append(starts[1:], len(seconds))
    # Times rise within a shape: its median is the mean of the two in the middle.
    low, high = seconds[(starts + ends - 1) // 2], seconds[(starts + ends) // 2]
    rows, inputs, outputs = keys[:, starts]
    return ProductTimings(rows, inputs, outputs, (low + high) / 2.0)
