"""Columns of costs: parts that sum to totals, and intervals about a value."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from cost_analysis import Layout, Workload
from cost_analysis.cost.estimate import Answer, answer
from cost_analysis.inputs.request import make_request, model_asked
from cost_analysis.inputs.system import named_system
from cost_analysis.search import cost_columns
from cost_analysis.search.column import Column
from cost_analysis.search.cost_columns import PARTS, PUBLISHED, TIMES

GROUPS = {
    name: value
    for name, value in vars(cost_columns).items()
    if isinstance(value, tuple) and isinstance(value[0], Column)
}


@cache
def found(
    streams: int = 4, output_length: int = 9, layout: Layout | None = None
) -> tuple[Answer, dict[str, Any]]:
    """An answer, and the values of all columns."""
    system = replace(named_system("h100"), layout=layout or Layout())
    request = make_request(
        model_asked("1.6B", {"streams": streams}), Workload(2, 100, output_length), system
    )
    made = answer(request, with_published=True)
    columns = [column for group in GROUPS.values() for column in group]
    return made, {column.name: column.value(made) for column in columns}


@pytest.mark.parametrize("layout", [None, Layout(tensor_parallel=2), Layout(pipeline_parallel=2)])
def test_times_of_parts_sum_to_those_of_the_passes(layout: Layout | None) -> None:
    _, of = found(layout=layout)
    for phase, total in (("prefill", of["latency_ttft_s"]), ("decode", of["latency_decode_s"])):
        parts = [of[f"{phase}_{part.replace(' ', '_')}_s"] for part in PARTS]
        assert sum(parts) == pytest.approx(total)
        assert of[f"exchange_{phase}_s"] <= total
    assert of["latency_total_s"] == pytest.approx(of["latency_ttft_s"] + of["latency_decode_s"])
    assert of["latency_tpot_s"] == pytest.approx(of["latency_decode_s"] / 8)
    assert of["tokens_per_s"] == pytest.approx(2 * 9 / of["latency_total_s"])


def test_memory_flops_and_parameters_sum_to_their_totals() -> None:
    _, of = found()
    held = sum(of[f"memory_{name}_bytes"] for name in ("weights", "kv_cache", "activations"))
    assert held == of["memory_total_bytes"]
    assert of["flops_total"] == of["flops_prefill"] + of["flops_decode"]
    names = ("embedding", "lm_head", "attention", "mlp", "small", "prefix", "aggregator")
    assert sum(of[f"parameters_{name}"] for name in names) == of["parameters_total"]
    assert of["device_free_bytes"] == of["device_memory_bytes"] - of["memory_total_bytes"]
    assert of["device_fits"]


def test_ends_of_intervals_lie_about_the_value() -> None:
    _, of = found()
    for name in TIMES:
        low, value, high = (of[f"latency_{name}{end}_s"] for end in ("_low", "", "_high"))
        assert 0 < low < value < high


def test_one_output_token_has_no_time_per_token() -> None:
    _, of = found(output_length=1)
    assert math.isnan(of["latency_tpot_s"])
    assert (of["latency_decode_s"], of["flops_decode"], of["moved_decode_bytes"]) == (0, 0, 0)
    assert of["latency_total_s"] == of["latency_ttft_s"]


def test_one_stream_adds_nothing_and_one_device_sends_nothing() -> None:
    _, of = found(streams=1)
    added = [of[column.name] for column in GROUPS["INCREASES"]]
    assert added == [0] * 8
    assert [of[column.name] for column in GROUPS["EXCHANGED"]] == [0] * 4
    _, divided = found(layout=Layout(tensor_parallel=2))
    assert all(divided[column.name] > 0 for column in GROUPS["EXCHANGED"])


def test_increases_are_those_over_the_model_with_one_stream() -> None:
    (_, one), (_, four) = found(streams=1), found(streams=4)
    for name, column in (("memory", "memory_total_bytes"), ("latency", "latency_total_s")):
        unit = column.rsplit("_", 1)[1]
        added = four[column] - one[column]
        assert four[f"increase_{name}_{unit}"] == pytest.approx(added)
        assert four[f"increase_{name}_relative"] == pytest.approx(added / one[column])


def test_the_unit_stands_in_the_name() -> None:
    for column in PUBLISHED:
        assert column.name.endswith(("memory_bytes", "_s"))
    for name in ("MEMORY", "MOVED"):
        assert all(column.name.endswith("_bytes") for column in GROUPS[name])
    for name in ("PER_TOKEN", "DECODE", "TOTAL", "INTERVALS", "TIMES_OF_PARTS"):
        assert all(column.name.endswith("_s") for column in GROUPS[name])
