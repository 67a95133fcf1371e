"""Curves of routed experts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_analysis.common.arrays import single
from cost_analysis.cost.mlp import expected_experts
from cost_analysis.kernels.experts import ExpertCurve, expert_load
from cost_analysis.kernels.shapes import Experts
from tests.helpers.arrays import several

CURVE = ExpertCurve(
    cache=50e6,
    weight_bytes=1.0,
    start=16e-6,
    divided_start=1.5e-6,
    ungated_start=2e-6,
    width_seconds=1e-9,
    held_seconds=2.3e-7,
    bandwidth=3.3e12,
    narrow_reads=105.0,
    rate=1.5e15,
    narrow_tiles=200.0,
    padding=23.0,
    tile_seconds=1.2e-11,
    spill=0.7,
    exposed=0.9,
    row_seconds=2.2e-12,
    token_seconds=1.1e-13,
    cached=0.5,
)
SMALL = Experts(4.0, 4096.0, 1536.0, 128.0, 128.0, 8.0, "")

sizes = st.builds(
    lambda tokens, hidden, inner, held, groups, share, matrices: Experts(
        float(tokens),
        hidden * 256.0,
        inner * 16.0,
        float(held * groups),
        float(held),
        float(max(1, held * groups // share)),
        "",
        float(matrices),
    ),
    st.integers(1, 16384),
    st.integers(4, 32),
    st.integers(1, 512),
    st.sampled_from((1, 4, 16, 128)),
    st.sampled_from((1, 2, 8)),
    st.integers(2, 64),
    st.sampled_from((2, 3)),
)


@given(sizes, st.booleans())
def test_a_number_and_an_array_agree_to_the_last_bit(shape: Experts, warm: bool) -> None:
    many = shape._replace(tokens=np.array([shape.tokens, 1.0]))
    times = several(CURVE.seconds(many, warm=warm))
    assert times[0] == single(CURVE.seconds(shape, warm=warm))
    assert times[1] == single(CURVE.seconds(shape._replace(tokens=1.0), warm=warm))


@given(sizes)
def test_more_of_anything_takes_no_less(shape: Experts) -> None:
    time = single(CURVE.seconds(shape))
    for name in ("tokens", "hidden", "inner"):
        larger = shape._replace(**{name: getattr(shape, name) * 2.0})
        # A tile that is fuller may cost a reached expert less than its share: 1e-9 is rounding.
        assert single(CURVE.seconds(larger)) >= time * (1.0 - 1e-9)
    assert single(CURVE.seconds(shape, warm=True)) <= time


def test_the_load_is_what_is_expected_or_what_the_shape_says() -> None:
    rows, reached = expert_load(SMALL)
    assert rows == 32.0
    assert reached == expected_experts(128.0, 8.0, 4.0)
    assert expert_load(SMALL._replace(rows=20.0, reached=5.0)) == (20.0, 5.0)
    rows, reached = expert_load(SMALL._replace(held=32.0))
    assert rows == 8.0
    assert single(reached) == pytest.approx(single(expected_experts(128.0, 8.0, 4.0)) / 4.0)


def test_reading_counts_the_experts_that_are_reached() -> None:
    """The difference of two loads with the same rows is weights at the bandwidth, and padding."""
    plain = replace(CURVE, padding=0.0, exposed=0.0, narrow_reads=0.0, tile_seconds=0.0)
    few, many = (SMALL._replace(rows=64.0, reached=reached) for reached in (16.0, 48.0))
    weights = 32.0 * 3.0 * 4096.0 * 1536.0
    assert single(plain.seconds(many)) - single(plain.seconds(few)) == pytest.approx(
        weights / 3.3e12, rel=1e-9
    )


def test_small_weights_are_read_faster_in_a_benchmark_only() -> None:
    """Those that fit in L2 half, those beyond not at all."""
    tiny = SMALL._replace(inner=16.0, rows=32.0, reached=29.0)
    assert single(CURVE.seconds(tiny, warm=True)) < single(CURVE.seconds(tiny))
    large = SMALL._replace(rows=1024.0, reached=128.0)
    assert CURVE.seconds(large, warm=True) == CURVE.seconds(large)


def test_divided_experts_and_those_without_a_gate_have_starts_of_their_own() -> None:
    shape = SMALL._replace(rows=32.0, reached=29.0)
    divided, ungated = shape._replace(held=64.0), shape._replace(matrices=2.0)
    together, gated = replace(CURVE, divided_start=0.0), replace(CURVE, ungated_start=0.0)
    for other, without, added in ((divided, together, 1.5e-6), (ungated, gated, 2e-6)):
        more = single(CURVE.seconds(other)) - single(without.seconds(other))
        assert more == pytest.approx(added)
        assert CURVE.seconds(shape) == without.seconds(shape)
