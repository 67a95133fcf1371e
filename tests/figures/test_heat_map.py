"""A column of a sweep over two axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cost_analysis import InputError, sweep
from cost_analysis.figures.heat_map import MOST_VALUES, HeatMap, heat_map
from cost_analysis.search.grid import make_grid


def of(column: str, **axes: Any) -> HeatMap:
    return heat_map(make_grid(axes), column)


def test_values_are_those_of_the_sweep() -> None:
    axes: dict[str, Any] = {"model": "1.6B", "P": [1, 2, 8], "batch_size": [1, 16]}
    found = of("latency_ttft_s", **axes)
    assert (found.rows, found.columns) == (("P", (1, 2, 8)), ("batch_size", (1, 16)))
    assert found.fixed == {"model": "1.6B"}
    assert found.column.name == "latency_ttft_s"
    frame = sweep(**axes)
    for row, streams in enumerate((1, 2, 8)):
        for column, batch in enumerate((1, 16)):
            chosen = (streams, batch)
            (one,) = frame.set_index(["P", "batch_size"]).loc[[chosen]].latency_ttft_s
            assert found.values[row, column] == one
    assert found.fits.all()


def test_axes_of_names_and_what_does_not_fit() -> None:
    found = of(
        "memory_total_bytes", model="4.4B", gpu_config="t4,h100", input_length=[64, 2**17],
        batch_size=8,
    )  # fmt: skip
    varied = {found.rows[0], found.columns[0]}
    assert varied == {"gpu_config", "input_length"}
    assert not found.fits.all()
    assert found.fits.any()
    assert found.values.dtype == np.float64


@pytest.mark.parametrize(
    ("column", "axes", "sentence"),
    [
        ("loss", {}, "unknown column of numbers 'loss'"),
        ("model", {}, "unknown column of numbers 'model'"),
        ("latency_ttft_s", {"P": [1, 2]}, "two axes with several values each; given: P"),
        ("latency_ttft_s", {"P": 1}, "given: none"),
        (
            "latency_ttft_s",
            {"P": [1, 2], "batch_size": [1, 2], "output_length": [1, 2]},
            "given: P, batch_size, output_length",
        ),
        (
            "latency_ttft_s",
            {"P": [1, 2], "batch_size": f"1:{MOST_VALUES + 1}"},
            f"batch_size has more than the {MOST_VALUES} values",
        ),
    ],
)
def test_maps_that_cannot_be_drawn(column: str, axes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        of(column, model="1.6B", **axes)
