"""The runners-up of a plan as a table."""

from __future__ import annotations

from collections.abc import Sequence

from cost_analysis.planner import Plan
from cost_analysis.records import Record
from cost_analysis.report import PLAIN_WIDTH, Table
from cost_analysis.units import format_bytes, format_count, format_seconds


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
        "device": not one([setup.hardware.name for setup in setups]),
        "weights": not one([setup.precision.weights for setup in setups]),
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
        "device": setup.hardware.name,
        "P": f"{found.streams[row]:.0f}",
        "weights": setup.precision.weights,
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
