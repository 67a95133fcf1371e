"""Curves of routed experts from tables of timings, and their errors on shapes left out.

A table holds the times of one layer's experts in one format, on one device, under one engine.
`clean_timings` says which of them are of use, `fit_expert_curve` distils them, and
`held_out_errors` fits without a fifth of the shapes (model, and how it is divided) and says how far
that fit is off there.
"""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from cost_analysis.common.arrays import Array
from cost_analysis.common.errors import InputError
from cost_analysis.distilling.expert_loads import routed_loads
from cost_analysis.kernels.experts import CACHE_FADES, ExpertCurve
from cost_analysis.kernels.shapes import Experts

FOLDS = 5
"""Parts into which shapes are divided for leaving one out."""

REPORTED_FOLD = 0
"""The part that errors are reported on."""

BUCKETS = ((1, 1), (2, 16), (17, 64), (65, 512), (513, 4096), (4097, 1 << 62))
"""First and last number of tokens of the parts for which errors are given."""

FEWEST = 100
"""Timings that a fit needs."""

HOST_FLOOR = 100e-6
"""Time of the quickest hundredth above which it is the host's, who launches the kernels [s]:
everything in a graph starts within 75 µs."""

SLOWER = 1.3
"""Factor by which a timing may exceed that of a larger shape: above, a kernel was badly chosen."""

ALIGNED = 16.0
"""Intermediate sizes must be multiples of this: engines pad others or refuse them."""

_SAMPLE = 4000
_HOLD = 0.05  # pull towards the first value, as errors of timings count, for a factor of e
_FEW, _WEIGHT = 16.0, 1.5  # tokens of decode steps, and how much more they weigh

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ExpertTimings:
    """Measured layers of experts, one an element: arrays of the same length.

    Attributes:
        tokens: Tokens of all devices.
        hidden: Width of the residual stream.
        inner: Intermediate size of an expert on the device.
        experts: Experts of the layer.
        held: Experts of the device.
        per_token: Experts of each token.
        matrices: Matrices of an expert: 3 with a gate, else 2.
        seconds: Of one call [s].
    """

    tokens: Array
    hidden: Array
    inner: Array
    experts: Array
    held: Array
    per_token: Array
    matrices: Array
    seconds: Array

    def part(self, chosen: Mask | npt.NDArray[np.intp]) -> ExpertTimings:
        """Those that a mask or indices choose."""
        return ExpertTimings(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def shape(self) -> Experts:
        """Their shapes with the load that the benchmark gave; the format is that of the table."""
        rows, reached = routed_loads(self.tokens, self.per_token, self.experts, self.held)
        sizes = (self.tokens, self.hidden, self.inner, self.experts, self.held, self.per_token)
        return Experts(*sizes, "", self.matrices, rows, reached)


@dataclass(frozen=True, slots=True)
class ExpertFacts:
    """What datasheet and format say.

    Attributes:
        cache: Size of L2 [B].
        bandwidth: Of memory [B/s].
        peak: Of the format, dense [FLOP/s].
        weight_bytes: Of one weight [B].
    """

    cache: float
    bandwidth: float
    peak: float
    weight_bytes: float


@dataclass(frozen=True, slots=True)
class CleanTimings:
    """What of a table is of use, and how many rows are not.

    Attributes:
        timings: That are.
        unaligned: Rows of intermediate sizes that are no multiple of `ALIGNED`.
        beyond_roof: Rows that computed faster than the datasheet allows, or read faster what L2
            cannot have held.
        slower: Rows that took much longer than those with more tokens, or wider or more experts.
    """

    timings: ExpertTimings
    unaligned: int
    beyond_roof: int
    slower: int


@dataclass(frozen=True, slots=True)
class Errors:
    """How far a curve is off, as shares of the measured time.

    Attributes:
        rows: Timings.
        median: Median of the absolute error.
        ninety: Its 90th percentile.
        signed: Median of the signed error.
    """

    rows: int
    median: float
    ninety: float
    signed: float


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Errors on shapes that a fit has not seen.

    Attributes:
        all: Of all their rows.
        buckets: By number of tokens, as `BUCKETS`; None where there are no rows.
        eight: Of the time at 8 tokens over that at 1.
    """

    all: Errors
    buckets: tuple[Errors | None, ...]
    eight: Errors | None


def clean_timings(timings: ExpertTimings, facts: ExpertFacts) -> CleanTimings:
    """The timings that say what a kernel takes, and how many do not.

    Raises:
        InputError: Too few are left, or all include the time of a host that launches kernels.
    """
    aligned = timings.inner % ALIGNED == 0.0
    shape = timings.shape()
    values = timings.matrices * timings.hidden * timings.inner
    weights = shape.reached * values * facts.weight_bytes
    reading = np.where(weights > (1.0 + CACHE_FADES) * facts.cache, weights, 0.0) / facts.bandwidth
    roof = np.maximum(reading, 2.0 * shape.rows * values / facts.peak)
    possible = timings.seconds >= roof
    kept = timings.part(aligned & possible)
    slower = _slower_than_larger(kept)
    found = kept.part(~slower)
    if len(found.seconds) < FEWEST:
        raise InputError(
            f"{len(found.seconds)} timings of experts are of use; a curve needs {FEWEST}"
        )
    floor = float(np.quantile(found.seconds, 0.01))
    if floor > HOST_FLOOR and (found.tokens == 1.0).any():
        raise InputError(
            f"the quickest timings of experts take {floor * 1e6:.0f} µs: they hold the time of a "
            "host that launches kernels"
        )
    unaligned, beyond = int((~aligned).sum()), int((aligned & ~possible).sum())
    return CleanTimings(found, unaligned, beyond, int(slower.sum()))


def _slower_than_larger(timings: ExpertTimings) -> Mask:
    """Which took longer by `SLOWER` than one that is larger in one size and else the same."""
    names = ("tokens", "hidden", "inner", "experts", "held", "per_token", "matrices")
    columns = {name: getattr(timings, name) for name in names}
    slower = np.zeros(len(timings.seconds), dtype=bool)
    for larger in ("tokens", "inner", "held"):
        same = [column for name, column in columns.items() if name != larger]
        _, group = np.unique(np.stack(same, axis=1), axis=0, return_inverse=True)
        order = np.lexsort((-columns[larger], group.reshape(-1)))
        groups, seconds = group.reshape(-1)[order], timings.seconds[order]
        starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
        for first, last in zip(starts, [*starts[1:], len(order)], strict=True):
            least = np.minimum.accumulate(seconds[first:last])
            slower[order[first + 1 : last]] |= seconds[first + 1 : last] > SLOWER * least[:-1]
    return slower


def fit_expert_curve(timings: ExpertTimings, facts: ExpertFacts) -> ExpertCurve:
    """The curve nearest to timings: robust least squares of the logarithm of the ratio.

    Args:
        timings: As `clean_timings` leaves them.
        facts: Of the device and the format.
    """
    from scipy.optimize import least_squares

    sample = timings.part(_spread(len(timings.seconds)))
    shape, measured = sample.shape(), np.log(sample.seconds)
    weights = np.where(sample.tokens <= _FEW, _WEIGHT, 1.0)
    bounds = _bounds(facts)
    low, first, high = np.log(np.array(list(bounds.values()))).T

    def residuals(numbers: Array) -> Array:
        curve = _curve(facts, bounds, numbers)
        off = weights * (np.log(curve.seconds(shape, warm=True)) - measured)
        # A number of which the timings say nothing, such as what divided experts add, stays put.
        return np.concatenate([off, _HOLD * (numbers - first)])

    found = least_squares(
        residuals, first, bounds=(low, high), loss="soft_l1", f_scale=0.08, max_nfev=200
    )
    # A number at its lowest has no effect, and says so better as 0.
    numbers = np.where(found.x < low + 1.0, -np.inf, found.x)
    return _curve(facts, bounds, numbers)


def _bounds(facts: ExpertFacts) -> dict[str, tuple[float, float, float]]:
    """Lowest, first and highest value of each number that is fitted."""
    byte = 1.0 / facts.bandwidth
    return {
        "start": (1e-8, 12e-6, 1e-4),
        "divided_start": (1e-9, 5e-6, 1e-4),
        "ungated_start": (1e-9, 2e-6, 1e-4),
        "width_seconds": (1e-13, 2e-9, 1e-7),
        "held_seconds": (1e-13, 5e-9, 1e-6),
        "bandwidth": (0.05 * facts.bandwidth, 0.9 * facts.bandwidth, facts.bandwidth),
        "narrow_reads": (0.1, 50.0, 300.0),
        "rate": (0.01 * facts.peak, 0.5 * facts.peak, facts.peak),
        "narrow_tiles": (0.1, 50.0, 300.0),
        "padding": (0.01, 4.0, 64.0),
        "tile_seconds": (1e-14, 1e-11, 1e-9),
        "spill": (1e-3, 0.2, 10.0),
        "exposed": (0.01, 0.5, 1.0),
        "row_seconds": (1e-4 * byte, byte, 20.0 * byte),
        "token_seconds": (1e-4 * byte, byte, 20.0 * byte),
        "cached": (1e-3, 0.1, 1.0),
    }


def _curve(facts: ExpertFacts, bounds: dict[str, Any], logarithms: Array) -> ExpertCurve:
    """The curve of numbers under the names of `bounds`, given as logarithms."""
    numbers = dict(zip(bounds, np.exp(logarithms).tolist(), strict=True))
    return ExpertCurve(facts.cache, facts.weight_bytes, **numbers)


def _spread(rows: int) -> npt.NDArray[np.intp]:
    """Indices of at most `_SAMPLE` rows, evenly drawn, the same at each call."""
    chosen = np.random.default_rng(0).permutation(rows)[:_SAMPLE]
    return np.sort(chosen)


def folds_of(timings: ExpertTimings) -> npt.NDArray[np.int64]:
    """The part from 0 to `FOLDS` - 1 to which the shape of each timing belongs, all its tokens."""
    names = ("hidden", "inner", "per_token", "experts", "held")
    keys = np.stack([getattr(timings, name) for name in names], axis=1)
    different, place = np.unique(keys, axis=0, return_inverse=True)
    texts = ["-".join(f"{size:.0f}" for size in key) for key in different]
    parts = np.array([zlib.crc32(text.encode()) % FOLDS for text in texts], dtype=np.int64)
    return parts[place.reshape(-1)]


def held_out_errors(
    timings: ExpertTimings, facts: ExpertFacts, fold: int = REPORTED_FOLD
) -> HeldOut:
    """Errors on one part of the shapes of a curve that was fitted to the others.

    Args:
        timings: As `clean_timings` leaves them.
        facts: Of the device and the format.
        fold: The part that is left out.
    """
    left_out = folds_of(timings) == fold
    return errors_of(fit_expert_curve(timings.part(~left_out), facts), timings.part(left_out))


def errors_of(curve: ExpertCurve, timings: ExpertTimings) -> HeldOut:
    """How far a curve is off timings, as the benchmark measured them.

    Raises:
        InputError: There are none.
    """
    if not len(timings.seconds):
        raise InputError("there are no timings of experts to compare a curve with")
    ratios = np.asarray(curve.seconds(timings.shape(), warm=True)) / timings.seconds
    buckets = [(timings.tokens >= first) & (timings.tokens <= last) for first, last in BUCKETS]
    found = [_errors(ratios[chosen]) if chosen.any() else None for chosen in buckets]
    eight = _ratios_of_eight(timings, ratios)
    return HeldOut(_errors(ratios), tuple(found), _errors(eight) if len(eight) else None)


def _errors(ratios: Array) -> Errors:
    """Errors of predicted over measured times."""
    off = np.abs(ratios - 1.0)
    ninety = float(np.quantile(off, 0.9))
    return Errors(len(ratios), float(np.median(off)), ninety, float(np.median(ratios) - 1.0))


def _ratios_of_eight(timings: ExpertTimings, ratios: Array) -> Array:
    """Predicted over measured ratio of 8 tokens to 1, of the shapes that have both."""
    names = ("hidden", "inner", "per_token", "experts", "held", "matrices")
    keys = np.stack([getattr(timings, name) for name in names], axis=1)
    found: dict[tuple[float, ...], dict[float, float]] = {}
    for key, tokens, ratio in zip(keys.tolist(), timings.tokens, ratios, strict=True):
        found.setdefault(tuple(key), {})[float(tokens)] = float(ratio)
    return np.array([of[8.0] / of[1.0] for of in found.values() if {1.0, 8.0} <= of.keys()])


def rounded(curve: ExpertCurve, digits: int = 4) -> ExpertCurve:
    """The curve with its numbers rounded to significant digits, as profiles store them."""
    numbers = {name: float(f"{value:.{digits - 1}e}") for name, value in asdict(curve).items()}
    return ExpertCurve(**numbers)
