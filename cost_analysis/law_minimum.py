"""Fits many scaling laws at once: minima of the published objective, in NumPy alone.

Given alpha and k the law is linear in E and C, so a grid over those two with E and C fitted to
each covers every basin; damped Newton steps with exact derivatives then find the floors, all
starts in one batch.
"""

from __future__ import annotations

import numpy as np

from cost_analysis.law_curve import DELTA, Array, Points, Surface, objective, surface

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
    """Damped Newton steps until no start gains from another."""
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
