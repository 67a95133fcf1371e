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

from cost_analysis import Layout, ModelSpec, Operator, forward_pass
from cost_analysis.cost.mlp import ROUTING_KERNELS, busiest_experts, expected_experts
from cost_analysis.inputs.layers import Experts, LayerGroup
from cost_analysis.kernels import shapes
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


def mixture(batch: int, layout: Layout, shared_width: int = 0) -> dict[str, Operator]:
    """The operators of a decode step of a small mixture: 3 layers, 2 of 16 experts of width 64."""
    kind = Experts(16, 2, width=64, shared_width=shared_width)
    spec = ModelSpec(32, 64, 3, 4, 4, vocab_size=50, layers=(LayerGroup(mlp=kind),))
    return {op.name: op for op in forward_pass(spec, batch, 1, 10, layout=layout)}


def test_devices_that_share_heads_hold_whole_experts_or_a_part_of_each() -> None:
    divided = mixture(3, Layout(tensor_parallel=4))["experts: gate, up"]
    whole = mixture(3, Layout(tensor_parallel=4, expert_groups=4))["experts: gate, up"]
    assert isinstance(divided.shape, shapes.Experts)
    assert isinstance(whole.shape, shapes.Experts)
    assert (divided.shape.inner, divided.shape.held) == (16, 16)
    assert (whole.shape.inner, whole.shape.held) == (64, 4)
    assert whole.shape.tokens == divided.shape.tokens == 3
    # All devices wait for the one with most experts in use.
    assert whole.weight_bytes > divided.weight_bytes
    many = [mixture(10**5, Layout(tensor_parallel=4, expert_groups=g)) for g in (1, 2, 4)]
    for found in many:
        assert found["experts: gate, up"].weight_bytes == pytest.approx(3 * 16 * 32 * 128 / 4 * 2)
    assert not any("dispatch" in name for found in many for name in found)


def test_experts_are_chosen_in_kernels_without_flops() -> None:
    routing = mixture(5, Layout())["experts: routing"]
    assert (routing.kernels, routing.flops) == (3 * ROUTING_KERNELS, 0.0)
    assert routing.activation_bytes == 3 * 5 * (16 + 2 * 2) * 2


def test_shared_experts_are_further_ones_that_all_token_streams_reach() -> None:
    alone, joined = (mixture(1, Layout(), width) for width in (0, 128))
    plain, shared = (found["experts: gate, up"].shape for found in (alone, joined))
    assert isinstance(plain, shapes.Experts)
    assert isinstance(shared, shapes.Experts)
    assert (shared.rows - plain.rows, shared.reached - plain.reached) == (2.0, 2.0)
    for name in ("shared: gate, up", "shared: activation", "shared: down"):
        assert joined[name].is_inside
        assert name not in alone
    # Without measured kernels they take their own bytes and FLOPs.
    assert joined["shared: down"].weight_bytes == 3 * 128 * 32 * 2
