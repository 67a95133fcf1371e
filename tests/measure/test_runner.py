"""Groups of real runs, each model in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from cost_analysis import ModelSpec
from cost_analysis.measure import runner
from cost_analysis.measure.journal import Journal, open_journal
from cost_analysis.measure.journal_rows import Failed, Finished, Loaded, Row, Run, counted_runs
from cost_analysis.measure.runner import Limits, run_group, spread
from cost_analysis.measure.session import Job
from cost_analysis.telemetry.meter import Meter

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("ready_workers")]
SMALL = ModelSpec(64, 96, 2, 4, 2, vocab_size=97)


def no_tell(_name: str, _round: int, _seconds: float) -> None:
    return


def test_a_compiled_step_is_compiled_once(tmp_path: Path) -> None:
    """In a worker: PyTorch's own compiler warns, and here warnings are errors."""
    job = Job("x", SMALL.with_streams(2), 2, 7, 5, engine="graphs")
    with open_journal(tmp_path / "run.jsonl", resume=False) as journal:
        run_group([job], Limits(60, 5, 5), journal, no_tell, Meter())
        assert journal.of(Failed) == []
        first, *later = journal.of(Run)
    assert all(len(row.steps) == 4 for row in later)
    assert max(max(row.steps) for row in later) < first.steps[0] / 10


def test_a_group_is_run_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "CONTEXT", multiprocessing.get_context("spawn"))  # as users' are
    jobs = [Job(name, SMALL.with_streams(p), 1, 4, 2) for name, p in (("a", 1), ("b", 2))]
    with open_journal(tmp_path / "run.jsonl", resume=False) as journal:
        run_group(jobs, Limits(60, 6, 5), journal, no_tell, Meter())
        runs = [(row.job, row.round) for row in journal.of(Run)]
        assert [row.job for row in journal.of(Finished)] == ["a", "b"]
    rounds = sorted({count for _, count in runs})
    assert rounds[:2] == [-5, -4]
    assert [count for count in rounds if count >= 0] == list(range(rounds[-1] + 1))
    assert runs == [(name, count) for count in rounds for name in ("a", "b")]


def test_the_fewest_rounds_are_run_however_short_the_time(tmp_path: Path) -> None:
    with open_journal(tmp_path / "run.jsonl", resume=False) as journal:
        run_group([Job("a", SMALL, 1, 4, 2)], Limits(0.0, 9, 5), journal, no_tell, Meter())
        assert [row.round for row in journal.of(Run)] == [-5, 0, 1, 2, 3, 4]


def test_running_out_of_memory_is_a_row(tmp_path: Path) -> None:
    huge = ModelSpec(2**17, 2**18, 96, 128, 128, vocab_size=2**18)
    jobs = [Job("huge", huge, 1, 4, 2), Job("small", SMALL, 1, 4, 2)]
    with open_journal(tmp_path / "run.jsonl", resume=False) as journal:
        run_group(jobs, Limits(60, 5, 5), journal, no_tell, Meter())
        (failed,) = journal.of(Failed)
        assert failed.job == "huge"
        assert "memory" in failed.reason
        assert [row.job for row in journal.of(Finished)] == ["small"]
        assert len(counted_runs(journal.rows)) == 5


def test_a_worker_that_dies_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append = Journal.append

    def kill_at_load(journal: Journal, row: Row) -> None:
        append(journal, row)
        if isinstance(row, Loaded):
            (child,) = multiprocessing.active_children()
            os.kill(child.pid or 0, signal.SIGKILL)

    monkeypatch.setattr(Journal, "append", kill_at_load)
    with open_journal(tmp_path / "run.jsonl", resume=False) as journal:
        run_group([Job("a", SMALL, 1, 4, 2)], Limits(60, 5, 5), journal, no_tell, Meter())
        (failed,) = journal.of(Failed)
    assert "exit code -9" in failed.reason


@pytest.mark.parametrize(
    ("times", "expected"), [([1.0] * 9, 0.0), ([1.0, 2.0], 1 / 3), ([5.0], 0.0)]
)
def test_spread(times: list[float], expected: float) -> None:
    assert spread(times) == pytest.approx(expected)
