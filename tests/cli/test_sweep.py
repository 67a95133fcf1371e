"""sweep as a user runs it: lists and ranges, a page, a record, refusals."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.helpers.sweeps import (
    GRID,
    ROWS,
    run,
)

Answer = Callable[..., str]
Record = Callable[..., Any]


def test_a_sweep_in_one_screen(answer: Answer) -> None:
    text = answer("sweep", *GRID)
    assert f"A sweep of {ROWS} rows" in text
    assert max(map(len, text.splitlines())) <= 80
    for word in ("Axes", "Extremes", "least TPOT", "most tokens", "Pareto front"):
        assert word in text
    assert "nan" not in text


def test_the_record(record: Record) -> None:
    found = record("sweep", *GRID, "--pareto", "memory_total_bytes,tokens_per_s")
    assert found["rows"] == found["fitting_rows"] == ROWS
    assert found["axes"]["batch_size"] == list(range(1, 26))
    assert found["least"]["memory_total_bytes"]["model"] == "1.6B"
    assert found["most"]["memory_total_bytes"]["P"] == 8
    front = [row["memory_total_bytes"] for row in found["front"]]
    assert front == sorted(front)


def test_rows_in_a_pipe(answer: Answer) -> None:
    frame = pd.read_csv(io.StringIO(answer("sweep", *GRID, "--format", "csv")))
    assert len(frame) == ROWS
    assert frame[frame.output_length == 1].latency_tpot_s.isna().all()


def test_a_grid_in_a_file_and_flags_before_it(record: Record, tmp_path: Path) -> None:
    grid = tmp_path / "grid.toml"
    grid.write_text(
        'model = "1.6B"\nP = [1, 2]\nbatch_size = "1:8:x2"\ntie_word_embeddings = true\n'
    )
    found = record("sweep", "--grid", str(grid), "--P", "4")
    assert found["axes"] == {
        "model": ["1.6B"], "tie_word_embeddings": [True], "P": [4], "batch_size": [1, 2, 4, 8],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "no axis is given"),
        (["--P", "1", "--P", "2"], "--P is given 2 times; give all values at once"),
        (["--model", "1.6B", "--P", "8:1"], "ends before it begins"),
        (["--model", "1.6B", "--P", "1:1000001"], "more than 1,000,000 values"),
        (["--model", "1.6B", "--batch_size", "1:1000000", "--P", "1:1000000"], "more than"),
        (["--model", "1.6B", "--engine", "eager,greedy"], "unknown engine 'greedy'"),
        (["--model", "1.6B", "--pareto", "loss"], "unknown column of numbers 'loss'"),
        (["--model", "1.6B", "--resume"], "none is given"),
        (["--model", "1.6B", "--output", "rows.xlsx"], "not a .csv or .parquet file"),
        (["--model", "1.6B", "--scheduler", "tcp://h:1"], "needs --executor dask"),
        (["--model", "1.6B", "--executor", "dask"], "name it with --output"),
        (["--hidden_size", "192", "--num_attention_heads", "12,16,7", "--P", "1:9",
          "--output", "rows.csv"], "hidden_size must be divisible by num_attention_heads"),
        (["--model", "1.6B", "--P", "1:9,0", "--batch_size", "1:9", "--part_rows", "2",
          "--output", "rows.csv"], "P is 0"),
        (["--grid", "no.toml"], "cannot read grid 'no.toml'"),
        (["--model", "1.6B", "--P", "1:9", "--batch_size", "1:200000", "--format", "csv"],
         "too many to print"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(arguments: list[str], sentence: str) -> None:
    error = run(*arguments, rc=2).stderr
    assert error.count("\n") == 1
    assert error.startswith("parscale-cost: error: ")
    assert sentence in error
