"""How many rows lie inside intervals that were made without their source, engine or device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cost_analysis.common.errors import InputError, shown
from cost_analysis.common.files import read_table
from cost_analysis.fitting.held_out import NEW, Flags, HeldOut, Traits
from cost_analysis.fitting.intervals import left_out
from cost_analysis.inputs.profiles import profiles_folder


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many rows of something left out lie inside intervals that were made without it.

    Attributes:
        left_out: What was left out, of fits and of intervals, besides the source: "source",
            "engine" or "device"; or "format", by which rows of sources left out are counted.
        name: Which one.
        rows: Rows of it.
        covered: Share of them inside.
        low: Median of the low ends, as a multiple of the predicted time.
        high: Median of the high ends.
    """

    left_out: str
    name: str
    rows: int
    covered: float
    low: float
    high: float


COLUMNS = ("left_out", "name", "rows", "covered", "low", "high")
FILE = "coverage.csv"
"""The file of coverages, beside the profiles of the engines."""


def coverage_text(items: Sequence[Coverage]) -> str:
    """Coverages as a CSV file."""
    lines = [",".join(COLUMNS)]
    lines += [
        f"{item.left_out},{item.name},{item.rows},{item.covered:.3f},{item.low:.3f},{item.high:.3f}"
        for item in items
    ]
    return "\n".join(lines) + "\n"


def read_coverages(path: Path | None = None) -> list[Coverage]:
    """The coverages of the intervals that come with the package, or those of a file.

    Raises:
        InputError: A file that cannot be read, a missing column, or a value that is no number.
    """
    table = read_table(path or profiles_folder() / "engines" / FILE)
    cells = [table.texts(table.column(name)) for name in COLUMNS]
    return [
        Coverage(what, name, int(_number(rows)), *map(_number, numbers))
        for what, name, rows, *numbers in zip(*cells, strict=True)
    ]


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise InputError(f"coverage {shown(cell)} is not a number") from None


Property = Callable[[Traits], str]

LEFT_OUT: dict[str, tuple[tuple[str, ...], Property, Property]] = {
    "source": (("source",), lambda row: row.source, lambda row: row.source),
    "engine": (("source", "engine"), lambda row: row.engine, lambda row: row.engine),
    "device": (("source", "device"), lambda row: row.device, lambda row: row.device),
    "format": (("source",), lambda row: row.source, lambda row: row.weights),
}
"""Tables of coverage: what must be new about their rows, by what rows are left out of calibration,
and by what they are counted."""

BY_SOURCE = "held out by source"
"""The fold in which nothing is new but what is new about the source."""


def coverages(rows: Sequence[Traits], points: HeldOut) -> list[Coverage]:
    """Coverage of sources, engines and devices left out, and by format; none of too few groups.

    Args:
        rows: The traits of each row.
        points: Their errors.
    """
    return [item for name in LEFT_OUT for item in _coverages(name, rows, points)]


def _coverages(name: str, rows: Sequence[Traits], points: HeldOut) -> Iterator[Coverage]:
    new, apart, counted = LEFT_OUT[name]
    is_new = points.new[:, [NEW.index(each) for each in new]]
    chosen: Flags = np.asarray(is_new.all(axis=1))
    if new == ("source",):
        chosen &= points.folds == BY_SOURCE
    labels = np.array([apart(row) for row in rows], dtype=np.str_)[points.places]
    low, high = left_out(points, labels, chosen)
    chosen &= np.isfinite(low)
    inside = (points.errors >= low) & (points.errors <= high)
    labels = np.array([counted(row) for row in rows], dtype=np.str_)[points.places]
    for label in np.unique(labels[chosen]).tolist():
        own = chosen & (labels == label)
        yield Coverage(
            left_out=name,
            name=label,
            rows=len(np.unique(points.places[own])),
            covered=float(np.mean(inside[own])),
            low=float(np.exp(np.median(low[own]))),
            high=float(np.exp(np.median(high[own]))),
        )
