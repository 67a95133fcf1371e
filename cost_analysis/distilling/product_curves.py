"""Curves of matrix products from tables of timings, and their errors on shapes left out.

`fit_product_curve` distils a table of clean timings; `held_out_errors` fits without a fifth of the
shapes (inputs × outputs, with all their rows), and says how far that fit is off there.

The physical numbers are fitted first, by a robust least-squares of the logarithm of the ratio; what
remains goes into the corrections, each the weighted median of the ratio in its cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from cost_analysis.common.arrays import Array
from cost_analysis.common.errors import InputError
from cost_analysis.distilling.product_timings import Indices, ProductFacts, ProductTimings, fold_of
from cost_analysis.kernels.products import ROW_CLASSES, SHAPE_CLASSES, SIZES, ProductCurve

REPORTED_FOLD = 4
"""The part that errors are reported on; forms and settings were chosen without it."""

BUCKETS = ((1, 1), (2, 16), (17, 64), (65, 512), (513, 4096), (4097, 1 << 62))
"""First and last number of rows of the parts for which errors are given."""

FEWEST = 100
"""Timings that a fit needs."""

_SAMPLE = 3000  # rows of the least-squares fit: more change nothing but the time it takes
_LOOPS = (  # copies, rotated, cached and fades that are tried
    (5.0, 1.0, 1.0, 0.08),
    (6.0, 99.0, 0.75, 0.25),
    (6.0, 99.0, 1.0, 0.25),
    (10.0, 99.0, 0.75, 0.25),
)
_STARTS = 3  # of the fit, which has several local minima
_BOUNDS = {
    # lowest, starts, highest, scale
    "start": (1e-7, (2.5e-6, 5e-6, 2.5e-6), 3e-5, 1e-6),
    "memory_share": (0.3, (0.85, 0.75, 0.85), 1.0, 0.1),
    "cache_speed": (1.7, (2.0, 4.0, 2.0), 4.5, 1.0),
    "passing_speed": (1.0, (2.0, 2.0, 1.05), 10.0, 1.0),
    "compute_share": (0.05, (0.7, 0.7, 0.9), 1.0, 0.1),
    "exposed": (0.0, (0.2, 0.2, 0.3), 1.0, 0.1),
    "row_seconds": (0.0, (1e-11, 5e-9, 1e-11), 1e-7, 1e-9),
    "conversion": (0.0, (0.1, 1.0, 1.0), 20.0, 0.5),
    "input_seconds": (0.0, (1e-10, 1e-11, 1e-10), 1e-8, 1e-10),
    "chain_seconds": (0.0, (2e-10, 1e-9, 1e-10), 1e-8, 2e-10),
    "edge_cost": (0.0, (0.2, 0.2, 0.1), 2.0, 0.1),
    "split_inputs": (25.0, (500.0, 500.0, 4000.0), 10000.0, 500.0),
    "whole_waves": (0.0, (0.5, 0.5, 0.3), 1.0, 0.3),
}


@dataclass(frozen=True, slots=True)
class BucketErrors:
    """Absolute errors, |predicted / measured - 1|, of rows from `first` to `last`.

    Attributes:
        first: Fewest rows.
        last: Most rows.
        count: Timings.
        median: Of the errors.
        ninth_decile: Of the errors.
    """

    first: int
    last: int
    count: int
    median: float
    ninth_decile: float


@dataclass(frozen=True, slots=True)
class ProductErrors:
    """Errors of a curve on timings that it has not seen.

    Attributes:
        whole: Of all rows.
        buckets: By rows, those of `BUCKETS` that hold any.
        within_fifth: Share of timings with an error of at most 20 %.
        ratios: Error of the time at 8 rows over that at 1 row, one an (inputs, outputs).
    """

    whole: BucketErrors
    buckets: tuple[BucketErrors, ...]
    within_fifth: float
    ratios: BucketErrors


def held_out_errors(
    timings: ProductTimings, facts: ProductFacts, fold: int = REPORTED_FOLD
) -> ProductErrors:
    """Errors on one part of the shapes of a curve that was fitted to the others.

    Args:
        timings: Of use, as `clean_timings` gives them.
        facts: Of device and format.
        fold: The part that is left out.

    Raises:
        InputError: Too few timings on either side.
    """
    left_out = fold_of(timings.inputs, timings.outputs) == fold
    if not left_out.any():
        raise InputError(f"part {fold} of the shapes is empty, so that no error can be given")
    return curve_errors(fit_product_curve(timings.part(~left_out), facts), timings.part(left_out))


def curve_errors(curve: ProductCurve, timings: ProductTimings) -> ProductErrors:
    """Errors of a curve, warm, as the tables are, on timings."""
    times = np.asarray(curve.seconds(timings.shape(), warm=True))
    errors = np.abs(times / timings.seconds - 1.0)
    rows = timings.rows
    inside = [(rows >= first) & (rows <= last) for first, last in BUCKETS]
    return ProductErrors(
        whole=_bucket(BUCKETS[0][0], BUCKETS[-1][1], errors),
        buckets=tuple(
            _bucket(*bucket, errors[chosen])
            for bucket, chosen in zip(BUCKETS, inside, strict=True)
            if chosen.any()
        ),
        within_fifth=float(np.mean(errors <= 0.2)),
        ratios=_bucket(1, 8, _ratio_errors(timings, times)),
    )


def fit_product_curve(timings: ProductTimings, facts: ProductFacts) -> ProductCurve:
    """The curve of a table, its numbers rounded as a profile stores them.

    Args:
        timings: Of use, as `clean_timings` gives them.
        facts: Of device and format.

    Raises:
        InputError: Fewer than `FEWEST` timings.
    """
    count = len(timings.seconds)
    if count < FEWEST:
        raise InputError(f"a curve of products needs {FEWEST} timings or more, not {count}")
    chosen = np.random.default_rng(0).permutation(count)[:_SAMPLE]
    sample = timings.part(chosen)
    fits = [
        _physical(sample, curve, start) for curve in _variants(facts) for start in range(_STARTS)
    ]
    curve = min(fits, key=lambda fit: fit[0])[1]
    return _corrected(timings, _rounded(curve))


def _plain(facts: ProductFacts) -> ProductCurve:
    """A curve before any fit, without corrections."""
    columns = len(SIZES)
    numbers = {name: starts[0] for name, (_, starts, _, _) in _BOUNDS.items()}
    classes, shapes = len(ROW_CLASSES) + 1, len(SHAPE_CLASSES) + 1
    if facts.input_bytes >= 2.0:
        numbers["conversion"] = 0.0
    return ProductCurve(
        **asdict(facts),
        **numbers,
        **dict(zip(("copies", "rotated", "cached", "fades"), _LOOPS[0], strict=True)),
        by_outputs=(0.0,) * (classes * columns),
        by_inputs=(0.0,) * (classes * columns),
        by_shape=(0.0,) * (shapes * columns * columns),
    )


def _variants(facts: ProductFacts) -> list[ProductCurve]:
    """Curves before any fit, with every way in which a benchmark may pass over its weights."""
    plain = _plain(facts)
    names = ("copies", "rotated", "cached", "fades")
    return [_changed(plain, zip(names, loop, strict=True)) for loop in _LOOPS]


def _physical(
    sample: ProductTimings, curve: ProductCurve, start: int
) -> tuple[float, ProductCurve]:
    """Cost and curve of a least-squares fit, from one of the starts."""
    from scipy.optimize import least_squares

    names = [name for name in _BOUNDS if name != "conversion" or curve.input_bytes < 2.0]
    lowest = np.array([_BOUNDS[name][0] for name in names])
    highest = np.array([_BOUNDS[name][2] for name in names])
    starts = np.array([_BOUNDS[name][1][start] for name in names])
    scales = np.array([_BOUNDS[name][3] for name in names])

    def with_numbers(numbers: Array) -> ProductCurve:
        return _changed(curve, zip(names, numbers.tolist(), strict=True))

    def residuals(numbers: Array) -> Array:
        return _residuals(sample, with_numbers(numbers))

    fitted = least_squares(
        residuals,
        starts,
        bounds=(lowest, highest),
        x_scale=scales,
        loss="soft_l1",
        f_scale=0.07,
        max_nfev=60,
    )
    return float(fitted.cost), with_numbers(fitted.x)


def _residuals(timings: ProductTimings, curve: ProductCurve) -> Array:
    """Logarithm of predicted over measured."""
    ratios: Array = np.log(curve.seconds(timings.shape(), warm=True) / timings.seconds)
    return ratios


def _corrected(timings: ProductTimings, curve: ProductCurve) -> ProductCurve:
    """The curve with corrections that bring the ratio of measured to predicted to 1.

    The three tables multiply each other, so each is fitted in turn to what the others leave.
    """
    ratios = timings.seconds / np.asarray(curve.seconds(timings.shape(), warm=True))
    designs = _designs(timings)
    tables = [np.ones(design.columns) for design in designs]
    parts = [np.ones(len(ratios)) for _ in designs]
    for _ in range(4):
        for which, design in enumerate(designs):
            others = parts[which - 1] * parts[which - 2]
            tables[which] = design.medians(ratios / others)
            parts[which] = design.values(tables[which])
    names = ("by_outputs", "by_inputs", "by_shape")
    rounded = (tuple(np.round(1000.0 * (table - 1.0)).tolist()) for table in tables)
    return _changed(curve, zip(names, rounded, strict=True))


@dataclass(frozen=True, slots=True)
class _Design:
    """Which cells of a table a timing takes, and with which weights, both (timings, cells)."""

    columns: int
    cells: Indices
    weights: Array

    def values(self, table: Array) -> Array:
        """What a table gives each timing, (timings,)."""
        together: Array = (table[self.cells] * self.weights).sum(axis=1)
        return together

    def medians(self, wanted: Array) -> Array:
        """The table with the least sum of absolute errors, by weighted squares in turn."""
        table, importance = np.ones(self.columns), np.ones(len(wanted))
        for _ in range(8):
            table = self._weighted(wanted, importance)
            importance = 0.05 / np.maximum(np.abs(self.values(table) - wanted), 0.01)
        return table

    def _weighted(self, wanted: Array, importance: Array) -> Array:
        """The table with the least weighted squares, cells without timings drawn to 1."""
        columns = self.columns
        squares, sides = 2.0 * np.eye(columns), np.full(columns, 2.0)
        for first, left in zip(self.cells.T, self.weights.T, strict=True):
            weighted = importance * left
            sides += np.bincount(first, weights=weighted * wanted, minlength=columns)
            for second, right in zip(self.cells.T, self.weights.T, strict=True):
                pairs = first * columns + second
                sums = np.bincount(pairs, weights=weighted * right, minlength=columns * columns)
                squares += sums.reshape(columns, columns)
        solved: Array = np.linalg.solve(squares, sides)
        return solved


def _designs(timings: ProductTimings) -> list[_Design]:
    """Of the three tables of corrections, in the order of their fields."""
    columns = len(SIZES)
    kinds = np.searchsorted(ROW_CLASSES, timings.rows, side="left")
    shapes = np.searchsorted(SHAPE_CLASSES, timings.rows, side="left")
    by_n, by_k = _hats(timings.outputs), _hats(timings.inputs)
    single = [
        _design((len(ROW_CLASSES) + 1) * columns, [(kinds * columns + place, w) for place, w in by])
        for by in (by_n, by_k)
    ]
    both = [
        ((shapes * columns + n) * columns + k, right * lower)
        for (n, right), (k, lower) in product(by_n, by_k)
    ]
    return [*single, _design((len(SHAPE_CLASSES) + 1) * columns * columns, both)]


def _design(columns: int, cells: Sequence[tuple[Indices, Array]]) -> _Design:
    return _Design(
        columns=columns,
        cells=np.stack([cell for cell, _ in cells], axis=1),
        weights=np.stack([weight for _, weight in cells], axis=1),
    )


def _hats(sizes: Array) -> list[tuple[Indices, Array]]:
    """The two places of `SIZES` around each size, and their weights."""
    marks = np.array(SIZES)
    inside = np.clip(sizes, marks[0], marks[-1])
    before = np.maximum(np.searchsorted(marks, inside, side="left") - 1, 0)
    way = (inside - marks[before]) / (marks[before + 1] - marks[before])
    return [(before, 1.0 - way), (before + 1, way)]


def _rounded(curve: ProductCurve) -> ProductCurve:
    """Fitted numbers to 4 significant digits."""
    return _changed(curve, ((name, float(f"{getattr(curve, name):.4g}")) for name in _BOUNDS))


def _changed(curve: ProductCurve, numbers: Iterable[tuple[str, Any]]) -> ProductCurve:
    """The curve with other values of some fields, given by name."""
    return replace(curve, **dict(numbers))


def _bucket(first: int, last: int, errors: Array) -> BucketErrors:
    """Median and ninth decile of errors; without any, both are NaN."""
    if not len(errors):
        return BucketErrors(first, last, 0, float("nan"), float("nan"))
    median, ninth = np.quantile(errors, (0.5, 0.9)).tolist()
    return BucketErrors(first, last, len(errors), median, ninth)


def _ratio_errors(timings: ProductTimings, times: Array) -> Array:
    """Errors of the time at 8 rows over that at 1, of shapes that have both."""
    found: dict[tuple[float, float], dict[float, float]] = {}
    ratios = (times / timings.seconds).tolist()
    columns = (timings.rows.tolist(), timings.inputs.tolist(), timings.outputs.tolist(), ratios)
    for rows, inputs, outputs, ratio in zip(*columns, strict=True):
        if rows in (1.0, 8.0):
            found.setdefault((inputs, outputs), {})[rows] = ratio
    pairs = [pair for pair in found.values() if len(pair) == 2]
    errors: Array = np.abs(np.array([pair[8.0] / pair[1.0] - 1.0 for pair in pairs]))
    return errors
