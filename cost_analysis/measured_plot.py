"""The figure of measurements: for each claim the measured ratio of increases beside the claimed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from cost_analysis.captions import MEASURED_RATIOS
from cost_analysis.plot_style import (
    label_panel,
    marker_of,
    new_figure,
    row_of_axes,
    stream_style,
    write_caption,
)
from cost_analysis.verdicts import CLAIM_NAMES, CLAIMED, Verdict

REACH = 0.18
"""Width that the runs of one number of streams are spread over, in steps of log2 P."""

Runs = Mapping[str, Sequence[Verdict]]
"""Verdicts of each run, by the name of the run."""


def measured(runs: Runs) -> Figure:
    """Measured and claimed ratios over P, a panel for each claim, a marker for each run."""
    claims = [c for c in CLAIM_NAMES if any(v.claim == c for run in runs.values() for v in run)]
    figure = new_figure(3.6 + 0.2 * len(runs))
    cells = row_of_axes(figure, len(claims))
    low, high = _limits(runs)
    for axes, claim in zip(cells, claims, strict=True):
        label_panel(axes, CLAIM_NAMES[claim].capitalize(), "Streams, P", "")
        axes.set_yscale("log", base=2)
        axes.set_ylim(low, high)
        axes.axhline(1.0, color="0.2", linewidth=0.9)
        for index, verdicts in enumerate(runs.values()):
            own = [verdict for verdict in verdicts if verdict.claim == claim]
            _draw_run(axes, own, index, len(runs), high)
        _scales(axes, runs)
    cells[0].set_ylabel("Parameters add this many times\nwhat streams add")
    figure.legend(handles=_handles(runs), loc="outside upper left", ncols=2)
    write_caption(figure, MEASURED_RATIOS)
    return figure


def _draw_run(axes: Axes, verdicts: Sequence[Verdict], index: int, count: int, high: float) -> None:
    """Measured values with their intervals; what streams add for free points out of the panel."""
    style = stream_style(index, count)
    shift = REACH * (2 * index / max(count - 1, 1) - 1) if count > 1 else 0.0
    for verdict in verdicts:
        place = math.log2(verdict.streams) + shift
        if verdict.claim in CLAIMED:
            axes.plot([place - 0.09, place + 0.09], [verdict.predicted] * 2, color=style["color"])
        if verdict.measured == math.inf:
            axes.annotate("free", (place, high), ha="center", va="top", fontsize=8.5)
        elif verdict.measured > 0:
            ends = [max(verdict.low, 1e-9), min(verdict.high, 1e9)]
            axes.plot([place, place], ends, color=style["color"], linewidth=1.1)
            axes.plot(place, verdict.measured, linestyle="none", **marker_of(style))


def _limits(runs: Runs) -> tuple[float, float]:
    """Ends of the ratios that are drawn, from half a doubling below to one above."""
    shown = [v for run in runs.values() for v in run]
    values = [value for v in shown for value in (v.measured, v.predicted)]
    known = np.array([value for value in values if 0 < value < math.inf] + [1.0])
    return float(known.min() / 1.6), float(known.max() * 2.2)


def _scales(axes: Axes, runs: Runs) -> None:
    streams = sorted({v.streams for run in runs.values() for v in run})
    axes.set_xticks([math.log2(count) for count in streams], [str(count) for count in streams])
    axes.set_xlim(math.log2(streams[0]) - 0.45, math.log2(streams[-1]) + 0.45)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _handles(runs: Runs) -> list[Line2D]:
    styles = (stream_style(index, len(runs)) for index in range(len(runs)))
    shown = [
        Line2D([], [], label=name, linestyle="none", **marker_of(style))
        for name, style in zip(runs, styles, strict=True)
    ]
    return [*shown, Line2D([], [], label="as claimed", color="0.3")]
