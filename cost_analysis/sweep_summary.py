"""What a sweep comes to: its extremes and its Pareto front, of parts and then of them all.

A summary of a part is small and plain, so that it is kept beside the part and sent between
processes; summaries of parts merge into that of the sweep.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from cost_analysis.errors import InputError, unknown_name
from cost_analysis.pareto import non_dominated
from cost_analysis.sweep_columns import COLUMNS, Values

LARGER_IS_BETTER = ("tokens_per_s", "device_free_bytes")
"""Columns of which more is wanted; of all others less."""

MEASURES = (
    "memory_total_bytes",
    "latency_ttft_s",
    "latency_tpot_s",
    "latency_total_s",
    "tokens_per_s",
)
"""Columns whose extremes are told."""

OBJECTIVES = ("memory_total_bytes", "latency_tpot_s", "tokens_per_s")
"""Columns of the Pareto front, unless others are asked for."""

MOST_WAITING = 20_000
"""Rows of fronts of parts that wait to be compared."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Summary:
    """What some rows of a sweep come to.

    Attributes:
        rows: How many there are.
        fitting: How many of them fit their device.
        least: By measure, the first row with the least of it.
        most: By measure, the first row with the most of it.
        front: Rows that no other beats in all objectives, least of the first objective first.
    """

    rows: int = 0
    fitting: int = 0
    least: Mapping[str, Row] | None = None
    most: Mapping[str, Row] | None = None
    front: Sequence[Row] = ()

    @property
    def record(self) -> dict[str, Any]:
        """The summary as JSON knows it; its rows are not copied."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


def objectives_named(names: Sequence[str]) -> tuple[str, ...]:
    """The columns of a Pareto front.

    Raises:
        InputError: No such column, one that holds no number, or one twice.
    """
    numbers = {column.name for column in COLUMNS if column.kind == "number"}
    for name in names:
        if name not in numbers:
            raise unknown_name("column of numbers", name, numbers)
    if len(set(names)) < len(names):
        raise InputError(f"the Pareto front is asked for {', '.join(names)}; each once")
    return tuple(names)


def summary_of(columns: Mapping[str, Values], objectives: Sequence[str] = OBJECTIVES) -> Summary:
    """The summary of some rows.

    Only rows that fit their device are on the front: what does not run is no choice.
    """
    fits = columns["device_fits"]
    found = {name: columns[name] for name in MEASURES if not np.isnan(columns[name]).all()}
    return Summary(
        rows=len(fits),
        fitting=int(fits.sum()),
        least=_extremes(columns, {name: np.nanargmin(values) for name, values in found.items()}),
        most=_extremes(columns, {name: np.nanargmax(values) for name, values in found.items()}),
        front=_front(columns, objectives, np.flatnonzero(fits)),
    )


def merged(summaries: Iterable[Summary], objectives: Sequence[str] = OBJECTIVES) -> Summary:
    """The summary of all rows from those of their parts, in the order of the parts."""
    total = Summary(least={}, most={})
    waiting: list[Row] = []
    for each in summaries:
        waiting += each.front
        if len(waiting) > MOST_WAITING:
            waiting = _pruned(waiting, objectives)
        total = Summary(
            total.rows + each.rows,
            total.fitting + each.fitting,
            _better(total.least or {}, each.least or {}, 1.0),
            _better(total.most or {}, each.most or {}, -1.0),
        )
    front = sorted(_pruned(waiting, objectives), key=lambda row: _signed(row, objectives[0]))
    return Summary(total.rows, total.fitting, total.least, total.most, front)


def _pruned(rows: Sequence[Row], objectives: Sequence[str]) -> list[Row]:
    on_front = _mask([[row[name] for row in rows] for name in objectives], objectives)
    return [row for row, kept in zip(rows, on_front, strict=True) if kept]


def _better(ours: Mapping[str, Row], theirs: Mapping[str, Row], sign: float) -> Mapping[str, Row]:
    """By measure, the row with less of it; ours where they are equal."""
    chosen = dict(ours)
    for name, row in theirs.items():
        if name not in chosen or sign * row[name] < sign * chosen[name][name]:
            chosen[name] = row
    return chosen


def _extremes(columns: Mapping[str, Values], places: Mapping[str, Any]) -> dict[str, Row]:
    """The rows at some places, by name."""
    return dict(zip(places, _rows(columns, np.array(list(places.values()), int)), strict=True))


def _front(columns: Mapping[str, Values], objectives: Sequence[str], among: Any) -> list[Row]:
    everything = len(among) == len(columns["device_fits"])
    values = (columns[name] if everything else columns[name][among] for name in objectives)
    return _rows(columns, among[_mask(list(values), objectives)], objectives)


def _mask(values: Sequence[Any], objectives: Sequence[str]) -> Any:
    signs = [-1.0 if name in LARGER_IS_BETTER else 1.0 for name in objectives]
    return non_dominated(
        [
            np.asarray(each, float) if sign > 0 else -np.asarray(each, float)
            for sign, each in zip(signs, values, strict=True)
        ]
    )


def _signed(row: Row, name: str) -> float:
    return -float(row[name]) if name in LARGER_IS_BETTER else float(row[name])


def _rows(columns: Mapping[str, Values], places: Any, more: Sequence[str] = ()) -> list[Row]:
    """Rows as plain values: what was asked, the measures, and more columns."""
    names = tuple(dict.fromkeys((*_ASKED, *MEASURES, *more)))
    values = (columns[name][places].tolist() for name in names)
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]


_ASKED = tuple(column.name for column in COLUMNS if column.says_which)
