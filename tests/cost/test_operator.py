"""Operators: what they add up to, and the pairs that a mask hides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_analysis.cost.operator import masked_pairs


@pytest.mark.property
@given(st.integers(1, 300), st.integers(0, 400), st.integers(2, 200))
def test_pairs_that_a_window_hides(queries: int, past: int, window: int) -> None:
    """The closed form against a mask that is counted pair by pair."""
    kept = min(past, window - 1)
    visible = sum(min(kept + query + 1, window) for query in range(queries))
    assert masked_pairs(queries, kept, window) == queries * (kept + queries) - visible
