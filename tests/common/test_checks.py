"""Checks of the fields of data classes, by their metadata."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from cost_analysis import InputError
from cost_analysis.common.checks import SIZE, SWITCH, check_fields, size_from


@dataclass(frozen=True)
class Thing:
    streams: Any = field(metadata=SIZE)
    window: Any = field(default=None, metadata=size_from(2, 8))
    wide: Any = field(default=False, metadata=SWITCH)
    name: Any = 0


def test_fields_become_ints_or_float64() -> None:
    thing = Thing(np.int64(3), 4.0)
    check_fields(thing)
    assert [type(value) for value in (thing.streams, thing.window)] == [int, int]
    several = Thing(np.array([1, 2]))
    check_fields(several)
    assert several.streams.dtype == np.float64
    assert several.window is None


@pytest.mark.parametrize(
    ("thing", "sentence"),
    [
        (Thing(0), "P is 0; it must be a whole number from 1 to 2147483647"),
        (Thing(None), "P is None"),
        (Thing(True), "P is True"),
        (Thing(1, 1), "window is 1; it must be a whole number from 2 to 8"),
        (Thing(1, 9), "window is 9"),
        (Thing(1, np.array([2, 9])), "window holds 9"),
        (Thing(1, wide=1), "wide is 1; it must be true or false"),
        (Thing(1, wide=None), "wide is None"),
    ],
)
def test_invalid_fields_are_refused(thing: Thing, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        check_fields(thing)


def test_messages_use_the_callers_names_of_fields() -> None:
    with pytest.raises(InputError, match=r"^streams is 0"):
        check_fields(Thing(0), called={})
