"""Figures 2 and 3 of the paper: loss against N for each P, and contours over N and P."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from cost_analysis.common.arrays import Array, single
from cost_analysis.common.errors import InputError
from cost_analysis.common.units import format_count
from cost_analysis.figures.style import (
    doubling_axis,
    label_panel,
    marker_of,
    new_figure,
    row_of_axes,
    stream_handles,
    stream_style,
    write_caption,
)
from cost_analysis.law.runs import DATASET_NAMES, published_runs
from cost_analysis.law.scaling_law import Fit, fit

CURVE_POINTS = 160
"""Points of a curve over N."""

SURFACE_ROWS = 81
"""Values of P between the published ones that a contour is drawn through."""

MARGIN = 1.12
"""Factor by which curves extend beyond the smallest and the largest run."""


@dataclass(frozen=True, slots=True, eq=False)
class LossSurface:
    """Predicted loss over N and P, and the runs that the law was fitted on.

    Attributes:
        dataset: "stack" or "pile".
        fitted: The law and its runs.
        parameters: Parameters without embeddings, N, (sizes,).
        streams: Parallel streams, P, (streams,).
        loss: Predicted loss, (streams, sizes).
    """

    dataset: str
    fitted: Fit
    parameters: Array
    streams: Array
    loss: Array


def loss_curves(dataset: str, streams: Sequence[int] = (1, 2, 4, 8)) -> LossSurface:
    """The fitted law over N, a curve for each P: the paper's Figure 2.

    Args:
        dataset: "stack" or "pile".
        streams: Parallel streams, P, of the curves.
    """
    return _surface(dataset, np.array(streams, np.float64))


def loss_surface(dataset: str, largest: int = 8) -> LossSurface:
    """The fitted law over N and P: the paper's Figure 3.

    Args:
        dataset: "stack" or "pile".
        largest: The largest P.

    Raises:
        InputError: The largest P is 1, which leaves no axis.
    """
    if largest < 2:
        raise InputError(f"P is {largest}; a surface over P needs P = 2 or more")
    return _surface(dataset, np.geomspace(1.0, float(largest), SURFACE_ROWS))


def _surface(dataset: str, streams: Array) -> LossSurface:
    fitted = fit(published_runs(dataset))
    sizes = fitted.runs.parameters
    parameters = np.geomspace(sizes.min() / MARGIN, sizes.max() * MARGIN, CURVE_POINTS)
    loss = np.asarray(fitted.law.loss(parameters[None], streams[:, None]))
    return LossSurface(dataset, fitted, parameters, streams, loss)


LAW_CURVES = (
    "Points: the 24 published runs. Curves: the law fitted on them (Huber loss of "
    "log losses, δ = 0.001). N counts prefixes and aggregator."
)
LAW_CONTOURS = (
    "Contours: the law fitted on the 24 published ParScale runs (circles); darker is a lower "
    "loss. N counts prefixes and aggregator."
)


def law_formula(panel: LossSurface) -> str:
    """A fitted law in figures, and how well it fits."""
    law = panel.fitted.law
    share = f"{format_count(single(law.A))} / (N (1 + {law.k:.3f} ln P))"
    return f"Loss = {law.E:.3f} + ({share})^{law.alpha:.3f}\nR² = {panel.fitted.r_squared:.4f}"


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
