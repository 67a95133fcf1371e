"""Measurements as pages and records: verdicts of recorded runs, a profile, and parity."""

from __future__ import annotations

import math
from functools import cache

import pytest

from cost_analysis import Workload
from cost_analysis.cost.estimate import estimate_on
from cost_analysis.inputs.request import make_request, model_asked
from cost_analysis.inputs.system import named_system
from cost_analysis.measure.journal import read_journal
from cost_analysis.measure.journal_rows import Failed, Finding, Row, Run, counted_runs, rows_of
from cost_analysis.measure.results import Outcome, Phase, Profile
from cost_analysis.measure.verdicts import Measured, Verdict, verdicts_of
from cost_analysis.report.measured import (
    merged_page,
    outcome_record,
    parity_page,
    phase_record,
    profile_page,
    profile_record,
    stability_notes,
    validation_page,
    verdict_record,
)
from tests.helpers.data import ROOT
from tests.helpers.pages import printed

RUNS = sorted((ROOT / "profiles" / "runs").glob("*.jsonl"))


@cache
def judged(place: int = 0) -> tuple[list[Row], dict[str, Measured], list[Verdict]]:
    rows = read_journal(RUNS[place])
    return rows, *verdicts_of(rows)


def profiled(*, on_device: bool = True, energy: float | None = 2.5) -> Profile:
    request = make_request(model_asked("0.5B", {}), Workload(1, 8, 3), named_system())
    cost = estimate_on(request.spec, request.workload, request.system)
    predicted = 0.5 if on_device else None
    phases = tuple(
        Phase(name, 0.4, 0.3, 0.5, predicted, 8e9, 4e9)
        for name in ("prefill", "decode step", "request")
    )
    missing = "" if energy else "no counter"
    return Profile(
        cost, on_device, phases, 2.0 * float(cost.memory.total), 1.5, 4, 7, energy, missing,
        ("times vary",),
    )  # fmt: skip


def test_a_verdict_is_one_flat_record() -> None:
    verdict = Verdict("memory", 8, 12.5, math.inf, 3.0, math.inf, "holds", "a sentence")
    assert verdict_record(verdict) == {
        "claim": "memory", "P": 8, "predicted_ratio": 12.5, "measured_ratio": None,
        "measured_ratio_low": 3.0, "measured_ratio_high": None, "verdict": "holds",
        "why": "a sentence",
    }  # fmt: skip


@pytest.mark.parametrize("place", range(len(RUNS)), ids=[run.stem for run in RUNS])
def test_the_page_of_recorded_runs(place: int) -> None:
    rows, found, verdicts = judged(place)
    page = validation_page(rows, found, verdicts)
    text = printed(page)
    ratios, measured = page.tables
    assert len(ratios.rows) == len(verdicts)
    assert [row[0] for row in measured.rows] == list(found)
    assert sum(int(row[-1]) for row in measured.rows) == len(counted_runs(rows))
    assert "claimed: the paper's cost model" in text


def test_several_runs_side_by_side_show_the_most_streams() -> None:
    judgements = {RUNS[i].name: (judged(i)[0], judged(i)[2]) for i in range(len(RUNS))}
    page = merged_page(judgements)
    (table,) = page.tables
    assert {row[0] for row in table.rows} == set(judgements)
    most = {
        name: sum(v.streams == max(w.streams for w in verdicts) for v in verdicts)
        for name, (_, verdicts) in judgements.items()
    }
    assert len(table.rows) == sum(most.values())
    printed(page)


def test_what_failed_and_what_is_doubtful_is_noted() -> None:
    rows, found, verdicts = judged()
    job = rows_of(rows, Run)[0].job
    more = [*rows, Failed(job=job, reason="killed"), Finding(text="the clock fell")]
    notes = validation_page(more, found, verdicts).notes
    assert f"{job} was not measured: killed" in notes
    assert "unstable: the clock fell" in stability_notes(more, found)


def test_a_profile_beside_its_prediction() -> None:
    text = printed(profile_page(profiled(), "a title"))
    assert text.startswith("a title\n7 runs, 4 threads, loaded in 1.50 s\n")
    assert "+25.0%" in text  # 0.5 s predicted, 0.4 s measured
    assert "-50.0%" in text  # of the memory
    assert "energy of a request: 2.5 J" in text
    assert "unstable: times vary" in text
    without = printed(profile_page(profiled(on_device=False, energy=None), "a title"))
    assert "no prediction: name the device" in without
    assert "energy could not be read: no counter" in without


def test_records_of_a_profile() -> None:
    profile = profiled()
    record = profile_record(profile)
    assert record["phases"] == [phase_record(phase) for phase in profile.phases]
    assert record["memory_bytes"]["measured"] == 2 * record["memory_bytes"]["predicted"]
    first = record["phases"][0]
    assert (first["achieved_flop_per_s"], first["achieved_bytes_per_s"]) == (2e10, 1e10)
    assert first["measured_lower_quartile_s"] < first["measured_s"] < first["predicted_s"]


def test_parity_names_what_fails() -> None:
    good = Outcome("m", "b1", "eager", "static", 1e-6, 2e-6)
    greedy = Outcome("m", "greedy", "eager", "static", 0.0, 0.0, True)
    wrong = Outcome("m", "b2", "sdpa", "dynamic", 3e-4, 0.0)
    assert outcome_record(good)["passed"]
    assert not outcome_record(wrong)["passed"]
    page = parity_page([good, greedy, wrong])
    assert page.summary == (
        "2 of 3 cases agree; the worst logit is off by 3.0e-04, 1e-04 is allowed",
    )
    assert page.tables[0].rows == (
        ("m", "eager", "static", "1", "1.0e-06", "2.0e-06", "same tokens"),
        ("m", "sdpa", "dynamic", "1", "3.0e-04", "0.0e+00", ""),
    )
    assert page.notes == ("failed: m, b2, sdpa, dynamic",)
    printed(page)
