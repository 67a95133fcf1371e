"""Whether a claim holds on the hardware at hand: verdicts on ratios of measured increases.

The wider model of equal loss lies between the measured ones, by the law, linear in N.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cost_analysis.baselines import interpolation_weights, size_of
from cost_analysis.compare import ratio_of_increases
from cost_analysis.errors import InputError
from cost_analysis.increases import (
    METRIC_OF,
    Array,
    Increases,
    Measured,
    increases_over_base,
    measured_increases,
)
from cost_analysis.journal import read_journal
from cost_analysis.journal_rows import Plan, Row
from cost_analysis.profiles import load_engine, load_hardware
from cost_analysis.request_costs import Setting, System, mean_cost
from cost_analysis.scaling_law import ScalingLaw, fit
from cost_analysis.spec import ModelSpec, Precision
from cost_analysis.training_runs import published_runs
from cost_analysis.validation_plan import Member, members, plan_of

CLAIM_NAMES = {
    "memory": "memory increase",
    "latency": "latency increase",
    "ttft": "time to first token",
    "tpot": "time per output token",
    "energy": "energy increase",
}
"""Claims, and what pages and figures call them."""

CLAIMED = ("memory", "latency")
"""Claims that the paper makes a figure for."""

LEAST_ROUNDS = 5
"""Fewer rounds say nothing of the noise."""


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
        verdict: "holds", "does not hold here" or "cannot be told".
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
    """What a journal alone says: the increases of its models, and its verdicts.

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
        law: Says which size is of equal loss.
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
    system = System(load_hardware("a100-sxm-80gb"), load_engine("ideal"), Precision())
    setting = Setting((header.batch_size,), (header.input_length,), (header.output_length,))

    def of(spec: ModelSpec) -> Array:
        cost = mean_cost("published", spec, setting, system)
        return np.array([cost.memory, cost.latency], np.float64)

    wider = weights @ np.array([of(m.spec) for m in wide])
    base = of(wide[0].spec)
    ratios = np.asarray(ratio_of_increases(wider - base, of(member.spec) - base, base))
    return dict(zip(CLAIMED, ratios.tolist(), strict=True))


def _judged(claim: str, streams: int, predicted: float | None, added: Increases) -> Verdict:
    """What measured increases say of the paper's figure, or of an advantage at all."""
    expected = 1.0 if predicted is None else predicted
    low, high = added.interval
    less = "streams" if added.streams < added.wider else "parameters"
    why = f"{less} add less: {_WHY[claim]}"
    if math.isnan(added.ratio):
        word, why = "cannot be told", "neither streams nor parameters add anything"
    elif claim == "memory":
        word = "holds" if added.ratio >= expected else "does not hold here"
    elif added.rounds < LEAST_ROUNDS:
        word = "cannot be told"
        why = (
            f"{added.rounds} rounds say nothing of the noise; give {LEAST_ROUNDS} --rounds or more"
        )
    elif not added.stand_out and low < expected <= high:
        word = "cannot be told"
        why = "an increase does not stand out of the noise; more rounds, or a quieter machine, tell"
    elif predicted is None and low <= 1 <= high:
        word, why = "cannot be told", "both add about the same"
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
