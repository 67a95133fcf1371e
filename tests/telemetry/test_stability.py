"""What makes a run unsteady, from made-up readings."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from cost_analysis.readings import CLOCK_EVENTS, Process, Reading, clock_event_names, own_and_others
from cost_analysis.stability import HARMLESS, relative_spread, stability

STEADY = tuple(
    Reading(
        time=index / 10,
        energy=float(index),
        sm_clock=1980e6,
        memory_clock=2619e6,
        temperature=60.0,
        clock_events=(),
        processes=(Process(os.getpid(), 1e9),),
    )
    for index in range(30)
)


def test_a_steady_run_has_no_findings() -> None:
    assert stability(STEADY) == ()
    assert stability(()) == ()
    assert stability([Reading(0.0), Reading(1.0)]) == ()


@pytest.mark.parametrize("event", sorted(CLOCK_EVENTS.values()))
def test_every_throttle_reason_has_a_cause_and_a_remedy(event: str) -> None:
    samples = (*STEADY[:-3], *(replace(sample, clock_events=(event,)) for sample in STEADY[-3:]))
    findings = stability(samples)
    assert len(findings) == (event not in HARMLESS)
    for finding in findings:
        assert finding.seen == f"clocks throttled ({event}) in 10% of the readings"
        assert "no cause that is known" not in finding.cause
        assert str(finding).count(";") == 1


def test_a_bit_without_a_name_is_reported_too() -> None:
    assert clock_event_names(0x1005) == ("gpu_idle", "sw_power_cap", "0x1000")
    (finding,) = stability([replace(STEADY[0], clock_events=("0x1000",))])
    assert "0x1000" in finding.seen


def test_clocks_wander_over_five_percent_and_idle_readings_do_not_count() -> None:
    slow = [replace(sample, sm_clock=1.8e9) for sample in STEADY[:5]]
    (finding,) = stability([*slow, *STEADY[5:]])
    assert finding.seen == "the SM clock varied by 9%"
    idle = [replace(sample, clock_events=("gpu_idle",)) for sample in slow]
    assert stability([*idle, *STEADY[5:]]) == ()
    near = [replace(sample, sm_clock=1.9e9) for sample in STEADY[:5]]
    assert stability([*near, *STEADY[5:]]) == ()


def test_warming_and_standing_still_are_found() -> None:
    warmer = [replace(s, temperature=40.0 + i) for i, s in enumerate(STEADY)]
    assert [f.seen for f in stability(warmer)] == ["the device warmed by 29 degC, to 69 degC"]
    still = [replace(s, energy=5.0) for s in STEADY]
    assert [f.seen for f in stability(still)] == ["the energy counter stood still for 2.9 s"]


@pytest.mark.parametrize(
    ("times", "spread"),
    [([1.0, 9.0], 0.0), ([1.0, 2.0, 3.0, 4.0, 5.0], 2 / 3), ([2.0] * 7, 0.0)],
)
def test_spread_of_quartiles(times: list[float], spread: float) -> None:
    assert relative_spread(times) == pytest.approx(spread)


def test_other_processes_are_named_and_this_one_is_not() -> None:
    me, other = Process(os.getpid(), 1.0), Process(os.getppid(), 2.0)
    assert own_and_others([other, me]) == ((me,), (other,))
    assert own_and_others([other, me], [other.pid]) == ((other, me), ())
    assert own_and_others([other]) == ((), (other,))
    assert own_and_others([]) == ((), ())
    many = tuple(Process(pid, None) for pid in range(2**22 + 1, 2**22 + 9))
    (finding,) = stability([replace(STEADY[0], processes=many)])
    assert finding.seen.startswith("7 other processes on the device (pid 4194306, ")
    assert finding.seen.endswith(" and 2 more)")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc to look into")
def test_processes_from_outside_the_container_are_as_many_as_there_should_be() -> None:
    outside = [Process(2**22 + 1 + i, 3.0) for i in range(4)]  # above any id that Linux gives
    assert own_and_others(outside[:1]) == ((outside[0],), ())
    assert own_and_others(outside[:3], [77, 78]) == (tuple(outside[:3]), ())
    mine, others = own_and_others(outside, [77, 78])
    assert (len(mine), len(others)) == (3, 1)
    crowd = [replace(STEADY[0], processes=tuple(outside), own=(77, 78))]
    (finding,) = stability(crowd)
    assert finding.seen.startswith("1 other process on the device")
