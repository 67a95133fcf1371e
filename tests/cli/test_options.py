"""Flags of several devices, in every command that takes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from cost_analysis import Workload, estimate, load_engine, load_hardware, load_model, sweep
from cost_analysis.inputs.layout import Layout
from tests.helpers.data import ROOT
from tests.helpers.program import process

DOCS = (ROOT / "docs" / "devices.md").read_text()
LARGE = ["--model", "llama-3.1-70b", "--gpu_config", "h100", "--batch_size", "4"]
STREAMS = ["--model", "1.6B", "--P", "8", "--gpu_config", "h100"]
WAYS = [
    ["--tensor_parallel", "8"], ["--pipeline_parallel", "4"],
    ["--tensor_parallel", "4", "--pipeline_parallel", "3"],
]  # fmt: skip


@pytest.mark.parametrize("flags", WAYS, ids=" ".join)
def test_an_estimate_is_the_library_s(flags: list[str], record: Callable[..., Any]) -> None:
    result = record(*LARGE, *flags)
    counts = {flags[i].lstrip("-"): int(flags[i + 1]) for i in range(0, len(flags), 2)}
    cost = estimate(
        load_model("llama-3.1-70b").spec, Workload(4), load_hardware("h100"),
        load_engine("graphs"), layout=Layout(**counts),
    )  # fmt: skip
    assert result["memory_bytes"]["total"] == cost.memory.total
    assert result["latency_s"]["tpot"] == pytest.approx(cost.tpot, rel=1e-12)
    assert {name: result["layout"][name] for name in counts} == counts
    alone = record(*LARGE)
    assert result["flops"] == alone["flops"]
    assert result["memory_bytes"]["weights"] < alone["memory_bytes"]["weights"] / 3
    assert alone["exchanges"] == []
    seconds = sum(op["seconds"] for op in result["operators"])
    assert seconds == pytest.approx(result["latency_s"]["total"], rel=1e-12)
    exchanged = sum(row["seconds"] for row in result["exchanges"])
    among = [op for op in result["operators"] if op["operator"] in ("all-reduce", "gather logits",
                                                                  "to next stage")]  # fmt: skip
    assert exchanged == pytest.approx(sum(op["seconds"] for op in among), rel=1e-12)


def test_streams_apart_cost_hardly_more_than_one(record: Callable[..., Any]) -> None:
    result = record(*STREAMS, "--stream_parallel", "8")
    assert {row["exchange"] for row in result["exchanges"]} == {"gather streams"}
    assert result["increase_over_one_stream"]["latency_relative"] < 0.05
    assert result["layout"]["devices"] == 8
    one = record(*STREAMS, "--P", "1")
    added = result["latency_s"]["total"] - one["latency_s"]["total"]
    assert result["increase_over_one_stream"]["latency_s"] == pytest.approx(added)


def test_a_page_says_whose_memory_and_who_sends(answer: Callable[..., str]) -> None:
    text = answer(*LARGE, "--tensor_parallel", "8", "--pipeline_parallel", "2",
                  "--devices_per_node", "8", "--network", "50GB/s")  # fmt: skip
    assert "on 16 x NVIDIA H100 SXM5 80 GB" in text
    assert "8 share each layer, 2 pipeline stages, 2 micro-batches" in text
    assert "Between devices: what each one sends" in text
    (table,) = re.findall(r"what each one sends\n(.*?)\n\n", text, re.DOTALL)
    lines = {line.split("  ")[1].strip(): line for line in table.splitlines()}
    assert "network" in lines["to next stage"]
    assert "in node" in lines["gather logits"]
    assert max(map(len, text.splitlines())) <= 80
    assert "sent for each generated token, by all devices:" in text


def test_the_link_counts(record: Callable[..., Any]) -> None:
    flags = [*LARGE, "--tensor_parallel", "8"]
    fast, slow, apart = (
        record(*flags, *more)["latency_s"]["total"]
        for more in ([], ["--interconnect", "64GB/s"],
                     ["--devices_per_node", "4", "--network", "10GB/s"])
    )  # fmt: skip
    assert fast < slow < apart


def test_a_sweep_over_layouts_has_the_rows_of_estimates(record: Callable[..., Any]) -> None:
    frame = sweep(
        model="1.6B", gpu_config="h100", P=[1, 8], tensor_parallel=[1, 4],
        pipeline_parallel=[1, 2], stream_parallel=[1, 4], batch_size=[3],
        network="10GB/s", devices_per_node=4,
    )  # fmt: skip
    assert len(frame) == 16
    for row in frame.to_dict("records"):
        flags = [f"--{name}={int(row[name])}" for name in ("tensor_parallel", "pipeline_parallel",
                                                           "stream_parallel")]  # fmt: skip
        result = record("--model", "1.6B", "--gpu_config", "h100", "--batch_size", "3",
                      "--network", "10GB/s", "--devices_per_node", "4", f"--P={int(row['P'])}",
                      *flags)  # fmt: skip
        assert row["memory_total_bytes"] == result["memory_bytes"]["total"]
        assert row["latency_total_s"] == pytest.approx(result["latency_s"]["total"], rel=1e-12)
        assert row["flops_decode"] + row["flops_prefill"] == result["flops"]["total"]
        sent = sum(item["sent_bytes"] for item in result["exchanges"])
        assert row["sent_prefill_bytes"] + row["sent_decode_bytes"] == pytest.approx(sent)
    # A model of one stream has one group of streams, whatever is asked.
    assert set(frame[frame.P == 1].stream_parallel) == {1}


def test_serving_on_several_devices(record: Callable[..., Any]) -> None:
    flags = ["--model", "llama-3.1-8b", "--gpu_config", "a100-sxm-40gb"]
    (one,), (two,) = (
        record("serving", *flags, *more)["models"] for more in ([], ["--tensor_parallel", "2"])
    )
    assert (one["devices"], two["devices"]) == (1, 2)
    # Half the weights and half the cache on each: more than twice as much fits.
    assert two["cache_per_request_bytes"] == one["cache_per_request_bytes"] / 2
    assert two["concurrent_requests"] > 2 * one["concurrent_requests"]
    assert two["carried_per_s"] > one["carried_per_s"]


def test_compare_with_streams_apart(record: Callable[..., Any]) -> None:
    flags = ["compare", *STREAMS, "--batch_size", "16", "--format", "json"]
    near, apart = (record(*flags, *more) for more in ([], ["--stream_parallel", "8"]))
    of = {row["metric"]: row for row in near["metrics"]}
    streamed = {row["metric"]: row for row in apart["metrics"]}
    assert streamed["latency"]["streamed"] < of["latency"]["streamed"]
    assert streamed["latency"]["base"] == of["latency"]["base"]
    # Eight boards draw eight times the power.
    before, after = (each["tokens_per_joule"]["streamed"] for each in (of, streamed))
    speed_up = of["latency"]["streamed"] / streamed["latency"]["streamed"]
    assert after == pytest.approx(before * speed_up / 8)


def test_methods_on_several_devices(record: Callable[..., Any]) -> None:
    flags = ["compare", "--model", "llama-3.1-8b", "--gpu_config", "h100", "--P", "4",
             "--with", "parscale,best-of-n,loop,plt"]  # fmt: skip
    alone, four = (record(*flags, *more) for more in ([], ["--tensor_parallel", "4"]))
    for one, divided in zip(alone, four, strict=True):
        assert divided["flops"] == pytest.approx(one["flops"], rel=1e-12)
        assert divided["memory_bytes"] < one["memory_bytes"] / 3
        assert one["kv_cache_bytes"] == 4 * divided["kv_cache_bytes"]
    base = record("--model", "llama-3.1-8b", "--gpu_config", "h100", "--tensor_parallel", "4")
    assert four[0]["latency_s"] == pytest.approx(base["latency_s"]["total"], rel=1e-12)
    assert four[0]["memory_bytes"] == base["memory_bytes"]["total"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*LARGE, "--tensor_parallel", "3"], "it must divide the 64 query heads"),
        ([*LARGE, "--tensor_parallel", "0"], "tensor_parallel is 0; it must be a whole number"),
        ([*LARGE, "--pipeline_parallel", "81"], "the model has 80 layers"),
        ([*LARGE, "--stream_parallel", "2"], "stream_parallel is 2; the model has 1 streams (P)"),
        ([*LARGE, "--expert_parallel", "2"], "the model has 0 routed experts"),
        ([*LARGE, "--tensor_parallel", "2", "--gpu_config", "m2-ultra"], "states no link"),
        ([*LARGE, "--tensor_parallel", "16", "--devices_per_node", "8"], "with --network"),
        ([*LARGE, "--network", "fast"], "'fast' is not a positive quantity in B/s"),
        ([*LARGE, "--devices_per_node", "0"], "devices_per_node is 0"),
        (["layouts", *LARGE, "--devices", "97"], "no way divides Llama 3.1 70B among 97 devices"),
        (["layouts", *LARGE, "--devices", "9999"], "devices is 9999; it must be from 1 to 4096"),
        (["layouts", *LARGE, "--output_length", "1"], "minimize ttft"),
        ([*STREAMS, "--cost_model", "published", "--stream_parallel", "8"], "about one device"),
        (["compare", *STREAMS, "--with", "loop", "--pipeline_parallel", "2"], "without pipelines"),
        (["serving", *LARGE[:4], "--pipeline_parallel", "2"], "serving knows no pipelines"),
        (
            ["sweep", *LARGE, "--tensor_parallel", "1,3"],
            "tensor_parallel is 3; it must divide the 64 query heads",
        ),
        (["sweep", *LARGE, "--network", "fast"], "'fast' is not a positive quantity"),
    ],
)
def test_what_makes_no_sense(arguments: list[str], message: str) -> None:
    run = process(*arguments)
    assert (run.returncode, run.stdout) == (2, "")
    assert message in run.stderr
    assert run.stderr.count("\n") == 1


def test_devices_that_only_a_network_joins(record: Callable[..., Any]) -> None:
    result = record("--model", "1.6B", "--gpu_config", "m2-ultra", "--tensor_parallel", "2",
                  "--devices_per_node", "1", "--network", "1GB/s")  # fmt: skip
    assert {row["link"] for row in result["exchanges"]} == {"network"}
    assert all(row["seconds"] > 0 for row in result["exchanges"])
