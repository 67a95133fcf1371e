"""The tables of estimates: which columns each has, in which order, and their values.

A sweep has a row for each of its requests; `estimate --format csv` is a sweep of one, with some
columns that are calculated for one request only.
"""

from __future__ import annotations

from collections.abc import Sequence

from cost_analysis.cost.estimate import Answer
from cost_analysis.search import cost_columns as cost
from cost_analysis.search import request_columns as asked
from cost_analysis.search.column import Column, Values


def _table(name: str, *groups: Sequence[Column]) -> tuple[Column, ...]:
    """The columns of groups that a table has."""
    return tuple(each for group in groups for each in group if each.only in ("", name))


COLUMNS = _table(
    "sweep",
    asked.TITLE,
    asked.SYSTEM,
    asked.FORMATS,
    asked.MODEL,
    asked.WORKLOAD,
    asked.LAYOUT,
    cost.PARAMETERS,
    cost.MEMORY,
    cost.FLOPS,
    cost.MOVED,
    cost.EXCHANGED,
    cost.PER_TOKEN,
    cost.TOTAL,
    cost.DECODE,
    cost.INTERVALS,
    cost.TIMES_OF_PARTS,
    cost.RATE,
    cost.DEVICE,
    cost.INCREASES,
)
"""Every column of a sweep, in order."""

ESTIMATE_COLUMNS = _table(
    "estimate",
    asked.COST_MODEL,
    asked.MODEL,
    asked.WORKLOAD,
    asked.FORMATS,
    asked.SYSTEM,
    asked.LAYOUT,
    asked.ASSUMED,
    cost.PARAMETERS,
    cost.MEMORY,
    cost.FLOPS,
    cost.PER_TOKEN,
    cost.DECODE,
    cost.TOTAL,
    cost.INTERVALS,
    cost.RATE,
    cost.DEVICE,
    cost.INCREASES,
)
"""Every column of the row of one estimate, in order, but for `cost_columns.PUBLISHED`."""

NAMED = {column.name: column for column in COLUMNS}
"""The columns of a sweep by name."""


def columns_of(found: Answer, shape: tuple[int, ...]) -> dict[str, Values]:
    """The columns of a piece, each of its rows; names are arrays of one object.

    Args:
        found: The estimates.
        shape: Axes of the piece; all numbers broadcast to it.
    """
    return {column.name: column.values(found, shape) for column in COLUMNS}
