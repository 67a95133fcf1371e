"""Streams, other methods and ones of one's own, side by side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cost_analysis import InputError, ModelSpec, load_model
from cost_analysis.compare.comparison import comparison, method_comparison, read_spending
from cost_analysis.compare.methods import loop
from cost_analysis.cost.estimate import estimate_on
from cost_analysis.inputs.request import Request, make_request, model_asked
from cost_analysis.inputs.spec import Workload
from cost_analysis.inputs.system import named_system
from cost_analysis.law.family import size_of

SPEC = ModelSpec(64, 128, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
                 vocab_size=100, qkv_bias=False)  # fmt: skip


def request_for(name: str, streams: int = 8) -> Request:
    model = model_asked(name, {"streams": streams})
    return make_request(model, Workload(input_length=256), named_system())


@pytest.mark.parametrize("name", ["llama-3.1-8b", "qwen3-4b", "gpt2"])
def test_models_that_the_paper_does_not_have(name: str) -> None:
    asked = ["parscale", "best-of-n", "longer:2", "loop:2", "plt:2", "phd"]
    found = method_comparison(request_for(name), asked)
    assert found.asked == ("base", *asked)
    by_name = dict(zip(found.asked, found.costs, strict=True))
    first = by_name["base"]
    assert all(each.latency >= first.latency * 0.999 for each in found.costs)
    # Streams keep a cache and a prefill each, samples do not.
    assert by_name["parscale"].kv_cache > 7 * first.kv_cache > by_name["best-of-n"].kv_cache
    assert by_name["parscale"].ttft > by_name["best-of-n"].ttft == first.ttft
    # Loops in turn read the weights twice; parallel ones once.
    assert by_name["loop:2"].tpot > 1.5 * by_name["plt:2"].tpot


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["greedy"], "unknown method 'greedy'"),
        (["loop:1"], "needs an amount of 2 or more"),
        (["loop:x"], "the amount must be a whole number from 2 to 1024"),
        (["loop:9999999"], "the amount must be a whole number"),
        (["loop", "loop"], "asked for twice"),
        (["dense:3"], "unknown method 'dense'"),
        (["none.toml"], "cannot read method 'none.toml'"),
    ],
)
def test_what_is_no_method(asked: list[str], message: str) -> None:
    with pytest.raises(InputError, match=r".") as caught:
        method_comparison(request_for("1.6b"), asked)
    assert message in str(caught.value)


def test_one_stream_leaves_no_default_amount() -> None:
    with pytest.raises(InputError, match="needs an amount of 2 or more: loop:8, or --P 8"):
        method_comparison(request_for("1.6b", 1), ["loop"])
    with pytest.raises(InputError, match="give --P 2 or more"):
        method_comparison(request_for("1.6b", 1), ["dense"])


def test_a_method_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "twice.toml"
    file.write_text('source = "mine"\npasses = 2\nkv_entries = 2\nprefill = 2\n')
    own = read_spending(file, SPEC)
    assert own.name == "twice"
    twice = loop(SPEC, 2)
    assert replace(own, name=twice.name, source=twice.source) == twice
    for content, message in (
        ('source = "x"\npasses = 0', "passes is 0"),
        ('source = "x"\npasses = true', "must be a whole number"),
        ('source = "x"\ntokens = 0.0', "tokens is 0.0"),
        ('source = "x"\npass = 2', "unknown field 'pass'"),
        ("passes = 2", "'source': is missing"),
        ("passes =", "is not TOML"),
    ):
        file.write_text(content)
        with pytest.raises(InputError, match=r".") as caught:
            read_spending(file, SPEC)
        assert message in str(caught.value), content


def streamed(streams: int = 8, device: str = "a100", **workload: Any) -> Request:
    model = model_asked("1.6b", {"streams": streams})
    return make_request(model, Workload(**workload), named_system(device))


def test_every_metric_is_of_three_estimates() -> None:
    request = streamed(batch_size=2, input_length=100, output_length=20)
    found = comparison(request, baseline="2.8b", price_per_hour=3.6)
    specs = (request.spec.with_streams(1), request.spec, load_model("2.8b").spec)
    costs = [estimate_on(spec, request.workload, request.system) for spec in specs]
    values = {metric.name: (metric.base, metric.streamed, metric.baseline)
            for metric in found.metrics}  # fmt: skip
    assert values["memory"] == tuple(cost.memory.total for cost in costs)
    assert values["weights"] == tuple(cost.memory.weights for cost in costs)
    assert values["kv_cache"] == tuple(cost.memory.kv_cache for cost in costs)
    assert values["ttft"] == tuple(cost.ttft for cost in costs)
    assert values["tpot"] == tuple(cost.tpot for cost in costs)
    assert values["latency"] == tuple(cost.total for cost in costs)
    rates = [2 * 20 / cost.total for cost in costs]
    assert values["tokens_per_s"] == pytest.approx(rates)
    assert values["tokens_per_joule"] == pytest.approx([rate / 400 for rate in rates])
    # $3.6 an hour is a tenth of a cent a second.
    dollars = [1e-3 / rate * 1e6 for rate in rates]
    assert values["dollars_per_million_tokens"] == pytest.approx(dollars)
    assert [metric.name for metric in found.metrics if not metric.less_is_better] == [
        "tokens_per_s", "tokens_per_joule",
    ]  # fmt: skip


def test_a_ratio_is_that_of_increases() -> None:
    found = {metric.name: metric for metric in comparison(streamed(), baseline="2.8b").metrics}
    memory = found["memory"]
    wider = memory.baseline - memory.base
    assert memory.ratio == pytest.approx(wider / (memory.streamed - memory.base))
    assert memory.ratio is not None
    assert memory.ratio > 1


def test_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('memory = "80 GB"\nbandwidth = "1 TB/s"\n[peak]\nbf16 = "100 TFLOP/s"\n')
    found = comparison(streamed(device=str(file), output_length=1), baseline="2.8b")
    names = {metric.name for metric in found.metrics}
    assert not {"tpot", "tokens_per_joule", "dollars_per_million_tokens"} & names
    assert {"memory", "ttft", "latency", "tokens_per_s"} <= names


def test_a_baseline_is_one_that_could_be_built() -> None:
    request = streamed()
    law, measured = (comparison(request, baseline=name) for name in ("law", "measured"))
    assert law.chosen.method == "fitted law, stack"
    assert measured.chosen.method == "measured losses, stack"
    for each in (law, measured):
        (model,) = each.chosen.specs
        assert each.baseline.spec == model
        assert model.num_hidden_layers == request.spec.num_hidden_layers
    assert law.chosen.parameters == pytest.approx(2.90e9, rel=0.01)
    own = comparison(request, losses=(1.1, 1.05))
    assert own.chosen.method.startswith("your losses, worth ")
    assert own.chosen.parameters > size_of(request.spec.with_streams(1))


def test_what_a_comparison_stretches_is_said() -> None:
    smaller = comparison(streamed(), baseline="0.5b")
    assert (
        smaller.warnings[-1]
        == "the baseline is no larger than the base: the ratios have no meaning"
    )
    crowded = comparison(streamed(device="t4", batch_size=4096), baseline="2.8b")
    assert [sentence for sentence in crowded.warnings if "does not fit" in sentence] == [
        "the streamed model does not fit t4: its time is hypothetical",
        "the baseline does not fit t4: its time is hypothetical",
    ]


def test_comparisons_that_make_no_sense() -> None:
    with pytest.raises(InputError, match="P is 1: there are no streams to compare"):
        comparison(streamed(1))
    for price in (0.0, -1.0, float("nan"), 1e12):
        with pytest.raises(InputError, match=r"price_per_hour is .*; it must be above 0"):
            comparison(streamed(), price_per_hour=price)
    with pytest.raises(InputError, match=r"the losses rise from 1 to 1\.1"):
        comparison(streamed(), losses=(1.0, 1.1))


def test_dense_is_the_wider_model_of_the_streams() -> None:
    found = method_comparison(request_for("1.6b"), ["dense", "parscale"])
    base, dense, streams = found.costs
    assert dense.parameters > 1.5 * base.parameters
    assert dense.kv_cache > base.kv_cache
    assert streams.parameters == pytest.approx(base.parameters, rel=0.02)
    chosen = comparison(streamed(), baseline="law").chosen
    assert dense.spending.spec == chosen.specs[0]


def test_quality_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "quality.csv"
    file.write_text("method,quality\nbase,43\nloop:2,64.4\n")
    found = method_comparison(request_for("1.6b"), ["loop:2"], quality=file)
    assert found.quality == {"base": "43", "loop:2": "64.4"}
    with pytest.raises(InputError, match="asked for twice: loop:2, loop:2"):
        method_comparison(request_for("1.6b"), ["loop:2", "loop:2"])
