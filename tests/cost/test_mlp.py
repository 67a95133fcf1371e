"""MLPs and experts: how many are in use, in all and on the device with most of them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_analysis.cost.mlp import busiest_experts, expected_experts
from tests.helpers.arrays import several
from tests.helpers.cases import CONFIGS


def test_streams_increase_the_traffic_of_experts(record: Callable[..., Any]) -> None:
    """One token of one stream reads two experts of eight; eight streams nearly all."""
    file = str(CONFIGS / "mixtral-8x7b.json")

    def read(streams: int) -> float:
        rows = record("--model", file, "--P", str(streams), "--output_length", "2")["operators"]
        (up,) = [
            row["bytes"]
            for row in rows
            if row["operator"] == "experts: gate, up" and row["phase"] == "decode"
        ]
        return float(up)

    one = 32 * 2 * 4096 * 2 * 14336
    assert read(1) == pytest.approx(2 * one, rel=0.001)
    assert read(8) == pytest.approx(8 * (1 - 0.75**8) * one, rel=0.001)


@pytest.mark.parametrize(
    ("number", "per_token", "rows", "groups"),
    [(8, 2, 1, 2), (8, 2, 4, 4), (8, 2, 1, 8), (64, 6, 16, 8), (256, 8, 32, 16), (256, 8, 300, 8),
     (128, 8, 400, 16)],
)  # fmt: skip
def test_the_busiest_group_is_that_of_random_routing(
    number: int, per_token: int, rows: int, groups: int
) -> None:
    generator, each, most = random.Random(1), number // groups, []
    for _ in range(300):
        reached = {e for _ in range(rows) for e in generator.sample(range(number), per_token)}
        counts = [0] * groups
        for expert in reached:
            counts[expert // each] += 1
        most.append(max(counts))
    expected = busiest_experts(*map(float, (number, per_token, rows, groups, each)))
    # That the groups are not independent shows at a single row, where it is 6 % at most here.
    assert expected == pytest.approx(np.mean(most), rel=0.07)
    assert expected <= each


def test_the_busiest_group_row_by_row() -> None:
    rows = np.array([1.0, 3.0, 50.0, 1e4])
    together = busiest_experts(64.0, 6.0, rows, np.array([[1.0], [4.0], [8.0]]), 16.0)
    for (i, groups), (j, row) in itertools.product(enumerate((1.0, 4.0, 8.0)), enumerate(rows)):
        assert several(together)[i, j] == busiest_experts(64.0, 6.0, float(row), groups, 16.0)


@pytest.mark.property
@given(st.integers(1, 300), st.data(), st.integers(0, 10**9))
def test_distinct_experts(number: int, data: st.DataObject, token_streams: int) -> None:
    per_token = data.draw(st.integers(1, number))
    found = expected_experts(float(number), float(per_token), float(token_streams))
    power = (1 - per_token / number) ** token_streams
    assert found == pytest.approx(number * (1 - power), rel=1e-9, abs=1e-6)
    assert 0 <= found <= number
    if token_streams == 1:
        assert found == pytest.approx(per_token)


@pytest.mark.property
@pytest.mark.parametrize(("number", "per_token", "token_streams"), [(8, 2, 4), (128, 8, 30)])
def test_distinct_experts_of_a_simulation(number: int, per_token: int, token_streams: int) -> None:
    """Token-streams that draw their experts at random, 4000 times."""
    random, draws = np.random.default_rng(7), 4000
    order = random.random((draws, token_streams, number)).argpartition(per_token, axis=-1)
    reached = np.zeros((draws, number), bool)
    np.put_along_axis(reached, order[:, :, :per_token].reshape(draws, -1), True, axis=-1)
    distinct = reached.sum(-1)
    error = distinct.std() / np.sqrt(draws)
    assert abs(distinct.mean() - expected_experts(number, per_token, token_streams)) < 4 * error
