"""The command `serving`, through the program's own error handling."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SERVING = ["serving", "--model", "1.6B", "--P", "4", "--gpu_config", "h100"]


def test_serving_says_who_wins_where(record: Callable[..., Any]) -> None:
    result = record(*SERVING, "--request_rate", "3")
    names = [model["model"] for model in result["models"]]
    assert names == ["P = 1", "P = 2", "P = 4", "wider"]
    assert {row["model"]: row["requests_per_s"] for row in result["load"]} == dict.fromkeys(
        names, 3
    )
    (latency,) = (c for c in result["contests"] if c["metric"] == "latency")
    assert latency["streams_win_light_load"]
    change = latency["changes_at_per_s"]
    for share, wins in ((0.999, True), (1.001, False)):
        rows = record(*SERVING, "--request_rate", repr(share * change))["load"]
        time = {row["model"]: row["latency_s"] for row in rows}
        assert (time["P = 4"] < time["wider"]) == wins


def test_lengths_from_a_file_or_from_flags(record: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "lengths.csv"
    file.write_text("input_length,output_length,weight\n100,20,3\n1000,200,1\n")
    by_file = record(*SERVING, "--lengths", str(file))
    by_flags = record(
        *SERVING, "--input_length", "100,1000", "--output_length", "20,200",
        "--length_weights", "3,1",
    )  # fmt: skip
    assert by_file == by_flags
    assert by_file["lengths"] == {"kinds": 2, "mean_input": 325, "mean_output": 65}


@pytest.mark.parametrize(
    "flags",
    [
        ["--P", "1"],
        ["--output_length", "1"],
        ["--memory_limit", "4GB", "--request_rate", "2"],
        ["--memory_limit", "3GB", "--request_rate", "2"],
        ["--request_rate", "1000", "--weight_dtype", "int8", "--kv_cache_dtype", "fp8"],
        ["--input_length", "5000", "--output_length", "3", "--gpu_config", "ryzen-9950x"],
        ["--baseline", "4.4B", "--max_requests", "16"],
    ],
)
@pytest.mark.parametrize("form", ["table", "json"])
def test_every_shape_of_serving(answer: Callable[..., str], flags: list[str], form: str) -> None:
    result = answer(*SERVING, *flags, "--format", form)
    assert "nan" not in result.lower()
    if form == "table":
        assert max(map(len, result.splitlines())) <= 80


@pytest.mark.parametrize("rows", ["load", "batch", "models"])
def test_serving_rows(answer: Callable[..., str], rows: str) -> None:
    result = answer(*SERVING, "--format", "csv", "--rows", rows)
    found = list(csv.DictReader(io.StringIO(result)))
    assert {row["model"] for row in found} == {"P = 1", "P = 2", "P = 4", "wider"}


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--request_rate", "-1"], "-1.0 is not in the range x>0"),
        (["--request_rate", "nan"], "nan is not below 1e+12"),
        (["--input_length", "1,2", "--output_length", "1,2,3"], "cannot be paired"),
        (["--length_weights", "0"], "not all 0"),
        (["--lengths", "none.csv"], "cannot read 'none.csv'"),
        (["--lengths", "a.csv", "--input_length", "5"], "give --lengths or --input_length"),
        (["--max_requests", "0"], "0 is not in the range"),
        (["--memory_limit", "90GB"], "more than the memory of h100-sxm-80gb"),
        (["--baseline", "5B"], "unknown model '5B'"),
        (["--rows", "batch"], "give --format csv"),
        (["--P", "0"], "P is 0"),
    ],
)
def test_refused_serving(refusal: Callable[..., str], flags: list[str], sentence: str) -> None:
    assert sentence in refusal(*SERVING, *flags)


def test_a_file_of_lengths_says_what_is_wrong(refusal: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "lengths.csv"
    for text, sentence in (
        ("input_length,output_length\n", "no rows"),
        ("input_length,output_length\n5,0\n", "line 2, column 'output_length': '0'"),
        ("input_length,output\n5,5\n", "no column 'output_length'"),
    ):
        file.write_text(text)
        assert sentence in refusal(*SERVING, "--lengths", str(file))
