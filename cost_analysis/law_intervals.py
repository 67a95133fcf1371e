"""Uncertainty of a fitted law: refits on resampled runs, and percentile intervals from them.

An interval is that of the law, not of a run: it leaves out the scatter of single runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cost_analysis.arrays import Number
from cost_analysis.errors import InputError
from cost_analysis.law_curve import Array, law_parameters, objective, points_of
from cost_analysis.law_evidence import resample_suffices
from cost_analysis.law_minimum import minimum, starts
from cost_analysis.scaling_law import Fit, ScalingLaw
from cost_analysis.training_runs import Runs

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
