"""The load that the benchmark's routing gives."""

from __future__ import annotations

import numpy as np
import pytest

from cost_analysis.distilling.expert_loads import certain_loads, routed_loads
from cost_analysis.fitting.predictions import Floats


def load(tokens: int, per_token: int, experts: int, held: int) -> tuple[float, float]:
    sizes = [np.array([float(size)]) for size in (tokens, per_token, experts, held)]
    rows, reached = routed_loads(sizes[0], sizes[1], sizes[2], sizes[3])
    return float(rows[0]), float(reached[0])


def test_undivided_experts_get_every_row() -> None:
    for tokens in (1, 8, 1000, 16384):
        rows, reached = load(tokens, 8, 128, 128)
        assert rows == 8 * tokens
        assert reached <= min(128, rows)


@pytest.mark.parametrize(("tokens", "measured"), [(1, 8), (2, 16), (8, 48), (16, 66), (32, 106)])
def test_experts_reached_are_those_that_timings_show(tokens: int, measured: float) -> None:
    """Seconds beyond the start over seconds of one expert's weights, 4096 × 1536 on an H100."""
    assert load(tokens, 8, 128, 128)[1] == pytest.approx(measured, rel=0.05)


def test_the_busiest_device_has_more_than_its_share() -> None:
    rows, reached = load(4096, 8, 128, 16)
    assert rows > 1.3 * 4096 * 8 / 8
    assert reached == 16.0
    # No expert can have more rows than there are tokens.
    assert load(4096, 4, 8, 1) == (4096.0, 1.0)


def test_a_surplus_is_given_out_and_taken_back() -> None:
    """Two experts a token, of two: both have every token, whatever their popularity."""
    assert load(16384, 2, 2, 1) == (16384.0, 1.0)


def test_older_tables_are_certain_for_one_token_and_for_many() -> None:
    def column(*values: float) -> Floats:
        return np.array(values)

    held = column(128.0, 128.0, 128.0, 64.0)
    certain = certain_loads(
        column(1.0, 16.0, 64.0, 64.0), column(8.0, 8.0, 8.0, 8.0), np.full(4, 128.0), held
    )
    assert certain.tolist() == [True, False, True, False]
