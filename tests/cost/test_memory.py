"""How much fits, against a search that tries every size."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cost_analysis import Layout, ModelSpec, Precision, Workload, memory
from cost_analysis.capacity import largest_batch, longest_context
from cost_analysis.spec import LARGEST_SIZE

SPEC = ModelSpec(64, 128, 4, 4, 2, vocab_size=500, streams=2)
WORK, PRECISION = Workload(3, 11, 7), Precision()


@pytest.mark.parametrize("layout", [Layout(), Layout(2), Layout(1, 2), Layout(1, 1, 3)])
@pytest.mark.parametrize("room", [0.9, 1.0, 1.01, 1.5, 4.0, 37.0])
def test_the_largest_size_is_the_last_that_fits(layout: Layout, room: float) -> None:
    limit = room * float(memory(SPEC, replace(WORK, batch_size=1), PRECISION, layout).total)

    def fits(batch: int) -> bool:
        return bool(memory(SPEC, replace(WORK, batch_size=batch), PRECISION, layout).total <= limit)

    most = largest_batch(SPEC, WORK, PRECISION, limit, layout)
    assert most == 0 or fits(most)
    assert not fits(most + 1)


def test_a_prompt_is_as_long_as_fits() -> None:
    limit = float(memory(SPEC, replace(WORK, input_length=5000), PRECISION).total)
    assert longest_context(SPEC, WORK, PRECISION, limit) == 5000 + 7
    assert longest_context(SPEC, WORK, PRECISION, 10.0) == 0


def test_no_limit_is_the_largest_size() -> None:
    assert largest_batch(SPEC, WORK, PRECISION, float("inf")) == LARGEST_SIZE
