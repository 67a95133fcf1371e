"""Fits many scaling laws at once: minima of the published objective, in NumPy alone.

The objective is that of QwenLM/ParScale `parametric_fit.py`: the Huber loss at 0.001 of
ln(predicted) − ln(observed), summed over the runs. Here every run has a weight in it, so that a
resample of the runs is a row of weights, and many fits are one batch.

With z = ln(N / N₀) + ln(1 + k·ln P), the law is E + C·exp(−α·z). Its coordinates here are the
level u = ln(E + C), slope η = α·C / (E + C) and bend a = α·E / (E + C) of the law at z = 0, and
the growth κ = ln(1 + k·ln P) at the largest P. In them ln(predicted) is nearly linear, so that
Newton steps are long along the creases that absolute errors make in the objective; and E = 0
and k = 0 are plain bounds (a = 0, κ = 0) that a step can end on.

Given alpha and k the law is linear in E and C, so a grid over those two with E and C fitted to
each covers every basin; damped Newton steps with exact derivatives then find the minima, all
starts in one batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cost_analysis.common.arrays import Array

DELTA = 0.001
"""Error of the logarithm of the loss above which the Huber loss is linear, as published."""

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


LOWEST = np.array([-50.0, 1e-9, 0.0, 0.0])
HIGHEST = np.array([50.0, 30.0, 30.0, 15.0])
"""Bounds of level, slope, bend and growth: E, C and k are not negative, as published."""

SMALLEST_ALPHA = 0.005
"""Bound of alpha = slope + bend: below it A = N₀·C^(1/α) leaves the range of floats."""

GRID_ALPHA = np.geomspace(0.02, 25.0, 24)
GRID_GROWTH = np.linspace(0.02, 3.0, 12)
GRID_ROUNDS = 12
"""Starts: values of alpha and of growth, and rounds that fit E and C to each pair."""

ROUNDS = 150
LARGEST_BATCH = 400_000
"""Newton steps at most, and starts times runs at once: it keeps the memory below some 100 MB."""


def minimum(points: Points, weights: Array, begin: Array) -> Array:
    """Coordinates of the minimum that each start leads to, (starts, 4).

    Args:
        points: The runs.
        weights: How often each run counts, (starts, runs).
        begin: Coordinates to begin at, (starts, 4).
    """
    found = np.empty_like(begin)
    batch = max(1, LARGEST_BATCH // points.log_loss.size)
    for first in range(0, len(begin), batch):
        part = slice(first, first + batch)
        found[part] = _descended(points, weights[part], begin[part])
    return found


def _descended(points: Points, weights: Array, begin: Array) -> Array:
    """Damped Newton steps, until no start improves any more."""
    best = _inside(begin)
    damping = np.full(len(best), 1e-2)
    active = np.arange(len(best))
    for _ in range(ROUNDS):
        here = surface(best[active], points, weights[active])
        proposal = _inside(best[active] + _step(best[active], here, damping[active]))
        gain = here.value - objective(proposal, points, weights[active])
        better = gain > 0
        best[active[better]] = proposal[better]
        damping[active] = np.maximum(damping[active] * np.where(better, 0.2, 5.0), 1e-9)
        done = (np.abs(gain) <= 1e-12 * here.value + 1e-18) | (damping[active] > 1e9)
        active = active[~done]
        if not active.size:
            break
    return best


def _inside(coordinates: Array) -> Array:
    """The nearest coordinates within the bounds."""
    bounded = np.clip(coordinates, LOWEST, HIGHEST)
    bounded[:, 2] = np.maximum(bounded[:, 2], SMALLEST_ALPHA - bounded[:, 1])
    return bounded


def _step(coordinates: Array, here: Surface, damping: Array) -> Array:
    """The Newton step in the metric, every curvature taken as positive and raised by damping.

    A coordinate whose bound the gradient presses against stays where it is.
    """
    floor = np.broadcast_to(LOWEST, coordinates.shape).copy()
    floor[:, 2] = np.maximum(0.0, SMALLEST_ALPHA - coordinates[:, 1])
    free = ~((coordinates <= floor) & (here.gradient > 0))
    free &= ~((coordinates >= HIGHEST) & (here.gradient < 0))
    both = free[:, :, None] & free[:, None]
    size = np.sqrt(np.einsum("sii->si", here.metric)) + 1e-30
    outer = size[:, :, None] * size[:, None]
    diagonal = np.eye(4) * np.where(free, 1e-10, 1.0)[:, None]
    root = np.linalg.cholesky(np.where(both, here.metric / outer, 0.0) + diagonal)
    inverse = np.linalg.inv(root)
    back = inverse.transpose(0, 2, 1)
    hessian = np.where(both, here.hessian / outer, 0.0)
    curvature, axes = np.linalg.eigh(inverse @ hessian @ back)
    gradient = inverse @ (np.where(free, here.gradient, 0.0) / size)[..., None]
    along = (axes.transpose(0, 2, 1) @ gradient)[..., 0]
    along = along / (np.abs(curvature) + damping[:, None])
    return np.asarray(-(back @ axes @ along[..., None])[..., 0] / size)


def starts(points: Points, weights: Array) -> Array:
    """A grid over alpha and growth, with E and C fitted to each, the best first, (starts, 4).

    Args:
        points: The runs.
        weights: How often each run counts, (runs,).
    """
    alpha, growth = (axis.reshape(-1, 1) for axis in np.meshgrid(GRID_ALPHA, GRID_GROWTH))
    spread = points.log_size + np.log1p(points.log_streams * np.expm1(growth))
    first = spread.min(axis=1, keepdims=True)  # where the power is 1, so that it cannot overflow
    power = np.exp(-alpha * (spread - first))
    floor, scale = _linear_fit(power, np.exp(points.log_loss), weights)
    scale *= np.exp(alpha * first)[:, 0]
    level = floor + scale
    slope, bend = alpha[:, 0] * scale / level, alpha[:, 0] * floor / level
    grid = _inside(np.stack([np.log(level), slope, bend, growth[:, 0]], axis=1))
    return grid[np.argsort(objective(grid, points, weights), kind="stable")]


def _linear_fit(power: Array, loss: Array, weights: Array) -> tuple[Array, Array]:
    """E and C of the smallest Huber loss of relative errors, by reweighted least squares."""
    constant, varying = 1.0 / loss, power / loss
    robust = np.broadcast_to(weights, varying.shape)
    for _ in range(GRID_ROUNDS):
        left = (robust * constant * constant).sum(-1)
        middle = (robust * constant * varying).sum(-1)
        right = (robust * varying * varying).sum(-1)
        first, second = (robust * constant).sum(-1), (robust * varying).sum(-1)
        determinant = np.maximum(left * right - middle * middle, 1e-12 * left * right)
        floor = np.maximum((first * right - second * middle) / determinant, 0.0)
        scale = np.maximum((second - floor * middle) / right, 1e-6 * loss.min())
        errors = np.abs(floor[:, None] * constant + scale[:, None] * varying - 1.0) / DELTA
        robust = weights / np.maximum(errors, 1.0)
    return floor, scale
