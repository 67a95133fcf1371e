"""The map of where streams add less than parameters, over batch and prompt length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.path import Path

from cost_analysis.common.arrays import Array, single
from cost_analysis.common.errors import InputError
from cost_analysis.common.units import format_bytes
from cost_analysis.compare.cost_models import request_cost
from cost_analysis.cost.estimate import ratio_of_increases
from cost_analysis.figures.style import (
    cost_model_title,
    doubling_axis,
    label_panel,
    model_title,
    new_figure,
    row_of_axes,
    write_caption,
)
from cost_analysis.inputs.spec import ModelSpec, Workload
from cost_analysis.inputs.system import System
from cost_analysis.law.equal_loss import Baseline
from cost_analysis.law.family import size_of

MAP_BATCH, MAP_PROMPT = (1, 256), (64, 32_768)
MAP_STEPS = 4
"""Ends of the axes of a crossover map, and points for each doubling."""


@dataclass(frozen=True, slots=True, eq=False)
class CrossoverMap:
    """How many times more the baseline adds than the streams, over batch and prompt.

    Attributes:
        streamed: The model with its streams.
        baseline: The parameter-scaled model of equal loss.
        cost_model: "published" or "operators".
        system: What runs the models.
        output_length: Generated tokens of every request.
        batch: Batch sizes, (batches,).
        prompt: Prompt tokens, (prompts,).
        memory_ratio: Ratio of the memory increases, (prompts, batches); infinite where only
            parameters add to it, nan where neither does.
        latency_ratio: Ratio of the latency increases, likewise.
        streamed_memory: Memory of the streamed model [B], likewise.
    """

    streamed: ModelSpec
    baseline: Baseline
    cost_model: str
    system: System
    output_length: int
    batch: Array
    prompt: Array
    memory_ratio: Array
    latency_ratio: Array
    streamed_memory: Array


def crossover_map(
    streamed: ModelSpec,
    baseline: Baseline,
    system: System,
    cost_model: str = "operators",
    output_length: int = 64,
) -> CrossoverMap:
    """Where streams cost less than parameters of equal loss, over batch and prompt.

    Args:
        streamed: The model with its streams, P of 2 or more.
        baseline: The parameter-scaled model of equal loss.
        system: What runs the models.
        cost_model: "published" or "operators".
        output_length: Generated tokens of every request.

    Raises:
        InputError: P is 1, or the baseline is no larger than the base: nothing increases.
    """
    _check_comparison(streamed, baseline)
    batch, prompt = _whole_steps(*MAP_BATCH), _whole_steps(*MAP_PROMPT)
    work = Workload(batch[None], prompt[:, None], output_length)
    cost_of = partial(_costs_over, work=work, system=system, cost_model=cost_model)
    costs, base = cost_of(streamed), cost_of(streamed.with_streams(1))
    ratios = np.asarray(ratio_of_increases(baseline.cost(cost_of) - base, costs - base, base))
    return CrossoverMap(
        streamed=streamed,
        baseline=baseline,
        cost_model=cost_model,
        system=system,
        output_length=output_length,
        batch=batch,
        prompt=prompt,
        memory_ratio=ratios[0],
        latency_ratio=ratios[1],
        streamed_memory=costs[0],
    )


def _check_comparison(streamed: ModelSpec, baseline: Baseline) -> None:
    if streamed.streams < 2:
        raise InputError(f"P is {streamed.streams}; streams cross over from P = 2")
    if not baseline.parameters > size_of(streamed.with_streams(1)):
        raise InputError("the baseline is no larger than the base: there is nothing to compare")


def _costs_over(spec: ModelSpec, work: Workload, system: System, cost_model: str) -> Array:
    """Memory [B] and latency [s] of every request of a map, (2, prompts, batches)."""
    shape = np.broadcast_shapes(np.shape(work.input_length), np.shape(work.batch_size))
    costs = request_cost(cost_model, spec, work, system)
    return np.array([np.broadcast_to(cost, shape) for cost in costs])


def _whole_steps(first: int, last: int) -> Array:
    """Whole numbers between two, evenly in their logarithm."""
    points = 1 + MAP_STEPS * round(np.log2(last / first))
    return np.unique(np.round(np.geomspace(first, last, points)))


def crossover_caption(found: CrossoverMap) -> str:
    """Which models a map compares, and what their costs come from."""
    return (
        f"{model_title(found.streamed)} with P = {found.streamed.streams}; baseline "
        f"({found.baseline.method}): {found.baseline.description}; cost: "
        f"{cost_model_title(found.cost_model, found.system)}; {found.output_length} output tokens."
    )


REACH = 6.0
"""Doublings to both sides of 1 beyond which ratios are drawn alike."""

SHORT = 1.2
"""Doublings that a contour must span to have room for a label."""

FULL: Mapping[str, Any] = {"colors": "black", "linewidths": 1.8, "linestyles": "dotted"}


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
    capacity = format_bytes(single(found.system.hardware.memory))
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
