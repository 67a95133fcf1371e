"""The figure of parts: memory and time for several P, and what the streams add to each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.patches import Patch

from cost_analysis.common.arrays import Array
from cost_analysis.common.units import GIB, format_figure
from cost_analysis.cost.estimate import Estimate, estimate_on
from cost_analysis.cost.latency import Phase
from cost_analysis.cost.roofline import OperatorTime
from cost_analysis.figures.style import cost_model_title, model_title, new_figure, write_caption
from cost_analysis.inputs.spec import ModelSpec, Workload
from cost_analysis.inputs.system import System

Parts = dict[str, Array]

MEMORY_PARTS = (
    ("layers", ("layers",)),
    ("embedding, LM head", ("embedding", "lm_head")),
    ("prefixes, aggregator", ("prefix", "aggregator")),
    ("KV cache", ("kv_cache",)),
    ("activations", ("activations",)),
)
"""Parts of the memory and the fields of `memory.Memory` that they sum."""

OVERHEAD = "kernel floors, host"
TIME_PARTS = (
    ("attention", ("attention",)),
    ("MLP", ("mlp",)),
    ("LM head", ("lm head",)),
    ("embedding, aggregator", ("embedding", "aggregator")),
    (OVERHEAD, ()),
)
"""Parts of the time at the roofs and those of the operators that they sum, and what is above."""


@dataclass(frozen=True, slots=True, eq=False)
class Breakdown:
    """Memory and time of a model by part, for several P.

    Attributes:
        spec: The model; its own P does not count.
        workload: The request.
        system: What runs it.
        streams: Parallel streams, P, (streams,).
        memory: Bytes of each part, (streams,); they sum to the memory of the request.
        prefill: Seconds of each part of the prefill, likewise.
        decode: Seconds of each part of all decode steps together, likewise.
    """

    spec: ModelSpec
    workload: Workload
    system: System
    streams: tuple[int, ...]
    memory: Parts
    prefill: Parts
    decode: Parts


def breakdown_parts(
    spec: ModelSpec, streams: Sequence[int], workload: Workload, system: System
) -> Breakdown:
    """Memory and time by part, by our own cost model.

    Args:
        spec: The model; its own P does not count.
        streams: Parallel streams, P.
        workload: One request.
        system: What runs it.
    """
    costs = [estimate_on(spec.with_streams(count), workload, system) for count in streams]
    return Breakdown(
        spec=spec,
        workload=workload,
        system=system,
        streams=tuple(streams),
        memory=_joined(_memory_parts(cost) for cost in costs),
        prefill=_joined(_time_parts(cost.prefill) for cost in costs),
        decode=_joined(_time_parts(cost.decode) for cost in costs),
    )


def _joined(rows: Iterable[dict[str, float]]) -> Parts:
    listed = list(rows)
    return {name: np.array([row[name] for row in listed]) for name in listed[0]}


def _memory_parts(cost: Estimate) -> dict[str, float]:
    return {
        part: sum(float(getattr(cost.memory, name)) for name in names)
        for part, names in MEMORY_PARTS
    }


def _time_parts(phase: Phase) -> dict[str, float]:
    """Seconds of each part at the roofs; the floors of all kernels and the host are one part."""
    seconds = {
        part: sum(_at_roofs(time) for time in phase.times if time.operator.part in operators)
        for part, operators in TIME_PARTS
    }
    seconds[OVERHEAD] = sum(float(time.overhead * time.runs) for time in phase.times)
    return seconds


def _at_roofs(time: OperatorTime) -> float:
    return float((time.seconds - time.overhead) * time.runs)


def breakdown_caption(parts: Breakdown) -> str:
    """Which request the bars break down, and what their parts hold."""
    work = parts.workload
    return (
        f"{model_title(parts.spec)}; {cost_model_title('operators', parts.system)}; batch "
        f"{work.batch_size:g}, {work.input_length:g} input and {work.output_length:g} output "
        "tokens. Decode: all steps together. Kernel floors: what a kernel takes however small it "
        "is."
    )


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


def breakdown(parts: Breakdown) -> Figure:
    """Memory and time by part for several P, and what the streams add to each."""
    figure = new_figure(6.4)
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1, 2))[0]
    bytes_units = (("TiB", 1024 * GIB), ("GiB", GIB), ("MiB", GIB / 1024))
    second_units = (("s", 1.0), ("ms", 1e-3))
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
    write_caption(figure, breakdown_caption(parts))
    return figure


def _stack(
    axes: Axes, parts: Breakdown, stack: Mapping[str, Array], units: Sequence[tuple[str, float]]
) -> str:
    """A bar a P, stacked by part, with its total above; returns the unit."""
    total = np.sum(list(stack.values()), axis=0)
    largest = np.abs(total).max()
    unit, scale = next((pair for pair in units if largest >= pair[1]), units[-1])
    bottom, top = _bars(axes, [values / scale for values in stack.values()])
    _totals(axes, total / scale, top)
    axes.grid(visible=True, axis="y")
    axes.set_xticks(np.arange(len(parts.streams)), [str(count) for count in parts.streams])
    axes.set_ylim(bottom.min() * 1.1, top.max() * 1.1 or 1.0)
    return unit


def _bars(axes: Axes, heights: Sequence[Array]) -> tuple[Array, Array]:
    """Parts stacked from 0 both ways; returns where the bars end below and above."""
    places = np.arange(len(heights[0]))
    top, bottom = np.zeros(len(places)), np.zeros(len(places))
    for (fill, hatch), height in zip(PART_FILLS, heights, strict=True):
        start = np.where(height >= 0, top, bottom)
        axes.bar(places, height, 0.72, start, color=fill, hatch=hatch, edgecolor="0.15", lw=0.5)
        top, bottom = top + np.maximum(height, 0), bottom + np.minimum(height, 0)
    return bottom, top


def _totals(axes: Axes, totals: Array, top: Array) -> None:
    """Totals above the bars; of many bars only the last one's."""
    places = range(len(totals))
    for place in places if len(places) <= MOST_TOTALS else places[-1:]:
        axes.annotate(
            format_figure(totals[place]) if totals[place] else "0",
            (place, top[place]),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            fontsize=8.5,
        )


def _parts_legend(block: FigureBase, names: Sequence[str]) -> None:
    fills = zip(names, PART_FILLS, strict=True)
    handles = [
        Patch(facecolor=fill, hatch=hatch, edgecolor="0.15", linewidth=0.5, label=name)
        for name, (fill, hatch) in fills
    ]
    block.legend(handles=handles, loc="outside upper center", ncols=2, handlelength=1.8)
