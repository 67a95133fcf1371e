"""Figure 4 of the paper, loss against cost; and what methods of spending compute cost."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from cost_analysis.common.arrays import Array
from cost_analysis.common.errors import InputError
from cost_analysis.common.units import GIB
from cost_analysis.compare.comparison import MethodComparison
from cost_analysis.compare.cost_models import Setting, mean_cost
from cost_analysis.cost.estimate import ratio_of_increases
from cost_analysis.figures.style import (
    UNBROKEN,
    cost_model_title,
    lengths_title,
    marker_of,
    new_figure,
    row_of_axes,
    stream_handles,
    stream_style,
    write_caption,
)
from cost_analysis.inputs.spec import ModelSpec
from cost_analysis.inputs.system import System
from cost_analysis.law.equal_loss import measured_baseline
from cost_analysis.law.family import family
from cost_analysis.law.runs import DATASET_NAMES, Runs, published_runs


@dataclass(frozen=True, slots=True, eq=False)
class CostGrid:
    """Measured loss and mean cost of published models at several P and batch sizes.

    Attributes:
        dataset: "stack" or "pile".
        cost_model: "published" or "operators".
        system: What runs the models.
        setting: Batch sizes, each a column of its own, and the lengths that costs are means over.
        sizes: Names of the models, smallest first; the first is the base.
        streams: Parallel streams, P, (streams,).
        loss: Final loss, (sizes, streams).
        memory: Memory [B], (sizes, streams, batches).
        latency: Latency [s], (sizes, streams, batches).
        memory_ratio: Ratio of the memory increases of the measured baseline and of the base at
            the largest P (`ratio_of_increases`), (batches,); nan where no baseline was measured.
        latency_ratio: The same of the latency.
    """

    dataset: str
    cost_model: str
    system: System
    setting: Setting
    sizes: tuple[str, ...]
    streams: tuple[int, ...]
    loss: Array
    memory: Array
    latency: Array
    memory_ratio: Array
    latency_ratio: Array


def cost_grid(
    base: ModelSpec,
    streams: Sequence[int],
    setting: Setting,
    system: System,
    cost_model: str = "published",
    dataset: str = "stack",
) -> CostGrid:
    """Loss against cost of a published model and the larger ones: the paper's Figure 4.

    Args:
        base: A published model, at any P.
        streams: Parallel streams, P, of published runs.
        setting: Batch sizes, each on its own, and the lengths that costs are means over.
        system: What runs the models.
        cost_model: "published" or "operators".
        dataset: "stack" or "pile".

    Raises:
        InputError: No run of this model, or of this P.
    """
    runs, specs = published_runs(dataset), _from_base_up(base)
    sizes = tuple(spec.name.upper() for spec in specs)
    cost_of = partial(_mean_costs, setting=setting, system=system, cost_model=cost_model)
    costs = np.array([[cost_of(spec.with_streams(count)) for count in streams] for spec in specs])
    ratios = _measured_ratios(base.with_streams(max(streams)), runs, cost_of)
    return CostGrid(
        dataset=dataset,
        cost_model=cost_model,
        system=system,
        setting=setting,
        sizes=sizes,
        streams=tuple(streams),
        loss=np.array([[_run_loss(runs, size, count) for count in streams] for size in sizes]),
        memory=costs[:, :, 0],
        latency=costs[:, :, 1],
        memory_ratio=ratios[0],
        latency_ratio=ratios[1],
    )


def _from_base_up(base: ModelSpec) -> tuple[ModelSpec, ...]:
    names = [member.name for member in family()]
    if base.name not in names:
        raise InputError(
            f"losses were published for {', '.join(name.upper() for name in names)}, "
            f"not for {base.name or 'this model'}"
        )
    return family()[names.index(base.name) :]


def _run_loss(runs: Runs, size: str, streams: int) -> float:
    match = (np.array(runs.sizes) == size) & (runs.streams == streams)
    if not match.any():
        known = ", ".join(f"{count:g}" for count in np.unique(runs.streams))
        raise InputError(f"no published run has P = {streams}; runs exist for P = {known}")
    return float(runs.loss[match][0])


def _mean_costs(spec: ModelSpec, setting: Setting, system: System, cost_model: str) -> Array:
    """Memory [B] and latency [s], means over the lengths, (2, batches)."""
    columns = (replace(setting, batch_sizes=(batch,)) for batch in setting.batch_sizes)
    costs = [mean_cost(cost_model, spec, column, system) for column in columns]
    return np.array([[cost.memory for cost in costs], [cost.latency for cost in costs]])


def _measured_ratios(
    streamed: ModelSpec, runs: Runs, cost_of: Callable[[ModelSpec], Array]
) -> Array:
    """Ratios of the memory and latency increases, (2, batches); nan without a baseline."""
    costs, base = cost_of(streamed), cost_of(streamed.with_streams(1))
    try:
        wider = measured_baseline(streamed, runs).cost(cost_of)
    except InputError:
        wider = np.nan
    return np.asarray(ratio_of_increases(wider - base, costs - base, base))


def trade_off_caption(grid: CostGrid) -> str:
    """What a grid of costs shows, and what its ratios are."""
    lengths = lengths_title(grid.setting.input_lengths, grid.setting.output_lengths)
    text = (
        f"Loss: published runs. Cost: {cost_model_title(grid.cost_model, grid.system)}, "
        f"{'at' if len(grid.setting.input_lengths) == 1 else 'mean over'} {lengths}."
    )
    if np.isfinite(grid.memory_ratio).any():
        text += (
            f" Bold: what parameters add to {grid.sizes[0]} at the loss of P = {grid.streams[-1]}, "
            "over what its streams add."
        )
    return text


def methods_caption(found: MethodComparison) -> str:
    """Which request the methods answer."""
    request = found.request
    work, system = request.workload, request.system
    return (
        f"Multiples of {request.title} with one stream, on "
        f"{system.hardware.description.replace(' ', UNBROKEN)}, engine {system.engine.name}, "
        f"batch {work.batch_size:g}, {work.input_length:g} input and {work.output_length:g} output "
        "tokens. What a method gains is not shown."
    )


PANELS = (
    ("Memory", "memory"),
    ("First token", "ttft"),
    ("Each further token", "tpot"),
    ("Whole request", "latency"),
    ("FLOPs", "flops"),
)
"""Titles and attributes of the costs that are drawn."""

ROOM = 1.9
"""Width of an axis beyond its largest ratio, for the numbers behind the bars."""


def methods(found: MethodComparison) -> Figure:
    """A panel a cost, a bar a method, its length the logarithm of the ratio to the base."""
    names = [cost.spending.name for cost in found.costs[1:]]
    figure = new_figure(1.3 + 0.3 * max(len(names), 3))
    panels = row_of_axes(figure, len(PANELS))
    first = found.costs[0]
    for axes, (title, attribute) in zip(panels, PANELS, strict=True):
        of = float(getattr(first, attribute))
        ratios = [
            float(getattr(cost, attribute)) / of if of else np.nan for cost in found.costs[1:]
        ]
        _bars(axes, title, ratios)
        axes.set_yticks(range(len(names)), names if axes is panels[0] else [])
    write_caption(figure, methods_caption(found))
    return figure


def _bars(axes: Axes, title: str, ratios: list[float]) -> None:
    known = [ratio for ratio in ratios if np.isfinite(ratio)] or [1.0]
    low, high = min(1.0, *known), max(1.25, *known)
    places = np.arange(len(ratios))
    axes.barh(places, np.subtract(ratios, 1.0), left=1.0, height=0.62, color="#8379b5")
    axes.axvline(1.0, color="0.3", linewidth=0.8)
    for place, ratio in zip(places, ratios, strict=True):
        text = f"{ratio:.2f}×" if np.isfinite(ratio) else "none"
        axes.annotate(
            text, (max(ratio, 1.0) if np.isfinite(ratio) else 1.0, place), xytext=(3, 0),
            textcoords="offset points", va="center", fontsize=7.5,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(low / 1.05, high * ROOM)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(len(ratios) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_title(title)


BOLD: Mapping[str, Any] = {"ha": "right", "va": "top", "fontsize": 11, "fontweight": "bold"}


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
