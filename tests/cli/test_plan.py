"""The command `plan`, through the program's own error handling."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cost_analysis import Precision, Workload, estimate, load_engine, load_hardware, load_model
from cost_analysis.inputs.spec import ModelSpec
from cost_analysis.law.family import size_of
from tests.helpers.data import ROOT
from tests.helpers.program import process

FAST = ["plan", "--P", "1,4", "--gpu_config", "h100"]
DOCS = ROOT / "docs"


def spec_of(row: dict[str, Any]) -> ModelSpec:
    """The model that a row describes, built from its flags."""
    base = load_model("1.6B").spec
    return ModelSpec(
        row["hidden_size"], row["intermediate_size"], row["num_hidden_layers"],
        base.num_attention_heads, base.num_key_value_heads, vocab_size=base.vocab_size,
        streams=row["P"],
    )  # fmt: skip


def test_a_plan_is_what_an_estimate_of_it_says(record: Callable[..., Any]) -> None:
    result = record(
        *FAST, "--weight_dtype", "int8", "--tpot_limit", "12ms", "--ttft_limit", "0.1 s",
        "--input_length", "300", "--output_length", "50", "--memory_limit", "40GB",
    )  # fmt: skip
    best = result["plans"][0]
    cost = estimate(
        spec_of(best), Workload(1, 300, 50), load_hardware("h100-sxm-80gb"),
        load_engine("graphs"), Precision("int8"),
    )  # fmt: skip
    assert best["non_embedding_parameters"] == size_of(cost.spec)
    assert best["memory_bytes"] <= best["memory_limit_bytes"] == 40e9
    assert best["memory_bytes"] == cost.memory.total
    assert best["ttft_s"] == pytest.approx(cost.ttft)
    assert cost.ttft <= 0.1
    assert best["tpot_s"] == pytest.approx(cost.tpot)
    assert cost.tpot <= 0.012
    assert result["limits"] == {"tpot": 0.012, "ttft": 0.1}
    assert best["binds"] in ("TPOT", "TTFT", "TPOT; TTFT")
    assert [row["loss"] for row in result["plans"]] == sorted(
        row["loss"] for row in result["plans"]
    )


def test_the_loss_of_a_model_is_reached_by_the_model_itself(record: Callable[..., Any]) -> None:
    result = record("plan", "--target_loss", "2.8B", "--minimize", "memory", "--P", "1")
    (best,) = result["plans"]
    assert best["non_embedding_parameters"] <= size_of(load_model("2.8B").spec)
    assert best["non_embedding_parameters"] > 0.97 * size_of(load_model("2.8B").spec)
    assert best["loss"] <= result["limits"]["loss"]
    assert best["binds"] == "loss"
    streamed = record("plan", "--target_loss", "ParScale/ParScale-1.8B-P8", "--P", "8")
    assert streamed["limits"]["loss"] < result["limits"]["loss"]


def test_csv_has_a_row_a_plan_or_a_pareto_point(answer: Callable[..., str]) -> None:
    plans = list(csv.DictReader(io.StringIO(answer(*FAST, "--format", "csv", "--top", "1"))))
    front = list(csv.DictReader(io.StringIO(answer(*FAST, "--format", "csv", "--rows", "pareto"))))
    assert len(plans) == 1
    assert set(plans[0]) == {*front[0], "binds"}
    assert len(front) > 100
    losses = [float(row["loss"]) for row in front]
    assert losses == sorted(losses)
    assert plans[0]["loss"] == front[0]["loss"]
    listed = json.loads(answer(*FAST, "--format", "json", "--rows", "pareto"))
    assert [repr(row["loss"]) for row in listed] == [row["loss"] for row in front]


@pytest.mark.parametrize("command", [FAST, ["serving", "--model", "1.6B", "--P", "2"]])
def test_every_key_is_documented(record: Callable[..., Any], command: list[str]) -> None:
    result = record(*command)
    keys = set(result)
    for value in result.values():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            keys |= set(value[0])
    documented = (DOCS / f"{command[0]}.md").read_text()
    assert {key for key in keys if f"`{key}`" not in documented} == set()


def test_your_own_runs_make_the_law(record: Callable[..., Any], tmp_path: Path) -> None:
    runs = tmp_path / "runs.csv"
    sizes = [(n, p) for n in (1e8, 1e9, 1e10) for p in (1, 4)]
    lines = [f"{n},{p},{2 + (5e8 / n / (1 + 0.1 * (p > 1))) ** 0.3}" for n, p in sizes]
    runs.write_text("\n".join(["N,P,loss", *lines]))
    result = record(*FAST, "--runs", str(runs))
    assert result["law"]["E"] == pytest.approx(2, rel=0.05)
    assert result["plans"][0]["loss"] > 2


def test_a_penalty_moves_the_choice(record: Callable[..., Any]) -> None:
    formats = [*FAST, "--weight_dtype", "bf16,int4"]
    free = record(*formats)["plans"][0]
    dear = record(*formats, "--precision_penalty", "int4=0.5")["plans"][0]
    assert (free["weight_dtype"], dear["weight_dtype"]) == ("int4", "bf16")
    slight = record(*formats, "--precision_penalty", "int4=0.001")["plans"][0]
    assert slight["loss"] == pytest.approx(free["loss"] + 0.001)


def test_the_page_says_what_it_assumes(answer: Callable[..., str]) -> None:
    result = answer(*FAST, "--weight_dtype", "int4", "--P", "12", "--request_rate", "1")
    words = " ".join(result.split())
    for part in (
        "the law does not know what int4 weights do to the loss",
        "P = 12 is beyond the runs",
        "above the runs, up to 4.41B: the law is extrapolated",
        "Poisson arrivals",
        "memory binds: the next larger size takes",
    ):
        assert part in words, part
    assert max(map(len, result.splitlines())) <= 80


@pytest.mark.parametrize(
    "flags",
    [
        ["--gpu_config", "h100,a100,l4", "--weight_dtype", "bf16,int8,int4", "--top", "60"],
        ["--batch_size", "1,8,64", "--output_length", "1"],
        ["--target_loss", "1.1", "--minimize", "energy", "--gpu_config", "h100,m3-max",
         "--power", "700W,60W", "--request_rate", "0.5"],
        ["--target_loss", "1.1", "--minimize", "cost", "--price_per_hour", "2.5", "--P", "1"],
        ["--base", "qwen3-8b", "--latency_limit", "2s"],
    ],
)  # fmt: skip
def test_every_shape_of_question(answer: Callable[..., str], flags: list[str]) -> None:
    result = answer("plan", *flags)
    assert max(map(len, result.splitlines())) <= 80
    assert all(column in result for column in ("P", "size", "loss", "memory"))


def test_a_base_that_the_law_has_not_seen_is_said(answer: Callable[..., str]) -> None:
    result = " ".join(answer(*FAST, "--base", "qwen3-8b").split())
    assert "whether it holds for models shaped like QWEN3-8B is not known" in result
    assert "whether it holds" not in answer(*FAST, "--base", "4.4B")


def test_markdown(answer: Callable[..., str]) -> None:
    result = answer(*FAST, "--format", "markdown")
    assert result.startswith("## The lowest loss on NVIDIA H100")
    assert "\n| P | size | loss |" in result


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--tpot_limit", "200"], "'200' is not a positive quantity in s"),
        (["--tpot_limit", "-1ms"], "not a positive quantity in s"),
        (["--ttft_limit", "0 s"], "not between"),
        (["--memory_limit", "8"], "'8' is not a positive quantity in B"),
        (["--memory_limit", "100GB"], "more than the 80.0 GiB that the device has"),
        (["--weight_dtype", "int5"], "int5"),
        (["--weight_dtype", "int4,int4"], "'int4' is given twice"),
        (["--precision_penalty", "int4"], "precision_penalty is 'int4'; it must be"),
        (["--precision_penalty", "int4=-1"], "like int4=0.01"),
        (["--precision_penalty", "int4=nan"], "like int4=0.01"),
        (["--precision_penalty", "int4=0.1"], "not among the weight formats"),
        (["--batch_size", "1", "--request_rate", "1"], "not both"),
        (["--request_rate", "0"], "'--request_rate': 0.0 is not in the range x>0"),
        (["--minimize", "memory"], "give --target_loss"),
        (["--target_loss", "0.5"], "no model of any size reaches a loss of 0.5"),
        (["--target_loss", "1.6C"], "unknown model '1.6C'"),
        (["--target_loss", "nan"], "nan"),
        (["--target_loss", "1.1", "--minimize", "cost"], "give --price_per_hour"),
        (["--price_per_hour", "-1"], "-1.0 is not in the range x>0"),
        (["--price_per_hour", "1,2"], "price_per_hour has 2 values for 1 device"),
        (["--gpu_config", "h100,"], "unknown device ''"),
        (["--gpu_config", "h100x"], "unknown device 'h100x'; did you mean"),
        (["--output_length", "1", "--tpot_limit", "1ms"], "one output token has no time"),
        (["--input_length", "0"], "input_length is 0"),
        (["--P", "0"], "0 is not in the range 1<=x<=2147483647"),
        (["--rows", "pareto"], "give --format with it"),
        (["--loss", "a"], "give --runs with it"),
        (["--runs", "none.csv"], "cannot read 'none.csv'"),
        (["--runs", "a.csv", "--dataset", "pile"], "not both"),
    ],
)  # fmt: skip
def test_refused_plans(refusal: Callable[..., str], flags: list[str], sentence: str) -> None:
    assert sentence in refusal("plan", *flags)


def test_the_least_energy_needs_the_power(
    refusal: Callable[..., str], record: Callable[..., Any], tmp_path: Path
) -> None:
    device = tmp_path / "here.toml"
    device.write_text(
        'description = "here"\nmemory = "8 GiB"\nbandwidth = "100 GB/s"\n'
        '[peak]\nbf16 = "10 TFLOP/s"\n'
    )
    asked = ["plan", "--target_loss", "1.2", "--minimize", "energy", "--gpu_config", str(device)]
    assert "give --power" in refusal(*asked)
    best = record(*asked, "--power", "10W", "--batch_size", "4", "--output_length", "10")["plans"][
        0
    ]
    assert best["energy_per_token_j"] == pytest.approx(best["latency_s"] * 10 / 40)


def test_what_cannot_be_is_said_with_exit_code_1() -> None:
    run = process("plan", "--gpu_config", "h100", "--tpot_limit", "100us")
    assert run.returncode == 1
    assert run.stdout == ""
    (line,) = run.stderr.splitlines()
    assert line.startswith(
        "parscale-cost: error: no model keeps TPOT 100 us: the fastest that keeps the memory "
        "limit takes "
    )


@pytest.mark.parametrize("command", ["plan", "serving"])
def test_help_is_narrow(answer: Callable[..., str], command: str) -> None:
    assert max(map(len, answer(command, "--help").splitlines())) <= 80
