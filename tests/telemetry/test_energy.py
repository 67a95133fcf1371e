"""Energy between two times, and what makes a run unsteady, from made-up readings."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_analysis.telemetry.energy import (
    HARMLESS,
    MINIMUM_UPDATES,
    energy_window,
    longest_stall,
    relative_spread,
    stability,
)
from cost_analysis.telemetry.readings import (
    CLOCK_EVENTS,
    Process,
    Reading,
    clock_event_names,
    own_and_others,
)


def readings(
    seconds: float, rate: float = 10.0, watts: float = 100.0, tick: float = 0.05
) -> list[Reading]:
    """Of a device of steady power whose counter moves every tick."""
    times = [index / rate for index in range(round(seconds * rate) + 1)]
    return [
        Reading(t, power=watts, energy=1e6 + watts * tick * math.floor(t / tick + 1e-9))
        for t in times
    ]


@pytest.mark.property
@given(
    st.floats(0.0, 4.0), st.floats(0.6, 5.9), st.floats(1.0, 1000.0), st.sampled_from([0.02, 0.05])
)
def test_steady_power_is_found_within_the_stated_resolution(
    start: float, length: float, watts: float, tick: float
) -> None:
    found = energy_window(readings(10.0, watts=watts, tick=tick), start, start + length, tick)
    assert found.source == "counter"
    assert found.resolution == pytest.approx(tick / length)
    assert found.joules == pytest.approx(watts * length, rel=found.resolution)
    assert found.power_joules == pytest.approx(watts * length)
    assert found.watts == pytest.approx(watts, rel=found.resolution)
    assert found.mean("power") == pytest.approx(watts)
    assert found.mean("temperature") is None


@pytest.mark.property
@given(st.floats(0.1, 3.9), st.floats(0.1, 3.9))
def test_windows_add_up(first: float, second: float) -> None:
    samples, middle, end = readings(8.0), first, first + second
    whole = energy_window(samples, 0.0, end)
    parts = energy_window(samples, 0.0, middle), energy_window(samples, middle, end)
    for name in ("counter_joules", "power_joules"):
        together = sum(getattr(part, name) for part in parts)
        assert together == pytest.approx(getattr(whole, name))


def test_without_a_known_tick_the_changes_seen_are_counted() -> None:
    samples = readings(3.0)
    assert energy_window(samples, 0.0, (MINIMUM_UPDATES + 1) / 10).source == "counter"
    short = energy_window(samples, 0.0, (MINIMUM_UPDATES - 2) / 10)
    assert short.joules is None
    assert "window too short" in short.reasons[0]


def test_a_counter_that_stops_half_way_is_not_believed() -> None:
    samples = readings(4.0)
    stuck = [
        Reading(s.time, power=s.power, energy=min(s.energy or 0.0, 1e6 + 200.0)) for s in samples
    ]
    found = energy_window(stuck, 0.0, 4.0, 0.05)
    assert found.source == "power"
    assert found.joules == pytest.approx(400.0)
    assert found.counter_joules == pytest.approx(200.0)
    assert longest_stall(stuck) == pytest.approx(2.0)
    assert longest_stall(samples) == 0.0


def test_a_counter_that_runs_backwards_is_not_believed() -> None:
    samples = readings(2.0)
    samples[10] = Reading(samples[10].time, power=100.0, energy=0.0)
    assert energy_window(samples, 0.0, 2.0).reasons[0] == "the energy counter went backwards"


def test_a_window_beyond_the_readings_is_refused_with_the_reason() -> None:
    samples = [*readings(2.0), Reading(2.1, missing={"energy": "GPU_IS_LOST"})]
    for start, end in ((-1.0, 1.0), (0.0, 2.1), (5.0, 6.0), (1.0, 1.0)):
        found = energy_window(samples, start, end, 0.05)
        assert found.joules is None
        assert len(found.reasons) == 2
    assert "(GPU_IS_LOST)" in energy_window(samples, 0.0, 2.1).reasons[0]
    assert energy_window([], 0.0, 1.0).samples == ()


def test_a_gap_in_the_power_readings_is_told() -> None:
    samples = [Reading(s.time, power=s.power) for s in readings(2.0)]
    del samples[5:15]
    found = energy_window(samples, 0.0, 2.0)
    assert found.joules is None
    assert found.reasons[-1] == "power was not read for 1.1 s of it"


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
