"""profile, calibrate, parity and report as a user runs them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cost_analysis import load_engine, load_hardware
from cost_analysis.cli.main import main
from cost_analysis.measure import benchmarks, checkpoints, results
from tests.helpers.data import DATA, ROOT

Answer = Callable[..., str]
Record = Callable[..., Any]

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("ready_workers")]
SMALL = ["--hidden_size", "64", "--intermediate_size", "96", "--num_hidden_layers", "2",
         "--num_attention_heads", "4", "--vocab_size", "97", "--input_length", "8",
         "--output_length", "4", "--rounds", "5", "--time_limit", "5"]  # fmt: skip
EITHER = (0, 3)
"""Exit codes of a measurement: a machine with neighbours may be called unstable."""

FLOAT32 = ["--weight_dtype", "fp32", "--activation_dtype", "fp32", "--kv_cache_dtype", "fp32"]


def test_profile(record: Record, answer: Answer, tmp_path: Path) -> None:
    journal = tmp_path / "one.jsonl"
    got = record("profile", *SMALL, *FLOAT32, "--P", "2", "--journal", str(journal), codes=EITHER)
    assert [phase["phase"] for phase in got["phases"]] == ["prefill", "decode step", "request"]
    for phase in got["phases"]:
        assert phase["predicted_s"] is None  # no device is named
        assert phase["measured_s"] > 0
        assert phase["achieved_flop_per_s"] == phase["flops"] / phase["measured_s"]
    plain = record(*SMALL[:14], *FLOAT32, "--P", "2")
    assert got["phases"][0]["flops"] == plain["flops"]["prefill"]
    assert got["memory_bytes"]["predicted"] == plain["memory_bytes"]["total"]
    kinds = [json.loads(line)["kind"] for line in journal.read_text().splitlines()]
    assert kinds[0] == "loaded"
    assert kinds[-1] == "finished"
    text = answer("profile", *SMALL, *FLOAT32, "--gpu_config", "epyc-9654", codes=EITHER)
    assert max(map(len, text.splitlines())) <= 80
    assert "EPYC 9654" in text


def test_profile_of_a_checkpoint(record: Record, refusal: Answer, tmp_path: Path) -> None:
    index = json.loads((DATA / "parity" / "index.json").read_text())
    config = {
        **index["base"],
        "model_type": "qwen2_parscale",
        "parscale_n": 2,
        "parscale_n_tokens": 48,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    shutil.copy(DATA / "parity" / "P2_T48_seed12.weights.safetensors", tmp_path / "a.safetensors")
    short = ["--input_length", "4", "--output_length", "2", "--rounds", "5", "--time_limit", "3"]
    got = record("profile", "--checkpoint", str(tmp_path), *short, *FLOAT32, codes=EITHER)
    assert got["runs"] >= 1
    sentence = refusal("profile", "--checkpoint", "nobody/nothing", *short, *FLOAT32)
    assert "neither a folder nor a Hugging Face id in the cache" in sentence
    del config["hidden_size"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert "hidden_size is missing" in refusal(
        "profile", "--checkpoint", str(tmp_path), *short, *FLOAT32
    )
    (tmp_path / "config.json").write_text(json.dumps({**index["base"], "model_type": "llama"}))
    assert "must be one of qwen2, qwen2_parscale" in refusal(
        "profile", "--checkpoint", str(tmp_path), *short, *FLOAT32
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--weight_dtype", "int8"], "a real run has one type"),
        (["--weight_dtype", "int8", "--activation_dtype", "int8", "--kv_cache_dtype", "int8"],
         "fp32, bf16, fp16, not in int8"),
        (["--num_hidden_layers", "100000", "--hidden_size", "16384"], "GiB are free"),
        (["--no_gated_mlp"], "only gated MLPs"),
    ],
)  # fmt: skip
def test_profile_refuses(arguments: list[str], message: str, refusal: Answer) -> None:
    assert message in refusal("profile", *SMALL, *arguments)


def test_calibrate_writes_profiles(
    answer: Answer, record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = benchmarks.Sizes(((512, 2048), (2048, 512)), 1, 64)
    monkeypatch.setattr(benchmarks, "CPU_SIZES", small)
    monkeypatch.setattr(benchmarks, "STREAMED_BYTES", 3e7)
    monkeypatch.setattr(benchmarks, "MINIMUM_STREAMED_BYTES", 3e7)
    monkeypatch.setattr(benchmarks, "ROWS", (1, 8, 64))
    monkeypatch.setattr(benchmarks, "CONTEXTS", (16, 128))
    monkeypatch.setattr(benchmarks, "STREAMING_LAYERS", 2)
    device = tmp_path / "here.toml"
    text = answer("calibrate", "--dtype", "fp32", "--output", str(device))
    assert str(device) in text
    hardware = load_hardware(str(device))
    engine = load_engine(str(tmp_path / "here.engine.toml"))
    assert hardware.kind == "cpu"
    assert "median of 7" in hardware.sources["bandwidth"]
    assert "median of 7" in engine.source
    assert hardware.product_rates["fp32"].rows == (1, 8, 64)
    assert engine.kernel_floor > 0
    assert engine.attention.bandwidth_share > 0
    got = record(
        "profile", *SMALL, *FLOAT32, "--gpu_config", str(device), "--engine",
        str(tmp_path / "here.engine.toml"), codes=EITHER,
    )  # fmt: skip
    assert all(phase["predicted_s"] > 0 for phase in got["phases"])


def test_parity_command(
    record: Record,
    answer: Answer,
    refusal: Answer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = record("parity", str(DATA / "parity"))
    assert len(rows) == 88
    assert all(row["passed"] for row in rows)
    found = [results.Outcome(**{k: v for k, v in row.items() if k != "passed"}) for row in rows]
    with monkeypatch.context() as patch:  # not run again to be shown as a page
        patch.setattr(checkpoints, "check_folder", lambda *_: found)
        assert "88 of 88 cases agree" in answer("parity", str(DATA / "parity"))
    assert "No such file" in refusal("parity", str(tmp_path))
    (tmp_path / "index.json").write_text("{}")
    assert "must hold 'base'" in refusal("parity", str(tmp_path))


def test_parity_that_fails_exits_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(DATA / "parity", tmp_path / "wrong")
    index = json.loads((tmp_path / "wrong" / "index.json").read_text())
    index["base"]["rope_theta"] = 500.0
    index["models"] = index["models"][:1]  # one that fails is enough
    (tmp_path / "wrong" / "index.json").write_text(json.dumps(index))
    with pytest.raises(SystemExit) as stop:
        main(["parity", str(tmp_path / "wrong")])
    assert stop.value.code == 1
    assert "failed: P1_T48_seed11" in capsys.readouterr().out


def test_report_merges_runs(
    record: Record, answer: Answer, refusal: Answer, tmp_path: Path
) -> None:
    runs = sorted((ROOT / "profiles" / "runs").glob("*.jsonl"))
    assert len(runs) >= 4
    single = [record("report", str(run)) for run in runs[:2]]
    merged = record("report", *map(str, runs[:2]))
    assert len(merged) == sum(map(len, single))
    assert {row["journal"] for row in merged} == {run.name for run in runs[:2]}
    for run in runs:
        text = answer("report", str(run))
        assert max(map(len, text.splitlines())) <= 80
    assert max(map(len, answer("report", *map(str, runs)).splitlines())) <= 80
    (tmp_path / "a.jsonl").write_text('{"kind": "finished", "job": "a"}\n')
    assert "does not begin with the plan" in refusal("report", str(tmp_path / "a.jsonl"))
    (tmp_path / "a.jsonl").write_text('{"kind": "run"}\n')
    assert "a.jsonl', line 1: " in refusal("report", str(tmp_path / "a.jsonl"))
