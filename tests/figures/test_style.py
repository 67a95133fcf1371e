"""The figures as files: what they show, and that it can be read."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Callable
from pkgutil import iter_modules

import matplotlib
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from cost_analysis import Workload, figures, load_model
from cost_analysis.cli.options import stream_counts
from cost_analysis.compare.cost_models import Setting
from cost_analysis.figures import breakdown as breakdown_figure
from cost_analysis.figures import claims_on_gpus, costs, crossover_map, law, measured, plan, style
from cost_analysis.figures.breakdown import breakdown_parts
from cost_analysis.figures.costs import cost_grid
from cost_analysis.figures.law import loss_curves, loss_surface
from cost_analysis.figures.style import METADATA, STYLE
from tests.helpers.figure_cases import (
    BASE,
    curves,
    grid,
    measured_runs,
    on_gpus,
    parts,
    planned,
    predicted_rows,
    ratios,
    served,
    surfaces,
    system,
)

DRAWINGS: dict[str, Callable[[], Figure]] = {
    "figure2": lambda: law.figure2(curves()),
    "figure3": lambda: law.figure3(surfaces()),
    "figure4": lambda: costs.figure4(grid()),
    "crossover": lambda: crossover_map.crossover(ratios()),
    "breakdown": lambda: breakdown_figure.breakdown(parts()),
    "measured": lambda: measured.measured(measured_runs()),
    "accuracy": lambda: measured.accuracy(predicted_rows()),
    "pareto": lambda: plan.pareto(planned()),
    "throughput": lambda: plan.throughput(served()),
    "claims-on-gpus": lambda: claims_on_gpus.claims_on_gpus(on_gpus()),
}
LABELS = {
    "figure2": ("Parameters without embeddings, N [billions]", "Loss", "Pile", "P = 8"),
    "figure3": ("Parameters without embeddings, N [billions]", "Parallel streams, P", "1.06"),
    "figure4": ("Memory [GiB]", "Latency [s]", "batch 8", "22.55×", "6.43×", "NVIDIA A100"),
    "crossover": ("Batch size [sequences]", "Prompt length [tokens]", "1/2×", "80.0 GiB"),
    "breakdown": ("Memory [GiB]", "Time [ms]", "Added to P = 1 [MiB]", "KV cache", "engine graphs"),
    "measured": ("Memory increase", "Time per output token", "paper-bf16.jsonl", "free", "16×"),
    "accuracy": ("Predicted [s]", "Measured [s]", "graphs: ", "16-bit weights", "median error"),
    "pareto": ("Loss against memory", "Memory [GiB]", "Loss saved over P = 1", "P = 8", "the plan"),
    "throughput": (
        "Output tokens per second",
        "Latency of a request [s]",
        "P = 8 is faster",
        "P = 2",
    ),
    "claims-on-gpus": ("Batch size", "mean", "vllm", "the paper's cost model", "b200", "64×"),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_figure_is_a_png(name: str) -> None:
    content = style.picture(DRAWINGS[name], "png", 100)
    pixels = imread(io.BytesIO(content))
    assert pixels.shape[1] == 900


@pytest.mark.parametrize("name", DRAWINGS)
def test_figure_is_an_svg_that_says_what_it_shows(name: str) -> None:
    text = style.picture(DRAWINGS[name], "svg").decode()
    assert text.startswith("<?xml")
    assert "<dc:date>" not in text
    shown = " ".join(re.findall(r">([^<>]+)</(?:text|tspan)>", text))
    for label in LABELS[name]:
        assert label in shown, label


@pytest.mark.parametrize("form", METADATA)
def test_the_same_numbers_give_the_same_bytes(form: str) -> None:
    first, second = (style.picture(DRAWINGS["crossover"], form, 60) for _ in range(2))
    assert first == second


def test_figure_is_a_pdf() -> None:
    assert style.picture(DRAWINGS["figure2"], "pdf").startswith(b"%PDF")


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
    with matplotlib.style.context(["default", dict(STYLE)]):
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
    before = style.picture(DRAWINGS["figure2"], "svg")
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9}):
        assert style.picture(DRAWINGS["figure2"], "svg") == before
        assert matplotlib.rcParams["font.size"] == 30


DEGENERATE: dict[str, Callable[[], Figure]] = {
    "one curve": lambda: law.figure2([loss_curves("stack", (1,))]),
    "many curves": lambda: law.figure2([loss_curves("pile", stream_counts(256))]),
    "two streams": lambda: law.figure3([loss_surface("stack", 2)]),
    "one point": lambda: costs.figure4(
        cost_grid(load_model("4.4B").spec, (1,), Setting((1,)), system())
    ),
    "nothing increases": lambda: crossover_map.crossover(ratios("eager")),
    "one bar, no decode": lambda: breakdown_figure.breakdown(
        breakdown_parts(BASE, (1,), Workload(1, 64, 1), system())
    ),
    "many bars": lambda: breakdown_figure.breakdown(
        breakdown_parts(BASE, stream_counts(256), Workload(), system())
    ),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_figures_are_drawn(name: str) -> None:
    assert style.picture(DEGENERATE[name], "svg")


def test_pyplot_is_not_loaded() -> None:
    modules = [f"cost_analysis.figures.{info.name}" for info in iter_modules(figures.__path__)]
    code = f"import {', '.join(modules)}, sys; print('matplotlib.pyplot' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
