"""Timings of attention kernels, one for each shape, and the parts into which shapes are divided."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cost_analysis.common.arrays import Array
from cost_analysis.common.errors import InputError
from cost_analysis.kernels.attention import sizes_of
from cost_analysis.kernels.shapes import Attention, LatentAttention

Shape = Attention | LatentAttention
Mask = npt.NDArray[np.bool_]

FOLDS = 5
"""Parts into which shapes are divided."""

MOST_ROWS = 4000
"""Shapes of a table that a fit uses; more change no digit that matters."""

UNCACHED = 400e6
"""A cache of this size cannot lie in L2: reading it faster than the memory allows is no timing."""


@dataclass(frozen=True, slots=True)
class Timings:
    """Timings of one kernel of an engine on a device, in one format.

    Attributes:
        shape: Sizes as arrays.
        seconds: Time of one call [s].
        dropped: Timings that were left out since they break the roof of the memory.
    """

    shape: Shape
    seconds: Array
    dropped: int = 0

    def part(self, chosen: Mask) -> Timings:
        """The timings of some of the shapes."""
        cells = [
            each[chosen] for each in np.broadcast_arrays(*columns_of(self.shape), self.seconds)
        ]
        shape = shaped(self.shape, cells[:-1])
        return replace(self, shape=shape, seconds=self.seconds[chosen])


def timings_of(shape: Shape, seconds: Array, bandwidth: float = np.inf) -> Timings:
    """Timings with one row a shape: the median of those that were timed several times.

    Args:
        shape: Sizes; numbers count for all rows.
        seconds: Time of one call [s].
        bandwidth: Of the device's memory [B/s]; a decode step that is faster is left out.

    Raises:
        InputError: No timings, or some that are not positive numbers.
    """
    if seconds.size == 0 or not (np.isfinite(seconds) & (seconds > 0.0)).all():
        raise InputError("a curve needs timings that are positive numbers, at least one")
    sizes = np.stack([np.broadcast_to(each, seconds.shape) for each in columns_of(shape)])
    unique, place = np.unique(sizes, axis=1, return_inverse=True)
    medians = np.array([np.median(each) for each in _groups(seconds, place.ravel())])
    timings = Timings(shaped(shape, list(unique)), medians)
    if not shape.decodes:
        return timings
    real = _read_bytes(timings.shape) < np.maximum(UNCACHED, medians * bandwidth)
    return replace(timings.part(real), dropped=int((~real).sum()))


def columns_of(shape: Shape) -> list[Array]:
    """Sizes of a shape as arrays."""
    sizes = shape[:7] if isinstance(shape, Attention) else shape[:5]
    return [np.asarray(each, dtype=np.float64) for each in sizes]


def shaped(like: Shape, columns: Sequence[Array]) -> Shape:
    """A shape of some sizes, with the formats of another."""
    if isinstance(like, Attention):
        a, b, c, d, e, f, g = columns
        return Attention(a, b, c, d, e, f, g, like.cache, like.decodes)
    a, b, c, d, e = columns
    return LatentAttention(a, b, c, d, e, like.cache, like.decodes)


def _groups(seconds: Array, place: Any) -> list[Array]:
    order = np.argsort(place, kind="stable")
    return np.split(seconds[order], np.cumsum(np.bincount(place))[:-1])


def _read_bytes(shape: Shape) -> Any:
    sizes = sizes_of(shape)
    keys = np.where(
        np.asarray(sizes.window) > 0, np.minimum(sizes.context, sizes.window), sizes.context
    )
    return 2.0 * sizes.value * sizes.width * sizes.kv_heads * sizes.sequences * keys


def folds_of(shape: Shape) -> npt.NDArray[np.int_]:
    """The part of each shape, by a hash that is the same on every machine.

    The hash is of all sizes but the number of sequences: a part holds all of them, so that the
    ratio of eight to one is of two times that a fit has not seen.
    """
    return _hashes(shape) % FOLDS


def _hashes(shape: Shape) -> npt.NDArray[np.int_]:
    columns = np.broadcast_arrays(*columns_of(shape))[1:]
    names = ("/".join(f"{each:g}" for each in row) for row in zip(*columns, strict=True))
    return np.array([zlib.crc32(name.encode()) for name in names])


def sample_of(timings: Timings) -> Mask:
    """At most `MOST_ROWS` shapes, with all numbers of sequences of each."""
    least = MOST_ROWS / timings.seconds.size
    return np.asarray(_hashes(timings.shape) // FOLDS % 4096 < 4096.0 * least)


def pairs_of(shape: Shape) -> tuple[Any, Any]:
    """Places of one sequence, and of eight with the same heads and context."""
    columns = np.broadcast_arrays(*columns_of(shape))
    rows = [tuple(row) for row in zip(*columns, strict=True)]
    places = {row: place for place, row in enumerate(rows)}
    pairs = [(places[row], places.get((8.0, *row[1:]))) for row in rows if row[0] == 1.0]
    both = [(one, eight) for one, eight in pairs if eight is not None]
    found = np.array(both, dtype=np.intp).reshape(-1, 2)
    return found[:, 0], found[:, 1]
