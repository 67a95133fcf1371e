"""Measured ratios beside the claimed ones, and predicted against measured times."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from cost_analysis.figures.style import (
    label_panel,
    marker_of,
    new_figure,
    row_of_axes,
    stream_style,
    write_caption,
)
from cost_analysis.fitting.accuracy import WITHIN, Prediction, summary
from cost_analysis.fitting.measurements import MEMORY_METRIC
from cost_analysis.fitting.predictions import measured_seconds
from cost_analysis.measure.verdicts import CLAIM_NAMES, CLAIMED, Verdict

MEASURED_RATIOS = (
    "Markers: measured, with 95 % intervals. Dashes: what the paper's cost model gives for the "
    "same request on its A100; where there is none, the paper makes no claim. Above 1×, streams "
    "add less than parameters of equal loss do."
)

PREDICTED_TIMES = (
    "Published measurements, times of a token, a step or a request, by engines that were fitted on "
    "these rows too; band: within 30 %. Median errors are those of 16-bit weights. "
    "`parscale-cost fit-latency` gives the errors on rows that a fit has not seen."
)


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


KINDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("16-bit weights", {"marker": "o", "color": "#20304f", "markeredgecolor": "white"}),
    ("narrower weights", {"marker": "^", "color": "none", "markeredgecolor": "#b5712a"}),
)
"""What the markers tell apart, and how."""


def accuracy(found: Sequence[Prediction]) -> Figure:
    """Predicted against measured times, a panel for each class of engines."""
    times = [item for item in found if item.measurement.metric != MEMORY_METRIC]
    classes = sorted({item.measurement.engine_class for item in times})
    figure = new_figure(3.4)
    for axes, name in zip(row_of_axes(figure, len(classes)), classes, strict=True):
        _panel(axes, name, [item for item in times if item.measurement.engine_class == name])
    figure.axes[0].set_ylabel("Predicted [s]")
    wide = {item.measurement.precision.matrix.bits >= 16 for item in times}
    handles = [
        Line2D([], [], label=label, linestyle="none", markersize=5.0, **style)
        for (label, style), kind in zip(KINDS, (True, False), strict=True)
        if kind in wide
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
    write_caption(figure, PREDICTED_TIMES)
    return figure


def _panel(axes: Axes, name: str, found: Sequence[Prediction]) -> None:
    """The rows of a class about the diagonal."""
    measured = np.array([measured_seconds(item.measurement) for item in found])
    errors = np.array([item.error for item in found])
    wide = np.array([item.measurement.precision.matrix.bits >= 16 for item in found])
    ends = np.array([measured.min() / 2.0, measured.max() * 2.0])
    axes.fill_between(ends, ends * (1.0 - WITHIN), ends * (1.0 + WITHIN), color="0.9", linewidth=0)
    axes.plot(ends, ends, color="0.4", linewidth=0.8)
    for (_, style), own in zip(KINDS[::-1], (~wide, wide), strict=True):
        predicted = measured[own] * (1.0 + errors[own])
        axes.plot(measured[own], predicted, linestyle="none", markersize=4.0,
                  markeredgewidth=0.5, **style)  # fmt: skip
    shown = errors[wide] if wide.any() else errors
    title = f"{name}: {len(found)} rows\nmedian error {summary(shown).median:.1%}"
    label_panel(axes, title, "Measured [s]", "")
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
