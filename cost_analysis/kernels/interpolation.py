"""Interpolation between measured shapes: one method for every table.

What is interpolated is the ratio of the measured time to the time that the roofs of the device
would allow, in logarithms of the sizes: it is smooth where the time is not.

A table is taken as *curves*. Some sizes of a shape were varied one by one on a grid: rows of a
product, sequences and context of attention, tokens of experts. They are the *axes*. The other
sizes, such as inputs and outputs of a product or the heads of attention, come in combinations that
were chosen for models, the *members*; each member has a curve over the axes.

- Along the axes the logarithm of the ratio is linear between neighbours. Cells that were not
  measured are filled between neighbours of the same curve, and beyond the last one with its value.
- Between members it is a linear regression on the `NEIGHBOURS` nearest ones, weighted by distance:
  all of them count where the combinations are irregular, and noise is averaged. The result is kept
  within the range of the neighbours' values.
- Beyond the grid the ratio stays that of its edge, so that times grow with the roofs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cost_analysis.common.arrays import Array

NEIGHBOURS = 12
"""Members in the regression for a member that was not measured: among 4, 6, 12, 20 and 24 it has
the smallest errors on members left out, over products, attention and experts of four GPUs."""

RIDGE = 1e-3
"""Share of the spread of the neighbours that is added to the regression, so that it is defined
where they do not differ in some size."""

REACH = np.log(2.0)
"""A member further from the nearest measured one than a factor of two is extrapolated."""

TOLERANCE = 1e-9
"""Largest difference of two logarithms that are the same size."""

CHUNK = 50_000
"""Shapes that are interpolated at a time, which bounds the memory."""

Places = npt.NDArray[np.intp]


class Interpolated(NamedTuple):
    """Ratios at shapes.

    Attributes:
        logs: Logarithms of the ratios.
        is_exact: Whether the shape itself was measured.
        beyond: Factor by which the size furthest beyond the measured shapes exceeds them; 1.0
            within.
    """

    logs: Array
    is_exact: npt.NDArray[np.bool_]
    beyond: Array


@dataclass(frozen=True, slots=True)
class Curves:
    """Logarithms of ratios on a grid for each member, made by `make_curves`.

    Attributes:
        members: Logarithms of the sizes of each member, of shape (members, sizes).
        axes: Logarithms of the values on each axis, in rising order.
        logs: Of the ratios, of shape (members, values of axis 1, ...); without holes.
        is_measured: Whether a cell was measured.
        beyond: Logarithms of the factors by which cells lie beyond those of their curve that were
            measured; 0.0 for measured cells and for those between.
    """

    members: Array
    axes: tuple[Array, ...]
    logs: Array
    is_measured: npt.NDArray[np.bool_]
    beyond: Array

    def at(self, members: Array, axes: Array) -> Interpolated:
        """Ratios at shapes.

        Args:
            members: Sizes that choose a member, of shape (shapes, sizes).
            axes: Sizes on the axes, of shape (shapes, axes).
        """
        different, place = np.unique(np.log(members), axis=0, return_inverse=True)
        place = place.reshape(-1)
        near, weights, outside = self._neighbours(different)
        logs = np.log(axes)
        parts = [
            self._along_axes(near[at], weights[at], logs[part])
            for part in _slices(len(logs))
            for at in [place[part]]
        ]
        values, measured, beyond = (np.concatenate(column) for column in zip(*parts, strict=True))
        furthest = np.maximum(beyond, outside[place])
        is_member = weights[place, 0] == 1.0
        return Interpolated(values, measured & is_member & (furthest == 0.0), np.exp(furthest))

    def _neighbours(self, members: Array) -> tuple[Places, Array, Array]:
        """The nearest members of each, their weights, and how far it lies outside (a logarithm)."""
        from scipy.spatial import cKDTree

        inside = np.clip(members, self.members.min(axis=0), self.members.max(axis=0))
        outside = np.abs(members - inside).max(axis=1)
        among = min(NEIGHBOURS, len(self.members))
        found = cKDTree(self.members).query(inside, np.arange(1, among + 1))
        distances, near = np.asarray(found[0]), np.asarray(found[1])
        weights = _regression_weights(self.members[near] - inside[:, None], distances)
        exact = distances[:, 0] <= TOLERANCE
        weights[exact] = 0.0
        weights[exact, 0] = 1.0
        gap = np.abs(self.members[near[:, 0]] - inside).max(axis=1)
        outside = np.maximum(outside, np.where(gap > REACH + TOLERANCE, gap, 0.0))
        return near, weights, np.where(outside > TOLERANCE, outside, 0.0)

    def _along_axes(
        self, near: Places, weights: Array, axes: Array
    ) -> tuple[Array, npt.NDArray[np.bool_], Array]:
        """Ratios, whether the cells were measured, and how far beyond the grid they lie."""
        sides, outside = [], np.zeros(len(axes))
        for values, wanted in zip(self.axes, axes.T, strict=True):
            inside = np.clip(wanted, values[0], values[-1])
            outside = np.maximum(outside, np.abs(wanted - inside))
            sides.append(_between(values, inside))
        logs = np.zeros(near.shape)
        measured = np.ones(len(axes), bool)
        for corner in np.ndindex((2,) * len(sides)):
            share = np.ones(len(axes))
            cell: tuple[Places, ...] = (near,)
            for side, (lower, upper, part) in zip(corner, sides, strict=True):
                share = share * (part if side else 1.0 - part)
                cell = (*cell, (upper if side else lower)[:, None])
            logs += share[:, None] * self.logs[cell]
            used = share > TOLERANCE
            nearest = tuple(places[:, 0] for places in cell)
            measured &= ~used | (self.is_measured[nearest] & (share > 1.0 - TOLERANCE))
            outside = np.maximum(outside, np.where(used, self.beyond[nearest], 0.0))
        mean = np.clip((weights * logs).sum(axis=1), logs.min(axis=1), logs.max(axis=1))
        outside = np.where(outside > TOLERANCE, outside, 0.0)
        return np.where(weights[:, 0] == 1.0, logs[:, 0], mean), measured, outside


def make_curves(members: Array, axes: Array, ratios: Array) -> Curves:
    """Curves of measured shapes.

    Args:
        members: Sizes that choose a member, of shape (shapes, sizes).
        axes: Sizes on the axes, of shape (shapes, axes).
        ratios: Of measured time to the roofs; one for each shape, which differ.
    """
    different, place = np.unique(np.log(members), axis=0, return_inverse=True)
    found = [np.unique(column, return_inverse=True) for column in np.log(axes).T]
    grid = tuple(values for values, _ in found)
    cells = (place.reshape(-1), *(places.reshape(-1) for _, places in found))
    logs = np.full((len(different), *map(len, grid)), np.nan)
    logs[cells] = np.log(ratios)
    is_measured = ~np.isnan(logs)
    beyond = np.where(is_measured, 0.0, np.nan)
    for axis in range(len(grid), 0, -1):
        _fill_holes(logs, beyond, axis, grid[axis - 1])
    return Curves(different, grid, logs, is_measured, beyond)


def _fill_holes(logs: Array, beyond: Array, axis: int, places: Array) -> None:
    """Fill the holes of curves along one axis, in place; a curve without any value is left."""
    lines, distances = np.moveaxis(logs, axis, -1), np.moveaxis(beyond, axis, -1)
    for index in np.ndindex(lines.shape[:-1]):
        hole = np.isnan(lines[index])
        if not hole.any() or hole.all():
            continue
        known, wanted = places[~hole], places[hole]
        reach = np.maximum(known[0] - wanted, wanted - known[-1])
        filled = np.interp(wanted, known, distances[index][~hole])
        lines[index][hole] = np.interp(wanted, known, lines[index][~hole])
        distances[index][hole] = np.maximum(filled, reach)


def _between(values: Array, wanted: Array) -> tuple[Places, Places, Array]:
    """The neighbours of each value on an axis, and its part of the way between them."""
    upper = np.searchsorted(values, wanted - TOLERANCE).clip(0, len(values) - 1)
    lower = np.maximum(upper - 1, 0)
    step = values[upper] - values[lower]
    part = (wanted - values[lower]) / np.where(step > 0, step, 1.0)
    part = np.where(np.abs(wanted - values[upper]) <= TOLERANCE, 1.0, part)
    return lower, upper, part


def _regression_weights(offsets: Array, distances: Array) -> Array:
    """The weight of each neighbour in the value that a linear regression has at a member.

    Args:
        offsets: Of the neighbours from the member, of shape (members, neighbours, sizes).
        distances: Of the neighbours, of shape (members, neighbours).
    """
    far = distances[:, -1:] * 1.0001 + TOLERANCE
    nearness = (1.0 - (distances / far) ** 2) / np.maximum(distances, 1e-6)
    nearness = nearness / nearness.sum(axis=1, keepdims=True)
    terms = np.concatenate([np.ones((*distances.shape, 1)), offsets], axis=2)
    weighted = nearness[:, :, None] * terms
    normal = np.swapaxes(weighted, 1, 2) @ terms
    sizes = np.arange(1, terms.shape[2])
    spread = normal[:, sizes, sizes].sum(axis=1, keepdims=True)
    normal[:, sizes, sizes] += RIDGE * spread + TOLERANCE
    first = np.zeros((terms.shape[2], 1))
    first[0] = 1.0
    solved = np.linalg.solve(normal, np.broadcast_to(first, (len(normal), *first.shape)))
    found: Array = (weighted @ solved)[:, :, 0]
    return found


def _slices(count: int) -> list[slice]:
    return [slice(start, start + CHUNK) for start in range(0, max(count, 1), CHUNK)]
