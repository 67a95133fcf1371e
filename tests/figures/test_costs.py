"""Costs and losses of the paper's figure against independent ones."""

from __future__ import annotations

import numpy as np
import pytest

from cost_analysis import InputError, load_model
from cost_analysis.compare.cost_models import Setting
from cost_analysis.figures.costs import cost_grid
from tests.helpers.data import read_rows
from tests.helpers.figure_cases import BASE, BATCHES, STREAMS, grid, system


def test_costs_are_the_points_of_the_papers_figure() -> None:
    rows = read_rows("figure4.csv")
    assert len(rows) == grid().memory.size == 48
    for row in rows:
        at = (
            grid().sizes.index(row["size"]),
            grid().streams.index(int(row["P"])),
            grid().setting.batch_sizes.index(int(row["batch_size"])),
        )
        assert grid().memory[at] == pytest.approx(float(row["mean_memory_bytes"]), rel=1e-12)
        assert grid().latency[at] == pytest.approx(float(row["mean_latency_s"]), rel=1e-12)


@pytest.mark.parametrize(
    ("dataset", "column"), [("stack", "loss_stack_v2_python"), ("pile", "loss_pile")]
)
def test_losses_are_those_of_the_runs(dataset: str, column: str) -> None:
    found = cost_grid(BASE, STREAMS, Setting((1,)), system(), dataset=dataset)
    for row in read_rows("training_runs.csv"):
        if row["size"] in found.sizes:
            at = found.sizes.index(row["size"]), found.streams.index(int(row["P"]))
            assert found.loss[at] == float(row[column])


def test_ratios_are_the_published_claims() -> None:
    assert round(grid().memory_ratio[0], 2) == 22.55
    assert round(grid().latency_ratio[0], 2) == 6.43
    points = {(r["size"], r["P"], r["batch_size"]): r for r in read_rows("figure4.csv")}
    share = (1.0451 - 1.0383) / (1.0451 - 1.0213)
    for column, batch in enumerate(BATCHES):
        base, streamed, small, large = (
            float(points[size, count, str(batch)]["mean_latency_s"])
            for size, count in (("1.6B", "1"), ("1.6B", "8"), ("2.8B", "1"), ("4.4B", "1"))
        )
        expected = (small + share * (large - small) - base) / (streamed - base)
        assert grid().latency_ratio[column] == pytest.approx(expected, rel=1e-9)


def test_no_ratio_where_there_is_no_baseline() -> None:
    largest = cost_grid(load_model("4.4B").spec, STREAMS, Setting((1,)), system())
    plain = cost_grid(BASE, (1,), Setting((1,)), system())
    assert np.isnan([largest.memory_ratio, plain.memory_ratio]).all()


def test_only_published_models_and_streams_have_measured_losses() -> None:
    with pytest.raises(InputError, match=r"not for qwen2\.5-7b"):
        cost_grid(load_model("qwen2.5-7b").spec, STREAMS, Setting((1,)), system())
    with pytest.raises(InputError, match="no published run has P = 16"):
        cost_grid(BASE, (1, 16), Setting((1,)), system())
