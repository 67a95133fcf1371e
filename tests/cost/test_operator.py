"""Operators: their sums, and masked pairs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_analysis.cost.operator import masked_pairs


@pytest.mark.property
@given(st.integers(1, 300), st.integers(0, 400), st.integers(2, 200))
def test_masked_pairs_with_a_window(queries: int, past: int, window: int) -> None:
    """The closed form equals a count of a mask, pair by pair."""
    kept = min(past, window - 1)
    visible = sum(min(kept + query + 1, window) for query in range(queries))
    assert masked_pairs(queries, kept, window) == queries * (kept + queries) - visible
