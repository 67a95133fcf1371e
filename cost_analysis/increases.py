"""What streams and parameters add to the base, as a journal of runs measured it.

Increases are those over the base of the same group, round by round, so that what slows the machine
cancels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from cost_analysis.compare import ratio_of_increases
from cost_analysis.journal_rows import Row, Run, counted_runs, requests_of
from cost_analysis.validation_plan import Member, plan_of

Array = npt.NDArray[np.float64]
METRICS = ("total", "ttft", "tpot", "energy")

METRIC_OF = {"latency": "total"}
"""The metric of a claim, where it has another name."""

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Measured:
    """A model's increases over the base, round by round.

    Attributes:
        ratios: For each of `METRICS` the value over the base's of the same round, (rounds,);
            energy only where every run has one.
        memory: Memory that the process needs for it [B].
        paired: Whether base and model ran in turn.
    """

    ratios: dict[str, Array]
    memory: float
    paired: bool


def measured_increases(rows: Sequence[Row]) -> dict[str, Measured]:
    """What a journal says of each model, by its label."""
    jobs = {job.job: job for job in plan_of(rows).jobs}
    samples: dict[str, dict[int, Run]] = {}
    for run in counted_runs(rows):
        samples.setdefault(run.job, {})[run.round] = run
    found: dict[str, Measured] = {}
    for name, job in jobs.items():
        own, base = samples.get(name, {}), samples.get(job.base, {})
        if own and base and job.label not in found:
            found[job.label] = Measured(
                {
                    metric: _ratios(metric, own, base, job.paired)
                    for metric in METRICS
                    if all(_has(metric, row) for row in (*own.values(), *base.values()))
                },
                _needed(own),
                job.paired,
            )
    return found


def _needed(rounds: dict[int, Run]) -> float:
    """What the process needs beyond what it held before the model was loaded [B]."""
    return float(np.median([r.memory_peak_bytes - r.memory_before_bytes for r in rounds.values()]))


def _ratios(metric: str, own: dict[int, Run], base: dict[int, Run], paired: bool) -> Array:
    """Times over the base's of the same round; over the base's median where none is the same."""
    if paired:
        shared = sorted(own.keys() & base.keys())
        return np.array([_value(metric, own[i]) / _value(metric, base[i]) for i in shared])
    usual = np.median([_value(metric, row) for row in base.values()])
    return np.array([_value(metric, own[i]) / usual for i in sorted(own)])


def _has(metric: str, run: Run) -> bool:
    """Whether a run tells a metric: energy may be unreadable, one token takes no decode step."""
    if metric == "energy":
        return run.energy_joules is not None
    return metric != "tpot" or bool(run.steps)


def _value(metric: str, run: Run) -> float:
    if metric == "energy":
        return float(run.energy_joules or 0.0)
    of = attrgetter({"ttft": "prefill", "tpot": "steps", "total": "total"}[metric])
    return float(np.median([np.median(of(request)) for request in requests_of(run)]))


@dataclass(frozen=True, slots=True)
class Increases:
    """What streams and parameters add to the base, as shares of it, with bootstrap samples.

    Attributes:
        streams: Added by the streams.
        wider: Added by the parameter-scaled model of equal loss.
        streams_samples: The same for each resample of the rounds.
        wider_samples: Likewise.
        rounds: Fewest rounds of any model in it.
    """

    streams: float
    wider: float
    streams_samples: Array
    wider_samples: Array
    rounds: int

    @property
    def ratio(self) -> float:
        """Ratio of the increases; infinite where only the wider model adds something."""
        return float(ratio_of_increases(self.wider, self.streams, 1.0))

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the ratio, over the resamples in which something increases."""
        ratios = np.asarray(ratio_of_increases(self.wider_samples, self.streams_samples, 1.0))
        known = ratios[~np.isnan(ratios)]
        if not known.size:
            return math.nan, math.nan
        low, high = np.quantile(known, (0.025, 0.975), method="nearest")
        return float(low), float(high)

    @property
    def stand_out(self) -> bool:
        """Whether both increases stand out of the noise."""
        return all(
            np.quantile(samples, 0.025) > 0 or np.quantile(samples, 0.975) < 0
            for samples in (self.streams_samples, self.wider_samples)
        )


def increases_over_base(
    claim: str,
    found: dict[str, Measured],
    member: Member,
    wide: Sequence[Member],
    weights: Array,
    seed: int,
) -> Increases:
    """The increases of a claim's quantity over the base."""
    metric = METRIC_OF.get(claim, claim)
    generator = np.random.default_rng(seed)
    base = found[wide[0].label]

    def relative(label: str) -> tuple[float, Array]:
        if claim == "memory":
            share = found[label].memory / base.memory
            return share, np.full(RESAMPLES, share)
        values = found[label].ratios[metric]
        picks = generator.integers(0, len(values), (RESAMPLES, len(values)))
        return float(np.median(values)), np.median(values[picks], axis=1)

    parts = [(1.0, np.ones(RESAMPLES)), *(relative(m.label) for m in wide[1:])]
    streams = relative(member.label)
    labels = [member.label, *(m.label for m in wide[1:])]
    return Increases(
        streams=streams[0] - 1,
        wider=float(weights @ np.array([part[0] for part in parts])) - 1,
        streams_samples=streams[1] - 1,
        wider_samples=np.asarray(weights @ np.stack([part[1] for part in parts])) - 1,
        rounds=min(len(found[label].ratios["total"]) for label in labels),
    )
