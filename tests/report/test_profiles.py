"""Devices, engines and models as the program lists them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

from cost_analysis import load_engine
from cost_analysis.inputs.profiles import profile_names


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
