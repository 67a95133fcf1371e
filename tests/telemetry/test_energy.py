"""Energy between two times, from made-up readings."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_analysis.energy import MINIMUM_UPDATES, energy_window, longest_stall
from cost_analysis.readings import Reading


def readings(
    seconds: float, rate: float = 10.0, watts: float = 100.0, tick: float = 0.05
) -> list[Reading]:
    """Of a device of steady power whose counter moves every tick."""
    times = [index / rate for index in range(round(seconds * rate) + 1)]
    return [
        Reading(t, power=watts, energy=1e6 + watts * tick * math.floor(t / tick + 1e-9))
        for t in times
    ]


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
