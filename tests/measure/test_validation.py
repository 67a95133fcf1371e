"""Validations of real models, killed and resumed."""

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

from cost_analysis.measure.journal import read_journal
from cost_analysis.measure.journal_rows import Finished, Plan, counted_runs, rows_of

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("ready_workers")]
START_METHODS = multiprocessing.get_all_start_methods()

KILLS = int(os.environ.get("KILLS", "2"))
"""How often the validation is killed; more, on request, take minutes."""

TINY = ["--size", "tiny", "--input_length", "8", "--output_length", "3", "--rounds", "6"]

READY = """
import multiprocessing, sys
from cost_analysis.measure import runner
from cost_analysis.cli.main import main
if __name__ == "__main__":
    runner.CONTEXT = multiprocessing.get_context("forkserver")
    runner.CONTEXT.set_forkserver_preload(["cost_analysis.measure.session"])
    main(sys.argv[1:])
"""
"""The program with processes that find PyTorch loaded, as `ready_workers` has them."""


def validate(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    program = ["-c", READY] if "forkserver" in START_METHODS else ["-m", "cost_analysis"]
    command = [sys.executable, *program, "validate", *TINY, *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


@pytest.mark.slow
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
