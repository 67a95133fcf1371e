"""Plans as records and pages, with their runners-up."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cost_analysis.common.units import format_bytes, format_count, format_seconds
from cost_analysis.cost.memory import NOT_COUNTED
from cost_analysis.inputs.dtypes import dtype_named
from cost_analysis.inputs.request import length_warnings
from cost_analysis.inputs.spec import ModelSpec, Workload
from cost_analysis.inputs.system import System
from cost_analysis.law.family import in_family
from cost_analysis.law.runs import evidence_warnings
from cost_analysis.law.scaling_law import Fit
from cost_analysis.report.render import PLAIN_WIDTH, Page, Record, Table, whole
from cost_analysis.search.plan import Limit, Plan


def one(values: Sequence[object]) -> bool:
    """Whether all values are the same."""
    return len(set(values)) == 1


def plan_table(plan: Plan, top: int) -> Table:
    """The best of each setup and P; columns that are the same throughout are left out."""
    rows = [
        _cells(plan, int(row), binds)
        for row, binds in list(zip(plan.ranking, plan.binding, strict=True))[:top]
    ]
    objective = {"energy": "J/token", "cost": "$/M tokens"}.get(plan.objective)
    setups = plan.space.setups
    shown = {
        "device": not one([setup.system.hardware.name for setup in setups]),
        "weights": not one([setup.system.precision.weights for setup in setups]),
        "batch": not one([setup.batch_size for setup in setups]),
        "active": plan.space.rate is not None,
        "J/token": objective == "J/token",
        "$/M tokens": objective == "$/M tokens",
        "binds": any(plan.binding),
    }
    columns = _fitting([name for name in _PRIORITY if shown.get(name, True)], rows)
    return Table(
        "The best of each configuration",
        tuple(columns),
        tuple(tuple(row[column] for column in columns) for row in rows),
        left=tuple(i for i, name in enumerate(columns) if name in ("device", "weights", "binds")),
    )


_ORDER = (
    "device",
    "P",
    "weights",
    "batch",
    "size",
    "loss",
    "memory",
    "TTFT",
    "TPOT",
    "request",
    "active",
    "J/token",
    "$/M tokens",
    "binds",
)
_PRIORITY = (
    *("P", "size", "loss", "memory", "device", "weights", "batch", "J/token", "$/M tokens"),
    *("binds", "TPOT", "TTFT", "request", "active"),
)
"""Columns in the order in which they get room."""


def _fitting(names: Sequence[str], rows: Sequence[Record]) -> list[str]:
    """The columns that fit a page, in their order."""
    room = PLAIN_WIDTH - 2
    kept = []
    for name in names:
        room -= max(len(name), *(len(row[name]) for row in rows)) + 2
        if room >= 0:
            kept.append(name)
    return sorted(kept, key=_ORDER.index)


def _cells(plan: Plan, row: int, binds: Sequence[str]) -> Record:
    """A configuration in words, by column."""
    found = plan.found
    setup = plan.space.setups[found.setup[row]]
    return {
        "device": setup.system.hardware.name,
        "P": f"{found.streams[row]:.0f}",
        "weights": setup.system.precision.weights,
        "batch": str(setup.batch_size),
        "size": format_count(found.parameters[row]),
        "loss": f"{found.loss[row]:.4f}",
        "memory": format_bytes(found.memory[row]),
        "TTFT": format_seconds(found.ttft[row]),
        "TPOT": format_seconds(found.tpot[row]) if found.tpot[row] >= 0 else "none",
        "request": format_seconds(found.latency[row]),
        "active": f"{found.requests[row]:.3g}",
        "J/token": f"{found.energy[row]:.3g}",
        "$/M tokens": f"{found.dollars[row]:.3g}",
        "binds": ", ".join(binds),
    }


_TITLES = {
    "loss": "The lowest loss",
    "memory": "The least memory for the loss",
    "latency": "The least latency for the loss",
    "energy": "The least energy for the loss",
    "cost": "The lowest price for the loss",
}

SERVING_NOTE = (
    "under load: Poisson arrivals, continuous batching, prefills alone and first; means of the "
    "steady state (active: requests in flight), memory for those in flight 99 % of the time"
)


def plan_record(plan: Plan, fitted: Fit, top: int) -> Record:
    """A plan as a nested record."""
    law = fitted.law
    work = plan.space
    return {
        "objective": plan.objective,
        "base": work.base.name.upper(),
        "input_length": work.input_length,
        "output_length": work.output_length,
        "request_rate_per_s": work.rate,
        "limits": {
            f"{limit.name.lower()}": whole(float(limit.bound[0]))
            for limit in plan.limits
            if limit.name != "memory"
        },
        "law": {name: float(getattr(law, name)) for name in ("E", "A", "alpha", "k")},
        "candidates": len(plan.found),
        "feasible": int(plan.feasible.sum()),
        "plans": [
            {**row_record(plan, int(row)), "binds": "; ".join(binds)}
            for row, binds in list(zip(plan.ranking, plan.binding, strict=True))[:top]
        ],
        "pareto_size": len(plan.pareto),
        "warnings": plan_warnings(plan, fitted),
    }


def pareto_records(plan: Plan) -> list[Record]:
    """The Pareto set over loss, memory and latency, by loss, a flat record each."""
    return [row_record(plan, int(row)) for row in plan.pareto]


def row_record(plan: Plan, row: int) -> Record:
    """One configuration as a flat record."""
    found = plan.found
    setup = plan.space.setups[found.setup[row]]
    return {
        "gpu_config": setup.system.hardware.name,
        "engine": setup.system.engine.name,
        "weight_dtype": setup.system.precision.weights,
        "batch_size": setup.batch_size,
        "P": whole(found.streams[row]),
        "non_embedding_parameters": whole(found.parameters[row]),
        "hidden_size": whole(found.hidden_size[row]),
        "intermediate_size": whole(found.intermediate_size[row]),
        "num_hidden_layers": plan.space.base.num_hidden_layers,
        "loss": float(found.loss[row]),
        "memory_bytes": whole(found.memory[row]),
        "memory_limit_bytes": whole(setup.memory_limit),
        "ttft_s": whole(found.ttft[row]),
        "tpot_s": whole(found.tpot[row]),
        "latency_s": whole(found.latency[row]),
        "requests_in_flight": whole(found.requests[row]),
        "carried_per_s": whole(found.carried[row]),
        "energy_per_token_j": whole(found.energy[row]),
        "dollars_per_million_tokens": whole(found.dollars[row]),
    }


def plan_page(plan: Plan, fitted: Fit, law: str, top: int) -> Page:
    """The best configuration, why it is the best, and the runners-up.

    Args:
        plan: The plan.
        fitted: The law and its runs.
        law: What the law was fitted on, in words.
        top: Runners-up to show, the best included.
    """
    devices = dict.fromkeys(setup.system.hardware.description for setup in plan.space.setups)
    where = " or ".join(devices) if len(devices) < 3 else f"one of {len(devices)} devices"
    return Page(
        f"{_TITLES[plan.objective]} on {where}",
        (*_asked(plan), "", *_best(plan), *_other_streams(plan)),
        (plan_table(plan, top),),
        tuple(_notes(plan, fitted, law)),
    )


def _asked(plan: Plan) -> list[str]:
    """What was asked for, in lines."""
    space = plan.space
    batches = dict.fromkeys(str(setup.batch_size) for setup in space.setups)
    load = f"batch {' or '.join(batches)}" if space.rate is None else f"{space.rate:g} requests/s"
    bounds = [
        f"{limit.name} {limit.written(float(limit.bound[0]))}"
        for limit in plan.limits
        if limit.name not in ("rate", "memory")
    ]
    rooms = list(dict.fromkeys(format_bytes(setup.memory_limit) for setup in space.setups))
    room = rooms[0] if len(rooms) == 1 else "of the device"
    formats = dict.fromkeys(setup.system.precision.weights for setup in space.setups)
    tokens = f"{space.input_length} in, {space.output_length} out"
    return [
        f"{load}, {tokens}, {' or '.join(formats)} weights",
        "at most: " + ", ".join([f"memory {room}", *bounds]),
    ]


def _best(plan: Plan) -> list[str]:
    """The winner, and what keeps it from being better."""
    row = int(plan.ranking[0])
    found = plan.found
    setup = plan.space.setups[found.setup[row]]
    setups = plan.space.setups
    chosen = [
        f"{format_count(found.parameters[row])} parameters",
        f"P = {found.streams[row]:.0f}",
        setup.system.precision.weights,
        *([] if one([s.batch_size for s in setups]) else [f"batch {setup.batch_size}"]),
        *(
            []
            if one([s.system.hardware.name for s in setups])
            else [f"on {setup.system.hardware.name}"]
        ),
    ]
    model = f"{', '.join(chosen)}: loss {found.loss[row]:.4f}"
    shape = (
        f"      hidden {found.hidden_size[row]:.0f}, MLP {found.intermediate_size[row]:.0f}, "
        f"{plan.space.base.num_hidden_layers} layers"
    )
    return [f"Best: {model}", shape, *_reason(plan, row, plan.binding[0])]


def _reason(plan: Plan, row: int, binds: Sequence[str]) -> list[str]:
    """Which limits the next size breaks, and by how much."""
    larger = plan.objective == "loss"
    if not binds:
        return ["      no limit binds: it is the largest size considered"] if larger else []
    beside = row + (1 if larger else -1)
    lines = []
    for limit in plan.limits:
        if limit.name in binds and math.isfinite(limit.values[beside]):
            verb = {"loss": "reaches", "rate": "carries"}.get(limit.name, "takes")
            lines.append(
                f"      {limit.name} binds: the next {'larger' if larger else 'smaller'} size "
                f"{verb} {_distinct(limit, beside)}"
            )
    return lines


def _distinct(limit: Limit, row: int) -> str:
    """A value and its bound; if both print alike, the relative difference."""
    value, bound = float(limit.values[row]), float(limit.bound[row])
    written = limit.written(value), limit.written(bound)
    if written[0] != written[1]:
        return f"{written[0]}, not {written[1]}"
    return f"{abs(value / bound - 1):.1%} {'less' if value < bound else 'more'} than {written[1]}"


def _other_streams(plan: Plan) -> list[str]:
    """What one stream reaches where streams win, and the other way."""
    found, best = plan.found, int(plan.ranking[0])
    single = found.streams[best] == 1
    others = [int(row) for row in plan.ranking if (found.streams[row] == 1) != single]
    if len(plan.space.streams) == 1:
        return []
    name = "Streams" if single else "One stream"
    if not others:
        return [f"{name}: no size keeps the limits"]
    row = others[0]
    of = "" if not single else f" with P = {found.streams[row]:.0f}"
    size = format_count(found.parameters[row])
    return [f"{name} at best{of}: {size} parameters, {_compared(plan, row, best)}"]


def _compared(plan: Plan, row: int, best: int) -> str:
    """A configuration's objective, and how far it is from the best."""
    found = plan.found
    if plan.objective == "loss":
        return f"loss {found.loss[row]:.4f}, {found.loss[row] - found.loss[best]:.4f} more"
    name, written = {
        "memory": ("memory", format_bytes),
        "latency": ("latency", format_seconds),
        "energy": ("energy", lambda value: f"{value:.3g} J a token"),
        "cost": ("dollars", lambda value: f"${value:.4g} a million tokens"),
    }[plan.objective]
    values = getattr(found, name)
    return f"{written(values[row])}, {values[row] / values[best] - 1:+.1%}"


def plan_warnings(plan: Plan, fitted: Fit) -> list[str]:
    """Where the best plan lies outside the runs of the law or the limits of the model."""
    row = int(plan.ranking[0])
    found, space = plan.found, plan.space
    unknown_shape = (
        []
        if in_family(space.base)
        else [
            f"the law knows N and P only: whether it holds for models shaped like "
            f"{space.base.name.upper()} is not known"
        ]
    )
    return [
        *unknown_shape,
        *evidence_warnings(fitted.runs, found.parameters[row], found.streams[row]),
        *length_warnings(space.base, Workload(1, space.input_length, space.output_length)),
    ]


def _notes(plan: Plan, fitted: Fit, law: str) -> list[str]:
    space = plan.space
    notes = [
        f"loss: the law fitted on {law}; sizes keep the depth, heads and vocabulary of "
        f"{space.base.name.upper() or 'the base'} and step by 1 % or less",
        *plan_warnings(plan, fitted),
        *_penalty_notes(plan),
        "binds: the limits that the next size breaks",
        *_engine_notes(plan),
    ]
    if space.rate is not None:
        notes.append(SERVING_NOTE)
    if plan.objective == "energy":
        notes.append("energy: time at work times the power of the board, so an upper bound")
    if plan.objective == "cost" and space.rate is not None:
        notes.append("price: of the whole device at this load, whatever part of it is idle")
    notes.append(
        f"{len(plan.pareto):,} of {int(plan.feasible.sum()):,} feasible configurations are not "
        "beaten in loss, memory and latency at once (--rows pareto, plot pareto)"
    )
    notes.append(f"memory not counted: {NOT_COUNTED}")
    return notes


def _engine_notes(plan: Plan) -> list[str]:
    """What the engines' times go by."""
    setups = {setup.system.engine.name: setup for setup in plan.space.setups}
    return [engine_note(setup.system, plan.space.base) for setup in setups.values()]


def engine_note(system: System, spec: ModelSpec) -> str:
    """What an engine's times go by, and how far measured ones were from them."""
    engine, ends = system.engine, system.interval(1.0, spec)
    if ends is None:
        return f"engine {engine.name}: {engine.description}"
    low, high = ends
    wider = system.widened(spec)
    return (
        f"engine {engine.name}: 80 % of measured runs took {low:.2f} to {high:.2f} times as "
        f"long{f' ({wider})' if wider else ''}; {engine.source}"
    )


def _penalty_notes(plan: Plan) -> list[str]:
    """What is taken for the loss of quantised weights."""
    narrow = {
        setup.system.precision.weights: setup.penalty
        for setup in plan.space.setups
        if dtype_named(setup.system.precision.weights).bits < 16
    }
    free = [name for name, penalty in narrow.items() if not penalty]
    given = [f"{name} {penalty:g}" for name, penalty in narrow.items() if penalty]
    notes = [f"added to the loss, as given: {', '.join(given)}"] if given else []
    if free:
        notes.append(
            f"the law does not know what {' and '.join(free)} weights do to the loss: taken as "
            f"nothing; --precision_penalty {free[-1]}=0.01 adds what you measured"
        )
    return notes
