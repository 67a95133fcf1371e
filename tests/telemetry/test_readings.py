"""Readings of a device: bits by their names, and values that are not there."""

from __future__ import annotations

from dataclasses import fields

import pytest

from cost_analysis.telemetry.readings import CLOCK_EVENTS, Reading, clock_event_names


@pytest.mark.parametrize("bit", CLOCK_EVENTS)
def test_bits_of_clock_events_have_names(bit: int) -> None:
    assert bit & (bit - 1) == 0
    assert clock_event_names(bit) == (CLOCK_EVENTS[bit],)


def test_all_bits_at_once_and_none() -> None:
    assert set(clock_event_names(sum(CLOCK_EVENTS))) == set(CLOCK_EVENTS.values())
    assert clock_event_names(0) == ()
    assert clock_event_names(1 << 40) == (hex(1 << 40),)


def test_a_reading_without_any_value_is_one() -> None:
    empty = Reading(1.5)
    assert empty.time == 1.5
    values = {item.name: getattr(empty, item.name) for item in fields(Reading)}
    assert not any(value for name, value in values.items() if name != "time")
