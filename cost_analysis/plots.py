"""The figures as PNG, SVG or PDF: draws what `figure_data` computes, and nothing else.

The only module that loads matplotlib, without pyplot: figures are objects, a user's own settings
are put aside while one is drawn, and the same numbers give the same bytes. Hue repeats what line
style, marker, hatch and lightness say, so that every figure can be read in grey.
"""

from __future__ import annotations

import io
import itertools
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from PIL import Image

from cost_analysis.baselines import FAMILY, size_of
from cost_analysis.claims import System
from cost_analysis.figure_data import Array, Breakdown, CostGrid, CrossoverMap, LossSurface
from cost_analysis.published import BANDWIDTH_EFFICIENCY, FLOPS_EFFICIENCY
from cost_analysis.spec import ModelSpec
from cost_analysis.units import GIB, format_bytes, format_count

BILLION = 1e9

WIDTH = 9.0
"""Width of every figure [inch]."""

CAPTION_COLUMNS = 136
UNBROKEN = "\N{NO-BREAK SPACE}"
"""Space in a name that a caption does not break; drawn as a plain one."""

STYLE: Mapping[str, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "0.88",
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.6,
    "hatch.color": "0.25",
    "svg.fonttype": "none",
    "svg.hashsalt": "parscale-cost",
}
METADATA: Mapping[str, dict[str, Any]] = {
    "png": {},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}
"""Formats, and what leaves the date out of each."""

DATASET_NAMES = {"stack": "Stack-V2-Python", "pile": "Pile"}
MARKERS = "os^DvPX*h"
LINES = ("-", "--", "-.", ":")
RUN_MARK: Mapping[str, Any] = {
    "marker": "o",
    "linestyle": "none",
    "color": "black",
    "markerfacecolor": "white",
    "markersize": 5,
    "clip_on": False,
    "zorder": 5,
}
LABEL_MARGIN = 1.06
"""How far from the ends of the axis of N the label of a contour stays."""

N_LABEL = "Parameters without embeddings, N [billions]"


def picture(draw: Callable[[], Figure], form: str, dpi: int = 150) -> bytes:
    """A figure as the bytes of a file.

    Args:
        draw: Draws it.
        form: A key of `METADATA`.
        dpi: Pixels an inch of a PNG.
    """
    buffer = io.BytesIO()
    with matplotlib.style.context(["default", dict(STYLE)]):
        draw().savefig(buffer, format=form, dpi=dpi, metadata=METADATA[form])
    return _with_palette(buffer, dpi) if form == "png" else buffer.getvalue()


def _with_palette(buffer: io.BytesIO, dpi: int) -> bytes:
    """A PNG of 256 colours, which line art does not exceed: a third of the size."""
    smaller = io.BytesIO()
    with Image.open(buffer) as image:
        flat = image.convert("RGB").quantize(
            256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
        )
    flat.save(smaller, "png", optimize=True, dpi=(dpi, dpi))
    return smaller.getvalue()


def figure2(panels: Sequence[LossSurface]) -> Figure:
    """Loss against N for each P: the runs as points, the fitted law as curves."""
    figure = _figure(4.3)
    for axes, panel in zip(_row(figure, len(panels)), panels, strict=True):
        _panel(axes, DATASET_NAMES[panel.dataset], N_LABEL, "Loss")
        for index, streams in enumerate(panel.streams):
            style = _stream_style(index, len(panel.streams))
            axes.plot(
                panel.parameters / BILLION,
                panel.loss[index],
                linestyle=style["linestyle"],
                color=style["color"],
                linewidth=1.3,
            )
            runs = panel.fitted.runs
            own = runs.streams == streams
            axes.plot(
                runs.parameters[own] / BILLION, runs.loss[own], linestyle="none", **_marker(style)
            )
        axes.legend(handles=_stream_handles(panel.streams), loc="upper right")
        axes.text(0.03, 0.03, _law_text(panel), transform=axes.transAxes, fontsize=8.5)
        _size_axis(axes, panel)
    _caption(
        figure,
        "Points: the 24 published runs. Curves: the law fitted on them (Huber loss of "
        "log losses, δ = 0.001). N counts prefixes and aggregator.",
    )
    return figure


def figure3(panels: Sequence[LossSurface]) -> Figure:
    """Contours of predicted loss over N and P, with the runs that the law was fitted on."""
    figure = _figure(4.3)
    for axes, panel in zip(_row(figure, len(panels)), panels, strict=True):
        name = DATASET_NAMES[panel.dataset]
        _panel(axes, f"Predicted loss, {name}", N_LABEL, "Parallel streams, P", grid=False)
        _size_axis(axes, panel)
        _doubling_axis(axes, "y", panel.streams)
        _loss_contours(axes, panel)
        runs = panel.fitted.runs
        shown = runs.streams <= panel.streams[-1]
        axes.plot(runs.parameters[shown] / BILLION, np.log2(runs.streams[shown]), **RUN_MARK)
    _caption(
        figure,
        "Contours: the law fitted on the 24 published ParScale runs (circles); darker is a lower "
        "loss. N counts prefixes and aggregator.",
    )
    return figure


def figure4(grid: CostGrid) -> Figure:
    """Loss against memory and latency: more parameters, or more streams."""
    figure = _figure(5.9)
    columns = len(grid.setting.batch_sizes)
    rows = figure.subplots(2, columns, squeeze=False, sharey=True, sharex="row")
    costs = (
        ("Memory [GiB]", grid.memory / GIB, grid.memory_ratio),
        ("Latency [s]", grid.latency, grid.latency_ratio),
    )
    for batch, axes in zip(grid.setting.batch_sizes, rows[0], strict=True):
        axes.set_title(f"batch {batch}")
    for row, (label, cost, ratios) in zip(rows, costs, strict=True):
        row[0].set_ylabel(f"Loss, {DATASET_NAMES[grid.dataset]}")
        for column, axes in enumerate(row):
            axes.set_xlabel(label)
            axes.grid(visible=True)
            _trade_off(axes, grid, cost[:, :, column])
            if np.isfinite(ratios[column]):
                axes.text(
                    0.96,
                    0.95,
                    f"{ratios[column]:.2f}×",
                    transform=axes.transAxes,
                    ha="right",
                    va="top",
                    fontsize=11,
                    fontweight="bold",
                )
    figure.legend(
        handles=_trade_off_handles(grid),
        loc="outside upper center",
        ncols=max(len(grid.streams), 3),
    )
    _caption(figure, _trade_off_caption(grid))
    return figure


def crossover(found: CrossoverMap) -> Figure:
    """Where streams cost less than parameters, over batch and prompt."""
    figure = _figure(5.1)
    panels = (("Latency", found.latency_ratio), ("Memory", found.memory_ratio))
    for axes, (name, ratio) in zip(_row(figure, 2), panels, strict=True):
        title = f"{name} added by parameters / added by streams"
        _panel(axes, title, "Batch size [sequences]", "Prompt length [tokens]", grid=False)
        _ratio_map(axes, found, ratio)
    handles = _map_handles(found)
    columns = 4 if len(handles) == 4 else 3
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, columnspacing=1.6)
    _caption(figure, _crossover_caption(found))
    return figure


def breakdown(parts: Breakdown) -> Figure:
    """Memory and time by part for several P, and what the streams add to each."""
    figure = _figure(6.4)
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1, 2))[0]
    bytes_units, second_units = (("GiB", GIB), ("MiB", GIB / 1024)), (("s", 1.0), ("ms", 1e-3))
    blocks = (
        (left, "Memory", {"Memory": parts.memory}, bytes_units),
        (right, "Time", {"Prefill": parts.prefill, "Decode": parts.decode}, second_units),
    )
    for block, quantity, stacks, units in blocks:
        rows = min(2, len(parts.streams))
        cells = block.subplots(rows, len(stacks), squeeze=False, sharex=True)
        for cell, (name, stack) in zip(cells.T, stacks.items(), strict=True):
            unit = _stack(cell[0], parts, stack, units)
            cell[0].set(title=name, ylabel=f"{quantity} [{unit}]")
            if rows > 1:
                added = {part: values - values[0] for part, values in stack.items()}
                unit = _stack(cell[1], parts, added, units)
                cell[1].set_ylabel(f"Added to P = 1 [{unit}]")
            cell[-1].set_xlabel("Parallel streams, P")
        _parts_legend(block, list(next(iter(stacks.values()))))
    _caption(figure, _breakdown_caption(parts))
    return figure


def _figure(height: float) -> Figure:
    return Figure(figsize=(WIDTH, height), layout="constrained")


def _row(figure: Figure, count: int) -> list[Axes]:
    return list(figure.subplots(1, count, squeeze=False)[0])


def _caption(figure: Figure, text: str) -> None:
    lines = textwrap.fill(text, CAPTION_COLUMNS).replace(UNBROKEN, " ")
    figure.supxlabel(lines, x=0.01, ha="left", fontsize=8, color="0.2", linespacing=1.3)


def _panel(axes: Axes, title: str, horizontal: str, vertical: str, *, grid: bool = True) -> None:
    axes.set_title(title)
    axes.set_xlabel(horizontal)
    axes.set_ylabel(vertical)
    axes.grid(visible=grid)


def _stream_style(index: int, count: int) -> dict[str, Any]:
    """Line, marker and a colour that darkens with P."""
    shade = matplotlib.colormaps["viridis"](0.72 * (1 - index / max(count - 1, 1)))
    return {
        "color": shade,
        "linestyle": LINES[index % len(LINES)],
        "marker": MARKERS[index % len(MARKERS)],
    }


def _marker(style: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "marker": style["marker"],
        "color": style["color"],
        "markeredgecolor": "white",
        "markeredgewidth": 0.6,
        "markersize": 6.5,
    }


def _stream_handles(streams: Sequence[float] | Array) -> list[Line2D]:
    styles = (_stream_style(index, len(streams)) for index in range(len(streams)))
    return [
        Line2D([], [], label=f"P = {count:g}", linestyle=style["linestyle"], **_marker(style))
        for count, style in zip(streams, styles, strict=True)
    ]


def _law_text(panel: LossSurface) -> str:
    law = panel.fitted.law
    share = f"{format_count(law.A)} / (N (1 + {law.k:.3f} ln P))"
    return f"Loss = {law.E:.3f} + ({share})^{law.alpha:.3f}\nR² = {panel.fitted.r_squared:.4f}"


def _size_axis(axes: Axes, panel: LossSurface) -> None:
    axes.set_xscale("log")
    axes.set_xlim(panel.parameters[0] / BILLION, panel.parameters[-1] / BILLION)
    axes.xaxis.set_major_locator(FixedLocator([0.5, 0.7, 1, 1.5, 2, 3, 4]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _doubling_axis(axes: Axes, which: str, values: Array) -> None:
    """An axis in powers of 2, for what is drawn over `np.log2` of the values."""
    ends = np.log2(values[[0, -1]])
    axes.set(**{f"{which}lim": ends})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator(list(np.arange(np.ceil(ends[0]), ends[1] + 0.5))))
    axis.set_major_formatter(FuncFormatter(lambda power, _: f"{2.0**power:,.0f}"))


def _loss_contours(axes: Axes, panel: LossSurface) -> None:
    """Shaded steps of the loss; their labels stand between the rows of runs."""
    levels = MaxNLocator(12, steps=[1, 2, 5, 10]).tick_values(panel.loss.min(), panel.loss.max())
    at = (panel.parameters / BILLION, np.log2(panel.streams), panel.loss)
    axes.contourf(*at, levels=levels, cmap=_pale("Blues"), extend="both")
    lines = axes.contour(*at, levels=levels, colors="0.15", linewidths=0.9)
    places = [_label_place(panel, level) for level in levels]
    axes.clabel(lines, fmt="%.2f", fontsize=8, manual=[place for place in places if place])


def _label_place(panel: LossSurface, loss: float) -> tuple[float, float] | None:
    """Where a contour passes midway between two rows of runs, clear of the edges."""
    law, sizes, largest = panel.fitted.law, panel.parameters, panel.streams[-1]
    for power in (1.5, 0.5, 2.5):
        if loss > law.E and 2**power < largest:
            size = law.equal_loss_parameters(loss) / law.multiplier(2**power)
            if sizes[0] * LABEL_MARGIN < size < sizes[-1] / LABEL_MARGIN:
                return float(size / BILLION), power
    return None


def _pale(name: str) -> Any:
    """The light half of a colour map, darkest first: black lines and text can be read on it."""
    shades = matplotlib.colormaps[name](np.linspace(0.55, 0.03, 256))
    return ListedColormap(shades)


def _trade_off(axes: Axes, grid: CostGrid, cost: Array) -> None:
    """One batch size: parameters along P = 1, and streams from each size."""
    for row, size in reversed(list(enumerate(grid.sizes))):
        axes.plot(cost[row], grid.loss[row], **_streams_line(row))
        for index in range(len(grid.streams)):
            style = _stream_style(index, len(grid.streams))
            shade = style["color"] if row == 0 else "0.6"
            axes.plot(cost[row, index], grid.loss[row, index], **_marker({**style, "color": shade}))
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
    for handle in (markers := _stream_handles(grid.streams)):
        handle.set_linestyle("none")
    blank = Line2D([], [], linestyle="none", label=" ")
    pairs = itertools.zip_longest(lines, markers, fillvalue=blank)  # legends fill by column
    return [handle for pair in pairs for handle in pair]


REACH = 6.0
"""Doublings to both sides of 1 beyond which ratios are drawn alike."""

SHORT = 1.2
"""Doublings that a contour must span to have room for a label."""

FULL: Mapping[str, Any] = {"colors": "black", "linewidths": 1.8, "linestyles": "dotted"}


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
    _doubling_axis(axes, "x", found.batch)
    _doubling_axis(axes, "y", found.prompt)
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
        middles = _middles(lines.allsegs)
        for label in axes.clabel(lines, fmt=_times_label, fontsize=8.5, manual=middles):
            label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85})


def _middles(contours: Sequence[Sequence[Array]]) -> list[Array]:
    """Where contours have room for a label: halfway, long enough, and clear of the others."""
    found: list[Array] = []
    for segments in contours:
        line = max(segments, key=len)
        middle = line[len(line) // 2]
        clear = all(np.hypot(*(middle - other)) > SHORT / 2 for other in found)
        if clear and np.ptp(line, axis=0).max() > SHORT:
            found.append(middle)
    return found


def _about_one() -> Any:
    """Orange below, purple above, both darker the farther from the middle."""
    return ListedColormap(matplotlib.colormaps["PuOr"](np.linspace(0.16, 0.84, 256)))


def _times_label(octaves: float) -> str:
    return f"{2.0**octaves:g}×" if octaves >= 0 else f"1/{2.0**-octaves:g}×"


PART_FILLS = (
    ("#20304f", ""),
    ("#5b7fb5", "////"),
    ("#d9a441", "...."),
    ("#b9d0ea", "\\\\\\\\"),
    ("#f4f1e8", "xxxx"),
)
"""Fill and hatch of the parts of a bar, lightness first."""


MOST_TOTALS = 5
"""Bars in a row that have room for their totals above; of more, only the last one's is given."""


def _stack(
    axes: Axes, parts: Breakdown, stack: Mapping[str, Array], units: Sequence[tuple[str, float]]
) -> str:
    """A bar a P, stacked by part from 0 both ways, with its total above; returns the unit."""
    places = np.arange(len(parts.streams))
    top, bottom = np.zeros(len(places)), np.zeros(len(places))
    total = np.sum(list(stack.values()), axis=0)
    largest = np.abs(total).max()
    unit, scale = next((pair for pair in units if largest >= pair[1]), units[-1])
    for (fill, hatch), values in zip(PART_FILLS, stack.values(), strict=True):
        height = values / scale
        start = np.where(height >= 0, top, bottom)
        axes.bar(places, height, 0.72, start, color=fill, hatch=hatch, edgecolor="0.15", lw=0.5)
        top, bottom = top + np.maximum(height, 0), bottom + np.minimum(height, 0)
    for place in places if len(places) <= MOST_TOTALS else places[-1:]:
        text = f"{total[place] / scale:#.3g}" if total[place] else "0"
        axes.annotate(
            text.removesuffix("."),
            (place, top[place]),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            fontsize=8.5,
        )
    axes.grid(visible=True, axis="y")
    axes.set_xticks(places, [str(count) for count in parts.streams])
    axes.set_ylim(bottom.min() * 1.1, top.max() * 1.1 or 1.0)
    return unit


def _parts_legend(block: FigureBase, names: Sequence[str]) -> None:
    fills = zip(names, PART_FILLS, strict=True)
    handles = [
        Patch(facecolor=fill, hatch=hatch, edgecolor="0.15", linewidth=0.5, label=name)
        for name, (fill, hatch) in fills
    ]
    block.legend(handles=handles, loc="outside upper center", ncols=2, handlelength=1.8)


def _cost_model(name: str, system: System) -> str:
    device = system.hardware.description.replace(" ", UNBROKEN)
    if name == "operators":
        formats = f"weights {system.precision.weights}, cache {system.precision.kv_cache}"
        return f"our cost model, engine {system.engine.name}, {formats}, on {device}"
    flops = system.flops_efficiency or FLOPS_EFFICIENCY
    bandwidth = system.bandwidth_efficiency or BANDWIDTH_EFFICIENCY
    return f"the published cost model at {flops:g} and {bandwidth:g} of the roofs of {device}"


def _lengths(prompts: Sequence[int], outputs: Sequence[int]) -> str:
    if tuple(prompts) == tuple(outputs):
        return f"input = output of {', '.join(map(str, prompts))} tokens"
    pairs = (
        f"{prompt} + {output}".replace(" ", UNBROKEN)
        for prompt, output in zip(prompts, outputs, strict=True)
    )
    return f"input + output of {', '.join(pairs)} tokens"


def _trade_off_caption(grid: CostGrid) -> str:
    lengths = _lengths(grid.setting.input_lengths, grid.setting.output_lengths)
    text = (
        f"Loss: published runs. Cost: {_cost_model(grid.cost_model, grid.system)}, "
        f"{'at' if len(grid.setting.input_lengths) == 1 else 'mean over'} {lengths}."
    )
    if np.isfinite(grid.memory_ratio).any():
        text += (
            f" Bold: what parameters add to {grid.sizes[0]} at the loss of P = {grid.streams[-1]}, "
            "over what its streams add."
        )
    return text


def _called(spec: ModelSpec) -> str:
    if spec.name in FAMILY:
        return spec.name.upper()
    return spec.name or f"a model of {format_count(size_of(spec))} parameters"


def _crossover_caption(found: CrossoverMap) -> str:
    return (
        f"{_called(found.streamed)} with P = {found.streamed.streams}; baseline "
        f"({found.baseline.method}): {found.baseline.description}; cost: "
        f"{_cost_model(found.cost_model, found.system)}; {found.output_length} output tokens."
    )


def _breakdown_caption(parts: Breakdown) -> str:
    work = parts.workload
    return (
        f"{_called(parts.spec)}; {_cost_model('operators', parts.system)}; batch "
        f"{work.batch_size:g}, {work.input_length:g} input and {work.output_length:g} output "
        "tokens. Decode: all steps together. Kernel floors: what a kernel takes however small it "
        "is."
    )
