"""Devices, engines and models as the program lists them and takes their names."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cost_analysis import load_engine
from cost_analysis.profiles import profile_names
from tests.helpers.program import SEED


def test_hardware_and_models(
    answer: Callable[..., str], record: Callable[..., Any], refusal: Callable[..., str]
) -> None:
    listing = answer("hardware")
    assert max(map(len, listing.splitlines())) <= 80
    assert "h100-sxm-80gb" in listing
    one = answer("hardware", "H100")
    assert "datasheet" in one
    assert "3.35 TB/s" in one
    rows = list(csv.DictReader(io.StringIO(answer("hardware", "--format", "csv"))))
    assert {row["name"] for row in rows} >= {"t4", "b200"}
    assert all(float(row["bandwidth_bytes_per_s"]) > 1e10 for row in rows)
    assert record("hardware", "t4")["peak_flop_per_s"]["fp16"] == 65e12
    assert max(map(len, answer("models").splitlines())) <= 80
    assert record("models", "qwen2.5-7b")["parameters_total"] == 7_615_616_512
    assert "did you mean" in refusal("hardware", "h1000")
    assert "did you mean" in refusal("models", "qwen2.5-8b")


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


def test_engines(
    answer: Callable[..., str], record: Callable[..., Any], refusal: Callable[..., str]
) -> None:
    listing = answer("engines")
    assert max(map(len, listing.splitlines())) <= 80
    for name in profile_names("engines"):
        assert name in listing
        engine, found = load_engine(name), record("engines", name)
        assert found["kernel_floor_s"] == engine.kernel_floor
        assert found["attention_bandwidth_share"] == engine.attention.bandwidth_share
        assert found["source"] == engine.source
        assert max(map(len, answer("engines", name).splitlines())) <= 80
    rows = list(csv.DictReader(io.StringIO(answer("engines", "--format", "csv"))))
    assert {row["engine_class"] for row in rows} == {"eager", "graphs", "native", "cpu", ""}
    assert "did you mean" in refusal("engines", "vlm")
