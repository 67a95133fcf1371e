"""Files of a sweep: whole or not there, through kills, interrupts and full disks."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.helpers.data import ROOT
from tests.helpers.sweeps import (
    GRID,
    ROWS,
    command,
    expected_rows,
    killed_once_it_has_more,
    rows_of,
    run,
    wait_for,
    whole_file,
)


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_file_holds_every_row_in_order(tmp_path: Path, name: str, workers: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    run(*GRID, "--output", str(path), "--part_rows", "60", "--workers", workers)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    pd.testing.assert_frame_equal(
        rows_of(path), expected_rows(), check_dtype=False, check_exact=True, check_categorical=False
    )


def test_parquet_says_what_its_columns_hold(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "rows.parquet"
    run(*GRID, "--output", str(path))
    schema = parquet.read_schema(path)
    assert str(schema.field("P").type) == "int64"
    assert str(schema.field("model").type) == "string"
    assert str(schema.field("latency_tpot_s").type) == "double"


KILLS = int(os.environ.get("KILLS", "3"))


@pytest.mark.slow
def test_a_killed_sweep_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """SIGKILL at random times, then a last run; the file is that of an undisturbed run."""
    path, parts = tmp_path / "rows.csv", tmp_path / "rows.csv.parts"
    arguments = [*GRID, "--output", str(path), "--part_rows", "4", "--workers", "2"]
    seen = 0
    for _ in range(KILLS):
        found = killed_once_it_has_more(command(*arguments, "--resume"), parts, seen)
        assert not path.exists()
        assert found > seen
        seen = found
    run(*arguments, rc=2)  # parts, and no --resume
    run(*arguments, "--resume")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]
    assert path.read_bytes() == whole_file()


def test_a_kill_while_the_parts_are_joined_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    arguments = [*GRID, "--output", str(path), "--part_rows", "50", "--workers", "1"]
    code = f"""
import os, shutil, signal, sys
from cost_analysis.__main__ import main

def die(source, to, *_):
    to.write(source.read(1000))
    to.flush()
    os.kill(os.getpid(), signal.SIGKILL)

shutil.copyfileobj = die
sys.argv[1:] = ["sweep", *{arguments!r}]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv.parts"]
    assert list(tmp_path.glob("*/.parscale-cost-*"))
    run(*arguments, "--resume")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]
    assert len(rows_of(path)) == ROWS


@pytest.fixture
def interrupted(tmp_path: Path) -> Path:
    """The file of a sweep that was interrupted after some parts."""
    path = tmp_path / "rows.csv"
    arguments = [*GRID, "--output", str(path), "--part_rows", "4", "--workers", "1"]
    process = subprocess.Popen(
        command(*arguments), cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    wait_for(lambda: len(list(tmp_path.glob("*/part-*.csv"))) > 2)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130
    assert error == "parscale-cost: error: interrupted; go on with --resume\n"
    return path


def test_parts_of_another_sweep_are_left_alone(interrupted: Path) -> None:
    rest = ["--output", str(interrupted), "--part_rows", "4"]
    before = sorted(path.name for path in interrupted.parent.rglob("*"))
    for other in (["--model", "1.6B", *rest], [*GRID, *rest, "--pareto", "tokens_per_s"]):
        error = run(*other, "--resume", rc=2).stderr
        assert "holds parts of another sweep" in error
    assert sorted(path.name for path in interrupted.parent.rglob("*")) == before
    run(*GRID, *rest, "--resume")
    assert len(rows_of(interrupted)) == ROWS


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_a_full_disk_leaves_no_file_that_looks_whole(tmp_path: Path, name: str) -> None:
    """Files may take 60 kB here: the manifest and small parts fit, the whole does not."""
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    path = tmp_path / name
    arguments = [*GRID, "--output", str(path), "--part_rows", "50", "--workers", "1"]
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, cwd=ROOT, preexec_fn=limit
    )
    assert done.returncode == 1
    assert done.stderr == f"parscale-cost: error: cannot write '{path}': File too large\n"
    assert not path.exists()
    assert not list(tmp_path.rglob(".*"))
    run(*arguments, "--resume")
    assert len(rows_of(path)) == ROWS


def test_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    for path in (tmp_path / "no" / "rows.csv", Path("/proc/rows.csv")):
        error = run("--model", "1.6B", "--output", str(path), rc=1).stderr
        assert error.startswith(f"parscale-cost: error: cannot write '{path}': ")
        assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
