"""Comparisons as pages and records: increases, ratios, and the sentence of the verdict."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from cost_analysis import Workload
from cost_analysis.compare.comparison import Comparison, Metric, comparison, method_comparison
from cost_analysis.inputs.request import Request, make_request, model_asked
from cost_analysis.inputs.system import named_system
from cost_analysis.report.comparison import (
    comparison_page,
    comparison_record,
    method_records,
    methods_page,
    metric_record,
    verdict,
)
from tests.helpers.pages import printed


def request(streams: int = 8, output_length: int = 64) -> Request:
    model = model_asked("1.6B", {"streams": streams})
    return make_request(model, Workload(1, 64, output_length), named_system())


@pytest.fixture(scope="module")
def found() -> Comparison:
    return comparison(request(), price_per_hour=2.0)


def test_increases_are_over_the_base() -> None:
    assert metric_record(Metric("memory", "Memory", "B", 100, 110, 130)) == {
        "metric": "memory",
        "unit": "B",
        "base": 100,
        "streamed": 110,
        "baseline": 130,
        "streamed_increase": 10,
        "baseline_increase": 30,
        "ratio_of_increases": 3.0,
    }


def test_a_rate_and_an_increase_of_nothing_have_no_ratio() -> None:
    rate = Metric("tokens_per_s", "Tokens", "1/s", 100, 110, 130, less_is_better=False)
    free = Metric("memory", "Memory", "B", 100, 100, 130)
    assert math.isnan(rate.ratio)
    assert [metric_record(each)["ratio_of_increases"] for each in (rate, free)] == [None, None]


def judged(found: Comparison, **streamed: float) -> str:
    """The verdict where base and wider model cost 1 and 2, and the streams what is given."""
    metrics = [Metric(name, name, "s", 1.0, cost, 2.0) for name, cost in streamed.items()]
    return verdict(replace(found, metrics=tuple(metrics)))


def test_the_verdict_is_a_sentence_for_every_outcome(found: Comparison) -> None:
    assert judged(found, memory=1.1, ttft=1.5, latency=1.0) == (
        "Streams are the cheaper way to this loss here: memory (10.0 times less added), "
        "first token (2.0 times less added), latency (streams add nothing)."
    )
    assert judged(found, memory=3, ttft=3, latency=3) == (
        "Parameters are the cheaper way to this loss here: memory, first token, latency."
    )
    assert judged(found, memory=1.1, ttft=3, latency=1.5) == (
        "Streams win memory (10.0 times less added) and latency (2.0 times less added); "
        "parameters win first token."
    )


def test_the_page_and_the_record_say_the_same(found: Comparison) -> None:
    text, record = printed(comparison_page(found)), comparison_record(found)
    assert record["verdict"] in " ".join(text.split())
    assert [metric["metric"] for metric in record["metrics"]] == [m.name for m in found.metrics]
    assert (record["base"]["P"], record["streamed"]["P"], record["baseline"]["P"]) == (1, 8, 1)
    (memory,) = (m for m in record["metrics"] if m["metric"] == "memory")
    assert f" {memory['ratio_of_increases']:.2f}\n" in text
    assert "$" in text
    low, high = record["measured_over_predicted_time"]
    assert low < 1 < high
    assert f"took {low:.2f} to {high:.2f} times" in text


@pytest.mark.parametrize("output_length", [1, 64])
def test_methods_are_multiples_of_the_base(output_length: int) -> None:
    found = method_comparison(
        request(output_length=output_length), ["parscale", "loop:2", "best-of-n"]
    )
    rows = method_records(found)
    assert [row["method"] for row in rows] == ["base", "parscale", "loop:2", "best-of-n"]
    base = rows[0]
    assert [base[f"{name}_over_base"] for name in ("memory", "latency", "flops")] == [1, 1, 1]
    for row in rows:
        parts = row["weights_bytes"] + row["kv_cache_bytes"] + row["activations_bytes"]
        assert parts == pytest.approx(row["memory_bytes"])
        assert row["memory_over_base"] == pytest.approx(row["memory_bytes"] / base["memory_bytes"])
        assert (row["tpot_s"] is None) == (output_length == 1)
    text = printed(methods_page(found))
    assert "Over the base" in text
    assert "loop R = 2" in text
