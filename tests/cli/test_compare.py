"""claims, compare and crossover as a user runs them."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.helpers.data import DATA
from tests.helpers.gpu_claims import use_plain_kernels

Answer = Callable[..., str]
Record = Callable[..., Any]

FAST = ("claims", "--samples", "20")
_FOUND: dict[tuple[str, ...], Any] = {}


def once(record: Record, *arguments: str) -> Any:
    """What a call prints as JSON; the same call is made once for all tests."""
    if arguments not in _FOUND:
        _FOUND[arguments] = record(*arguments)
    return _FOUND[arguments]


RUNS = DATA / "training_runs.csv"


def test_claims_in_one_screen(answer: Answer) -> None:
    text = answer("claims")
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 40
    for ratio in ("22.55", "6.43", "7.34", "1.77"):
        assert ratio in text
    assert "4.4B, P = 1" in text
    assert "hangs on" in text


def test_claims_records(record: Record) -> None:
    rows = once(record, "claims")
    assert len(rows) == 20
    names = {"cost_model", "baseline", "dataset", "base", "P", "batch_size", "input_length",
             "output_length", "memory_ratio", "latency_ratio", "memory_ratio_low",
             "memory_ratio_high", "latency_ratio_low", "latency_ratio_high"}  # fmt: skip
    assert all(names <= set(row) for row in rows)
    first = rows[0]
    assert (first["cost_model"], first["baseline"], first["dataset"]) == (
        "published", "measured", "stack",
    )  # fmt: skip
    assert (first["base"], first["P"], first["batch_size"]) == ("1.6B", 8, 1)
    assert first["input_length"] == "64,128,256,512"
    assert first["memory_ratio"] == pytest.approx(22.55, abs=0.005)


def test_claims_by_engine(answer: Answer, record: Record) -> None:
    """The last rows ask the other engines what the first reading of ours asks the default."""
    rows = once(record, "claims")
    of = {(row["engine"], row["batch_size"]): row for row in rows
          if row["baseline"] == "measured" and row["dataset"] == "stack"}  # fmt: skip
    assert {engine for engine, _ in of} == {"", "graphs", "eager", "native"}
    for engine in ("eager", "native"):
        alone = record("claims", "--engine", engine, "--samples", "9")[8]
        assert alone["engine"] == engine
        assert of[engine, 1]["latency_ratio"] == alone["latency_ratio"]
        assert of[engine, 1]["memory_ratio"] == of["graphs", 1]["memory_ratio"]
    note = " ".join(answer("claims").split("latency by engine", 1)[1].split())
    for (engine, batch), row in of.items():
        if engine and batch == 1:
            assert f"{engine} {row['latency_ratio']:.2f}, " in note
    assert "latency by engine" not in answer(
        "claims", "--gpu_config", "xeon-8480", "--samples", "9"
    )


GPUS = ("claims", "--kernels", "fitted")


def test_claims_on_gpus(
    answer: Answer, record: Record, refusal: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_plain_kernels(monkeypatch)
    text = answer(*GPUS)
    assert max(map(len, text.splitlines())) <= 80
    for words in ("What the kernels say of the paper's 6.43 times", "rtx-pro-6000", "sglang"):
        assert words in text
    one = (*GPUS, "--gpu_config", "h100", "--engine", "vllm", "--P", "4", "--dataset", "stack")
    rows = record(*one, "--batch_size", "3", "--input_length", "100")
    assert {row["device"] for row in rows[1:]} == {"h100-sxm-80gb"}
    assert {row["engine"] for row in rows[1:]} == {"vllm"}
    assert {row["batch_size"] for row in rows} == {3}
    assert {row["input_length"] for row in rows} == {100}
    assert {row["dataset"] for row in rows} == {"stack"}
    assert [row["P"] for row in rows if row["baseline"] == "measured"] == [4, 4, 2, 8]
    frame = pd.read_csv(io.StringIO(answer(*one, "--format", "csv")))
    assert (frame.latency_ratio_low.dropna() <= frame.latency_ratio.dropna().max()).all()
    assert "no products with int4 weights" in refusal(*GPUS, "--weight_dtype", "int4")
    assert "t4" in refusal(*GPUS, "--gpu_config", "t4")
    assert "no share of the roofs" in refusal(*GPUS, "--flops_efficiency", "0.5")
    assert "P is 1" in refusal(*GPUS, "--P", "1")
    assert "--samples is of the law's intervals" in refusal(*GPUS, "--samples", "20")


def test_by_the_roofs_alone_claims_are_as_without(answer: Answer) -> None:
    """Only kernels that were measured ask for devices and engines."""
    assert answer("claims", "--kernels", "modelled", "--samples", "9").startswith("How many times")


def test_claims_csv(answer: Answer) -> None:
    table = pd.read_csv(io.StringIO(answer("claims", "--format", "csv")))
    law = table[(table.baseline == "law") & (table.cost_model == "published")]
    assert (law.memory_ratio_low < law.memory_ratio).all()
    assert (law.memory_ratio < law.memory_ratio_high).all()
    assert table[table.baseline == "measured"].memory_ratio_low.isna().all()


@pytest.mark.parametrize(
    "change",
    [["--base", "2.8B"], ["--P", "4"], ["--batch_size", "3"], ["--input_length", "100"],
     ["--output_length", "100"], ["--gpu_config", "t4"], ["--flops_efficiency", "0.2"],
     ["--hbm_memory_efficiency", "0.2"]],
    ids=lambda change: change[0],
)  # fmt: skip
def test_every_option_moves_every_reading(change: list[str], record: Record) -> None:
    before, after = once(record, *FAST), record(*FAST, *change)
    for old, new in zip(before, after, strict=False):
        if old["memory_ratio"] is not None and new["memory_ratio"] is not None:
            assert (old["memory_ratio"], old["latency_ratio"]) != (
                new["memory_ratio"], new["latency_ratio"],
            )  # fmt: skip


@pytest.mark.parametrize("change", [["--engine", "eager"], ["--weight_dtype", "int8"]])
def test_our_own_options_move_our_own_readings(change: list[str], record: Record) -> None:
    before, after = once(record, *FAST)[:16], record(*FAST, *change)[:16]
    for old, new in zip(before, after, strict=True):  # those of other engines come after
        same = (old["memory_ratio"], old["latency_ratio"]) == (
            new["memory_ratio"], new["latency_ratio"],
        )  # fmt: skip
        assert same == (old["cost_model"] == "published")


def test_seed_and_samples_decide_the_intervals(record: Record) -> None:
    fast = ["claims", "--samples", "50"]

    def low_ends(*more: str) -> list[float]:
        return [row["memory_ratio_low"] for row in record(*fast, *more) if row["memory_ratio_low"]]

    assert low_ends() == low_ends()
    assert low_ends() != low_ends("--seed", "1")


def test_degenerate_claims_are_sentences(answer: Answer, record: Record) -> None:
    text = answer("claims", "--P", "1", "--samples", "20")
    assert "No reading of the claim exists here" in text
    assert "nothing increases" in text
    assert "nan" not in text
    assert "inf" not in text.replace("information", "")
    assert all(
        row["memory_ratio"] is None for row in record("claims", "--P", "1", "--samples", "9")
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["claims", "--base", "1.7B"], "unknown model '1.7B'; did you mean"),
        (["claims", "--P", "0"], "0 is not in the range x>=1"),
        (["claims", "--batch_size", "0"], "0 is not in the range 1<=x<=2147483647"),
        (["claims", "--batch_size", "1,x"], "'x' is not a valid whole number"),
        (["claims", "--batch_size", str(2**31)], "2147483648 is not in the range 1<=x<=2147483647"),
        (["claims", "--batch_size", ",".join(["1"] * 1001)], "1001 values are too many"),
        (["claims", "--input_length", "1,2", "--output_length", "1,2,3"], "cannot be paired"),
        (["claims", "--level", "1"], "--level"),
        (["claims", "--samples", "1"], "--samples"),
        (["crossover", "--P", "1"], "1 is not in the range x>=2"),
        (["crossover", "--baseline", "measured", "--P", "3"], "no published run"),
        (["crossover", "--baseline", "best"], "unknown model 'best'"),
        (["compare", "--model", "1.6B"], "P is 1: there are no streams to compare"),
        (
            ["compare", "--model", "1.6B", "--P", "2", "--losses", "1", "0.5"],
            "no model of any size",
        ),
        (["compare", "--model", "1.6B", "--P", "2", "--losses", "1", "1.1"], "the losses rise"),
        (["compare", "--model", "1.6B", "--P", "2", "--losses", "nan", "1"], "losses"),
        (
            ["compare", "--model", "1.6B", "--P", "2", "--price_per_hour", "0"],
            "0.0 is not in the range x>0",
        ),
        (["fit", "none.csv"], "No such file"),
        (["fit", str(RUNS)], "several losses; name one of"),
        (["fit", str(RUNS), "--loss", "loss_pil"], "loss_pile"),
        (["fit", str(RUNS), "--dataset", "pile"], "not both"),
    ],
)
def test_bad_input(arguments: list[str], message: str, refusal: Answer) -> None:
    assert message in refusal(*arguments)


def test_compare(answer: Answer, record: Record) -> None:
    seed = ["compare", "--model", "1.6B", "--P", "8", "--price_per_hour", "2.5"]
    text = answer(*seed)
    assert max(map(len, text.splitlines())) <= 80
    assert "parameters win" in text  # the prefill
    got = record(*seed)
    metrics = {row["metric"]: row for row in got["metrics"]}
    assert set(metrics) == {"memory", "weights", "kv_cache", "activations", "ttft", "tpot",
                            "latency", "tokens_per_s", "tokens_per_joule",
                            "dollars_per_million_tokens"}  # fmt: skip
    plain = record("--model", "1.6B", "--P", "8")
    assert metrics["latency"]["streamed"] == plain["latency_s"]["total"]
    assert metrics["memory"]["streamed"] == plain["memory_bytes"]["total"]
    for row in metrics.values():
        assert row["streamed_increase"] == pytest.approx(row["streamed"] - row["base"])
        if row["ratio_of_increases"] is not None:
            assert row["ratio_of_increases"] == pytest.approx(
                row["baseline_increase"] / row["streamed_increase"]
            )
    rate = metrics["tokens_per_s"]["streamed"]
    dollars = metrics["dollars_per_million_tokens"]["streamed"]
    assert dollars == pytest.approx(2.5 / 3600 / rate * 1e6)
    assert metrics["tokens_per_joule"]["streamed"] == pytest.approx(rate / 400)
    assert got["baseline"]["non_embedding_parameters"] == pytest.approx(2.90e9, rel=0.01)


def test_compare_by_every_baseline(record: Record) -> None:
    seed = ["compare", "--model", "1.6B", "--P", "8"]
    sizes = {
        name: record(*seed, "--baseline", name)["baseline"]["non_embedding_parameters"]
        for name in ("law", "measured", "2.8B")
    }
    assert sizes["2.8B"] == 2774773760
    assert sizes["law"] == pytest.approx(2.90e9, rel=0.01)
    assert sizes["measured"] == pytest.approx(3.226e9, rel=0.01)
    pile = record(*seed, "--dataset", "pile")["baseline"]["non_embedding_parameters"]
    assert pile == pytest.approx(2.705e9, rel=0.01)
    measured = record(*seed, "--losses", "1.0817", "1.0383")["baseline"]
    assert measured["non_embedding_parameters"] > sizes["2.8B"]


def test_compare_says_what_does_not_fit(answer: Answer) -> None:
    text = answer("compare", "--model", "qwen2.5-72b", "--P", "2")
    assert "the baseline does not fit a100-sxm-80gb" in text
    one = answer("compare", "--model", "1.6B", "--P", "2", "--output_length", "1")
    assert "per output token" not in one


def test_crossover(answer: Answer, record: Record) -> None:
    text = answer("crossover", "--baseline", "measured", "--gpu_config", "a100, h100")
    assert max(map(len, text.splitlines())) <= 80
    assert "P / (1 + k ln P)" in text
    assert "4.40 times" in text
    got = record("crossover", "--baseline", "measured")
    (batch,) = (
        row["crossover"]
        for row in got["crossovers"]
        if (row["axis"], row["metric"], row["cost_model"]) == ("batch_size", "latency", "published")
    )
    assert batch == 7
    assert got["ridge_tokens"]["a100-sxm-80gb"] > 50


def test_help_of_every_command(answer: Answer) -> None:
    for name in ("claims", "compare", "crossover", "fit"):
        text = answer(name, "--help")
        assert max(map(len, text.splitlines())) <= 80


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom cost_analysis.cli.main import cli\n"
        "cli(['claims', '--help'], standalone_mode=False)\n"
        "print([m for m in ('numpy', 'scipy', 'pandas', 'matplotlib') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"


METHODS = ("compare", "--model", "1.6B", "--P", "8", "--with", "dense,moe,best-of-n,loop,plt")


def test_methods_side_by_side(answer: Answer, record: Record, refusal: Answer) -> None:
    text = answer(*METHODS)
    assert max(map(len, text.splitlines())) <= 80
    for word in ("best of 8", "MoE E = 8", "Over the base", "what a method gains is not reported"):
        assert word in text
    rows = {row["method"]: row for row in record(*METHODS)}
    assert list(rows) == ["base", "dense", "moe", "best-of-n", "loop", "plt"]
    assert rows["loop"]["kv_cache_over_base"] == pytest.approx(8)
    assert rows["best-of-n"]["prompt_shared"]
    assert rows["base"]["latency_over_base"] == 1
    assert "unknown method 'greedy'" in refusal("compare", "--model", "1.6B", "--with", "greedy")
    assert "--quality goes with --with" in refusal("compare", "--model", "1.6B", "--quality", "q")


def test_methods_with_the_users_own_quality(record: Record, answer: Answer, tmp_path: Path) -> None:
    """LoopCoder-v2's SWE-bench Verified (arXiv 2606.18023): more loops are not better."""
    file = tmp_path / "quality.csv"
    file.write_text("method,quality\nbase,43.0\nplt:2,64.4\nplt:3,27.6\n")
    asked = ("compare", "--model", "llama-2-7b", "--with", "plt:2,plt:3", "--quality", str(file))
    assert [row["quality"] for row in record(*asked)] == ["43.0", "64.4", "27.6"]
    assert "64.4" in answer(*asked)
