"""Intervals of predicted times that hold for sources nobody here has seen.

Errors of rows of one source are alike: whoever measured them had one machine, one version and one
way to count. So a source's runs of an engine are a *group*, and an interval must hold for rows of
a group that is still to come. Three steps:

1. A fit that has not seen a row leaves ln(measured / predicted). What is new about the row for that
   fit (`NEW`: the source, the engine, the device, weights below 16 bits, experts) makes errors
   larger by a factor each. The factors, and the level of each engine, are those of a Laplace
   distribution of the errors, each group with the same weight, with priors that keep them near
   `START` and near one (partial pooling).
2. Errors divided by their scale are scores. Each group is scored by scales that were fitted without
   it, so that no group narrows its own interval.
3. The ends are conformal over groups: with K groups, each has the mass 1 / (K + 1), shared by its
   rows, and the rest is at infinity, which stands for the group to come (hierarchical conformal
   prediction: Lee, Barber and Willett, "Distribution-free inference with hierarchical data",
   2023, arXiv 2306.06342; Dunn, Wasserman and Ramdas, "Distribution-free prediction sets for
   two-layer hierarchical models", JASA 2023). Scores below and above zero are scaled apart first,
   so that the ends are asymmetric (as in Romano, Patterson and Candes, 2019).

What is assumed: that groups, once scaled for what is new about them, are exchangeable with those to
come. Nothing is assumed of the rows within a group. With fewer than `LEAST_GROUPS` groups there is
no interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from cost_analysis.common.errors import InputError
from cost_analysis.fitting.held_out import NEW, Flags, HeldOut, Texts
from cost_analysis.fitting.predictions import Floats
from cost_analysis.inputs.engine import Spread

LEVEL = 0.8
"""Share of the rows of a new group that an interval is to hold."""

LEAST_GROUPS = 4
"""Groups from which an interval of that level has ends: K / (K + 1) must reach it."""

START, WIDTH = np.log(1.3), 0.5
"""Prior of the logarithm of the factor of each of `NEW`: its centre, and its standard deviation."""

LEVEL_WIDTH = 0.6
"""Standard deviation of the logarithm of an engine's level."""

LEAST_ERROR = 0.01
"""Mean error below which a group counts as if it had that: two labs agree no better."""

Ends = tuple[Floats, Floats]
"""Low and high ends of ln(measured / predicted time), (points,) each."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How large errors are: the size of a known case, times a factor for all that is new.

    Attributes:
        known: Mean absolute error of a group of which nothing is new.
        widenings: The factor of each of `NEW`, from 1.
        levels: The factor of each engine that was seen.
    """

    known: float
    widenings: dict[str, float]
    levels: dict[str, float]

    def of(self, engines: Sequence[str] | Texts, new: Flags) -> Floats:
        """The scale of each point, (points,)."""
        levels = np.array([self.levels.get(name, 1.0) for name in engines])
        factors = np.array([self.widenings[name] for name in NEW])
        scale: Floats = self.known * levels * np.prod(np.where(new, factors, 1.0), axis=1)
        return scale


@dataclass(frozen=True, slots=True, eq=False)
class _Cells:
    """Mean errors of points that share group, engine and all that is new: all that a scale needs.

    Attributes:
        groups: Of each cell, (cells,).
        names: The engines.
        design: The terms of the logarithm of a cell's scale, (cells, terms).
        sizes: Mean absolute errors, (cells,).
        weights: The share that a cell has of its group, (cells,).
    """

    groups: Texts
    names: tuple[str, ...]
    design: Floats
    sizes: Floats
    weights: Floats

    @classmethod
    def of(cls, points: HeldOut) -> _Cells:
        group_names, groups = np.unique(points.groups, return_inverse=True)
        names, engines = np.unique(points.engines, return_inverse=True)
        table, cells = np.unique(
            np.column_stack([groups, engines, points.new]), axis=0, return_inverse=True
        )
        counts = np.bincount(cells.ravel())
        sums = np.bincount(cells.ravel(), weights=np.abs(points.errors))
        own = table[:, 1, None] == np.arange(len(names))
        return cls(
            groups=group_names[table[:, 0]],
            names=tuple(names.tolist()),
            design=np.column_stack([np.ones(len(table)), table[:, 2:], own]).astype(np.float64),
            sizes=np.maximum(sums / counts, LEAST_ERROR),
            weights=counts / np.bincount(groups)[table[:, 0]],
        )

    def scale(self, without: str = "") -> Scale:
        """The scale of all groups but one."""
        kept = self.groups != without
        terms = _minimised(self.design[kept], self.sizes[kept], self.weights[kept])
        known, *factors = np.exp(terms).tolist()
        return Scale(
            known=known,
            widenings=dict(zip(NEW, factors, strict=False)),
            levels=dict(zip(self.names, factors[len(NEW) :], strict=True)),
        )


MOST_STEPS = 100


def _minimised(design: Floats, sizes: Floats, weights: Floats) -> Floats:
    """Terms whose Laplace distribution, with priors, fits best; by Newton steps of at most one.

    What is new never narrows: a factor whose gradient pushes it below zero stays there.
    """
    levels = design.shape[1] - 1 - len(NEW)
    centres = np.array([np.log(np.mean(sizes))] + [START] * len(NEW) + [0.0] * levels)
    widths = np.array([10.0] + [WIDTH] * len(NEW) + [LEVEL_WIDTH] * levels)
    places = np.arange(len(centres))
    is_factor = (places > 0) & (places <= len(NEW))
    terms = centres.copy()
    for _ in range(MOST_STEPS):
        ratios = weights * sizes * np.exp(-design @ terms)
        slopes = design.T @ (weights - ratios) + (terms - centres) / widths**2
        curves = (design.T * ratios) @ design + np.diag(widths**-2.0)
        free = ~(is_factor & (terms <= 0.0) & (slopes > 0.0))
        step = np.zeros_like(terms)
        step[free] = np.linalg.solve(curves[np.ix_(free, free)], slopes[free])
        terms = terms - np.clip(step, -1.0, 1.0)
        terms[is_factor] = np.maximum(terms[is_factor], 0.0)
        if np.abs(step).max() < 1e-9:
            break
    return terms


@dataclass(frozen=True, slots=True)
class Calibration:
    """The ends of intervals for groups that are still to come.

    Attributes:
        scale: How large errors are.
        below: Low end of ln(measured / predicted), as a multiple of the scale; below 0.
        above: High end.
        groups: Groups that it rests on.
    """

    scale: Scale
    below: float
    above: float
    groups: int

    def ends(self, engines: Sequence[str] | Texts, new: Flags) -> Ends:
        """Both ends of ln(measured / predicted time) of points, (points,) each."""
        scale = self.scale.of(engines, new)
        return self.below * scale, self.above * scale

    def spread(self, engine: str, devices: Sequence[str], *, of_class: bool = False) -> Spread:
        """What an engine's profile states: its ends for a new source, and the widenings.

        Args:
            engine: Name of the engine.
            devices: Devices that it was measured on.
            of_class: It stands for engines of its class of which no run was seen.
        """
        new = np.array([[name == "source" or (of_class and name == "engine") for name in NEW]])
        low, high = (float(np.exp(end[0])) for end in self.ends([engine], new))
        wider = self.scale.widenings
        return Spread(
            low=low,
            high=high,
            new_device=wider["device"],
            narrow=wider["narrow"],
            experts=wider["experts"],
            devices=tuple(devices),
            of_class=of_class,
        )


def calibrated(points: HeldOut) -> Calibration:
    """The intervals that held-out errors of several groups give.

    Args:
        points: The errors; those whose source is new decide the ends, all of them the scale.

    Raises:
        InputError: Fewer than `LEAST_GROUPS` groups whose source is new.
    """
    counted = points[points.new[:, NEW.index("source")]]
    groups = np.unique(counted.groups)
    if len(groups) < LEAST_GROUPS:
        raise InputError(f"an interval needs {LEAST_GROUPS} groups of rows, not {len(groups)}")
    cells = _Cells.of(points)
    scores, masses = [], []
    for name in groups.tolist():
        own = counted[counted.groups == name]
        scores.append(own.errors / cells.scale(without=name).of(own.engines, own.new))
        masses.append(np.full(len(own.errors), 1.0 / (len(groups) * len(own.errors))))
    below, above = conformal_ends(np.concatenate(scores), np.concatenate(masses), len(groups))
    return Calibration(cells.scale(), below, above, len(groups))


def conformal_ends(scores: Floats, masses: Floats, groups: int) -> tuple[float, float]:
    """Ends that hold `LEVEL` of a further group's scores.

    Args:
        scores: Of the rows of all groups, (rows,).
        masses: What each counts; one in all, and the same for each group.
        groups: How many groups there are.
    """
    size = max(quantile(np.abs(scores), masses, LEVEL), TINY)
    tail = (1.0 - LEVEL) / 2.0
    # Half way, in ratio, to ends that are the same on both sides: few groups tell little of a tail.
    above = _half_way(quantile(scores, masses, 1.0 - tail), size)
    below = _half_way(quantile(-scores, masses, 1.0 - tail), size)
    beyond = np.maximum(scores / above, -scores / below)
    factor = quantile(beyond, masses * groups / (groups + 1), LEVEL)
    return -max(below * factor, TINY), max(above * factor, TINY)


TINY = 1e-9
"""A score that counts as none, so that those of perfect predictions have a size."""

LEAST_TAIL = 0.25
"""Of the size of scores on both sides: what either side is taken to reach at least."""


def _half_way(end: float, size: float) -> float:
    return float(np.sqrt(max(end, LEAST_TAIL * size) * size))


def quantile(values: Floats, masses: Floats, level: float) -> float:
    """Least value up to which the masses sum to a level; infinite where they never do."""
    order = np.argsort(values)
    place = int(np.searchsorted(np.cumsum(masses[order]), level - 1e-12))
    return float(values[order][place]) if place < len(values) else float("inf")


def left_out(points: HeldOut, labels: Texts, chosen: Flags | None = None) -> Ends:
    """Ends for points, calibrated without any point of their label, (points,) each.

    Args:
        points: The errors.
        labels: What each point is left out with.
        chosen: The points whose ends are asked for; None means all.

    Returns:
        nan where without the label too few groups are left, and for points that are not chosen.
    """
    low, high = np.full(len(labels), np.nan), np.full(len(labels), np.nan)
    asked = np.ones(len(labels), dtype=np.bool_) if chosen is None else chosen
    for label in np.unique(labels[asked]):
        own = asked & (labels == label)
        with suppress(InputError):
            found = calibrated(points[labels != label])
            low[own], high[own] = found.ends(points.engines[own], points.new[own])
    return low, high
