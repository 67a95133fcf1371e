"""The scaling law in coordinates that runs determine well, and the published objective in them.

The objective is that of QwenLM/ParScale `parametric_fit.py`: the Huber loss at 0.001 of
ln(predicted) − ln(observed), summed over the runs. Here every run has a weight in it, so that a
resample of the runs is a row of weights, and many fits are one batch.

With z = ln(N / N₀) + ln(1 + k·ln P), the law is E + C·exp(−α·z). Its coordinates here are the
level u = ln(E + C), slope η = α·C / (E + C) and bend a = α·E / (E + C) of the law at z = 0, and
the growth κ = ln(1 + k·ln P) at the largest P. In them ln(predicted) is nearly linear, so that
Newton steps are long along the creases that absolute errors fold into the objective; and E = 0
and k = 0 are plain bounds (a = 0, κ = 0) that a step can end on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

DELTA = 0.001
"""Error in log loss where the Huber loss turns from square to linear, as published."""

TINY = 1e-100
"""Lower limit that keeps a prediction above 0 where E is 0 and the power underflows."""


@dataclass(frozen=True, slots=True)
class Points:
    """Runs as the minimisation sees them: logarithms about a middle, so that no unit matters.

    Attributes:
        log_size: ln(N / N₀), (runs,).
        log_streams: ln P over the largest ln P, (runs,).
        log_loss: ln(loss / loss₀), (runs,).
        middle_size: ln N₀.
        middle_loss: ln loss₀.
        largest_streams: The largest ln P.
    """

    log_size: Array
    log_streams: Array
    log_loss: Array
    middle_size: float
    middle_loss: float
    largest_streams: float


def points_of(parameters: Array, streams: Array, loss: Array) -> Points:
    """Runs in logarithms about their means; some streams must be above 1."""
    size, growth, height = np.log(parameters), np.log(streams), np.log(loss)
    middle_size, largest, middle_loss = size.mean(), growth.max(), height.mean()
    return Points(
        size - middle_size,
        growth / largest,
        height - middle_loss,
        middle_size,
        middle_loss,
        largest,
    )


def law_parameters(coordinates: Array, points: Points) -> tuple[Array, Array, Array, Array]:
    """E, A, alpha and k at coordinates whose last axis is the four."""
    level, slope, bend, growth = _columns(coordinates)
    alpha = slope + bend
    height = level + points.middle_loss
    log_a = points.middle_size + (height + np.log(slope / alpha)) / alpha
    k = np.expm1(growth) / points.largest_streams
    return np.exp(height) * bend / alpha, np.exp(np.clip(log_a, -700.0, 700.0)), alpha, k


def _columns(coordinates: Array) -> Array:
    """Coordinates with their last axis first, each in one piece.

    NumPy's `exp` and `log` of an array with gaps may take their scalar or their vector path,
    whose last bits differ, depending on where the array lies (seen with 1.26). A fit would then
    end elsewhere along a crease of its objective from one call to the next.
    """
    return np.ascontiguousarray(np.moveaxis(coordinates, -1, 0))


@dataclass(frozen=True, slots=True)
class Curve:
    """ln(predicted) at each start and its derivatives in the coordinates.

    Attributes:
        value: (starts, runs).
        slopes: First derivatives, (starts, 4, runs).
        bends: Second derivatives that are not zero, by pair of coordinates, (starts, runs) each.
    """

    value: Array
    slopes: Array
    bends: dict[tuple[int, int], Array]


@dataclass(frozen=True, slots=True)
class Surface:
    """The objective at each start and its derivatives.

    Attributes:
        value: Objective over DELTA², (starts,).
        gradient: (starts, 4).
        hessian: Exact second derivatives, (starts, 4, 4).
        metric: A curvature that is never negative: that of the parabolas that touch each run's
            Huber loss from above, (starts, 4, 4).
    """

    value: Array
    gradient: Array
    hessian: Array
    metric: Array


def log_predictions(coordinates: Array, points: Points) -> Array:
    """ln(predicted / loss₀), (starts, runs)."""
    level, slope, bend, growth = _columns(coordinates)[..., None]
    spread = points.log_size + np.log1p(points.log_streams * np.expm1(growth))
    alpha = slope + bend
    return np.asarray(level + np.log((bend + slope * np.exp(-alpha * spread) + TINY) / alpha))


def objective(coordinates: Array, points: Points, weights: Array) -> Array:
    """The weighted Huber loss over DELTA², (starts,)."""
    return _huber((log_predictions(coordinates, points) - points.log_loss) / DELTA, weights)


def _huber(errors: Array, weights: Array) -> Array:
    size = np.abs(errors)
    inside = np.minimum(size, 1.0)
    return np.asarray((weights * inside * (size - inside / 2)).sum(-1))


def _curve(coordinates: Array, points: Points) -> Curve:
    """ln(predicted) and its derivatives."""
    level, slope, bend, growth = _columns(coordinates)[..., None]
    grown = 1.0 + points.log_streams * np.expm1(growth)
    spread = points.log_size + np.log(grown)
    moved = points.log_streams * np.exp(growth) / grown  # of spread by growth
    alpha = slope + bend
    decay = np.exp(-alpha * spread)
    total = bend + slope * decay + TINY
    share = slope * decay / total
    decay /= total
    by_slope = decay - share * spread
    by_bend = 1.0 / total - share * spread
    by_spread = -alpha * share
    whole = spread * spread * share
    bends = {
        (1, 1): whole - 2.0 * spread * decay - by_slope**2 + alpha**-2,
        (1, 2): whole - spread * decay - by_slope * by_bend + alpha**-2,
        (2, 2): whole - by_bend**2 + alpha**-2,
        (1, 3): (alpha * share * spread - share - alpha * decay - by_slope * by_spread) * moved,
        (2, 3): (alpha * share * spread - share - by_bend * by_spread) * moved,
        (3, 3): (alpha * alpha * share - by_spread**2 - by_spread) * moved**2 + by_spread * moved,
    }
    slopes = [np.ones_like(share), by_slope - 1.0 / alpha, by_bend - 1.0 / alpha, by_spread * moved]
    return Curve(level + np.log(total / alpha), np.stack(slopes, axis=1), bends)


def surface(coordinates: Array, points: Points, weights: Array) -> Surface:
    """The objective and its derivatives."""
    curve = _curve(coordinates, points)
    errors = (curve.value - points.log_loss) / DELTA
    pull = weights * np.clip(errors, -1.0, 1.0)
    hessian = _products(curve.slopes, weights * (np.abs(errors) <= 1.0) / DELTA)
    for (row, column), second in curve.bends.items():
        hessian[:, row, column] += (pull * second).sum(-1)
        hessian[:, column, row] = hessian[:, row, column]
    return Surface(
        _huber(errors, weights),
        (curve.slopes @ pull[..., None])[..., 0] / DELTA,
        hessian / DELTA,
        _products(curve.slopes, weights / np.maximum(np.abs(errors), 1.0)) / DELTA**2,
    )


def _products(rows: Array, weights: Array) -> Array:
    """Weighted sums of outer products over the runs, (starts, 4, 4)."""
    return (rows * weights[:, None]) @ rows.transpose(0, 2, 1)
