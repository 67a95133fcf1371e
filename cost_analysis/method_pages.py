"""Ways of spending compute side by side: a page, and records."""

from __future__ import annotations

from cost_analysis.arrays import Number
from cost_analysis.layout_pages import devices_in_words
from cost_analysis.method_choice import Contest
from cost_analysis.method_cost import MethodCost
from cost_analysis.records import Record, whole
from cost_analysis.report import Page, Table
from cost_analysis.units import format_bytes, format_count, format_flops, format_seconds

_RATIOS = (
    ("weights", "weights"),
    ("cache", "kv_cache"),
    ("memory", "memory"),
    ("TTFT", "ttft"),
    ("TPOT", "tpot"),
    ("latency", "latency"),
    ("compute", "flops"),
)
"""Headings and attributes of the costs that are told as multiples of the base's."""


def contest_page(found: Contest) -> Page:
    """What each method costs, and how many times the base's that is."""
    work, first = found.request.workload, found.costs[0]
    tables = [_cost_table(found), _ratio_table(found)]
    return Page(
        f"Ways of spending compute on {found.request.title}, on "
        f"{devices_in_words(found.request.hardware, found.request.layout)}",
        (
            f"batch {work.batch_size:.0f}, {work.input_length:.0f} in, "
            f"{work.output_length:.0f} out, engine {found.request.engine.name}; base: "
            f"{format_count(first.parameters)} parameters",
        ),
        tuple(tables),
        tuple(_notes(found)),
    )


def _cost_table(found: Contest) -> Table:
    rows = tuple(
        (
            cost.spending.name,
            format_count(cost.parameters),
            format_bytes(cost.memory),
            format_seconds(cost.ttft),
            format_seconds(cost.tpot) if cost.steps else "-",
            format_seconds(cost.latency),
            format_flops(cost.flops),
            *([found.quality.get(asked, "-")] if found.quality else []),
        )
        for cost, asked in zip(found.costs, found.asked, strict=True)
    )
    headers = ("", "params", "memory", "TTFT", "TPOT", "latency", "compute")
    return Table("Cost", (*headers, *(["quality"] if found.quality else [])), rows)


def _ratio_table(found: Contest) -> Table:
    first = found.costs[0]
    rows = tuple(
        (cost.spending.name, *(_times(cost, first, name) for _, name in _RATIOS))
        for cost in found.costs[1:]
    )
    return Table("Over the base", ("", *(heading for heading, _ in _RATIOS)), rows)


def _times(cost: MethodCost, first: MethodCost, name: str) -> str:
    ratio = _ratio(getattr(cost, name), getattr(first, name))
    return "-" if ratio is None else f"{ratio:.2f}"


def _ratio(value: Number, of: Number) -> float | None:
    return None if not of > 0 else float(value / of)


def _notes(found: Contest) -> list[str]:
    notes = [f"{cost.spending.name}: {cost.spending.source}" for cost in found.costs[1:]]
    notes.append(
        "what a method gains is not told: no published law covers them all, and more need not be "
        "better (--quality FILE.csv shows your own figures)"
    )
    device = found.request.hardware
    over = [cost.spending.name for cost in found.costs if cost.memory > device.memory]
    if over:
        notes.append(f"does not fit {device.name}, so its time is hypothetical: {', '.join(over)}")
    return notes


def contest_records(found: Contest) -> list[Record]:
    """A flat record a method."""
    first = found.costs[0]
    return [
        {
            "method": asked,
            "name": cost.spending.name,
            "parameters": whole(cost.parameters),
            "passes": cost.spending.passes,
            "streams": cost.spending.streams * whole(cost.spending.spec.streams),
            "samples": cost.spending.samples,
            "kv_entries": cost.spending.kv_entries * whole(cost.spending.spec.streams),
            "kv_window": cost.spending.kv_window,
            "prefill": cost.spending.prefill * whole(cost.spending.spec.streams),
            "prompt_shared": cost.spending.prompt_shared and cost.spending.spec.streams == 1,
            "tokens": cost.spending.tokens,
            "weights_bytes": whole(cost.weights),
            "kv_cache_bytes": whole(cost.kv_cache),
            "activations_bytes": whole(cost.activations),
            "memory_bytes": whole(cost.memory),
            "ttft_s": whole(cost.ttft),
            "tpot_s": whole(cost.tpot) if cost.steps else None,
            "latency_s": whole(cost.latency),
            "flops": whole(cost.flops),
            **{
                f"{name}_over_base": _ratio(getattr(cost, name), getattr(first, name))
                for _, name in _RATIOS
            },
            "quality": found.quality.get(asked),
            "source": cost.spending.source,
        }
        for cost, asked in zip(found.costs, found.asked, strict=True)
    ]
