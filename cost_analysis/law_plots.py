"""The law's figures: loss against N for each P, and contours over N and P."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from cost_analysis.captions import LAW_CONTOURS, LAW_CURVES, law_formula
from cost_analysis.law_data import LossSurface
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
from cost_analysis.training_runs import DATASET_NAMES

BILLION = 1e9

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


def figure2(panels: Sequence[LossSurface]) -> Figure:
    """Loss against N for each P: the runs as points, the fitted law as curves."""
    figure = new_figure(4.3)
    for axes, panel in zip(row_of_axes(figure, len(panels)), panels, strict=True):
        label_panel(axes, DATASET_NAMES[panel.dataset], N_LABEL, "Loss")
        for index, streams in enumerate(panel.streams):
            style = stream_style(index, len(panel.streams))
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
                runs.parameters[own] / BILLION, runs.loss[own], linestyle="none", **marker_of(style)
            )
        axes.legend(handles=stream_handles(panel.streams), loc="upper right")
        axes.text(0.03, 0.03, law_formula(panel), transform=axes.transAxes, fontsize=8.5)
        _size_axis(axes, panel)
    write_caption(figure, LAW_CURVES)
    return figure


def figure3(panels: Sequence[LossSurface]) -> Figure:
    """Contours of predicted loss over N and P, with the runs that the law was fitted on."""
    figure = new_figure(4.3)
    for axes, panel in zip(row_of_axes(figure, len(panels)), panels, strict=True):
        name = DATASET_NAMES[panel.dataset]
        label_panel(axes, f"Predicted loss, {name}", N_LABEL, "Parallel streams, P", grid=False)
        _size_axis(axes, panel)
        doubling_axis(axes, "y", panel.streams)
        _loss_contours(axes, panel)
        runs = panel.fitted.runs
        shown = runs.streams <= panel.streams[-1]
        axes.plot(runs.parameters[shown] / BILLION, np.log2(runs.streams[shown]), **RUN_MARK)
    write_caption(figure, LAW_CONTOURS)
    return figure


def _size_axis(axes: Axes, panel: LossSurface) -> None:
    axes.set_xscale("log")
    axes.set_xlim(panel.parameters[0] / BILLION, panel.parameters[-1] / BILLION)
    axes.xaxis.set_major_locator(FixedLocator([0.5, 0.7, 1, 1.5, 2, 3, 4]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


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
