"""Sweeps that run in processes of their own, and the files that they leave."""

from __future__ import annotations

import io
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from cost_analysis.search.columns import COLUMNS
from tests.helpers.data import ROOT

GRID = ["--model", "1.6B,2.8B", "--P", "1,2,4,8", "--batch_size", "1:25", "--output_length", "1,9"]
ROWS = 2 * 4 * 25 * 2


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "cost_analysis", "sweep", *arguments]


def run(*arguments: str, rc: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(*arguments), capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == rc, done.stderr
    return done


def read_csv(source: Any) -> pd.DataFrame:
    """Rows with exact numbers, which not all versions of pandas read by default."""
    numbers = [column.name for column in COLUMNS if column.kind == "number"]
    exact = {name: lambda text: float(text or "nan") for name in numbers}
    return pd.read_csv(source, converters=exact)


@cache
def expected_rows() -> pd.DataFrame:
    """The rows of the grid as they are printed."""
    return read_csv(io.StringIO(run(*GRID, "--format", "csv").stdout))


@cache
def whole_file() -> bytes:
    """The CSV file of the grid from a run without interruption."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "whole.csv"
        run(*GRID, "--output", str(path))
        return path.read_bytes()


def rows_of(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path) if path.suffix == ".parquet" else read_csv(path)


def killed_once_it_has_more(arguments: list[str], parts: Path, seen: int) -> int:
    """Start a sweep, kill it a moment after it has written another part, and count the parts."""
    process = subprocess.Popen(
        arguments, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    wait_for(lambda: len(list(parts.glob("part-*.csv"))) > seen)
    time.sleep(random.uniform(0.0, 0.1))
    process.kill()
    assert process.wait() == -signal.SIGKILL
    return len(list(parts.glob("part-*.csv")))


def wait_for(happens: Callable[[], bool], limit: float = 60.0) -> None:
    end = time.monotonic() + limit
    while not happens() and time.monotonic() < end:
        time.sleep(0.01)
