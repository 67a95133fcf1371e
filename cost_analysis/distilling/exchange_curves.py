"""Curves of sums over devices from tables of timings, and their errors on sizes left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cost_analysis.common.arrays import Array
from cost_analysis.common.errors import InputError
from cost_analysis.kernels.exchanges import LINES, ReduceCurve
from cost_analysis.kernels.shapes import AllReduce

FOLDS = 5
"""Parts into which the sizes of each number of devices are divided for leaving one out."""

REPORTED_FOLD = 0
"""The part that errors are reported on; the form was chosen with two others."""

FEWEST = 8
"""Sizes that a fit needs for each number of devices."""

_KINKS = ((0.25, 0.55), (0.35, 0.65), (0.45, 0.8))  # where lines meet at first, by rank of size


@dataclass(frozen=True, slots=True)
class ExchangeTimings:
    """Measured exchanges, one an element: arrays of the same length.

    Attributes:
        bytes: Size of the message [B].
        devices: Devices that take part.
        seconds: Of one call, in a CUDA graph [s].
    """

    bytes: Array
    devices: Array
    seconds: Array


@dataclass(frozen=True, slots=True)
class ExchangeErrors:
    """How far a curve is off on sizes that its fit has not seen, as shares of the measured time.

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


def fit_reduce_curve(timings: ExchangeTimings) -> ReduceCurve:
    """The curve nearest to timings: three lines for each number of devices, each fitted alone.

    Raises:
        InputError: A number of devices has fewer than `FEWEST` timings, or there are none.
    """
    counts = sorted(set(timings.devices.tolist()))
    if not counts:
        raise InputError("there are no timings of sums over devices")
    starts: list[float] = []
    rates: list[float] = []
    for count in counts:
        own = timings.devices == count
        if own.sum() < FEWEST:
            raise InputError(
                f"{own.sum()} timings of a sum over {count:.0f} devices; a curve needs {FEWEST}"
            )
        order = np.argsort(timings.bytes[own], kind="stable")
        found = _lines(timings.bytes[own][order], timings.seconds[own][order])
        starts += found[0].tolist()
        rates += found[1].tolist()
    return ReduceCurve(tuple(counts), tuple(starts), tuple(rates))


def _lines(size: Array, seconds: Array) -> tuple[Array, Array]:
    """Starts and seconds a byte of the lines whose least is nearest to timings in rising size."""
    from scipy.optimize import least_squares

    def residuals(numbers: Array) -> Array:
        return np.log(_least(*_unpacked(numbers), size) / seconds)

    tries = []
    for first, second in _KINKS:
        guess = _guess(size, seconds, int(first * len(size)), int(second * len(size)))
        tries.append(least_squares(residuals, guess, loss="soft_l1", f_scale=0.05, max_nfev=300))
    best = min(tries, key=lambda found: float(found.cost))
    return _unpacked(best.x)


def _guess(size: Array, seconds: Array, first: int, second: int) -> Array:
    """Logarithms of the lines that meet near two of the timings."""
    last = seconds[-1] / size[-1]
    rate = max((seconds[first] - seconds[0]) / size[first], 0.01 * last)
    steps = (0.3 * seconds[first], 0.3 * seconds[second])
    return np.log([0.95 * seconds.min(), *steps, rate, 1.3 * last, last])


def _unpacked(numbers: Array) -> tuple[Array, Array]:
    """Starts, each above the one before, and seconds a byte."""
    values = np.exp(numbers)
    return np.cumsum(values[:LINES]), values[LINES:]


def _least(starts: Array, rates: Array, size: Array) -> Array:
    """The least of the lines at each size."""
    least: Array = (starts[:, None] + rates[:, None] * size).min(axis=0)
    return least


def held_out_errors(timings: ExchangeTimings, fold: int = REPORTED_FOLD) -> ExchangeErrors:
    """Errors on a fifth of the sizes of a curve that was fitted to the others.

    Args:
        timings: Of all numbers of devices.
        fold: The part that is left out.
    """
    ranks = np.searchsorted(np.unique(timings.bytes), timings.bytes)
    left_out = ranks % FOLDS == fold
    columns = (timings.bytes, timings.devices, timings.seconds)
    curve = fit_reduce_curve(ExchangeTimings(*(column[~left_out] for column in columns)))
    size, devices, seconds = (column[left_out] for column in columns)
    ratios = np.asarray(curve.seconds(AllReduce(size, devices))) / seconds
    off = np.abs(ratios - 1.0)
    middle, ninety = np.quantile(off, (0.5, 0.9)).tolist()
    return ExchangeErrors(len(seconds), middle, ninety, float(np.median(ratios) - 1.0))
