"""How parts are handed out to any executor, and the errors when an executor is gone."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest

from cost_analysis.common.files import SweepError
from cost_analysis.search.grid import make_grid
from cost_analysis.search.sweep import OBJECTIVES
from cost_analysis.search.sweep_files import make_target, prepare
from cost_analysis.search.sweep_workers import Workers, local_workers, run_parts

ROOT = Path(__file__).parents[2]
GRID = make_grid({"model": "1.6B", "P": "1:12"}, 1)


class LateExecutor(Executor):
    """Runs what it was given only when it holds as much as it is allowed to, last come first."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.most = capacity, 0
        self.held: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, task: Any, /, *arguments: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.held.append((future, lambda: task(*arguments, **options)))
        self.most = max(self.most, len(self.held))
        if len(self.held) == self.capacity:
            self.run_last()
        return future

    def run_last(self) -> None:
        future, work = self.held.pop()
        future.set_result(work())


def test_no_more_parts_are_handed_out_than_may_be(tmp_path: Path) -> None:
    target = make_target(str(tmp_path / "rows.csv"), OBJECTIVES)
    parts = prepare(target, GRID, resume=False)
    assert len(parts) == 12
    executor = LateExecutor(3)
    done: list[int] = []

    def on_part(index: int, _summary: object) -> None:
        done.append(index)
        if len(executor.held) + len(done) == len(parts):
            while executor.held:  # all are handed out: the last ones are not waited for
                executor.run_last()

    run_parts(GRID, target, parts, Workers(executor, 3), on_part)
    assert sorted(done) == parts
    assert executor.most == 3


@pytest.mark.parametrize("count", [1, 2])
def test_a_part_that_cannot_be_written_ends_the_sweep(tmp_path: Path, count: int) -> None:
    target = make_target(str(tmp_path / "rows.csv"), OBJECTIVES)
    parts = prepare(target, GRID, resume=False)
    target.part(5).mkdir(parents=True)  # a folder where the part should be
    done: list[int] = []
    with pytest.raises(SweepError, match="cannot write"), local_workers(count) as workers:
        run_parts(GRID, target, parts, workers, lambda index, _: done.append(index))
    assert 5 not in done
    if count == 1:
        assert done == [0, 1, 2, 3, 4]


def test_a_process_that_dies_is_one_sentence(tmp_path: Path) -> None:
    target = make_target(str(tmp_path / "rows.csv"), OBJECTIVES)
    parts = prepare(target, GRID, resume=False)

    def run() -> None:
        with local_workers(2) as workers:
            workers.executor.submit(signal.raise_signal, signal.SIGKILL)
            run_parts(GRID, target, parts, workers, lambda *_: None)

    with pytest.raises(SweepError, match="a process of the sweep died"):
        run()


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A scheduler and a worker on the loopback, each a process of its own."""
    pytest.importorskip("distributed")
    file = tmp_path / "scheduler.json"

    def start(what: str, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{what}", "--scheduler-file", str(file),
             "--no-dashboard", *arguments],
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    processes = [start("scheduler", "--host", "127.0.0.1", "--port", "0")]
    try:
        wait_for(file.exists)
        processes.append(start("worker", "--nthreads", "1", "--no-nanny"))
        yield json.loads(file.read_text())["address"], processes[0]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def wait_for(happens: Callable[[], bool], limit: float = 60.0) -> None:
    end = time.monotonic() + limit
    while not happens() and time.monotonic() < end:
        time.sleep(0.01)


def test_a_scheduler_that_goes_away_is_one_sentence(
    tmp_path: Path, scheduler: tuple[str, subprocess.Popen[bytes]]
) -> None:
    address, process = scheduler
    folder = tmp_path / "out"
    folder.mkdir()
    arguments = ["--model", "1.6B", "--P", "1:64", "--batch_size", "1:64", "--part_rows", "1",
                 "--output", str(folder / "rows.csv"), "--executor", "dask",
                 "--scheduler", address]  # fmt: skip
    sweep = subprocess.Popen(
        [sys.executable, "-m", "cost_analysis", "sweep", *arguments],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(lambda: bool(list(folder.glob("*/part-*.csv"))) or sweep.poll() is not None)
    process.kill()
    _, error = sweep.communicate(timeout=100)
    assert error == "parscale-cost: error: the Dask scheduler is gone; go on with --resume\n"
    assert sweep.returncode == 1
    assert list(folder.glob("*/part-*.csv"))
