"""Ratios of latency increases on each measured device and engine, beside the paper's."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from cost_analysis.compare.claims_on_gpus import ClaimsOnGpus, GpuReading, OnGpu
from cost_analysis.figures.style import (
    LINES,
    MARKERS,
    UNBROKEN,
    lengths_title,
    marker_of,
    new_figure,
    write_caption,
)

COLUMNS = 5
"""Panels of a row."""

COLOURS = ("#1b6ca8", "#c2571a", "#4d4d4d", "#7a9a01")
"""One an engine, told apart by the colour-blind; markers and lines say the same."""

LOWEST, HIGHEST = 0.5, 128.0
"""Ends of the ratios that are drawn; what is beyond is drawn at the end."""

TICKS = (1.0, 4.0, 16.0, 64.0)
"""Ratios that are labelled."""

CLAIMED = (6.0, 1.7)
"""Ratios of latency that the paper states: at batch 1, and as a mean over batch 1, 2, 4 and 8."""

ROW = 2.1
"""Height of a row of panels [inch]."""


def claims_on_gpus(found: ClaimsOnGpus) -> Figure:
    """A panel a device, a line an engine, the paper's cost model in each."""
    devices = [list(gpus) for _, gpus in groupby(found.gpus, lambda gpu: gpu.system.hardware)]
    engines = sorted({gpu.system.engine.name for gpu in found.gpus})
    columns = min(COLUMNS, len(devices))
    rows = -(-len(devices) // columns)
    figure = new_figure(1.3 + ROW * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in panels.flat[len(devices) :]:
        axes.set_visible(False)
    for axes, gpus in zip(panels.flat, devices, strict=False):
        _panel(axes, gpus, found, engines)
    for axes in panels[:, 0]:
        axes.set_ylabel("Parameters add this many\ntimes what streams add")
    for place, axes in enumerate(panels.flat[: len(devices)]):
        if place + columns >= len(devices):  # the lowest of its column
            axes.set_xlabel("Batch size")
            axes.tick_params(labelbottom=True)
    figure.legend(handles=_handles(engines), loc="outside upper left", ncols=len(engines) + 2)
    write_caption(figure, caption(found))
    return figure


def caption(found: ClaimsOnGpus) -> str:
    """What the lines are."""
    asked, setting = found.asked, found.asked.setting
    lengths = lengths_title(setting.input_lengths, setting.output_lengths)
    means = ", ".join(map(str, setting.batch_sizes))
    return (
        f"What parameters of equal loss add to the latency of {asked.base.name.upper()}, over what "
        f"{asked.streams} streams add; costs are means over {lengths}, and those of the last place "
        f"over batch {means}. Kernels {found.gpus[0].system.kernels}, bf16. Bars: 80{UNBROKEN}% "
        "intervals by the noise of timings. Arrows: what streams add is within the noise, and the "
        "ratio above the bound. Dotted: the paper's 6× and 1.7×. Above 1×, streams add less."
    )


def _panel(axes: Axes, gpus: Sequence[OnGpu], found: ClaimsOnGpus, engines: Sequence[str]) -> None:
    hardware = gpus[0].system.hardware
    axes.set_title(hardware.name)
    axes.set_yscale("log", base=2)
    axes.grid(visible=True, axis="y")
    axes.axhline(1.0, color="0.2", linewidth=0.9)
    for ratio in CLAIMED:
        axes.axhline(ratio, color="0.25", linewidth=0.9, linestyle=(0, (1, 1.5)))
    places, alone = np.arange(len(found.papers)), len(found.asked.setting.batch_sizes)
    ratios = np.clip([reading.latency.ratio for reading in found.papers], LOWEST, HIGHEST)
    axes.plot(places[:alone], ratios[:alone], color="black", linewidth=1.1)
    axes.plot(places, ratios, linestyle="none", **_papers_marker())
    for gpu in gpus:
        index = engines.index(gpu.system.engine.name)
        shift = 0.16 * (index - (len(engines) - 1) / 2.0)
        _engine(axes, gpu.of(found.asked.streams), places + shift, _style(index))
    axes.set_ylim(LOWEST, HIGHEST)
    axes.set_xlim(-0.5, len(places) - 0.5)
    names = [
        "mean" if len(reading.setting.batch_sizes) > 1 else str(reading.setting.batch_sizes[0])
        for reading in found.papers
    ]
    axes.set_xticks(places, names)
    axes.yaxis.set_major_locator(FixedLocator(TICKS))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _engine(axes: Axes, readings: Sequence[GpuReading], places: Any, style: dict[str, Any]) -> None:
    """The ratios of an engine: a marker with its interval, or an arrow from the bound up."""
    for place, reading in zip(places, readings, strict=True):
        added, colour = reading.latency, style["color"]
        low, high = np.clip([added.low, added.high], LOWEST, HIGHEST)
        if added.is_free:
            axes.annotate(
                "", (place, min(2.2 * low, HIGHEST)), (place, low),
                arrowprops={"arrowstyle": "->", "color": colour, "linewidth": 1.2, "shrinkA": 0},
            )  # fmt: skip
            axes.plot(place, low, linestyle="none", **{**marker_of(style), "markersize": 4.5,
                      "color": "white", "markeredgecolor": colour})  # fmt: skip
        elif np.isfinite(added.ratio):
            axes.plot([place, place], [low, high], color=colour, linewidth=1.1)
            shown = float(np.clip(added.ratio, LOWEST, HIGHEST))
            axes.plot(place, shown, linestyle="none", **{**marker_of(style), "markersize": 5.0})


def _style(index: int) -> dict[str, Any]:
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": LINES[index % len(LINES)],
        "marker": MARKERS[index % len(MARKERS)],
    }


def _papers_marker() -> dict[str, Any]:
    return {"marker": "_", "color": "black", "markersize": 11.0, "markeredgewidth": 1.6}


def _handles(engines: Sequence[str]) -> list[Line2D]:
    shown = [
        Line2D([], [], label=name, linestyle="none", **marker_of(_style(index)))
        for index, name in enumerate(engines)
    ]
    paper = Line2D(
        [], [], label="the paper's cost model, A100", linestyle="none", **_papers_marker()
    )
    free = Line2D([], [], label="free: above a bound", linestyle="none", marker=r"$\uparrow$",
                  color="0.2", markersize=8)  # fmt: skip
    return [*shown, paper, free]
