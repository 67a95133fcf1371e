"""The best configuration within limits: the lowest loss, or the least cost of a given loss.

The search is exhaustive: every candidate is evaluated, in one broadcast calculation a setup.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cost_analysis.common.errors import InputError
from cost_analysis.common.pareto import non_dominated
from cost_analysis.common.units import format_bytes, format_seconds
from cost_analysis.law.scaling_law import Fit
from cost_analysis.search.candidates import Candidates, Space, candidates

Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]

OBJECTIVES = ("memory", "latency", "energy", "cost")
"""What can be minimised for a given loss."""

_COLUMNS = {"cost": "dollars"}
ROUNDING = 1e-12
"""Relative error of a limit that still counts as met, for rounding."""


class InfeasibleError(ValueError):
    """No configuration keeps all limits: one sentence on which is impossible, and by how much."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits that a configuration must keep; None means no limit.

    Attributes:
        ttft: Longest time to first token [s].
        tpot: Longest time per output token [s].
        latency: Longest time of a request [s].
        loss: Highest loss.
    """

    ttft: float | None = None
    tpot: float | None = None
    latency: float | None = None
    loss: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Limit:
    """One limit, and whether each candidate keeps it.

    Attributes:
        name: "memory", "rate", "loss", "TTFT", "TPOT" or "latency".
        bound: The limit itself, (rows,).
        values: The values of the candidates, (rows,).
        kept: Which keep it, (rows,).
        written: From a value to its text with the unit.
        best: How a message names the best candidate: "the smallest takes".
    """

    name: str
    bound: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]
    kept: Mask
    written: Callable[[float], str]
    best: str


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """The answer.

    Attributes:
        space: What was chosen from.
        found: All candidates.
        limits: The limits.
        objective: "loss", or one of `OBJECTIVES`.
        feasible: Candidates that keep every limit, (rows,).
        ranking: The best candidate of each setup and P that has one, the best first.
        binding: For each of them the limits that keep it from being better.
        pareto: Feasible candidates that no other beats in loss, memory and latency.
    """

    space: Space
    found: Candidates
    limits: tuple[Limit, ...]
    objective: str
    feasible: Mask
    ranking: Indices
    binding: tuple[tuple[str, ...], ...]
    pareto: Indices


def plan(space: Space, limits: Limits, objective: str = "loss") -> Plan:
    """The best configuration of a space within limits, and the runners-up.

    Args:
        space: What to choose from.
        limits: What to keep.
        objective: "loss": the lowest loss; one of `OBJECTIVES`: the cheapest that keeps
            `limits.loss`.

    Raises:
        InputError: Limits that make no sense, or an objective that nothing is known of.
        InfeasibleError: No candidate keeps all limits.
    """
    _check(space, limits, objective)
    found = candidates(space)
    asked = _limits(space, limits, found)
    feasible = np.logical_and.reduce([limit.kept for limit in asked])
    if not feasible.any():
        raise InfeasibleError(_why_none(asked))
    value = getattr(found, _COLUMNS.get(objective, objective))
    ranking = _ranking(found, feasible, value)
    step = 1 if objective == "loss" else -1
    return Plan(
        space,
        found,
        asked,
        objective,
        feasible,
        ranking,
        tuple(_binding(found, asked, int(row), step) for row in ranking),
        _pareto(found, feasible),
    )


def _check(space: Space, limits: Limits, objective: str) -> None:
    if limits.tpot is not None and space.output_length == 1:
        raise InputError("tpot_limit is given, but one output token has no time per output token")
    if objective == "loss":
        return
    if limits.loss is None:
        raise InputError("the cheapest way needs a loss to reach: give target_loss")
    for name, needed in (("energy", "power"), ("cost", "price_per_hour")):
        if objective == name and any(getattr(s, needed) is None for s in space.setups):
            raise InputError(f"the least {name} needs {needed} of every device; give --{needed}")


def _limits(space: Space, limits: Limits, found: Candidates) -> tuple[Limit, ...]:
    """Every limit that was given, in the order in which an infeasible one is looked for."""
    room = np.array([setup.memory_limit for setup in space.setups])[found.setup]
    asked = [
        Limit(
            "memory", room, found.memory, found.memory <= room, format_bytes, "the smallest takes"
        )
    ]
    if space.rate is not None:
        bound = np.full(len(found), space.rate)
        carried = np.isfinite(found.ttft)
        asked.append(
            Limit("rate", bound, found.carried, carried, _per_second, "the fastest carries")
        )
    named: list[tuple[str, str, float | None, Callable[[float], str], str]] = [
        ("loss", "loss", limits.loss, "{:.4f}".format, "the best reaches"),
        ("TPOT", "tpot", limits.tpot, format_seconds, "the fastest takes"),
        ("TTFT", "ttft", limits.ttft, format_seconds, "the fastest takes"),
        ("latency", "latency", limits.latency, format_seconds, "the fastest takes"),
    ]
    for name, column, bound_of, written, best in named:
        if bound_of is not None:
            values = getattr(found, column)
            kept = values <= bound_of * (1 + ROUNDING)
            asked.append(Limit(name, np.full(len(found), bound_of), values, kept, written, best))
    return tuple(asked)


def _per_second(value: float) -> str:
    return f"{value:,.4g} requests/s"


def _why_none(asked: tuple[Limit, ...]) -> str:
    """The first limit that no candidate keeps which keeps all limits before it."""
    left = np.ones(len(asked[0].kept), np.bool_)
    for index, limit in enumerate(asked):
        if (left & limit.kept).any():
            left &= limit.kept
            continue
        sign = -1 if limit.name == "rate" else 1
        off = np.where(left, sign * (limit.values - limit.bound), np.nan)
        best = int(np.nanargmin(off))
        before = " and ".join(other.name for other in asked[:index])
        among = f" that keeps the {before} limit{'s' if index > 1 else ''}" if index else ""
        who, verb = limit.best.rsplit(" ", 1)
        asks = "keeps up with" if limit.name == "rate" else f"keeps {limit.name}"
        return (
            f"no model {asks} {limit.written(float(limit.bound[best]))}: "
            f"{who}{among} {verb} {limit.written(float(limit.values[best]))}"
        )
    raise AssertionError("some candidate keeps every limit")


def _ranking(found: Candidates, feasible: Mask, value: npt.NDArray[np.float64]) -> Indices:
    """The best feasible candidate of each cell, the best first; ties go to loss, then latency."""
    rows = np.flatnonzero(feasible)
    order = rows[
        np.lexsort([found.memory[rows], found.latency[rows], found.loss[rows], value[rows]])
    ]
    _, first = np.unique(found.cell[order], return_index=True)
    return order[np.sort(first)]


def _binding(found: Candidates, asked: tuple[Limit, ...], row: int, step: int) -> tuple[str, ...]:
    """The limits that the next size breaks, in the direction in which it would be better."""
    beside = row + step
    cells = found.cell
    if not 0 <= beside < len(found) or cells[beside] != cells[row]:
        return ()
    return tuple(limit.name for limit in asked if not limit.kept[beside])


def _pareto(found: Candidates, feasible: Mask) -> Indices:
    """Feasible candidates that no other beats in loss, memory and latency, by loss."""
    rows = np.flatnonzero(feasible)
    front = rows[non_dominated([found.loss[rows], found.memory[rows], found.latency[rows]])]
    return front[np.argsort(found.loss[front], kind="stable")]


@dataclass(frozen=True, slots=True)
class Question:
    """A question that a plan answers.

    Attributes:
        space: What to choose from.
        limits: What to keep.
        objective: What to minimise.
        fitted: The law and its runs.
        law: What it was fitted on, in words.
    """

    space: Space
    limits: Limits
    objective: str
    fitted: Fit
    law: str

    def answer(self) -> Plan:
        """The plan.

        Raises:
            InfeasibleError: Nothing keeps the limits.
        """
        return plan(self.space, self.limits, self.objective)
