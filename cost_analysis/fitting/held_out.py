"""Errors of rows by fits that had not seen them, and what was new about each row.

A row may be left out in several ways: with its source, its model, its device or its engine. What is
new about it is then what no row that the fit has seen shares with it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cost_analysis.fitting.measurements import Measurement
from cost_analysis.fitting.predictions import Floats, engine_of

NEW = ("source", "engine", "device", "narrow", "experts")
"""What may be new about a row: its source, its engine or its device (for the engine; for the class
where the engine is new); weights below 16 bits; a mixture of experts."""

Texts = npt.NDArray[np.str_]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Errors of fits on rows that they had not seen; a row may be left out in several ways.

    Attributes:
        errors: ln(measured / predicted time), (points,).
        groups: What is exchangeable: the source and the engine, (points,).
        engines: The engine, (points,).
        new: What is new about the row for the fit, (points, `NEW`).
        folds: How it was left out, (points,).
        places: Where its row stands among all rows, (points,).
    """

    errors: Floats
    groups: Texts
    engines: Texts
    new: Flags
    folds: Texts
    places: npt.NDArray[np.intp]

    def __getitem__(self, chosen: Any) -> HeldOut:
        """Some of the points."""
        columns = (self.groups, self.engines, self.new, self.folds, self.places)
        return HeldOut(self.errors[chosen], *(column[chosen] for column in columns))


@dataclass(frozen=True, slots=True)
class Traits:
    """What may be new about a row.

    Attributes:
        source: Who measured it.
        engine: The engine.
        engine_class: Its class, which stands for it where the engine is new.
        device: The device.
        weights: Format of the weights.
        narrow: They are stored in fewer than 16 bits.
        experts: The model is a mixture of experts.
    """

    source: str
    engine: str
    engine_class: str
    device: str
    weights: str = "bf16"
    narrow: bool = False
    experts: bool = False


def traits_of(row: Measurement) -> Traits:
    """The traits of a published row; none of them is of a mixture of experts."""
    engine = engine_of(row)
    return Traits(
        source=row.texts["source_id"],
        engine=engine.name,
        engine_class=engine.engine_class,
        device=row.device.name,
        weights=row.precision.weights,
        narrow=row.precision.matrix.bits < 16,
    )


def held_out(
    rows: Sequence[Traits],
    errors: Mapping[str, Floats],
    labels: Mapping[str, Sequence[str]],
) -> HeldOut:
    """The errors of rows by fits that have not seen their fold.

    Args:
        rows: The traits of each row.
        errors: ln(predicted / measured time) of each row, by the name of the fold.
        labels: What each row was left out with, by the name of the fold; those without errors do
            not count.
    """
    known = [name for name in labels if name in errors]
    new = [_new(rows, labels[name]) for name in known]
    count = len(known)
    return HeldOut(
        errors=np.concatenate([np.empty(0), *(-errors[name] for name in known)]),
        groups=np.array([f"{row.source} / {row.engine}" for row in rows] * count, dtype=np.str_),
        engines=np.array([row.engine for row in rows] * count, dtype=np.str_),
        new=np.array(new, dtype=np.bool_).reshape(-1, len(NEW)),
        folds=np.repeat(np.array(known, dtype=np.str_), len(rows)),
        places=np.tile(np.arange(len(rows)), count),
    )


def joined(first: HeldOut, second: HeldOut) -> HeldOut:
    """The points of two sets of rows, e.g. of published rows and of serving runs.

    The rows of the second stand after those of the first.
    """
    begin = int(first.places.max(initial=-1)) + 1
    moved = replace(second, places=second.places + begin)
    columns = ((getattr(each, item.name) for each in (first, moved)) for item in fields(HeldOut))
    return HeldOut(*(np.concatenate(tuple(column)) for column in columns))


def _new(rows: Sequence[Traits], labels: Sequence[str]) -> list[tuple[bool, ...]]:
    """What is new about each row for the fit that has seen none of its fold."""
    by_fold = {
        fold: _Seen([row for row, own in zip(rows, labels, strict=True) if own != fold])
        for fold in set(labels)
    }
    return [by_fold[fold].new(row) for row, fold in zip(rows, labels, strict=True)]


class _Seen:
    """The rows that a fit has seen."""

    def __init__(self, rows: Collection[Traits]) -> None:
        self.engines = {row.engine for row in rows}
        self.sources = {(row.source, row.engine) for row in rows}
        self.sources |= {(row.source, "") for row in rows}
        self.devices = {(row.engine, row.device) for row in rows}
        self.devices |= {(row.engine_class, row.device) for row in rows}

    def new(self, row: Traits) -> tuple[bool, ...]:
        """What is new about a row, in the order of `NEW`."""
        is_new = row.engine not in self.engines
        stands_for = row.engine_class if is_new else row.engine
        return (
            (row.source, "" if is_new else row.engine) not in self.sources,
            is_new,
            (stands_for, row.device) not in self.devices,
            row.narrow,
            row.experts,
        )
