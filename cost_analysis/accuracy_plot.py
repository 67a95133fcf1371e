"""The figure of predictions against measurements, a panel for each class of engines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cost_analysis.accuracy import WITHIN, Prediction, summary
from cost_analysis.captions import PREDICTED_TIMES
from cost_analysis.measurements import MEMORY_METRIC
from cost_analysis.plot_style import label_panel, new_figure, row_of_axes, write_caption
from cost_analysis.predictions import measured_seconds

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
