"""The Pareto front of rows of numbers: those that no other row dominates, all columns minimised."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from cost_analysis.common.arrays import Array
from cost_analysis.common.errors import InputError

Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]

BLOCK = 64
"""Rows up to which every pair is compared."""

PIVOTS = 16
"""Rows of a sample that dominated rows are first compared with, before the rest is sorted."""


def non_dominated(columns: Iterable[npt.ArrayLike]) -> Mask:
    """The rows of the Pareto front: no other row is as small in all columns and smaller in one.

    Of equal rows all are kept. A row with a nan is never on the front and dominates none;
    infinities compare as usual. Divide and conquer on the sorted rows (Kung, Luccio and
    Preparata, 1975): O(n log n) for two columns, O(n log^(d-1) n) for d.

    Args:
        columns: One or more arrays of equal length (rows,), each to be minimised.

    Returns:
        A mask (rows,).

    Raises:
        InputError: No column, or columns of different lengths.
    """
    arrays = [np.atleast_1d(np.asarray(column, np.float64)) for column in columns]
    if not arrays or any(a.ndim != 1 or len(a) != len(arrays[0]) for a in arrays):
        raise InputError("a Pareto front needs one or more columns of equal length")
    front = ~np.isnan(arrays[0])
    for column in arrays[1:]:
        front &= ~np.isnan(column)
    _remove_dominated(arrays, front)
    kept = np.flatnonzero(front)
    rows = np.stack([column[kept] for column in arrays])
    order = np.lexsort(rows[::-1])
    rows = np.ascontiguousarray(rows[:, order])
    first = np.ones(len(kept), np.bool_)  # of each run of equal rows
    first[1:] = (rows[:, 1:] != rows[:, :-1]).any(axis=0)
    distinct = rows[:, first]
    good = np.zeros(distinct.shape[1], np.bool_)
    good[_front(distinct, np.arange(distinct.shape[1]))] = True
    front[kept[order]] = good[np.cumsum(first) - 1]
    return front


def _remove_dominated(columns: Sequence[Array], front: Mask) -> None:
    """Remove from `front` the rows that some non-dominated rows of a sample dominate.

    Where the front is small, these are most of the rows.
    """
    rows = np.flatnonzero(front)
    step = len(rows) // (BLOCK * PIVOTS)
    if step < 2:
        return
    sample = rows[::step]
    best = sample[non_dominated([column[sample] for column in columns])]
    for pivot in best[:: max(1, len(best) // PIVOTS)]:
        as_small = np.ones(len(front), np.bool_)
        smaller = np.zeros(len(front), np.bool_)
        for column in columns:
            as_small &= column[pivot] <= column
            smaller |= column[pivot] < column
        front &= ~(as_small & smaller)


def _front(rows: Array, members: Indices) -> Indices:
    """The non-dominated ones among members of distinct, lexicographically sorted rows.

    A row can be dominated only by an earlier one, and the first column need not be compared
    again, because no row of the earlier half is larger in it.
    """
    if len(members) <= BLOCK:
        return members[~_dominated_pairwise(rows[:, members], rows[:, members], strict=True)]
    middle = len(members) // 2
    early, late = _front(rows, members[:middle]), _front(rows, members[middle:])
    return np.concatenate([early, late[~_dominated(rows[1:, early], rows[1:, late])]])


def _dominated_pairwise(rivals: Array, rows: Array, *, strict: bool) -> Mask:
    """The rows that some rival is nowhere larger than, by comparing all pairs.

    Args:
        rivals: Columns by rows, (d, m).
        rows: Likewise, (d, n).
        strict: A rival must also be smaller in a column.
    """
    dominates = (rivals[:, :, None] <= rows[:, None, :]).all(axis=0)
    if strict:
        dominates &= (rivals[:, :, None] < rows[:, None, :]).any(axis=0)
    return np.asarray(dominates.any(axis=0))


def _dominated(rivals: Array, rows: Array) -> Mask:
    """The rows that some rival is nowhere larger than; arguments as for `_dominated_pairwise`."""
    columns, dominated = len(rows), np.zeros(rows.shape[1], np.bool_)
    if not columns or not rivals.shape[1] or not rows.shape[1]:
        return dominated | bool(rivals.shape[1])
    if columns == 1:
        return np.asarray(rivals[0].min() <= rows[0])
    if columns == 2:
        return _dominated_in_plane(rivals, rows)
    if rivals.shape[1] * rows.shape[1] <= BLOCK**2:
        return _dominated_pairwise(rivals, rows, strict=False)
    values = np.concatenate([rivals[0], rows[0]])
    if values.min() == values.max():
        return _dominated(rivals[1:], rows[1:])
    split = _split(values)
    small, lower = rivals[0] <= split, rows[0] <= split
    dominated[lower] = _dominated(rivals[:, small], rows[:, lower])
    above = rows[:, ~lower]
    dominated[~lower] = _dominated(rivals[1:, small], above[1:]) | _dominated(
        rivals[:, ~small], above
    )
    return dominated


def _dominated_in_plane(rivals: Array, rows: Array) -> Mask:
    """As `_dominated`, for two columns: the smallest second among rivals with no larger first."""
    order = np.argsort(rivals[0])
    lowest = np.minimum.accumulate(rivals[1, order])
    place = np.searchsorted(rivals[0, order], rows[0], side="right")
    return np.asarray((place > 0) & (lowest[place - 1] <= rows[1]))


def _split(values: Array) -> float:
    """A value near the median, with values above it and values that are not."""
    largest = values.max()
    middle = float(np.partition(values, len(values) // 2)[len(values) // 2])
    return middle if middle < largest else float(values[values < largest].max())
