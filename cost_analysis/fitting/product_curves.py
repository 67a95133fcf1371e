"""Curves of matrix products from tables of timings, and their errors on shapes left out.

A table holds the times of products of one format, on one device, under one engine. `clean_timings`
says which of them are of use, `fit_product_curve` distils them, and `held_out_errors` fits without
a fifth of the shapes (inputs × outputs, with all their rows) and says how far that fit is off there.

The physical numbers are fitted first, by a robust least-squares of the logarithm of the ratio; what
remains goes into the corrections, each the weighted median of the ratio in its cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from cost_analysis.common.errors import InputError
from cost_analysis.fitting.predictions import Floats
from cost_analysis.kernels.products import ROW_CLASSES, SHAPE_CLASSES, SIZES, ProductCurve
from cost_analysis.kernels.shapes import Product

Indices: TypeAlias = npt.NDArray[np.intp]

FOLDS = 5
"""Parts into which shapes are divided for leaving one out."""

REPORTED_FOLD = 4
"""The part that errors are reported on; forms and settings were chosen without it."""

BUCKETS = ((1, 1), (2, 16), (17, 64), (65, 512), (513, 4096), (4097, 1 << 62))
"""First and last number of rows of the parts for which errors are given."""

HOST_FLOOR = 25e-6
"""Median time of the smallest products above which it is the host's, who launches them [s].

Products in graphs, conversion of the inputs included, start within 15 µs."""

FEWEST = 300
"""Timings that a fit needs."""

_SAMPLE = 3000  # rows of the least-squares fit: more change nothing but the time it takes
_TRIES = ((6.0, 1.0), (6.0, 99.0), (10.0, 99.0))  # copies and `rotated` that are tried
_CACHED = (0.8, 1.0)
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
class ProductTimings:
    """Measured products, one an element: arrays of the same length.

    Attributes:
        rows: M.
        inputs: K.
        outputs: N.
        seconds: Of one call [s].
    """

    rows: Floats
    inputs: Floats
    outputs: Floats
    seconds: Floats

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


def fold_of(inputs: Floats, outputs: Floats) -> Indices:
    """The part, from 0 to `FOLDS` - 1, that each (inputs, outputs) belongs to; always the same."""
    first = outputs.astype(np.uint64) * np.uint64(2654435761)
    second = inputs.astype(np.uint64) * np.uint64(2246822519)
    mixed = ((first ^ second) % np.uint64(1 << 32)) >> np.uint64(9)
    return (mixed % np.uint64(FOLDS)).astype(np.intp)


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
    fits = [_physical(sample, curve, start) for curve in _variants(facts) for start in range(_STARTS)]
    curve = min(fits, key=lambda fit: fit[0])[1]
    return _corrected(timings, _rounded(curve))


def _plain(facts: ProductFacts) -> ProductCurve:
    """A curve before any fit, with corrections of 1."""
    columns = len(SIZES)
    numbers = {name: starts[0] for name, (_, starts, _, _) in _BOUNDS.items()}
    classes, shapes = len(ROW_CLASSES) + 1, len(SHAPE_CLASSES) + 1
    if facts.input_bytes >= 2.0:
        numbers["conversion"] = 0.0
    return ProductCurve(
        **asdict(facts),
        **numbers,
        copies=_TRIES[0][0],
        rotated=_TRIES[0][1],
        cached=_CACHED[-1],
        by_outputs=(1.0,) * (classes * columns),
        by_inputs=(1.0,) * (classes * columns),
        by_shape=(1.0,) * (shapes * columns * columns),
    )


def _variants(facts: ProductFacts) -> list[ProductCurve]:
    """Curves before any fit, with every way in which a benchmark may pass over its weights."""
    plain = _plain(facts)
    return [
        replace(plain, copies=copies, rotated=rotated, cached=cached)
        for (copies, rotated), cached in product(_TRIES, _CACHED)
    ]


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

    def with_numbers(numbers: Floats) -> ProductCurve:
        return replace(curve, **dict(zip(names, numbers.tolist(), strict=True)))

    def residuals(numbers: Floats) -> Floats:
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


def _residuals(timings: ProductTimings, curve: ProductCurve) -> Floats:
    """Logarithm of predicted over measured."""
    ratios: Floats = np.log(curve.seconds(timings.shape(), warm=True) / timings.seconds)
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
    rounded = {
        name: tuple(round(float(number), 3) for number in table)
        for name, table in zip(names, tables, strict=True)
    }
    return replace(curve, **rounded)


@dataclass(frozen=True, slots=True)
class _Design:
    """Which cells of a table a timing takes, and with which weights, both (timings, cells)."""

    columns: int
    cells: Indices
    weights: Floats

    def values(self, table: Floats) -> Floats:
        """What a table gives each timing, (timings,)."""
        together: Floats = (table[self.cells] * self.weights).sum(axis=1)
        return together

    def medians(self, wanted: Floats) -> Floats:
        """The table with the least sum of absolute errors, by weighted squares in turn."""
        table, importance = np.ones(self.columns), np.ones(len(wanted))
        for _ in range(8):
            table = self._weighted(wanted, importance)
            importance = 0.05 / np.maximum(np.abs(self.values(table) - wanted), 0.01)
        return table

    def _weighted(self, wanted: Floats, importance: Floats) -> Floats:
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
        solved: Floats = np.linalg.solve(squares, sides)
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


def _design(columns: int, cells: Sequence[tuple[Indices, Floats]]) -> _Design:
    return _Design(
        columns=columns,
        cells=np.stack([cell for cell, _ in cells], axis=1),
        weights=np.stack([weight for _, weight in cells], axis=1),
    )


def _hats(sizes: Floats) -> list[tuple[Indices, Floats]]:
    """The two places of `SIZES` around each size, and their weights."""
    marks = np.array(SIZES)
    inside = np.clip(sizes, marks[0], marks[-1])
    before = np.maximum(np.searchsorted(marks, inside, side="left") - 1, 0)
    way = (inside - marks[before]) / (marks[before + 1] - marks[before])
    return [(before, 1.0 - way), (before + 1, way)]


def _rounded(curve: ProductCurve) -> ProductCurve:
    """Fitted numbers to 4 significant digits."""
    return replace(curve, **{name: float(f"{getattr(curve, name):.4g}") for name in _BOUNDS})


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
    return ProductTimings(*keys[:, starts], seconds=(low + high) / 2.0)


def _bucket(first: int, last: int, errors: Floats) -> BucketErrors:
    """Median and ninth decile of errors; without any, both are NaN."""
    if not len(errors):
        return BucketErrors(first, last, 0, float("nan"), float("nan"))
    median, ninth = np.quantile(errors, (0.5, 0.9)).tolist()
    return BucketErrors(first, last, len(errors), median, ninth)


def _ratio_errors(timings: ProductTimings, times: Floats) -> Floats:
    """Errors of the time at 8 rows over that at 1, of shapes that have both."""
    found: dict[tuple[float, float], dict[float, float]] = {}
    ratios = (times / timings.seconds).tolist()
    columns = (timings.rows.tolist(), timings.inputs.tolist(), timings.outputs.tolist(), ratios)
    for rows, inputs, outputs, ratio in zip(*columns, strict=True):
        if rows in (1.0, 8.0):
            found.setdefault((inputs, outputs), {})[rows] = ratio
    pairs = [pair for pair in found.values() if len(pair) == 2]
    return np.abs(np.array([pair[8.0] / pair[1.0] - 1.0 for pair in pairs]))
