"""Whether a claim holds on the hardware at hand: verdicts on ratios of measured increases.

Increases are those over the base of the same group, round by round, so that a slow moment of the
machine cancels. The wider model of equal loss lies between the measured ones, by the law, linear
in N.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

import numpy as np

from cost_analysis.common.arrays import Array
from cost_analysis.common.errors import InputError
from cost_analysis.compare.cost_models import Setting, mean_cost
from cost_analysis.cost.estimate import ratio_of_increases
from cost_analysis.inputs.profiles import load_engine, load_hardware
from cost_analysis.inputs.spec import ModelSpec
from cost_analysis.inputs.system import System
from cost_analysis.law.equal_loss import interpolation_weights
from cost_analysis.law.family import size_of
from cost_analysis.law.runs import published_runs
from cost_analysis.law.scaling_law import ScalingLaw, fit
from cost_analysis.measure.journal import Member, members, plan_of, read_journal
from cost_analysis.measure.journal_rows import Plan, Row, Run, counted_runs, requests_of

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
    """The measurements of each model of a journal, by its label."""
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
    """Whether a run has a metric: energy may be unreadable, one token takes no decode step."""
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
        """Whether both increases are larger than the noise."""
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


CLAIM_NAMES = {
    "memory": "memory increase",
    "latency": "latency increase",
    "ttft": "time to first token",
    "tpot": "time per output token",
    "energy": "energy increase",
}
"""Claims, and their names on pages and figures."""

CLAIMED = ("memory", "latency")
"""Claims that the paper makes a figure for."""

LEAST_ROUNDS = 5
"""Fewest rounds from which the noise can be estimated."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One claim on the hardware at hand.

    Attributes:
        claim: "memory", "latency", "ttft" or "tpot".
        streams: P.
        predicted: Ratio of increases by the paper's cost model for this request.
        measured: Ratio of increases as measured (`ratio_of_increases`); infinite where only
            parameters add something measurable, nan where neither do.
        low: Lower end of its 95 % interval.
        high: Upper end.
        verdict: "holds", "does not hold here" or "cannot be determined".
        why: A sentence.
    """

    claim: str
    streams: int
    predicted: float
    measured: float
    low: float
    high: float
    verdict: str
    why: str


def verdicts_of(rows: Sequence[Row]) -> tuple[dict[str, Measured], list[Verdict]]:
    """The increases of a journal's models, and its verdicts.

    Raises:
        InputError: Rows that are not those of a validation.
    """
    header = plan_of(rows)
    law = fit(published_runs(header.dataset)).law
    plan = members(header.size, law)
    return measured_increases(rows), verdicts(rows, law, plan)


def read_verdicts(
    journals: Sequence[str],
) -> dict[str, tuple[list[Row], list[Verdict]]]:
    """Rows and verdicts of journals, by the name of the file; by its path where names are alike.

    Raises:
        InputError: A file that cannot be read, or is not the journal of a validation.
    """
    names = [Path(journal).name for journal in journals]
    found = {}
    for journal, name in zip(journals, names, strict=True):
        rows = read_journal(Path(journal))
        found[name if names.count(name) == 1 else journal] = rows, verdicts_of(rows)[1]
    return found


def verdicts(
    rows: Sequence[Row], law: ScalingLaw, plan: Sequence[Member], seed: int = 0
) -> list[Verdict]:
    """Every claim that a journal can test, for each number of streams.

    Args:
        rows: The journal.
        law: Gives the size of equal loss.
        plan: The models that were to be run.
        seed: Of the bootstrap.

    Raises:
        InputError: A journal without the base.
    """
    found = measured_increases(rows)
    base = plan[0]
    if base.label not in found:
        raise InputError("the journal holds no finished round of the base")
    wide = [m for m in plan if m.role in ("base", "parameters") and m.label in found]
    header = plan_of(rows)
    result = []
    for member in plan:
        if member.role != "streams" or member.label not in found or len(wide) < 2:
            continue
        streams = int(member.spec.streams)
        size = float(law.equal_loss_size(size_of(member.spec), streams))
        nodes = np.array([size_of(m.spec) for m in wide], np.float64)
        weights = np.array(interpolation_weights(size, nodes))
        expected = _predicted(member, wide, weights, header)
        for claim in _WHY:
            metric = METRIC_OF.get(claim, claim)
            if claim != "memory" and any(
                metric not in found[label].ratios
                for label in (member.label, *(m.label for m in wide))
            ):
                continue
            added = increases_over_base(claim, found, member, wide, weights, seed)
            result.append(_judged(claim, streams, expected.get(claim), added))
    return result


def _predicted(
    member: Member, wide: Sequence[Member], weights: Array, header: Plan
) -> dict[str, float]:
    """Ratios of increases by the paper's cost model, on the device that it takes."""
    system = System(load_hardware("a100-sxm-80gb"), load_engine("ideal"))
    setting = Setting((header.batch_size,), (header.input_length,), (header.output_length,))

    def of(spec: ModelSpec) -> Array:
        cost = mean_cost("published", spec, setting, system)
        return np.array([cost.memory, cost.latency], np.float64)

    wider = weights @ np.array([of(m.spec) for m in wide])
    base = of(wide[0].spec)
    ratios = np.asarray(ratio_of_increases(wider - base, of(member.spec) - base, base))
    return dict(zip(CLAIMED, ratios.tolist(), strict=True))


def _judged(claim: str, streams: int, predicted: float | None, added: Increases) -> Verdict:
    """The verdict of measured increases on the paper's figure, or on any advantage."""
    expected = 1.0 if predicted is None else predicted
    low, high = added.interval
    less = "streams" if added.streams < added.wider else "parameters"
    why = f"{less} add less: {_WHY[claim]}"
    if math.isnan(added.ratio):
        word, why = "cannot be determined", "neither streams nor parameters add anything"
    elif claim == "memory":
        word = "holds" if added.ratio >= expected else "does not hold here"
    elif added.rounds < LEAST_ROUNDS:
        word = "cannot be determined"
        why = (
            f"{added.rounds} rounds say nothing of the noise; give {LEAST_ROUNDS} --rounds or more"
        )
    elif not added.stand_out and low < expected <= high:
        word = "cannot be determined"
        why = "an increase does not stand out of the noise; more rounds, or a quieter machine, tell"
    elif predicted is None and low <= 1 <= high:
        word, why = "cannot be determined", "both add about the same"
    else:
        word = "holds" if high >= expected else "does not hold here"
    return Verdict(claim, streams, expected, added.ratio, low, high, word, why)


_WHY = {
    "memory": "a process holds weights, cache and activations",
    "latency": "prefill and decode together",
    "ttft": "the prefill runs every token P times",
    "tpot": "a step reads the weights once for all streams, and computes for each",
    "energy": "power times time of the whole request",
}
