"""The page and the table of layouts."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from tests.helpers.data import ROOT

DOCS = (ROOT / "docs" / "devices.md").read_text()
LARGE = ["--model", "llama-3.1-70b", "--gpu_config", "h100", "--batch_size", "4"]
STREAMS = ["--model", "1.6B", "--P", "8", "--gpu_config", "h100"]


def test_layouts_are_all_of_them_best_first(answer: Callable[..., str]) -> None:
    text = answer("layouts", *STREAMS, "--devices", "4,8", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    # Four is a product of three numbers in six ways, eight in ten; a model without experts.
    assert [row["devices"] for row in rows] == ["4"] * 6 + ["8"] * 10
    for devices in ("4", "8"):
        times = [float(row["latency_tpot_s"]) for row in rows if row["devices"] == devices]
        assert times == sorted(times)
    assert all(
        int(row["tensor_parallel"]) * int(row["pipeline_parallel"]) * int(row["stream_parallel"])
        == int(row["devices"])
        for row in rows
    )
    documented = {name for name in rows[0] if f"`{name}`" in DOCS}
    assert documented == set(rows[0])


def test_layouts_of_experts_and_those_that_fit_first(record: Callable[..., Any]) -> None:
    result = record("layouts", "--model", "mixtral-8x7b", "--gpu_config", "a100-sxm-40gb",
                  "--devices", "4", "--minimize", "memory")  # fmt: skip
    fits = [row["device_fits"] for row in result]
    assert fits == sorted(fits, reverse=True)
    assert {row["expert_parallel"] for row in result} == {1, 2, 4}
    assert result[0]["memory_total_bytes"] == min(row["memory_total_bytes"] for row in result)


@pytest.mark.parametrize("goal", ["tpot", "ttft", "latency", "memory"])
def test_every_goal_has_a_page(goal: str, answer: Callable[..., str]) -> None:
    text = answer("layouts", *STREAMS, "--minimize", goal, "--top", "2")
    # One layout of one device, three of two, six of four, ten of eight; two of each are listed.
    assert "13 more with --top or --format csv" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_table_of_layouts_opens_in_pandas(answer: Callable[..., str]) -> None:
    frame = pd.read_csv(io.StringIO(answer("layouts", *LARGE, "--format", "csv")))
    assert frame.memory_total_bytes.notna().all()
    assert (frame.network_bytes_per_token == 0).all()
