"""What a flag of a sweep may be, and the boxes that a grid is cut into."""

from __future__ import annotations

from datetime import date, time
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_analysis import InputError
from cost_analysis.search.grid import (
    MOST_VALUES,
    PIECE_ROWS,
    Grid,
    make_grid,
    names,
    shares,
    switches,
    whole_numbers,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, (3,)),
        ("3", (3,)),
        ("1,2,8", (1, 2, 8)),
        (" 4 , 2 ", (4, 2)),
        ("2:5", (2, 3, 4, 5)),
        ("64:256:64", (64, 128, 192, 256)),
        ("1:10:+4", (1, 5, 9)),
        ("1:256:x2", (1, 2, 4, 8, 16, 32, 64, 128, 256)),
        ("3:100:x5", (3, 15, 75)),
        ("1,8:32:x2", (1, 8, 16, 32)),
        ([1, "4:6", 9.0], (1, 4, 5, 6, 9)),
        (np.array([1, 2]), (1, 2)),
        (range(2, 4), (2, 3)),
        ("7:7", (7,)),
    ],
)
def test_lists_and_ranges(value: Any, expected: tuple[int, ...]) -> None:
    assert whole_numbers("P", value) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("4:1", "ends before it begins"),
        ("1:4:0", "its step leads nowhere"),
        ("1:4:x1", "its step leads nowhere"),
        ("0:4:x2", "its step leads nowhere"),
        ("1,,2", "something is missing beside a comma"),
        ("", "something is missing beside a comma"),
        ([], "has no value"),
        ("2,1:3", "has 2 twice"),
        ("1:2:3:4", "not a whole number"),
        ("x", "not a whole number"),
        (1.5, "not a whole number"),
        (True, "not a whole number"),
        (None, "not a whole number"),
        (date(1979, 5, 27), "has 1979-05-27, which is not a whole number"),
        ([[time(7, 32), 1]], "has [07:32:00, 1], which"),
        ("9" * 5000, "not a whole number"),
        ("9" * 30, "is too large"),
        ("1:" + "9" * 30, "is too large"),
        (f"1:{MOST_VALUES + 1}", "more than 1,000,000 values"),
    ],
)
def test_what_is_no_axis_is_one_sentence(value: Any, message: str) -> None:
    with pytest.raises(InputError, match="P") as caught:
        whole_numbers("P", value)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 200


def test_names_shares_and_switches() -> None:
    assert names("engine", "eager, graphs") == ("eager", "graphs")
    assert shares("flops_efficiency", "0.5,1") == (0.5, 1.0)
    assert switches("qk_norm", [True, "false"]) == (True, False)
    for read, value in ((names, 3), (shares, "half"), (switches, "maybe"), (switches, 1)):
        with pytest.raises(InputError, match="axis"):
            read("axis", value)


def test_a_grid_refuses_before_it_holds_anything() -> None:
    many = "1:1000000"
    with pytest.raises(InputError, match="more than 100,000,000,000 rows"):
        make_grid({"P": many, "batch_size": many, "input_length": many})
    with pytest.raises(InputError, match=r"unknown axis 'batchsize'; did you mean batch_size"):
        make_grid({"batchsize": 1})


AXES = ("model", "gpu_config", "hidden_size", "P", "batch_size", "output_length")


@pytest.mark.property
@given(
    st.lists(st.integers(1, 7), min_size=len(AXES), max_size=len(AXES)),
    st.integers(1, 200),
)
def test_pieces_give_every_row_once_and_in_order(sizes: list[int], part_rows: int) -> None:
    values = {
        name: [f"{name}{i}" for i in range(size)] if name in AXES[:2] else list(range(1, size + 1))
        for name, size in zip(AXES, sizes, strict=True)
    }
    grid = make_grid(values, part_rows)
    rows: list[tuple[Any, ...]] = []
    for part in range(grid.part_count):
        before = len(rows)
        for place in grid.part(part):
            piece = grid.piece(place)
            numbers = list(product(*piece.numbers.values()))
            assert len(numbers) == np.prod(piece.shape) <= max(part_rows, 1)
            rows += [(*piece.names.values(), *row) for row in numbers]
        assert len(rows) - before == grid.rows_of_part(part) <= part_rows
    assert rows == list(product(*values.values()))
    assert grid.rows == len(rows)


def test_pieces_stay_small_however_large_the_grid() -> None:
    grid = make_grid({"P": "1:8", "batch_size": "1:1000000", "input_length": "1:5"})
    assert isinstance(grid, Grid)
    assert all(np.prod(grid.piece(i).shape) <= PIECE_ROWS for i in (0, 1, grid.piece_count - 1))
    assert grid.rows == 40_000_000
    assert grid.rows_of_part(0) <= 1 << 18
