"""A comparison of a streamed model with parameters as a record and a page."""

from __future__ import annotations

import math
from typing import Any

from cost_analysis.baselines import size_of
from cost_analysis.comparison import Comparison, Metric
from cost_analysis.records import Record, finite, whole
from cost_analysis.report import Page, Table
from cost_analysis.spec import ModelSpec
from cost_analysis.units import format_bytes, format_per, format_ratio, format_seconds


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
    """Three models side by side, and what to do."""
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
    low, high = ends
    return [f"times: 80 % of measured runs took {low:.2f} to {high:.2f} times what is predicted"]


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
    """What the workload at hand says, in a sentence."""
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
