"""sweep as a user runs it: lists and ranges, files, kills, full disks, workers that die."""

from __future__ import annotations

import io
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cost_analysis.sweep_columns import COLUMNS

Answer = Callable[..., str]
Record = Callable[..., Any]

ROOT = Path(__file__).parents[2]
GRID = ["--model", "1.6B,2.8B", "--P", "1,2,4,8", "--batch_size", "1:25", "--output_length", "1,9"]
ROWS = 2 * 4 * 25 * 2


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "cost_analysis", "sweep", *arguments]


def run(*arguments: str, rc: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(*arguments), capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == rc, done.stderr
    return done


def test_a_sweep_in_one_screen(answer: Answer) -> None:
    text = answer("sweep", *GRID)
    assert f"A sweep of {ROWS} rows" in text
    assert max(map(len, text.splitlines())) <= 80
    for told in ("Axes", "Extremes", "least TPOT", "most tokens", "Pareto front"):
        assert told in text
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
    ("arguments", "said"),
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
def test_bad_input_is_one_sentence(arguments: list[str], said: str) -> None:
    error = run(*arguments, rc=2).stderr
    assert error.count("\n") == 1
    assert error.startswith("parscale-cost: error: ")
    assert said in error


def read_csv(source: Any) -> pd.DataFrame:
    """Rows to the last bit, which pandas does not read in all its versions."""
    numbers = [column.name for column in COLUMNS if column.kind == "number"]
    exact = {name: lambda text: float(text or "nan") for name in numbers}
    return pd.read_csv(source, converters=exact)


def expected_rows() -> pd.DataFrame:
    return read_csv(io.StringIO(run(*GRID, "--format", "csv").stdout))


def rows_of(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path) if path.suffix == ".parquet" else read_csv(path)


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


def test_a_killed_sweep_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """SIGKILL at random times, then a last run; the file is that of a run that nobody killed."""
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
    whole = tmp_path / "whole.csv"
    run(*GRID, "--output", str(whole))
    assert path.read_bytes() == whole.read_bytes()


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
    whole = tmp_path / "whole.csv"
    run(*GRID, "--output", str(whole))
    assert path.read_bytes() == whole.read_bytes()


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
