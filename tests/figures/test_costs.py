"""The numbers of the figures against independent ones."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from cost_analysis import Engine, Hardware, InputError, Workload, estimate, load_model
from cost_analysis.baselines import chosen_baseline, law_baseline
from cost_analysis.cost_data import cost_grid, crossover_map
from cost_analysis.law_data import loss_curves, loss_surface
from cost_analysis.options import stream_counts
from cost_analysis.request_costs import Setting, request_cost
from cost_analysis.spec import Precision
from tests.helpers.data import read_rows
from tests.helpers.figure_cases import BASE, BATCHES, STREAMS, grid, law, parts, ratios, system


def test_stream_counts() -> None:
    assert stream_counts(1) == (1,)
    assert stream_counts(8) == STREAMS
    assert stream_counts(6) == (1, 2, 4, 6)


@pytest.mark.parametrize("dataset", ["stack", "pile"])
def test_curves_follow_the_law_through_the_runs(dataset: str) -> None:
    curves = loss_curves(dataset)
    fitted, runs = curves.fitted.law, curves.fitted.runs
    assert curves.loss.shape == (4, curves.parameters.size)
    row = 17
    share = fitted.A / curves.parameters[row] / (1 + fitted.k * np.log(8))
    expected = fitted.E + share**fitted.alpha
    assert curves.loss[3, row] == pytest.approx(expected, rel=1e-12)
    for streams, curve in zip(curves.streams, curves.loss, strict=True):
        own = runs.streams == streams
        near = np.interp(runs.parameters[own], curves.parameters, curve)
        assert near == pytest.approx(runs.loss[own], rel=0.01)


def test_surface_holds_the_curves() -> None:
    surface, curves = loss_surface("pile"), loss_curves("pile")
    assert surface.streams[0] == 1
    assert surface.streams[-1] == pytest.approx(8)
    assert surface.loss[[0, -1]] == pytest.approx(curves.loss[[0, -1]], rel=1e-12)
    with pytest.raises(InputError, match="P is 1"):
        loss_surface("pile", 1)


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


@pytest.mark.parametrize("output_length", [1, 64])
def test_parts_sum_to_the_estimate(a100: Hardware, graphs: Engine, output_length: int) -> None:
    found = parts(output_length)
    for index, streams in enumerate(STREAMS):
        cost = estimate(
            BASE.with_streams(streams), Workload(2, 100, output_length), a100, graphs, Precision()
        )
        for stack, total in (
            (found.memory, cost.memory.total),
            (found.prefill, cost.ttft),
            (found.decode, cost.total - cost.ttft),
        ):
            assert all((values >= 0).all() for values in stack.values())
            assert sum(values[index] for values in stack.values()) == pytest.approx(total, rel=1e-9)
        assert found.memory["KV cache"][index] == cost.memory.kv_cache


@pytest.mark.parametrize("module", ["law_data", "cost_data", "breakdown_data", "captions"])
def test_numbers_need_no_matplotlib(module: str) -> None:
    code = f"import cost_analysis.{module}, sys; print('matplotlib' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
