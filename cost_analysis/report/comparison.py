"""Comparisons as records and pages: streams with parameters, and methods side by side."""

from __future__ import annotations

import math
from typing import Any

from cost_analysis.common.arrays import Number, single
from cost_analysis.common.units import (
    format_bytes,
    format_count,
    format_flops,
    format_per,
    format_ratio,
    format_seconds,
)
from cost_analysis.compare.comparison import Comparison, MethodComparison, Metric
from cost_analysis.compare.methods import MethodCost
from cost_analysis.inputs.spec import ModelSpec
from cost_analysis.law.family import size_of
from cost_analysis.report.estimate_record import finite
from cost_analysis.report.layouts import devices_in_words
from cost_analysis.report.render import Page, Record, Table, whole


def comparison_record(comparison: Comparison) -> Record:
    """A comparison as a nested record."""
    return {
        "base": _model_record(comparison.base.spec),
        "streamed": _model_record(comparison.streamed.spec),
        "baseline": {
            **_model_record(comparison.baseline.spec),
            "method": comparison.chosen.method,
        },
        "metrics": [metric_record(metric) for metric in comparison.metrics],
        "verdict": verdict(comparison),
        "measured_over_predicted_time": comparison.streamed.interval(1.0),
        "warnings": list(comparison.warnings),
    }


def _model_record(spec: ModelSpec) -> Record:
    return {
        "name": spec.name,
        "hidden_size": spec.hidden_size,
        "intermediate_size": spec.intermediate_size,
        "num_hidden_layers": spec.num_hidden_layers,
        "head_dim": spec.head_dim,
        "P": spec.streams,
        "non_embedding_parameters": size_of(spec),
    }


def metric_record(metric: Metric) -> Record:
    """One quantity of a comparison."""
    return {
        "metric": metric.name,
        "unit": metric.unit,
        "base": whole(metric.base),
        "streamed": whole(metric.streamed),
        "baseline": whole(metric.baseline),
        "streamed_increase": whole(metric.streamed - metric.base),
        "baseline_increase": whole(metric.baseline - metric.base),
        "ratio_of_increases": finite(metric.ratio),
    }


def comparison_page(comparison: Comparison) -> Page:
    """Base, streamed and wider model side by side, and the verdict."""
    spec = comparison.streamed.spec
    rows = tuple(
        (
            metric.label,
            *(_written(metric, getattr(metric, who)) for who in ("base", "streamed", "baseline")),
            _written_ratio(metric),
        )
        for metric in comparison.metrics
    )
    headers = ("", "P = 1", f"P = {spec.streams}", "wider", "increase ratio")
    name = spec.name.upper() or f"hidden {spec.hidden_size}"
    work = comparison.streamed.workload
    return Page(
        f"{name} with P = {spec.streams} against parameters, on "
        f"{comparison.streamed.hardware.description}",
        (
            f"batch {work.batch_size:.0f}, {work.input_length:.0f} in, "
            f"{work.output_length:.0f} out",
            f"wider, by {comparison.chosen.method}:",
            f"  {comparison.chosen.description}",
            "",
            verdict(comparison),
        ),
        (Table("Cost", headers, rows),),
        (
            "increase ratio: what the wider model adds to P = 1, over what the streams add",
            *comparison.warnings,
            *_interval_note(comparison),
            *(
                ["tokens per joule: at the power limit throughout, so a lower bound"]
                if comparison.streamed.hardware.tdp
                else []
            ),
        ),
    )


def _interval_note(comparison: Comparison) -> list[str]:
    """How far measured times lie from predicted ones; nothing where nothing was measured."""
    ends = comparison.streamed.interval(1.0)
    if ends is None:
        return []
    (low, high), wider = ends, comparison.streamed.system.widened(comparison.streamed.spec)
    return [
        f"times: 80 % of measured runs took {low:.2f} to {high:.2f} times what is predicted"
        f"{f' ({wider})' if wider else ''}"
    ]


def _written(metric: Metric, value: Any) -> str:
    if metric.unit == "B":
        return format_bytes(value)
    if metric.unit == "s":
        return format_seconds(value)
    if metric.unit == "$":
        return f"${value:.4g}"
    return format_per(value, metric.unit[-1])


def _written_ratio(metric: Metric) -> str:
    if not metric.less_is_better:
        return ""
    return format_ratio(metric.ratio)


def verdict(comparison: Comparison) -> str:
    """Which of the two models is cheaper in what, as a sentence."""
    metrics = {metric.name: metric for metric in comparison.metrics}
    better = [
        f"{word} ({_times(metrics[name])})"
        for name, word in (("memory", "memory"), ("ttft", "first token"), ("latency", "latency"))
        if metrics[name].streamed <= metrics[name].baseline
    ]
    worse = [
        word
        for name, word in (("memory", "memory"), ("ttft", "first token"), ("latency", "latency"))
        if metrics[name].streamed > metrics[name].baseline
    ]
    if not worse:
        return f"Streams are the cheaper way to this loss here: {', '.join(better)}."
    if not better:
        return f"Parameters are the cheaper way to this loss here: {', '.join(worse)}."
    return f"Streams win {' and '.join(better)}; parameters win {' and '.join(worse)}."


def _times(metric: Metric) -> str:
    if metric.ratio == math.inf:
        return "streams add nothing"
    if math.isnan(metric.ratio):
        return "nothing increases"
    return f"{metric.ratio:.1f} times less added"


_RATIOS = (
    ("weights", "weights"),
    ("cache", "kv_cache"),
    ("memory", "memory"),
    ("TTFT", "ttft"),
    ("TPOT", "tpot"),
    ("latency", "latency"),
    ("compute", "flops"),
)
"""Headings and attributes of the costs that are given as multiples of the base's."""


def methods_page(found: MethodComparison) -> Page:
    """What each method costs, and how many times the base's that is."""
    work, first = found.request.workload, found.costs[0]
    tables = [_cost_table(found), _ratio_table(found)]
    return Page(
        f"Ways of spending compute on {found.request.title}, on "
        f"{devices_in_words(found.request.system.hardware, found.request.system.layout)}",
        (
            f"batch {work.batch_size:.0f}, {work.input_length:.0f} in, "
            f"{work.output_length:.0f} out, engine {found.request.system.engine.name}; base: "
            f"{format_count(single(first.parameters))} parameters",
        ),
        tuple(tables),
        tuple(_notes(found)),
    )


def _cost_table(found: MethodComparison) -> Table:
    rows = tuple(
        (
            cost.spending.name,
            format_count(single(cost.parameters)),
            format_bytes(single(cost.memory)),
            format_seconds(single(cost.ttft)),
            format_seconds(single(cost.tpot)) if cost.steps else "-",
            format_seconds(single(cost.latency)),
            format_flops(single(cost.flops)),
            *([found.quality.get(asked, "-")] if found.quality else []),
        )
        for cost, asked in zip(found.costs, found.asked, strict=True)
    )
    headers = ("", "params", "memory", "TTFT", "TPOT", "latency", "compute")
    return Table("Cost", (*headers, *(["quality"] if found.quality else [])), rows)


def _ratio_table(found: MethodComparison) -> Table:
    first = found.costs[0]
    rows = tuple(
        (cost.spending.name, *(_times_of_first(cost, first, name) for _, name in _RATIOS))
        for cost in found.costs[1:]
    )
    return Table("Over the base", ("", *(heading for heading, _ in _RATIOS)), rows)


def _times_of_first(cost: MethodCost, first: MethodCost, name: str) -> str:
    ratio = _ratio(getattr(cost, name), getattr(first, name))
    return "-" if ratio is None else f"{ratio:.2f}"


def _ratio(value: Number, of: Number) -> float | None:
    return None if not of > 0 else float(value / of)


def _notes(found: MethodComparison) -> list[str]:
    notes = [f"{cost.spending.name}: {cost.spending.source}" for cost in found.costs[1:]]
    notes.append(
        "what a method gains is not reported: no published law covers them all, and more need not "
        "be better (--quality FILE.csv shows your own figures)"
    )
    device = found.request.system.hardware
    over = [cost.spending.name for cost in found.costs if cost.memory > device.memory]
    if over:
        notes.append(f"does not fit {device.name}, so its time is hypothetical: {', '.join(over)}")
    return notes


def method_records(found: MethodComparison) -> list[Record]:
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
