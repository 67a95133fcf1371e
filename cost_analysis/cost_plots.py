"""Figures of costs: more streams or more parameters, and where one gives way to the other."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator

from cost_analysis.captions import crossover_caption, trade_off_caption
from cost_analysis.cost_data import CostGrid, CrossoverMap
from cost_analysis.plot_style import (
    doubling_axis,
    label_panel,
    marker_of,
    new_figure,
    row_of_axes,
    stream_handles,
    stream_style,
    write_caption,
)
from cost_analysis.training_runs import DATASET_NAMES, Array
from cost_analysis.units import GIB, format_bytes

BOLD: Mapping[str, Any] = {"ha": "right", "va": "top", "fontsize": 11, "fontweight": "bold"}

REACH = 6.0
"""Doublings to both sides of 1 beyond which ratios are drawn alike."""

SHORT = 1.2
"""Doublings that a contour must span to have room for a label."""

FULL: Mapping[str, Any] = {"colors": "black", "linewidths": 1.8, "linestyles": "dotted"}


def figure4(grid: CostGrid) -> Figure:
    """Loss against memory and latency: more parameters, or more streams."""
    figure = new_figure(5.9)
    memory, latency = figure.subplots(
        2, len(grid.setting.batch_sizes), squeeze=False, sharey=True, sharex="row"
    )
    _trade_offs(memory, grid, "Memory [GiB]", grid.memory / GIB, grid.memory_ratio)
    _trade_offs(latency, grid, "Latency [s]", grid.latency, grid.latency_ratio)
    for axes, batch in zip(memory, grid.setting.batch_sizes, strict=True):
        axes.set_title(f"batch {batch}")
    figure.legend(
        handles=_trade_off_handles(grid),
        loc="outside upper center",
        ncols=max(len(grid.streams), 3),
    )
    write_caption(figure, trade_off_caption(grid))
    return figure


def _trade_offs(
    row: Sequence[Axes], grid: CostGrid, label: str, cost: Array, ratios: Array
) -> None:
    """One cost, a panel for each batch size, with its ratio in bold."""
    row[0].set_ylabel(f"Loss, {DATASET_NAMES[grid.dataset]}")
    for column, axes in enumerate(row):
        axes.set_xlabel(label)
        axes.grid(visible=True)
        _trade_off(axes, grid, cost[:, :, column])
        if np.isfinite(ratios[column]):
            axes.text(0.96, 0.95, f"{ratios[column]:.2f}×", transform=axes.transAxes, **BOLD)


def _trade_off(axes: Axes, grid: CostGrid, cost: Array) -> None:
    """One batch size: parameters along P = 1, and streams from each size."""
    for row, size in reversed(list(enumerate(grid.sizes))):
        axes.plot(cost[row], grid.loss[row], **_streams_line(row))
        for index in range(len(grid.streams)):
            style = stream_style(index, len(grid.streams))
            shade = style["color"] if row == 0 else "0.6"
            axes.plot(
                cost[row, index], grid.loss[row, index], **marker_of({**style, "color": shade})
            )
        axes.annotate(size, (cost[row, 0], grid.loss[row, 0]), **_size_label(grid, cost, row))
    axes.plot(cost[:, 0], grid.loss[:, 0], color="black", linewidth=1.6, zorder=1.5)
    axes.margins(x=0.16, y=0.1)
    axes.xaxis.set_major_locator(MaxNLocator(6))


def _size_label(grid: CostGrid, cost: Array, row: int) -> dict[str, Any]:
    """Beside the lines: on the right of the chain unless the streams run there."""
    label = {"textcoords": "offset points", "fontsize": 8.5}
    first, second = (row, row + 1) if row + 1 < len(grid.sizes) else (row - 1, row)
    step = min(1, len(grid.streams) - 1)
    chain = (cost[second, 0] - cost[first, 0]) * (grid.loss[row, 0] - grid.loss[row, step])
    streams = (cost[row, step] - cost[row, 0]) * (grid.loss[first, 0] - grid.loss[second, 0])
    if streams > chain:
        return {**label, "xytext": (-6, -4), "ha": "right", "va": "top"}
    return {**label, "xytext": (5, 5)}


def _streams_line(row: int) -> dict[str, Any]:
    shade, width = ("0.1", 1.4) if row == 0 else ("0.65", 1.1)
    return {"color": shade, "linewidth": width, "linestyle": (0, (4, 1.5))}


def _trade_off_handles(grid: CostGrid) -> list[Line2D]:
    lines = [Line2D([], [], label=f"streams on {grid.sizes[0]}", **_streams_line(0))]
    if len(grid.sizes) > 1:
        lines += [
            Line2D([], [], color="black", linewidth=1.6, label="parameters (P = 1)"),
            Line2D([], [], label="streams on larger models", **_streams_line(1)),
        ]
    for handle in (markers := stream_handles(grid.streams)):
        handle.set_linestyle("none")
    blank = Line2D([], [], linestyle="none", label=" ")
    pairs = itertools.zip_longest(lines, markers, fillvalue=blank)  # legends fill by column
    return [handle for pair in pairs for handle in pair]


def crossover(found: CrossoverMap) -> Figure:
    """Where streams cost less than parameters, over batch and prompt."""
    figure = new_figure(5.1)
    panels = (("Latency", found.latency_ratio), ("Memory", found.memory_ratio))
    for axes, (name, ratio) in zip(row_of_axes(figure, 2), panels, strict=True):
        title = f"{name} added by parameters / added by streams"
        label_panel(axes, title, "Batch size [sequences]", "Prompt length [tokens]", grid=False)
        _ratio_map(axes, found, ratio)
    handles = _map_handles(found)
    columns = 4 if len(handles) == 4 else 3
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, columnspacing=1.6)
    write_caption(figure, crossover_caption(found))
    return figure


def _map_handles(found: CrossoverMap) -> list[Line2D | Patch]:
    capacity = format_bytes(found.system.hardware.memory)
    handles: list[Line2D | Patch] = [
        Line2D([], [], color="black", linewidth=2.4, label="1×: both add the same"),
        Patch(facecolor="#c9bfe0", edgecolor="0.4", label="streams add less"),
        Patch(facecolor="#f3cfa2", edgecolor="0.25", hatch="////", label="parameters add less"),
        Line2D(
            [],
            [],
            color="black",
            linewidth=1.8,
            linestyle="dotted",
            label=f"streams fill the device, {capacity}",
        ),
    ]
    if np.isnan([found.latency_ratio, found.memory_ratio]).any():
        handles.append(Patch(facecolor="white", edgecolor="0.4", label="neither adds"))
    return handles


def _ratio_map(axes: Axes, found: CrossoverMap, ratio: Array) -> None:
    """One ratio: shaded by its logarithm, hatched below 1, labelled at powers of 2."""
    doubling_axis(axes, "x", found.batch)
    doubling_axis(axes, "y", found.prompt)
    at = (np.log2(found.batch), np.log2(found.prompt))
    octaves = np.log2(np.clip(ratio, 2.0**-REACH, 2.0**REACH))
    if np.isnan(octaves).all():
        axes.text(0.5, 0.5, "nothing increases", transform=axes.transAxes, ha="center")
        return
    _shade(axes, at, octaves, np.nanmin(octaves), np.nanmax(octaves))
    capacity, used = found.system.hardware.memory, found.streamed_memory
    if used.min() < capacity < used.max():
        axes.contour(*at, used, levels=[capacity], **FULL)


def _shade(axes: Axes, at: tuple[Array, Array], octaves: Array, low: float, high: float) -> None:
    """Steps of a factor of 2 about 1, between the lowest and the highest value."""
    reach = max(1.0, np.ceil(max(-low, high)))
    levels = np.arange(-reach, reach + 1)
    axes.contourf(*at, octaves, levels=levels, cmap=_about_one())
    if low < 0:
        axes.contourf(*at, octaves, levels=[-reach, 0], colors="none", hatches=["////"])
    inside = [level for level in levels if low < level < high]
    if inside:
        widths = [2.4 if level == 0 else 0.8 for level in inside]
        lines = axes.contour(
            *at, octaves, levels=inside, colors="black", linewidths=widths, linestyles="solid"
        )
        middles = _middles(lines.get_paths())
        for label in axes.clabel(lines, fmt=_times_label, fontsize=8.5, manual=middles):
            label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85})


def _middles(contours: Sequence[Path]) -> list[Array]:
    """Where contours have room for a label: halfway, long enough, and clear of the others."""
    found: list[Array] = []
    for line in map(_longest_piece, contours):
        if not len(line) or np.ptp(line, axis=0).max() <= SHORT:
            continue
        middle = line[len(line) // 2]
        if all(np.hypot(*(middle - other)) > SHORT / 2 for other in found):
            found.append(middle)
    return found


def _longest_piece(contour: Path) -> Array:
    """The piece of a contour with most points, (points, 2)."""
    starts = np.flatnonzero(np.asarray(contour.codes) == Path.MOVETO)
    return max(np.split(np.asarray(contour.vertices), starts[1:]), key=len)


def _about_one() -> Any:
    """Orange below, purple above, both darker the farther from the middle."""
    return ListedColormap(matplotlib.colormaps["PuOr"](np.linspace(0.16, 0.84, 256)))


def _times_label(octaves: float) -> str:
    return f"{2.0**octaves:g}×" if octaves >= 0 else f"1/{2.0**-octaves:g}×"
