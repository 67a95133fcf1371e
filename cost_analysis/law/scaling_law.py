"""The parallel scaling law: loss(N, P), its inverse, its fit on training runs, and intervals.

    loss = E + (A / (N · (1 + k · ln P)))^alpha

N counts parameters without embeddings, prefixes and aggregator included; P is the number of
parallel streams. Source: Chen et al., "Parallel Scaling Law for Language Models",
arXiv 2505.10475; fit as in QwenLM/ParScale `parametric_fit.py`.

Intervals come from refits on resampled runs. An interval is that of the law, not of a run: the
scatter of single runs about it is not in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from cost_analysis.common.arrays import Array, Number, as_float
from cost_analysis.common.errors import InputError
from cost_analysis.law.minimiser import (
    DELTA,
    LOWEST,
    SMALLEST_ALPHA,
    law_parameters,
    minimum,
    objective,
    points_of,
    starts,
)
from cost_analysis.law.runs import Runs, refuse_unfit, resample_suffices


@dataclass(frozen=True, slots=True)
class ScalingLaw:
    """Loss of a model of N parameters at P streams; fields may be arrays that broadcast.

    Attributes:
        E: Loss that no model of any size falls below.
        A: Scale of N, in parameters.
        alpha: Exponent of N.
        k: Gain of a stream: P streams act like 1 + k·ln P times the parameters.
    """

    E: Number
    A: Number
    alpha: Number
    k: Number

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            InputError: A or alpha is not positive, or E or k negative.
        """
        for name, lowest in (("E", "0 or "), ("A", ""), ("alpha", ""), ("k", "0 or ")):
            value = as_float(getattr(self, name))
            good = (value >= 0 if lowest else value > 0) & np.isfinite(value)
            if not np.all(good):
                raise InputError(f"{name} of a scaling law must be {lowest}a positive number")
            object.__setattr__(self, name, value)

    def multiplier(self, streams: Number) -> Number:
        """Factor by which P streams multiply the effective parameters, 1 + k·ln P.

        Args:
            streams: Parallel streams, P, at least 1.

        Raises:
            InputError: P below 1.
        """
        count = as_float(streams)
        if not np.all(count >= 1):
            raise InputError(f"P is {np.min(count):g}; it must be at least 1")
        return 1.0 + self.k * np.log(count)

    def loss(self, parameters: Number, streams: Number) -> Number:
        """Loss of a model.

        Args:
            parameters: Parameters without embeddings, N.
            streams: Parallel streams, P.

        Raises:
            InputError: N is not positive, or P below 1.
        """
        share = self.A / self.equal_loss_size(parameters, streams)
        return self.E + np.power(share, self.alpha)  # `**` rounds otherwise for a scalar

    def equal_loss_size(self, parameters: Number, streams: Number) -> Number:
        """Parameters without embeddings at P = 1 that reach the loss of N at P: N·(1 + k·ln P).

        Args:
            parameters: Parameters without embeddings, N.
            streams: Parallel streams, P.

        Raises:
            InputError: N is not positive, or P below 1.
        """
        size = as_float(parameters)
        if not np.all(size > 0):
            raise InputError(f"N is {np.min(size):g}; it must be a positive number")
        return size * self.multiplier(streams)

    def equal_loss_parameters(self, loss: Number) -> Number:
        """Parameters without embeddings at P = 1 that reach a loss: A·(loss − E)^(−1/alpha).

        Args:
            loss: The loss; in an array, or under a law of arrays, one that no size reaches
                gives nan.

        Raises:
            InputError: A single loss at or below E, which no model of any size reaches.
        """
        above = as_float(loss) - self.E
        reached = above > 0
        if np.ndim(above) == 0 and not reached:
            raise InputError(
                f"no model of any size reaches a loss of {loss:.6g}: "
                f"the law's floor is {self.E:.6g}"
            )
        with np.errstate(over="ignore"):  # the closer to the floor, the larger, up to infinity
            size = self.A * np.power(np.where(reached, above, 1.0), -1.0 / self.alpha)
        return np.where(reached, size, np.nan)[()]


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A law fitted on runs.

    Attributes:
        law: The law.
        runs: What it was fitted on.
        objective: Huber loss at 0.001 of log losses, summed over the runs.
        r_squared: Share of the variance of the losses that the law explains.
        coordinates: The law as `law_curve` writes it, (4,).
    """

    law: ScalingLaw
    runs: Runs
    objective: float
    r_squared: float
    coordinates: Array = field(repr=False)


def fit(runs: Runs) -> Fit:
    """The law with the lowest published objective on the runs.

    Args:
        runs: At least five, of three sizes and two values of P.

    Raises:
        InputError: Runs from which the four parameters cannot be identified.
    """
    refuse_unfit(runs)
    points = points_of(runs.parameters, runs.streams, runs.loss)
    begin = starts(points, np.ones(len(runs)))
    weights = np.ones((len(begin), len(runs)))
    found = minimum(points, weights, begin)
    values = objective(found, points, weights)
    best = found[np.argmin(values)]
    if best[1] <= LOWEST[1] or best[1] + best[2] <= SMALLEST_ALPHA:
        raise InputError("the losses of the runs do not fall with N; a law cannot be fitted")
    law = ScalingLaw(*law_parameters(best, points))
    unexplained = np.sum(prediction_errors(law, runs) ** 2)
    r_squared = 1.0 - unexplained / np.sum((runs.loss - runs.loss.mean()) ** 2)
    return Fit(law, runs, float(values.min()) * DELTA**2, float(r_squared), best)


NOTHING = 1e-9
"""A parameter below this share of what it is added to has no effect."""

BOUNDLESS = 100.0
"""From this k on, losses do not distinguish 1 + k·ln P from k·ln P."""


def fit_warnings(fitted: Fit) -> list[str]:
    """A sentence for every parameter that the runs do not determine."""
    floor, k = fitted.law.E, fitted.law.k
    sentences = []
    if floor < NOTHING * fitted.runs.loss.min():
        sentences.append("E is 0: the runs show no floor of the loss")
    if k < NOTHING:
        sentences.append("k is 0: the runs show no gain from streams")
    if k > BOUNDLESS:
        sentences.append(
            f"k is above {BOUNDLESS:g}: the runs determine little more than the ratio of A and k"
        )
    return sentences


def prediction_errors(law: ScalingLaw, runs: Runs) -> Array:
    """Predicted less observed loss of each run, (runs,)."""
    return np.asarray(law.loss(runs.parameters, runs.streams) - runs.loss)


@dataclass(frozen=True, slots=True)
class Residual:
    """The error of a law at one run.

    Attributes:
        size: Name of the run's size.
        parameters: Parameters without embeddings, N.
        streams: Parallel streams, P.
        observed: Its loss.
        error: Predicted less observed loss.
    """

    size: str
    parameters: float
    streams: int
    observed: float
    error: float


def residuals(law: ScalingLaw, runs: Runs) -> list[Residual]:
    """The residual of every run, the largest in size first."""
    errors = prediction_errors(law, runs)
    return [
        Residual(
            runs.sizes[row],
            float(runs.parameters[row]),
            int(runs.streams[row]),
            float(runs.loss[row]),
            float(errors[row]),
        )
        for row in np.argsort(-np.abs(errors), kind="stable")
    ]


LEVEL = 0.9
"""Share of the refits that an interval holds, unless another is asked for."""

SAMPLES = 400
REFIT_STARTS = 6
"""Refits of a bootstrap, and starts of each: the full fit and a spread of the fit's starts."""

REDRAWS = 1000
"""Rounds in which resamples that cannot be fitted are drawn again."""


class Interval(NamedTuple):
    """Both ends of an interval; an end may be infinite.

    Attributes:
        low: Lower end.
        high: Upper end.
    """

    low: Number
    high: Number


@dataclass(frozen=True, slots=True, eq=False)
class LawSamples:
    """A law refitted on changed runs.

    Attributes:
        law: The refitted laws: every parameter is an array, (samples,).
    """

    law: ScalingLaw

    def interval(self, function: Callable[[ScalingLaw], Number], level: float = LEVEL) -> Interval:
        """Percentile interval of anything that follows from a law.

        Ends are sampled values, outward ones where a percentile lies between two. A sample in
        which the value does not exist (nan: no model of any size reaches the loss) is infinite.

        Args:
            function: From a law whose parameters are (samples,) to an array whose last axis is
                the samples; give it arguments of its own with a last axis of 1.
            level: Share of the samples between the ends; 1 means the smallest and the largest.

        Raises:
            InputError: A level that is not above 0 and at most 1.
        """
        if not 0 < level <= 1:
            raise InputError(f"the level of an interval is {level:g}; it must be in (0, 1]")
        values = np.asarray(function(self.law), np.float64)
        values = np.where(np.isnan(values), np.inf, values)
        tail = (1.0 - level) / 2.0
        low = np.quantile(values, tail, axis=-1, method="lower")
        return Interval(low, np.quantile(values, 1.0 - tail, axis=-1, method="higher"))


def bootstrap(fitted: Fit, samples: int = SAMPLES, seed: int = 0) -> LawSamples:
    """Refits on runs drawn with replacement; draws that cannot be fitted are drawn again.

    Args:
        fitted: The fit on all runs.
        samples: Refits.
        seed: The same seed draws the same runs.

    Raises:
        InputError: Fewer than 2 samples, or runs of which hardly any resample identifies the
            parameters.
    """
    if samples < 2:
        raise InputError(f"a bootstrap takes at least 2 samples, not {samples}")
    return LawSamples(_refitted(fitted, _draws(fitted.runs, samples, seed)))


def _draws(runs: Runs, samples: int, seed: int) -> Array:
    """How often each sample draws each run, (samples, runs)."""
    generator = np.random.default_rng(seed)
    share = np.full(len(runs), 1.0 / len(runs))
    weights = np.empty((0, len(runs)))
    for _ in range(REDRAWS):
        drawn = generator.multinomial(len(runs), share, samples).astype(np.float64)
        weights = np.concatenate([weights, drawn[resample_suffices(runs, drawn)]])
        if len(weights) >= samples:
            return weights[:samples]
    raise InputError("hardly any resample of these runs identifies the law's parameters")


def leave_one_size_out(fitted: Fit) -> LawSamples:
    """Refits without each size of models in turn, in the order of their first runs.

    Raises:
        InputError: The runs are too few without some size.
    """
    names = tuple(dict.fromkeys(fitted.runs.sizes))
    sizes = np.array(fitted.runs.sizes)
    weights = np.array([sizes != name for name in names], np.float64)
    enough = resample_suffices(fitted.runs, weights)
    if not enough.all():
        raise InputError(f"without the size {names[int(np.argmin(enough))]} too few runs are left")
    return LawSamples(_refitted(fitted, weights))


def _refitted(fitted: Fit, weights: Array) -> ScalingLaw:
    """The law with the lowest objective under each row of weights."""
    runs = fitted.runs
    points = points_of(runs.parameters, runs.streams, runs.loss)
    grid = starts(points, np.ones(len(runs)))
    spread = np.linspace(0, len(grid) - 1, REFIT_STARTS - 1).astype(int)
    begin = np.concatenate([fitted.coordinates[None], grid[spread]])
    many = np.repeat(weights, len(begin), axis=0)
    found = minimum(points, many, np.tile(begin, (len(weights), 1)))
    values = objective(found, points, many).reshape(len(weights), -1)
    best = found.reshape(len(weights), -1, 4)[np.arange(len(weights)), np.argmin(values, axis=1)]
    return ScalingLaw(*law_parameters(best, points))
