"""Verdicts, from journals that are written by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from cost_analysis import InputError
from cost_analysis.common.arrays import single_count
from cost_analysis.law.family import size_of
from cost_analysis.law.scaling_law import ScalingLaw
from cost_analysis.measure.journal import Member, members
from cost_analysis.measure.journal_rows import Finished, Plan, PlannedJob, Row, Run, rows_of
from cost_analysis.measure.verdicts import Increases, measured_increases, verdicts, verdicts_of

LAW = ScalingLaw(0.6912, 1.131e7, 0.1894, 0.3935)


def journal(
    times: dict[str, Any], memory: dict[str, float], plan: list[Member], rounds: int = 20
) -> list[Row]:
    """A journal in which each model takes `times` (a number, or one for each round)."""
    jobs = tuple(
        PlannedJob(job=member.label, label=member.label, base=plan[0].label, role=member.role,
                   paired=True, group=1, parameters=single_count(size_of(member.spec)))
        for member in plan
    )  # fmt: skip
    rows: list[Row] = [
        Plan(size="paper", dataset="stack", batch_size=1, input_length=64, output_length=3,
             dtype="fp32", engine="eager", device="cpu", jobs=jobs)
    ]  # fmt: skip
    for index in range(-2, rounds):
        for member in plan:
            scale = np.broadcast_to(times[member.label], rounds)[max(index, 0)]
            rows.append(Run(job=member.label, round=index, prefill=2 * float(scale),
                            steps=(float(scale),) * 2, total=4 * float(scale),
                            memory_before_bytes=100,
                            memory_peak_bytes=100 + memory[member.label]))  # fmt: skip
    return rows


PLAN = members("paper", LAW)
LABELS = [member.label for member in PLAN]
FLAT = dict(zip(LABELS, [1.0, 1.1, 1.05, 1.02, 2.0, 3.0], strict=True))


def test_a_ratio_by_hand() -> None:
    """P = 8 needs 2.90B: 92 % of the way from 2.8B's neighbours, between 2.0 and 3.0 times."""
    found = {(v.claim, v.streams): v for v in verdicts(journal(FLAT, FLAT, PLAN), LAW, PLAN)}
    equal = LAW.equal_loss_size(1595669000, 8)
    share = (equal - 2774773760) / (4353203200 - 2774773760)
    expected = (2.0 + share - 1) / 0.1
    for claim in ("memory", "latency", "ttft", "tpot"):
        verdict = found[claim, 8]
        assert verdict.measured == pytest.approx(expected, rel=1e-6)
        assert verdict.low == pytest.approx(expected, rel=1e-6)
    # The paper's own cost model at batch 1, 64 in, 3 out.
    assert found["memory", 8].predicted > 10
    assert found["ttft", 8].predicted == 1.0
    assert found["ttft", 8].verdict == "holds"
    assert found["memory", 8].verdict == "does not hold here"


def test_energy_is_judged_where_it_was_read() -> None:
    rows = journal(FLAT, FLAT, PLAN)
    assert {v.claim for v in verdicts(rows, LAW, PLAN)} == {"memory", "latency", "ttft", "tpot"}
    rows = [
        replace(row, energy_joules=7 * row.total) if isinstance(row, Run) else row for row in rows
    ]
    found = {(v.claim, v.streams): v for v in verdicts(rows, LAW, PLAN)}
    assert found["energy", 8].measured == pytest.approx(found["latency", 8].measured)
    rows[-1] = replace(rows[-1], energy_joules=None)
    assert "energy" not in {v.claim for v in verdicts(rows, LAW, PLAN)}


def test_a_slow_machine_cancels() -> None:
    """All models twice as slow in some rounds: paired ratios do not move."""
    drift = np.where(np.arange(20) % 3 == 0, 2.0, 1.0)
    slowed = {label: value * drift for label, value in FLAT.items()}
    steady = verdicts(journal(FLAT, FLAT, PLAN), LAW, PLAN)
    drifting = verdicts(journal(slowed, FLAT, PLAN), LAW, PLAN)
    for one, other in zip(steady, drifting, strict=True):
        assert one.measured == pytest.approx(other.measured, rel=1e-9)


def test_noise_cannot_be_told() -> None:
    random = np.random.default_rng(0)
    noisy = {label: 1.0 + 0.3 * random.standard_normal(20) for label in LABELS}
    found = verdicts(journal(noisy, FLAT, PLAN), LAW, PLAN)
    assert {v.verdict for v in found if v.claim != "memory"} == {"cannot be determined"}


def test_streams_that_are_lost_in_the_noise_hold_where_the_interval_is_above_the_claim() -> None:
    random = np.random.default_rng(0)
    nearly = {**FLAT, "1.6B P=8": 1.0 + 0.01 * random.standard_normal(20)}
    found = {(v.claim, v.streams): v for v in verdicts(journal(nearly, FLAT, PLAN), LAW, PLAN)}
    latency = found["latency", 8]
    assert latency.predicted < latency.low
    assert latency.high == float("inf")
    assert latency.verdict == "holds"


def test_few_rounds_cannot_be_told() -> None:
    found = verdicts(journal(FLAT, FLAT, PLAN, rounds=3), LAW, PLAN)
    assert {v.verdict for v in found if v.claim == "latency"} == {"cannot be determined"}


def test_free_streams_and_dear_streams() -> None:
    free = {**FLAT, "1.6B P=8": 0.9, "1.6B P=4": 4.0}
    found = {(v.claim, v.streams): v for v in verdicts(journal(free, FLAT, PLAN), LAW, PLAN)}
    assert found["latency", 8].measured == float("inf")
    assert found["latency", 8].verdict == "holds"
    assert found["latency", 4].measured < 1
    assert found["latency", 4].verdict == "does not hold here"
    assert "parameters add less" in found["latency", 4].why


def test_where_nothing_increases_nothing_can_be_told() -> None:
    same = dict.fromkeys(LABELS, 1.0)
    found = {(v.claim, v.streams): v for v in verdicts(journal(same, same, PLAN), LAW, PLAN)}
    for verdict in found.values():
        assert np.isnan([verdict.measured, verdict.low, verdict.high]).all()
        assert verdict.verdict == "cannot be determined"
        assert verdict.why == "neither streams nor parameters add anything"


def test_unpaired_models_are_marked() -> None:
    rows = journal(FLAT, FLAT, PLAN)
    (planned,) = rows_of(rows, Plan)
    unpaired = replace(planned.jobs[-1], paired=False)
    rows[0] = replace(planned, jobs=(*planned.jobs[:-1], unpaired))
    found = measured_increases(rows)
    assert not found["4.4B P=1"].paired
    assert np.median(found["4.4B P=1"].ratios["total"]) == pytest.approx(3.0)


def test_journals_that_say_nothing() -> None:
    with pytest.raises(InputError, match="does not begin with the plan"):
        verdicts_of([Finished(job="a")])
    with pytest.raises(InputError, match="no finished round of the base"):
        verdicts_of(journal(FLAT, FLAT, PLAN)[:1])


def test_resamples_in_which_nothing_increases_are_left_out() -> None:
    streams = np.array([0.1, 0.1, 0.0, -0.1])
    wider = np.array([0.2, 0.4, -0.1, 0.0])
    found = Increases(0.1, 0.3, streams, wider, rounds=9)
    assert found.ratio == pytest.approx(3)
    assert found.interval == pytest.approx((2, 4))


def test_a_resample_in_which_only_parameters_add_has_no_upper_end() -> None:
    found = Increases(0.1, 0.3, np.array([0.1, 0.0]), np.array([0.2, 0.2]), rounds=9)
    assert found.interval == pytest.approx((2, np.inf))
