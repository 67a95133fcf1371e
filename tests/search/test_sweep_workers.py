"""Workers of a sweep: processes here, and Dask's elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.data import ROOT
from tests.helpers.sweeps import (
    GRID,
    command,
    rows_of,
    run,
    wait_for,
    whole_file,
)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and two workers on the loopback, each a process of its own."""
    pytest.importorskip("distributed")
    file = tmp_path / "scheduler.json"
    common = ["--scheduler-file", str(file), "--no-dashboard"]

    def start(what: str, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{what}", *common, *arguments],
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    processes = [start("scheduler", "--host", "127.0.0.1", "--port", "0")]
    try:
        wait_for(file.exists)
        processes += [start("worker", "--nthreads", "1", "--no-nanny") for _ in range(2)]
        yield json.loads(file.read_text())["address"], processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_dask_loses_and_doubles_nothing_when_a_worker_dies(
    tmp_path: Path, cluster: tuple[str, list[subprocess.Popen[bytes]]]
) -> None:
    address, workers = cluster
    folder = tmp_path / "out"
    folder.mkdir()
    path = folder / "rows.csv"
    arguments = [*GRID, "--output", str(path), "--part_rows", "2", "--executor", "dask"]
    process = subprocess.Popen(
        command(*arguments, "--scheduler", address), cwd=ROOT, stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    wait_for(lambda: len(list(folder.glob("*/part-*.csv"))) > 10 or process.poll() is not None)
    assert process.poll() is None
    workers[0].kill()
    _, error = process.communicate()
    assert process.returncode == 0, error
    assert [path.name for path in folder.iterdir()] == ["rows.csv"]
    assert path.read_bytes() == whole_file()


def test_dask_starts_a_cluster_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    path = tmp_path / "rows.csv"
    run("--model", "1.6B", "--P", "1,2", "--output", str(path), "--part_rows", "1",
        "--executor", "dask", "--workers", "1")  # fmt: skip
    assert list(rows_of(path).P) == [1, 2]


def test_a_scheduler_that_does_not_answer(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    path = tmp_path / "rows.csv"
    error = run("--model", "1.6B", "--output", str(path), "--executor", "dask",
                "--scheduler", "not-an-address", rc=2).stderr  # fmt: skip
    assert "no Dask scheduler answers at 'not-an-address'" in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
