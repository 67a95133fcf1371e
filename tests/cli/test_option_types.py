"""Types of flags: what a text stands for, and which are refused."""

from __future__ import annotations

from typing import Any

import click
import pytest

from cost_analysis import Precision
from cost_analysis.cli.option_types import (
    BYTES,
    DATA_TYPE,
    FORMATS,
    MOST_VALUES,
    NAMES,
    NUMBERS,
    SECONDS,
    WATTS,
)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (BYTES, "8 GiB", 8 * 2**30),
        (SECONDS, "200ms", 0.2),
        (WATTS, "1.2 kW", 1200.0),
        (SECONDS, 0.2, 0.2),
        (DATA_TYPE, "int4-g32", "int4-g32"),
        (NAMES, "a, b", ("a", "b")),
        (NUMBERS, "1,8, 64", (1, 8, 64)),
        (NUMBERS, "2,2", (2, 2)),
        (FORMATS, "int8", (Precision("int8"),)),
        (FORMATS, "int8/bf16/fp8,fp8/fp8", (Precision("int8", "bf16", "fp8"),
                                            Precision("fp8", "fp8"))),
    ],
)  # fmt: skip
def test_values(kind: click.ParamType[Any], text: Any, value: Any) -> None:
    found = kind.convert(text, None, None)
    assert found == pytest.approx(value) if isinstance(value, float) else found == value


def test_a_value_that_is_one_stays() -> None:
    """Click hands over defaults as they are."""
    values: list[tuple[Any, Any]] = [(FORMATS, (Precision(),)), (NUMBERS, (1, 2)), (BYTES, 8.0)]
    for kind, value in values:
        assert kind.convert(value, None, None) is value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (SECONDS, "200"), (SECONDS, "3 GB"), (BYTES, "-1 GiB"), (DATA_TYPE, "int5"),
        (NUMBERS, "0"), (NUMBERS, "1,x"), (NUMBERS, ""), (NUMBERS, str(2**31)),
        (NUMBERS, ",".join(["1"] * (MOST_VALUES + 1))),
        (FORMATS, "int8,int8"), (FORMATS, "int8/bf16/fp8/fp8"), (FORMATS, "int9"),
    ],
)  # fmt: skip
def test_refused_values(kind: click.ParamType[Any], text: str) -> None:
    with pytest.raises(click.BadParameter) as error:
        kind.convert(text, None, None)
    assert len(error.value.message) < 300
    assert "\n" not in error.value.message
