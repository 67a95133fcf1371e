"""The lines of a journal: which fields are written, and which runs and requests they hold."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from cost_analysis.measure.journal import open_journal
from cost_analysis.measure.journal_rows import (
    Failed,
    Finished,
    Loaded,
    Plan,
    PlannedJob,
    Request,
    Row,
    Run,
    counted_runs,
    requests_of,
    rows_of,
)


def test_what_applies_to_a_gpu_alone_is_left_out(tmp_path: Path) -> None:
    run = Run(job="a", round=0, prefill=1.0, total=1.0, memory_before_bytes=1, memory_peak_bytes=2)
    read = replace(run, watts=None, sm_clock_hz=1e9, again=(Request(prefill=1.0, total=1.0),))
    with open_journal(tmp_path / "run.jsonl", resume=False) as journal:
        journal.append(run)
        journal.append(read)
    without, with_gpu = map(json.loads, journal.path.read_text().splitlines())
    assert set(without) == {
        "kind", "job", "round", "energy_joules", "energy_source", "energy_missing", "prefill",
        "steps", "total", "memory_before_bytes", "memory_peak_bytes",
    }  # fmt: skip
    assert with_gpu.keys() - without.keys() == {"watts", "sm_clock_hz", "again"}
    assert with_gpu["watts"] is None
    assert len(requests_of(read)) == 2


def run_of(job: str, number: int) -> Run:
    return Run(
        job=job, round=number, prefill=1.0, total=1.0, memory_before_bytes=1, memory_peak_bytes=2
    )


def test_runs_of_the_warm_up_do_not_count() -> None:
    rows: list[Row] = [
        run_of("a", -1), Finished(job="b"), run_of("a", 0), run_of("b", 0), run_of("a", 1),
        Failed(job="a", reason="killed"),
    ]  # fmt: skip
    assert [(run.job, run.round) for run in counted_runs(rows)] == [("a", 0), ("b", 0), ("a", 1)]
    assert rows_of(rows, Failed) == [rows[-1]]
    assert rows_of(rows, Loaded) == []


def test_requests_of_a_run_are_the_first_and_its_repeats_in_order() -> None:
    again = (Request(prefill=2.0, total=5.0), Request(prefill=3.0, steps=(1.0,), total=6.0))
    run = replace(run_of("a", 0), steps=(0.5, 0.25), again=again)
    first = Request(prefill=1.0, steps=(0.5, 0.25), total=1.0)
    assert requests_of(run) == (first, *again)
    assert requests_of(run_of("a", 0)) == (Request(prefill=1.0, total=1.0),)


def test_each_line_names_its_kind() -> None:
    job = PlannedJob(job="a", label="a", role="base", group=0, base="a", paired=True, parameters=1)
    plan = Plan(
        size="tiny", dataset="stack", dtype="fp32", batch_size=1, input_length=8, output_length=3,
        device="cpu", engine="eager", jobs=(job,),
    )  # fmt: skip
    rows: list[Row] = [plan, run_of("a", 0), Failed(job="a", reason="killed"), Finished(job="a")]
    written = [msgspec.json.encode(row) for row in rows]
    assert [json.loads(line)["kind"] for line in written] == ["plan", "run", "failed", "finished"]
    assert [msgspec.json.decode(line, type=Row) for line in written] == rows


@pytest.mark.parametrize("content", ['{"kind": "gone", "job": "a"}', '{"job": "a"}'])
def test_a_line_of_no_known_kind_is_an_error(content: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(content, type=Row)
