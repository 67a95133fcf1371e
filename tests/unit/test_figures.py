"""The numbers of the figures against independent ones, and the figures as files."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache, partial

import matplotlib
import numpy as np
import pytest
from conftest import read_rows
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from cost_analysis import (
    Engine,
    Hardware,
    InputError,
    Workload,
    estimate,
    figure_data,
    load_engine,
    load_hardware,
    load_model,
    plots,
)
from cost_analysis.baselines import chosen_baseline, law_baseline
from cost_analysis.claims import Setting, System, request_cost
from cost_analysis.figure_data import CostGrid, CrossoverMap
from cost_analysis.scaling_law import fit
from cost_analysis.spec import Precision
from cost_analysis.training_runs import published_runs

BASE = load_model("1.6B").spec
STREAMS = (1, 2, 4, 8)
BATCHES = (1, 2, 4, 8)


@cache
def system(engine: str = "graphs") -> System:
    return System(load_hardware("a100-sxm-80gb"), load_engine(engine), Precision())


@cache
def grid() -> CostGrid:
    return figure_data.cost_grid(BASE, STREAMS, Setting(BATCHES), system())


@cache
def ratios(engine: str = "graphs", cost_model: str = "operators") -> CrossoverMap:
    streamed = BASE.with_streams(8)
    baseline = chosen_baseline(streamed, "law", fit(published_runs("stack")))
    return figure_data.crossover_map(streamed, baseline, system(engine), cost_model)


def parts(output_length: int = 64) -> figure_data.Breakdown:
    return figure_data.breakdown(BASE, STREAMS, Workload(2, 100, output_length), system())


DRAWINGS: dict[str, Callable[[], Figure]] = {
    "figure2": lambda: plots.figure2([figure_data.loss_curves(name) for name in ("stack", "pile")]),
    "figure3": lambda: plots.figure3(
        [figure_data.loss_surface(name) for name in ("stack", "pile")]
    ),
    "figure4": lambda: plots.figure4(grid()),
    "crossover": lambda: plots.crossover(ratios()),
    "breakdown": lambda: plots.breakdown(parts()),
}
LABELS = {
    "figure2": ("Parameters without embeddings, N [billions]", "Loss", "Pile", "P = 8"),
    "figure3": ("Parameters without embeddings, N [billions]", "Parallel streams, P", "1.06"),
    "figure4": ("Memory [GiB]", "Latency [s]", "batch 8", "22.55×", "6.43×", "NVIDIA A100"),
    "crossover": ("Batch size [sequences]", "Prompt length [tokens]", "1/2×", "80.0 GiB"),
    "breakdown": ("Memory [GiB]", "Time [ms]", "Added to P = 1 [MiB]", "KV cache", "engine graphs"),
}


def test_stream_counts() -> None:
    assert figure_data.stream_counts(1) == (1,)
    assert figure_data.stream_counts(8) == STREAMS
    assert figure_data.stream_counts(6) == (1, 2, 4, 6)


@pytest.mark.parametrize("dataset", ["stack", "pile"])
def test_curves_follow_the_law_through_the_runs(dataset: str) -> None:
    curves = figure_data.loss_curves(dataset)
    law, runs = curves.fitted.law, curves.fitted.runs
    assert curves.loss.shape == (4, curves.parameters.size)
    row = 17
    expected = law.E + (law.A / curves.parameters[row] / (1 + law.k * np.log(8))) ** law.alpha
    assert curves.loss[3, row] == pytest.approx(expected, rel=1e-12)
    for streams, curve in zip(curves.streams, curves.loss, strict=True):
        own = runs.streams == streams
        near = np.interp(runs.parameters[own], curves.parameters, curve)
        assert near == pytest.approx(runs.loss[own], rel=0.01)


def test_surface_holds_the_curves() -> None:
    surface, curves = figure_data.loss_surface("pile"), figure_data.loss_curves("pile")
    assert surface.streams[0] == 1
    assert surface.streams[-1] == pytest.approx(8)
    assert surface.loss[[0, -1]] == pytest.approx(curves.loss[[0, -1]], rel=1e-12)
    with pytest.raises(InputError, match="P is 1"):
        figure_data.loss_surface("pile", 1)


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
    found = figure_data.cost_grid(BASE, STREAMS, Setting((1,)), system(), dataset=dataset)
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
    largest = figure_data.cost_grid(load_model("4.4B").spec, STREAMS, Setting((1,)), system())
    plain = figure_data.cost_grid(BASE, (1,), Setting((1,)), system())
    assert np.isnan([largest.memory_ratio, plain.memory_ratio]).all()


def test_only_published_models_and_streams_have_measured_losses() -> None:
    with pytest.raises(InputError, match=r"not for qwen2\.5-7b"):
        figure_data.cost_grid(load_model("qwen2.5-7b").spec, STREAMS, Setting((1,)), system())
    with pytest.raises(InputError, match="no published run has P = 16"):
        figure_data.cost_grid(BASE, (1, 16), Setting((1,)), system())


@pytest.mark.parametrize("cost_model", ["operators", "published"])
@pytest.mark.parametrize(("row", "column"), [(0, 0), (5, 3), (-1, -1)])
def test_map_is_the_ratio_of_increases(cost_model: str, row: int, column: int) -> None:
    found = ratios(cost_model=cost_model)
    streamed, base = BASE.with_streams(8), BASE
    runs = published_runs("stack")
    baseline = law_baseline(streamed, fit(runs).law)
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
    smaller = chosen_baseline(streamed, "0.5B", fit(published_runs("stack")))
    with pytest.raises(InputError, match="no larger than the base"):
        figure_data.crossover_map(streamed, smaller, system())
    with pytest.raises(InputError, match="from P = 2"):
        figure_data.crossover_map(BASE, smaller, system())


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


@pytest.mark.parametrize("name", DRAWINGS)
def test_figure_is_a_png(name: str) -> None:
    content = plots.picture(DRAWINGS[name], "png", 100)
    pixels = imread(io.BytesIO(content))
    assert pixels.shape[1] == 900


@pytest.mark.parametrize("name", DRAWINGS)
def test_figure_is_an_svg_that_says_what_it_shows(name: str) -> None:
    text = plots.picture(DRAWINGS[name], "svg").decode()
    assert text.startswith("<?xml")
    assert "<dc:date>" not in text
    shown = " ".join(re.findall(r">([^<>]+)</(?:text|tspan)>", text))
    for label in LABELS[name]:
        assert label in shown, label


@pytest.mark.parametrize("form", plots.METADATA)
def test_the_same_numbers_give_the_same_bytes(form: str) -> None:
    first, second = (plots.picture(DRAWINGS["crossover"], form, 60) for _ in range(2))
    assert first == second


def test_figure_is_a_pdf() -> None:
    assert plots.picture(DRAWINGS["figure2"], "pdf").startswith(b"%PDF")


def shown_texts(figure: Figure) -> list[Text]:
    """What can be read in a figure, without the labels of ticks beyond an axis."""
    beyond: set[Text] = set()
    for axes in figure.findobj(Axes):
        assert isinstance(axes, Axes)
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            beyond |= {t.label1 for t in axis.get_major_ticks() if not low <= t.get_loc() <= high}
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    return [t for t in texts if t.get_text().strip() and t.get_visible() and t not in beyond]


def readable_box(text: Text) -> Bbox:
    """The upright box about a text, less its empty corners where the text is slanted."""
    box = text.get_window_extent()
    return box.padded(-1 if text.get_rotation() % 90 == 0 else -0.2 * box.height)


@pytest.mark.parametrize("name", DRAWINGS)
def test_no_label_is_small_clipped_or_covered(name: str) -> None:
    with matplotlib.style.context(["default", dict(plots.STYLE)]):
        figure = DRAWINGS[name]()
        figure.draw_without_rendering()
        texts = shown_texts(figure)
        boxes = [readable_box(text) for text in texts]
    assert len(texts) > 20
    assert all(float(text.get_fontsize()) >= 8 for text in texts)
    width, height = figure.bbox.size
    for index, (text, box) in enumerate(zip(texts, boxes, strict=True)):
        assert box.x0 > -1, text
        assert box.x1 < width + 1, text
        assert box.y0 > -1, text
        assert box.y1 < height + 1, text
        assert not any(box.overlaps(other) for other in boxes[:index]), text


def test_users_settings_do_not_change_a_figure_and_are_kept() -> None:
    before = plots.picture(DRAWINGS["figure2"], "svg")
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9}):
        assert plots.picture(DRAWINGS["figure2"], "svg") == before
        assert matplotlib.rcParams["font.size"] == 30


DEGENERATE: dict[str, Callable[[], Figure]] = {
    "one curve": lambda: plots.figure2([figure_data.loss_curves("stack", (1,))]),
    "many curves": lambda: plots.figure2(
        [figure_data.loss_curves("pile", figure_data.stream_counts(256))]
    ),
    "two streams": lambda: plots.figure3([figure_data.loss_surface("stack", 2)]),
    "one point": lambda: plots.figure4(
        figure_data.cost_grid(load_model("4.4B").spec, (1,), Setting((1,)), system())
    ),
    "nothing increases": lambda: plots.crossover(ratios("eager")),
    "one bar, no decode": lambda: plots.breakdown(
        figure_data.breakdown(BASE, (1,), Workload(1, 64, 1), system())
    ),
    "many bars": lambda: plots.breakdown(
        figure_data.breakdown(BASE, figure_data.stream_counts(256), Workload(), system())
    ),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_figures_are_drawn(name: str) -> None:
    assert plots.picture(DEGENERATE[name], "svg")


def test_a_map_of_nothing_says_so() -> None:
    found = ratios()
    nothing = np.full_like(found.latency_ratio, np.nan)
    empty = CrossoverMap(
        found.streamed,
        found.baseline,
        found.cost_model,
        found.system,
        64,
        found.batch,
        found.prompt,
        nothing,
        nothing,
        found.streamed_memory,
    )
    text = plots.picture(partial(plots.crossover, empty), "svg").decode()
    assert "nothing increases" in text
    assert "neither adds" in text


def test_pyplot_is_not_loaded() -> None:
    code = "import cost_analysis.plots, sys; print('matplotlib.pyplot' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


def test_numbers_need_no_matplotlib() -> None:
    code = "import cost_analysis.figure_data, sys; print('matplotlib' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
