"""Error messages about values that a user gave."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from cost_analysis.common.errors import MOST_NAMES, InputError, shown, unknown_name


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "'a'"),
        (3, "3"),
        (date(1979, 5, 27), "1979-05-27"),
        ([date(1979, 5, 27), "a"], "[1979-05-27, 'a']"),
        ({"a": [1]}, "{'a': [1]}"),
        ("x" * 100, "'" + "x" * 59 + "…"),
    ],
)
def test_values_as_messages_repeat_them(value: Any, text: str) -> None:
    assert shown(value) == text


def test_long_values_are_cut() -> None:
    assert shown("x" * 100, 200) == repr("x" * 100)
    assert shown("abcdef", 3) == "'ab…"
    assert shown(10**5000) == "a number of thousands of digits"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("h100x", "unknown device 'h100x'; did you mean H100 or a100?"),
        ("A10", "unknown device 'A10'; did you mean a10 or a100?"),
        ("zzz", "unknown device 'zzz'; known: H100, a10, a100"),
    ],
)
def test_the_nearest_names_in_any_case(name: str, sentence: str) -> None:
    error = unknown_name("device", name, ["a100", "H100", "a10"])
    assert isinstance(error, InputError)
    assert isinstance(error, ValueError)
    assert str(error) == sentence


def test_no_message_lists_hundreds_of_names() -> None:
    names = [f"n{index:03}" for index in range(MOST_NAMES + 5)]
    assert str(unknown_name("x", "something else", names)).endswith("n011 and 5 more")
    assert len(str(unknown_name("x", "y" * 10_000, names))) < 300
