"""Parts of a sweep that are joined while others are calculated."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from threading import Thread

import pytest

from cost_analysis.common.files import SweepError
from cost_analysis.search.grid import make_grid
from cost_analysis.search.sweep import OBJECTIVES
from cost_analysis.search.sweep_files import Target, make_target, prepare, remove_parts, write_part
from cost_analysis.search.sweep_join import EndedEarlyError, FinishedParts, joining
from tests.helpers.data import ROOT
from tests.helpers.sweeps import GRID, command, run, wait_for

SMALL = make_grid({"model": "1.6B", "P": "1:6"}, 1)


@pytest.fixture(params=["rows.csv", "rows.parquet"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    """Where six parts of one row each are written."""
    if request.param.endswith("parquet"):
        pytest.importorskip("pyarrow")
    found = make_target(str(tmp_path / request.param), OBJECTIVES)
    prepare(found, SMALL, resume=False)
    return found


def streams_of(path: Path) -> list[int]:
    """The column P of a file."""
    import pandas as pd

    frame = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    return [int(count) for count in frame["P"]]


def test_finished_parts_come_in_order() -> None:
    parts, seen = FinishedParts(4), list[int]()
    thread = Thread(target=lambda: seen.extend(parts))
    thread.start()
    for index in (2, 0, 3, 1):
        parts.add(index)
    thread.join(10)
    assert seen == [0, 1, 2, 3]


def test_who_waits_for_a_part_is_told_that_it_will_not_come() -> None:
    parts = FinishedParts(2)
    parts.add(1)
    parts.end()
    with pytest.raises(EndedEarlyError):
        list(parts)


def test_a_file_is_joined_from_parts_that_finish_in_any_order(target: Target) -> None:
    with joining(target, 6) as join:
        for index in (3, 0, 1, 5, 4, 2):
            write_part(SMALL, target, index)
            join(index)
        assert not target.path.exists() or len(streams_of(target.path)) == 6
    assert streams_of(target.path) == [1, 2, 3, 4, 5, 6]
    assert target.folder.exists()
    remove_parts(target)
    assert list(target.path.parent.iterdir()) == [target.path]


def test_a_part_is_joined_before_the_last_is_calculated(target: Target) -> None:
    with joining(target, 6) as join:
        for index in range(5):
            write_part(SMALL, target, index)
            join(index)
        (unfinished,) = target.folder.glob(".parscale-cost-*")
        if target.form == "parquet":  # each part is a row group, which is written at once
            wait_for(lambda: unfinished.stat().st_size > 5000)
            assert unfinished.stat().st_size > 5000
        assert not target.path.exists()
        write_part(SMALL, target, 5)
        join(5)
    assert streams_of(target.path) == [1, 2, 3, 4, 5, 6]


def test_a_sweep_that_ends_early_leaves_its_parts_and_no_file(target: Target) -> None:
    def stopped() -> None:
        with joining(target, 6) as join:
            for index in (0, 1):
                write_part(SMALL, target, index)
                join(index)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert not target.path.exists()
    assert not list(target.folder.glob(".*"))
    assert prepare(target, SMALL, resume=True) == [2, 3, 4, 5]


def test_a_file_that_cannot_be_written_ends_the_sweep(target: Target) -> None:
    write_part(SMALL, target, 0)
    target.part(0).unlink()
    finished: list[int] = []

    def all_parts() -> None:
        with joining(target, 6) as join:
            for index in range(6):
                join(index)
                finished.append(index)
                time.sleep(0.2)

    with pytest.raises(SweepError, match="cannot write"):
        all_parts()
    assert len(finished) < 6
    assert not target.path.exists()


@pytest.mark.slow
def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    arguments = [*GRID, "--output", str(path), "--part_rows", "2", "--workers", "1"]
    process = subprocess.Popen(
        command(*arguments), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(lambda: len(list(tmp_path.glob("*/part-*.csv"))) > 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = set(tmp_path.glob("*/.parscale-cost-*"))
    assert left
    grid = make_grid({"model": "1.6B,2.8B", "P": "1,2,4,8", "batch_size": "1:25",
                      "output_length": "1,9"}, 2)  # fmt: skip
    prepare(make_target(str(path), OBJECTIVES), grid, resume=True)
    assert not left & set(tmp_path.glob("*/.*"))
    run(*arguments, "--resume")
    assert [each.name for each in tmp_path.iterdir()] == ["rows.csv"]
