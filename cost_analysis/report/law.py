"""A fitted law and its intervals as rows and a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter, methodcaller
from typing import Any

import numpy as np

from cost_analysis.common.errors import InputError
from cost_analysis.common.units import format_count
from cost_analysis.law.runs import evidence_warnings
from cost_analysis.law.scaling_law import (
    Fit,
    bootstrap,
    fit_warnings,
    leave_one_size_out,
    residuals,
)
from cost_analysis.report.render import Page, Record, Table

PARAMETERS = ("E", "A", "alpha", "k")


def fit_rows(
    fitted: Fit,
    level: float,
    samples: int,
    seed: int,
    points: Sequence[tuple[float, int]] = (),
) -> list[dict[str, Any]]:
    """Each parameter, the multiplier at each P of the runs, and predictions, with intervals.

    Args:
        fitted: The fit.
        level: Share of the bootstrap refits that an interval holds; that of leaving out one size
            spans all.
        samples: Bootstrap refits.
        seed: Seed of them.
        points: Models to predict, as parameters without embeddings and streams: their loss, and
            the size that reaches it at P = 1.
    """
    resampled = bootstrap(fitted, samples, seed)
    try:
        left_out = leave_one_size_out(fitted)
    except InputError:
        left_out = None
    rows = []
    for name, value in _reported_values(fitted, points):
        low, high = resampled.interval(value, level)
        outer = (None, None) if left_out is None else left_out.interval(value, 1.0)
        rows.append(
            {
                "parameter": name,
                "value": float(value(fitted.law)),
                "bootstrap_low": float(low),
                "bootstrap_high": float(high),
                "leave_one_out_low": None if outer[0] is None else float(outer[0]),
                "leave_one_out_high": None if outer[1] is None else float(outer[1]),
            }
        )
    return rows


def _reported_values(
    fitted: Fit, points: Sequence[tuple[float, int]]
) -> list[tuple[str, Callable[[Any], Any]]]:
    """What a fit reports, each with the function that takes it from a law or its samples."""
    named: list[tuple[str, Callable[[Any], Any]]] = [
        (name, attrgetter(name)) for name in PARAMETERS
    ]
    for streams in np.unique(fitted.runs.streams):
        if streams > 1:
            named.append((f"1 + k ln {streams:g}", methodcaller("multiplier", float(streams))))
    for size, count in points:
        model = f"{format_count(size)}, P = {count}"
        named.append((f"loss at {model}", methodcaller("loss", size, count)))
        named.append((f"equal-loss N of {model}", methodcaller("equal_loss_size", size, count)))
    return named


def fit_notes(fitted: Fit, level: float, points: Sequence[tuple[float, int]] = ()) -> list[str]:
    """What to know about a fit, and about the points that it predicts."""
    worst = residuals(fitted.law, fitted.runs)[0]
    return [
        f"bootstrap: {level:.0%} of refits on resampled runs; leaving out one size: all refits",
        f"largest residual: {worst.size}, P = {worst.streams}, measured {worst.observed:.4f}, "
        f"fitted {worst.observed + worst.error:.4f}",
        *fit_warnings(fitted),
        *(
            sentence
            for size, count in points
            for sentence in evidence_warnings(
                fitted.runs, size, count, fitted.law.loss(size, count)
            )
        ),
    ]


def fit_page(fitted_rows: Sequence[Record], title: str, notes: Sequence[str]) -> Page:
    """A fitted law with its intervals."""
    rows = tuple(
        (
            row["parameter"],
            _significant(row["value"]),
            _interval(row, "bootstrap"),
            _interval(row, "leave_one_out"),
        )
        for row in fitted_rows
    )
    headers = ("", "value", "bootstrap", "leaving out one size")
    return Page(
        title, (), (Table("loss = E + (A / (N (1 + k ln P)))^alpha", headers, rows),), tuple(notes)
    )


def _interval(row: Record, method: str) -> str:
    low, high = row[f"{method}_low"], row[f"{method}_high"]
    return "" if low is None else f"{_significant(low)} to {_significant(high)}"


def _significant(value: float) -> str:
    return format_count(value) if value >= 1e5 else f"{value:.4f}"
