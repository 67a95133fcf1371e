"""The values of one column: their types, and one value for each row of a piece."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cost_analysis import Workload
from cost_analysis.cost.estimate import Answer, answer
from cost_analysis.inputs.request import make_request, model_asked
from cost_analysis.inputs.system import named_system
from cost_analysis.search.column import Column, of_cost


@pytest.fixture(scope="module")
def found() -> Answer:
    return answer(make_request(model_asked("0.5B", {}), Workload(3), named_system()))


def test_a_path_is_an_attribute_of_the_estimate(found: Answer) -> None:
    assert of_cost("memory.weights")(found) == found.cost.memory.weights
    assert of_cost("workload.batch_size")(found) == 3


@pytest.mark.parametrize(
    ("kind", "value", "dtype"),
    [
        ("name", "a100", object),
        ("count", 7, np.int64),
        ("switch", True, np.bool_),
        ("number", 7, np.float64),
        ("fraction", 0.5, np.float64),
    ],
)
def test_a_value_that_all_rows_share_is_held_once(
    kind: str, value: Any, dtype: Any, found: Answer
) -> None:
    values = Column("x", "a text", lambda _: value, kind).values(found, (2, 3))
    assert values.tolist() == [value] * 6
    assert values.dtype == dtype
    assert values.strides == (0,)


def test_values_along_an_axis_are_repeated_along_the_others(found: Answer) -> None:
    rows = Column("x", "a text", lambda _: np.array([[1.0], [2.0]])).values(found, (2, 3))
    assert rows.tolist() == [1, 1, 1, 2, 2, 2]
    inner = Column("x", "a text", lambda _: np.array([1, 2, 3]), "count").values(found, (2, 3))
    assert inner.tolist() == [1, 2, 3, 1, 2, 3]
