"""Real runs of small models: sessions, workers, groups, and a validation that is killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from cost_analysis import ModelSpec, campaign
from cost_analysis.campaign import Limits, run_group, spread
from cost_analysis.journal import Journal, open_journal, read_journal
from cost_analysis.journal_rows import (
    Failed,
    Finished,
    Loaded,
    Plan,
    Row,
    Run,
    counted_runs,
    rows_of,
)
from cost_analysis.measure import Job, Session
from cost_analysis.meter import Meter

pytestmark = pytest.mark.usefixtures("ready_workers")
SMALL = ModelSpec(64, 96, 2, 4, 2, vocab_size=97)
START_METHODS = multiprocessing.get_all_start_methods()
KILLS = int(os.environ.get("KILLS", "2"))
"""How often the validation is killed; more, on request, take minutes."""

TINY = ["--size", "tiny", "--input_length", "8", "--output_length", "3", "--rounds", "6"]


def no_tell(_name: str, _round: int, _seconds: float) -> None:
    return


def test_a_session_times_every_phase() -> None:
    session = Session(Job("x", SMALL.with_streams(2), 2, 7, 5))
    for run in (session.run(), session.run()):
        assert len(run.steps) == 4
        assert all(step > 0 for step in (run.prefill, *run.steps))
        assert run.total == run.prefill + sum(run.steps)
    assert session.memory["peak"] >= session.memory["before"] > 0


def test_a_compiled_step_is_compiled_once(tmp_path: Path) -> None:
    """In a worker: PyTorch's own compiler warns, and here warnings are errors."""
    job = Job("x", SMALL.with_streams(2), 2, 7, 5, engine="graphs")
    with open_journal(tmp_path / "run.jsonl", resume=False) as journal:
        run_group([job], Limits(60, 5, 5), journal, no_tell, Meter())
        assert journal.of(Failed) == []
        first, *later = journal.of(Run)
    assert all(len(row.steps) == 4 for row in later)
    assert max(max(row.steps) for row in later) < first.steps[0] / 10


def test_both_engines_compute_the_same() -> None:
    job = Job("x", SMALL.with_streams(2), 2, 7, 5)
    session = Session(job)
    with torch.inference_mode():
        tokens = session.prompt
        growing, fixed = session.model.new_cache(2), session.model.new_cache(2, 11)
        for cache in (growing, fixed):
            session.model(tokens, cache)
        position = torch.full((1, 1), 7)
        asked = session.model(tokens[:, :1], growing)
        told = session.model(tokens[:, :1], fixed, positions=position)
    torch.testing.assert_close(asked, told)


def test_a_renewed_cache_forgets_the_last_request() -> None:
    model = Session(Job("x", SMALL.with_streams(2), 1, 7, 2)).model
    first, second = torch.randint(0, 97, (2, 1, 7))
    with torch.inference_mode():
        cache = model.new_cache(1, 7)
        expected = model(first, cache)
        model.renew(cache, 1)
        other = model(second, cache)
        model.renew(cache, 1)
        torch.testing.assert_close(model(first, cache), expected)
    assert not torch.allclose(other, expected)


def test_a_group_is_run_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "CONTEXT", multiprocessing.get_context("spawn"))  # as users' are
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


READY = """
import multiprocessing, sys
from cost_analysis import campaign
from cost_analysis.commands import main
if __name__ == "__main__":
    campaign.CONTEXT = multiprocessing.get_context("forkserver")
    campaign.CONTEXT.set_forkserver_preload(["cost_analysis.measure"])
    main(sys.argv[1:])
"""
"""The program with processes that find PyTorch loaded, as `ready_workers` has them."""


def validate(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    program = ["-c", READY] if "forkserver" in START_METHODS else ["-m", "cost_analysis"]
    command = [sys.executable, *program, "validate", *TINY, *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def test_killed_and_resumed_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """SIGKILL at random points; in the end every round of every job is there once."""
    random_points, kills, number = random.Random(0), 0, 0
    seen: list[str] = []
    while kills < KILLS:
        path = tmp_path / f"run{number}.jsonl"
        run = validate("--output", str(path), "--resume", start_new_session=True)
        time.sleep(random_points.uniform(4, 12))
        ended = os.waitid(os.P_PID, run.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        kills += not ended
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
        lines = path.read_text().splitlines() if path.exists() else []
        assert lines[: max(len(seen) - 1, 0)] == seen[:-1]
        seen = lines
        if ended:  # killed no more: the next kills are for another journal
            check_ended(path)
            seen, number = [], number + 1
    check_ended(tmp_path / f"run{number}.jsonl")


def check_ended(path: Path) -> None:
    """Go on to the end, if need be; nothing is lost or there twice, and the report is the same."""
    run = validate("--output", str(path), "--resume")
    output, errors = run.communicate(timeout=120)
    assert run.returncode in (0, 3), errors
    assert "Ratio of increases" in output
    rows = read_journal(path)
    (plan,) = rows_of(rows, Plan)
    jobs = [planned.job for planned in plan.jobs]
    assert Counter(row.job for row in rows_of(rows, Finished)) == Counter(jobs)
    counted = Counter((run.job, run.round) for run in counted_runs(rows))
    assert max(counted.values()) == 1
    for job in jobs:
        rounds = sorted(count for name, count in counted if name == job)
        assert rounds == list(range(len(rounds)))
        assert len(rounds) >= 5
    report = subprocess.run(
        [sys.executable, "-m", "cost_analysis", "report", str(path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert report.stdout == output


def test_a_journal_of_another_plan_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    recorded = Path(__file__).parents[2] / "profiles" / "runs" / "paper-fp32.jsonl"
    path.write_text(recorded.read_text().splitlines(keepends=True)[0])
    run = validate("--output", str(path), "--resume")
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 2
    assert "was begun with size = paper, not tiny" in errors
    assert len(errors.splitlines()) == 1


def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("a CUDA device is here")
    run = validate("--output", str(tmp_path / "run.jsonl"), "--device", "cuda")
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 2
    assert "no CUDA device is here" in errors
