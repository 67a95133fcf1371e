"""The command `precision`, and storage formats in the flags of every command."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from cost_analysis import (
    Precision,
    Workload,
    estimate,
    load_engine,
    load_hardware,
    load_model,
    memory,
)
from tests.helpers.data import ROOT

DOC = (ROOT / "docs" / "precision.md").read_text()
Answer = Callable[..., str]


@pytest.fixture
def claims(answer: Answer) -> Callable[..., dict[str, dict[str, Any]]]:
    """The records by their formats."""

    def run(*arguments: str) -> dict[str, dict[str, Any]]:
        rows = json.loads(answer("precision", *arguments, "--format", "json"))
        names = ("weight_dtype", "activation_dtype", "kv_cache_dtype")
        return {"/".join(row[name] for name in names): row for row in rows}

    return run


def test_the_page_in_the_docs_is_real(answer: Answer) -> None:
    (shown,) = re.findall(r"```console\n\$ parscale-cost precision\n(.*?)```", DOC, re.DOTALL)
    assert answer("precision") == shown


def test_which_term_moves_the_claims(claims: Callable[..., dict[str, dict[str, Any]]]) -> None:
    found = claims()
    wide, int8, int4 = (found[f"{name}/bf16/bf16"] for name in ("bf16", "int8", "int4"))
    cached, products = found["int4/bf16/fp8"], found["int8/int8/bf16"]
    # Fewer bits for the weights: the wider model's increase falls, the streams' stays.
    for name in ("memory_ratio", "latency_ratio"):
        assert wide[name] > int8[name] > int4[name] > 1
    for name in ("streams_learned_bytes", "streams_cache_bytes", "streams_activations_bytes"):
        assert wide[name] == int8[name] == int4[name]
    assert wide["streams_weights_bytes"] == int4["streams_weights_bytes"] == 0
    assert wide["wider_weights_bytes"] > 0.97 * wide["wider_memory_bytes"]
    # An fp8 cache: half of the streams' cache, and nothing else of theirs in memory.
    assert cached["streams_cache_bytes"] == int4["streams_cache_bytes"] / 2
    assert cached["streams_activations_bytes"] == int4["streams_activations_bytes"]
    assert cached["memory_ratio"] > int4["memory_ratio"]
    assert cached["streams_decode_s"] < int4["streams_decode_s"]
    # Products in 8 bits: the streams' prefill, which is bound by compute.
    assert products["streams_prefill_s"] < 0.8 * int8["streams_prefill_s"]
    assert products["wider_weights_bytes"] == int8["wider_weights_bytes"]


def test_terms_are_those_of_estimates(claims: Callable[..., dict[str, dict[str, Any]]]) -> None:
    (row,) = claims(
        "--base", "1.6B", "--P", "4", "--baseline", "2.8B", "--formats", "int4-g32-zp/bf16/fp8",
        "--batch_size", "2", "--input_length", "100", "--output_length", "30",
        "--gpu_config", "h100", "--engine", "eager",
    ).values()  # fmt: skip
    spec, formats = load_model("1.6B").spec, Precision("int4-g32-zp", "bf16", "fp8")
    base, streamed, wider = (
        estimate(model, Workload(2, 100, 30), load_hardware("h100"), load_engine("eager"), formats)
        for model in (spec, spec.with_streams(4), load_model("2.8B").spec)
    )
    for who, cost in (("streams", streamed), ("wider", wider)):
        added = cost.memory.total - base.memory.total
        assert row[f"{who}_memory_bytes"] == pytest.approx(added)
        assert row[f"{who}_latency_s"] == pytest.approx(cost.total - base.total)
    memory = (wider.memory.total - base.memory.total) / row["streams_memory_bytes"]
    assert row["memory_ratio"] == pytest.approx(memory)


def test_readings_agree_with_claims(
    answer: Answer, claims: Callable[..., dict[str, dict[str, Any]]]
) -> None:
    (row,) = claims("--formats", "int8/bf16/fp8").values()
    readings = json.loads(
        answer("claims", "--weight_dtype", "int8", "--kv_cache_dtype", "fp8", "--dataset", "stack",
               "--batch_size", "1", "--samples", "2", "--format", "json")
    )  # fmt: skip
    (reading,) = (
        reading
        for reading in readings
        if (reading["cost_model"], reading["baseline"]) == ("operators", "measured")
        and reading["engine"] == "graphs"
    )
    for name in ("memory_ratio", "latency_ratio"):
        assert row[name] == pytest.approx(reading[name], rel=1e-9)


def test_what_a_device_cannot_compute_is_said(answer: Answer) -> None:
    note = "a100-sxm-80gb has no fp8 units: fp8 products are computed in bf16"
    assert note in " ".join(answer("precision", "--formats", "fp8/fp8").split())
    assert "units:" not in answer("precision", "--formats", "fp8/fp8", "--gpu_config", "h100")
    assert "units:" not in answer("precision", "--formats", "int8/int8")
    blackwell = ("--formats", "mxfp4/nvfp4", "--gpu_config")
    assert "units:" not in answer("precision", *blackwell, "b200")
    assert "has no fp4 units: fp4 products are computed in fp8" in " ".join(
        answer("precision", *blackwell, "h100").split()
    )


def test_every_command_takes_formats_with_scales(record: Answer) -> None:
    model = ("--model", "1.6B", "--weight_dtype", "int4-g32-zp", "--kv_cache_dtype", "fp8-g64")
    found: Any = record(*model)
    assert found["precision"] == {
        "weights": "int4-g32-zp", "activations": "bf16", "kv_cache": "fp8-g64",
    }  # fmt: skip
    spec, formats = load_model("1.6B").spec, Precision("int4-g32-zp", "bf16", "fp8-g64")
    assert found["memory_bytes"]["weights"] == memory(spec, Workload(), formats).weights
    planned: Any = record(
        "plan", "--gpu_config", "h100", "--tpot_limit", "10ms", "--weight_dtype",
        "int4-g32,fp8-b128", "--precision_penalty", "int4-g32=0.02", "--rows", "plans",
    )  # fmt: skip
    assert {plan["weight_dtype"] for plan in planned} == {"int4-g32", "fp8-b128"}


def test_a_sweep_tells_formats_apart(answer: Answer) -> None:
    lines = answer(
        "sweep", "--model", "1.6B", "--weight_dtype", "int4-g16,int4-g32,int4-g128,int8",
        "--format", "csv",
    ).splitlines()  # fmt: skip
    rows = [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]
    held = {row["weight_dtype"]: float(row["memory_weights_bytes"]) for row in rows}
    assert held["int8"] > held["int4-g16"] > held["int4-g32"] > held["int4-g128"]


@pytest.mark.parametrize("name", ["b200", "gb200", "rtx-5090"])
def test_blackwell_states_its_4_bit_peak(name: str, record: Answer) -> None:
    found: Any = record("hardware", name)
    assert found["peak_flop_per_s"]["fp4"] >= 2 * found["peak_flop_per_s"]["fp8"]
    assert "FP4" in found["sources"]["peak"]


@pytest.mark.parametrize(("wider", "word"), [("2.8B", "free"), ("0.5B", "none")])
def test_streams_that_add_nothing_have_no_finite_ratio(
    wider: str, word: str, answer: Answer, record: Answer
) -> None:
    asked = ("precision", "--P", "1", "--baseline", wider, "--formats", "int8")
    assert len(re.findall(rf"int8/bf16/bf16 .* {word}$", answer(*asked), re.MULTILINE)) == 2
    found: Any = record(*asked)
    assert [found[0]["memory_ratio"], found[0]["latency_ratio"]] == [None, None]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--formats", "int8/bf16/fp8/fp8"], "has more than weights/activations/cache"),
        (["--formats", "int8,int9"], "unknown data type 'int9'; did you mean int8"),
        (["--formats", "int8//"], "unknown data type ''"),
        (["--formats", "int4-g1"], "has 1 values a scale; it must be from 2 to 65536"),
        (["--formats", "int8,int8"], "'int8' is given twice"),
        (["--formats", "mxfp4-zp"], "did you mean mxfp4"),
        (["--weight_dtype", "int8"], "No such option"),
    ],
)
def test_bad_formats(arguments: list[str], message: str, refusal: Answer) -> None:
    assert message.lower() in refusal("precision", *arguments).lower()
