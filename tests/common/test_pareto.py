"""The Pareto front is the one that comparing all pairs gives."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cost_analysis import InputError
from cost_analysis.common import pareto
from cost_analysis.common.pareto import non_dominated

pytestmark = pytest.mark.property

Array = npt.NDArray[np.float64]

few_values = st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 0.5, 1.0, 2.0, np.inf, np.nan])
tables = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 5), st.integers(0, 40)),
    elements=st.one_of(few_values, st.floats()),
)


def by_brute_force(columns: Array) -> npt.NDArray[np.bool_]:
    rows = columns.T
    return np.array(
        [
            not np.isnan(row).any()
            and not any((other <= row).all() and (other < row).any() for other in rows)
            for row in rows
        ],
        np.bool_,
    )


@given(tables)
@settings(max_examples=200, deadline=None)
def test_equals_brute_force(columns: Array) -> None:
    assert (non_dominated(columns) == by_brute_force(columns)).all()


@given(st.integers(1, 4), st.integers(100, 400), st.integers(2, 2000), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_divide_and_conquer_equals_brute_force(
    dimensions: int, rows: int, values: int, seed: int
) -> None:
    """Blocks of two rows, so that every branch of the division is taken; ties where values are
    few, and a front of many rows where columns are opposed."""
    columns = np.random.default_rng(seed).integers(0, values, (dimensions, rows)).astype(float)
    columns[-1] -= columns[:-1].sum(axis=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pareto, "BLOCK", 2)
        found = non_dominated(columns)
    assert (found == by_brute_force(columns)).all()


def test_no_point_of_a_sphere_dominates_another() -> None:
    """100,000 rows of which none dominates another, and the same rows made a little worse."""
    ends = np.abs(np.random.default_rng(0).normal(size=(4, 100_000)))
    sphere = -ends / np.linalg.norm(ends, axis=0)
    found = non_dominated(np.concatenate([sphere, sphere * 0.999], axis=1))
    assert found[:100_000].all()
    assert not found[100_000:].any()


@pytest.mark.parametrize("columns", [[], [[1.0], [1.0, 2.0]]])
def test_columns_must_be_of_equal_length(columns: list[list[float]]) -> None:
    with pytest.raises(InputError, match="columns of equal length"):
        non_dominated(columns)
