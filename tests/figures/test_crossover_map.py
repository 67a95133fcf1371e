"""The map of where streams or parameters cost less."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from cost_analysis import InputError, Workload
from cost_analysis.compare.cost_models import request_cost
from cost_analysis.figures import crossover_map as crossover_map_figure
from cost_analysis.figures import style
from cost_analysis.figures.crossover_map import crossover_map
from cost_analysis.law.equal_loss import chosen_baseline, law_baseline
from tests.helpers.figure_cases import (
    BASE,
    law,
    ratios,
    system,
)


@pytest.mark.parametrize("cost_model", ["operators", "published"])
@pytest.mark.parametrize(("row", "column"), [(0, 0), (5, 3), (-1, -1)])
def test_map_is_the_ratio_of_increases(cost_model: str, row: int, column: int) -> None:
    found = ratios(cost_model=cost_model)
    streamed, base = BASE.with_streams(8), BASE
    baseline = law_baseline(streamed, law().law)
    work = Workload(float(found.batch[column]), float(found.prompt[row]), 64)
    costs = [
        request_cost(cost_model, spec, work, system()) for spec in (streamed, base, *baseline.specs)
    ]
    for index, ratio in enumerate((found.memory_ratio, found.latency_ratio)):
        wide = sum(
            weight * cost[index] for weight, cost in zip(baseline.weights, costs[2:], strict=True)
        )
        expected = (wide - costs[1][index]) / (costs[0][index] - costs[1][index])
        assert ratio[row, column] == pytest.approx(expected, rel=1e-9)
    assert found.streamed_memory[row, column] == costs[0][0]


def test_map_covers_its_axes() -> None:
    found = ratios()
    assert (found.batch[0], found.batch[-1]) == (1, 256)
    assert (found.prompt[0], found.prompt[-1]) == (64, 32_768)
    assert found.latency_ratio.shape == (found.prompt.size, found.batch.size)
    assert (found.batch == np.round(found.batch)).all()


def test_map_without_a_comparison_is_refused() -> None:
    streamed = BASE.with_streams(8)
    smaller = chosen_baseline(streamed, "0.5B", law())
    with pytest.raises(InputError, match="no larger than the base"):
        crossover_map(streamed, smaller, system())
    with pytest.raises(InputError, match="from P = 2"):
        crossover_map(BASE, smaller, system())


def test_a_map_of_nothing_says_so() -> None:
    found = ratios()
    nothing = np.full_like(found.latency_ratio, np.nan)
    empty = replace(found, memory_ratio=nothing, latency_ratio=nothing)
    text = style.picture(partial(crossover_map_figure.crossover, empty), "svg").decode()
    assert "nothing increases" in text
    assert "neither adds" in text


def test_a_map_may_jump_over_its_levels() -> None:
    found = ratios()
    ratio = np.where(np.arange(found.batch.size) < 9, 4.0, 0.25) * np.ones((found.prompt.size, 1))
    ratio[:, 8:10] = np.nan
    drawn = style.picture(
        partial(crossover_map_figure.crossover, replace(found, latency_ratio=ratio)), "svg"
    )
    assert "neither adds" in drawn.decode()
