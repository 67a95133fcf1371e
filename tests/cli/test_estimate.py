"""Estimates as a user asks for them: flags, records, refusals."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cost_analysis import load_model, parameters
from cost_analysis.cli.main import cli, main
from tests.helpers.cases import CONFIGS
from tests.helpers.data import read_rows
from tests.helpers.program import SEED, process


def test_seed_command_in_a_pipe() -> None:
    result = process(*SEED)
    assert result.returncode == 0
    assert result.stderr == ""
    assert "\x1b" not in result.stdout
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in result.stdout
    assert lines[3].startswith("Memory     8.92 GiB")
    assert "intermediate_size = 13824" in result.stdout


def test_published_script_numbers(answer: Callable[..., str]) -> None:
    text = answer(*SEED, "--cost_model", "published")
    assert "Memory: 8.951GB; Latency: 0.354s" in text


def test_published_columns(record: Callable[..., Any]) -> None:
    columns = set(read_rows("published_cost_model.csv")[0])
    row = read_rows("published_cost_model.csv")[0]
    inputs = [name for name in row if not name.endswith(("_bytes", "_s"))]
    flags = [word for name in inputs for word in (f"--{name}", row[name])]
    published = record(*flags, "--cost_model", "published")["published"]
    assert set(published) == columns
    for name in columns:
        assert published[name] == pytest.approx(float(row[name]), rel=1e-9), name


def test_json_keys(record: Callable[..., Any]) -> None:
    got = record(*SEED)
    assert "published" not in got
    assert set(got["parameters"]) >= {"total", "non_embedding"}
    held = got["memory_bytes"]
    assert set(held) == {"weights", "kv_cache", "activations", "total"}
    assert held["total"] == held["weights"] + held["kv_cache"] + held["activations"]
    assert set(got["flops"]) == {"prefill", "decode_step", "total"}
    assert set(got["latency_s"]) == {"ttft", "tpot", "decode", "total"}
    assert got["assumed"] == {"intermediate_size": 13824, "engine": "graphs"}
    assert sum(op["flops"] for op in got["operators"]) == got["flops"]["total"]
    seconds = sum(op["seconds"] for op in got["operators"])
    assert seconds == pytest.approx(got["latency_s"]["total"], rel=1e-12)
    assert got["latency_s"]["total"] == pytest.approx(
        got["latency_s"]["ttft"] + 63 * got["latency_s"]["tpot"], rel=1e-12
    )
    assert all(isinstance(value, int) for value in got["flops"].values())


def test_csv_opens_in_pandas(answer: Callable[..., str], record: Callable[..., Any]) -> None:
    table = pd.read_csv(io.StringIO(answer(*SEED, "--format", "csv")))
    assert len(table) == 1
    row, reference = table.iloc[0], record(*SEED)
    assert row["memory_total_bytes"] == reference["memory_bytes"]["total"]
    assert row["latency_tpot_s"] == pytest.approx(reference["latency_s"]["tpot"], rel=1e-14)
    assert row["parameters_non_embedding"] == reference["parameters"]["non_embedding"]
    numeric = [name for name in map(str, table) if name.endswith(("_bytes", "_s", "_tokens"))]
    assert len(numeric) > 10
    assert all(pd.api.types.is_numeric_dtype(table[name]) for name in numeric)
    text = answer(*SEED, "--format", "csv", "--rows", "operators")
    operators = pd.read_csv(io.StringIO(text))
    assert operators["flops"].sum() == reference["flops"]["total"]
    assert operators["seconds"].sum() == pytest.approx(reference["latency_s"]["total"])


def test_one_output_token_has_no_tpot(
    answer: Callable[..., str], record: Callable[..., Any]
) -> None:
    got = record(*SEED, "--output_length", "1")
    assert got["latency_s"]["tpot"] is None
    assert got["latency_s"]["total"] == got["latency_s"]["ttft"]
    assert "TPOT" not in answer(*SEED, "--output_length", "1")


CHANGES = [
    ["--num_hidden_layers", "30"], ["--num_attention_heads", "20"],
    ["--num_key_value_heads", "4"], ["--head_dim", "64"], ["--vocab_size", "1000"],
    ["--intermediate_size", "9000"], ["--P", "4"], ["--parscale_prefix_tokens", "0"],
    ["--batch_size", "3"], ["--input_length", "65"], ["--output_length", "65"],
    ["--gpu_config", "h100"], ["--engine", "eager"], ["--flops_efficiency", "0.1"],
    ["--hbm_memory_efficiency", "0.1"], ["--weight_dtype", "int4"],
    ["--activation_dtype", "fp32"], ["--kv_cache_dtype", "fp8"], ["--logits", "all"],
    ["--no_tie_word_embeddings"], ["--no_gated_mlp"], ["--no_qkv_bias"], ["--qk_norm"],
    ["--max_position_embeddings", "100"], ["--tensor_parallel", "2"],
    ["--pipeline_parallel", "2"], ["--stream_parallel", "2"], ["--kernels", "modelled"],
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change[0])
def test_every_flag_acts(change: list[str], record: Callable[..., Any]) -> None:
    before, after = record(*SEED), record(*SEED, *change)
    numbers = ("parameters", "memory_bytes", "flops", "latency_s", "device", "warnings")
    assert any(before[name] != after[name] for name in numbers)


@pytest.mark.parametrize("change", [c for c in CHANGES if len(c) == 2], ids=lambda c: c[0])
def test_dashes_are_underscores(change: list[str], record: Callable[..., Any]) -> None:
    dashed = [change[0].replace("_", "-"), change[1]]
    assert record(*SEED, *dashed) == record(*SEED, *change)


def test_every_flag_of_a_model_or_workload_is_tried() -> None:
    own = {
        "--model",
        "--download",
        "--hidden_size",
        "--cost_model",
        "--rows",
        "--format",
        "--output",
        # These act on some models or on several devices only: test_layout_commands.py.
        "--expert_parallel",
        "--expert_groups",
        "--interconnect",
        "--devices_per_node",
        "--network",
    }
    flags = {name for parameter in cli.commands["estimate"].params for name in parameter.opts}
    tried = {change[0].replace("--no_", "--") for change in CHANGES}
    assert flags - own == tried


def test_efficiencies_of_one_are_the_ideal_engine(record: Callable[..., Any]) -> None:
    ones = ["--flops_efficiency", "1", "--hbm_memory_efficiency", "1"]
    ideal = record(*SEED, "--engine", "ideal")
    assert record(*SEED, "--engine", "llm-analysis", *ones)["latency_s"] == (ideal["latency_s"])


def test_a_profile_and_the_flags_that_go_before_it(record: Callable[..., Any]) -> None:
    plain = record("--model", "ParScale-1.8B")
    assert plain["parameters"]["total"] == parameters(load_model("1.6b").spec).total
    assert plain["assumed"] == {"engine": "graphs"}
    changed = record("--model", "1.6B", "--hidden_size", "2048", "--P", "2")
    assert changed["model"]["head_dim"] == 2048 // 16
    assert changed["model"]["intermediate_size"] == 8320
    kept = record("--model", "mistral-nemo-12b", "--vocab_size", "1000")
    assert kept["model"]["head_dim"] == 128


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no model given; name one with --model or give --hidden_size"),
        (["--hidden_size", "0"], "hidden_size is 0; it must be a whole number from 1"),
        (["--hidden_size", "-5"], "hidden_size is -5"),
        (["--hidden_size", "2.5"], "'2.5' is not a valid integer"),
        (["--hidden_size", "1e30"], "'1e30' is not a valid integer"),
        (["--hidden_size", str(10**30)], "hidden_size is far too large"),
        (["--hidden_size", "9" * 5000], "is not a valid integer"),
        (["--hidden_size", "100"], "must be divisible by num_attention_heads"),
        (["--hidden_size", "160", "--num_key_value_heads", "3"], "by num_key_value_heads"),
        ([*SEED, "--P", "0"], "P is 0; it must be a whole number from 1"),
        ([*SEED, "--gpu_config", "a10000"], "unknown device 'a10000'; did you mean a100"),
        ([*SEED, "--gpu_config", ""], "unknown device ''"),
        (["--model", "1.5B"], "unknown model '1.5B'; did you mean"),
        ([*SEED, "--engine", "graph"], "unknown engine 'graph'; did you mean graphs"),
        ([*SEED, "--weight_dtype", "bf15"], "'bf15'; did you mean bf16?"),
        ([*SEED, "--flops_efficiency", "0"], "flops_efficiency is 0.0; it must be from 1e-06 to 1"),
        (
            [*SEED, "--hbm_memory_efficiency", "nan"],
            "hbm_memory_efficiency is nan; it must be from 1e-06 to 1",
        ),
        ([*SEED, "--batchsize", "2"], "--batchsize"),
        ([*SEED, "--gpu_config", "./none.toml"], "cannot read profile"),
        ([*SEED, "--rows", "operators"], "--rows chooses the rows of a CSV"),
        ([*SEED, "extra"], "unexpected extra argument"),
        (["--hidden_size"], "requires an argument"),
    ],
)
def test_bad_input(arguments: list[str], message: str, refusal: Callable[..., str]) -> None:
    assert message in refusal(*(arguments or ["estimate"]))


def test_too_long_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*SEED, "--input_length", "3000", "--format", "json"])
    printed = capsys.readouterr()
    assert stop.value.code == 0
    assert printed.err.startswith("parscale-cost: warning: input and output take 3,063 positions")
    assert json.loads(printed.out)["warnings"] != []


def test_the_scripts_line_is_the_scripts(answer: Callable[..., str]) -> None:
    """The script ignores device and efficiencies, so its line does; our reading of it does not."""
    seed = ["--model", "1.6B", "--P", "8", "--cost_model", "published"]
    line = next(line for line in answer(*seed).splitlines() if line.startswith("Memory: "))
    assert line.startswith("Memory: 3.465GB; Latency: 0.144s")
    moved = answer(*seed, "--gpu_config", "h100")
    assert line in moved
    assert "asked for" in moved


def test_positions_are_counted_exactly(record: Callable[..., Any]) -> None:
    lengths = ["--output_length", "64", "--input_length"]
    assert record(*SEED, *lengths, "1985")["warnings"] == []  # the last token is never fed back
    assert record(*SEED, *lengths, "1986")["warnings"] != []


words = st.text(max_size=12) | st.integers().map(str) | st.floats().map(str)
flags = st.sampled_from(
    [name for parameter in cli.commands["estimate"].params for name in parameter.opts]
)


@pytest.mark.property
@given(st.lists(st.tuples(flags.filter(lambda flag: flag != "--output"), words), max_size=5))
@example([("--gpu_config", "/")])
@example([("--gpu_config", "~no such user/x.toml")])
@example([("--flops_efficiency", "5e-324")])
@example([("--model", "../x")])
@example([("--hidden_size", "2147483647"), ("--P", "2147483647"), ("--vocab_size", "2147483647")])
def test_no_input_ends_in_a_traceback(pairs: list[tuple[str, str]]) -> None:
    arguments = [word for pair in pairs for word in pair]
    with pytest.raises(SystemExit) as stop:
        main(["estimate", *arguments])
    assert stop.value.code in (0, 2)


def test_the_published_cost_model_refuses_other_layers(refusal: Callable[..., str]) -> None:
    asked = ("--model", str(CONFIGS / "mixtral-8x7b.json"), "--cost_model", "published")
    assert "32 x attention + 2 of 8 experts" in refusal(*asked)


def test_names_of_checkpoints(record: Callable[..., Any]) -> None:
    named = record("--model", "ParScale/ParScale-1.8B-P8-Inst")
    assert named["model"]["P"] == 8
    assert named["parameters"] == record("--model", "1.6B", "--P", "8")["parameters"]
    assert record("--model", "parscale-1.8b-p8", "--P", "2")["model"]["P"] == 2
    assert "checkpoint ParScale-0.7B is 0.5b" in record("--model", "0.7B")["warnings"][0]


def test_changed_profiles_say_so(answer: Callable[..., str], record: Callable[..., Any]) -> None:
    same = record("--model", "qwen3-0.6b", "--num_attention_heads", "16")
    assert same["model"]["head_dim"] == 128
    changed = record("--model", "1.6B", "--hidden_size", "1024")
    assert changed["assumed"]["head_dim"] == 64
    assert "with another hidden_size" in answer("--model", "1.6B", "--hidden_size", "1024")


def test_a_device_with_one_peak(tmp_path: Path, answer: Callable[..., str]) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('memory = "24 GiB"\nbandwidth = "1 TB/s"\n[peak]\nbf16 = "100 TFLOP/s"\n')
    for cost_model in ("operators", "published"):
        text = answer(*SEED, "--gpu_config", str(file), "--cost_model", cost_model)
        assert "of 24.0 GiB left" in text
