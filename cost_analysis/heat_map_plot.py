"""Draws a heat map: darker is more, hatched is what does not fit the device."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cost_analysis.captions import heat_map_caption
from cost_analysis.heat_map_data import HeatMap
from cost_analysis.plot_style import label_panel, new_figure, write_caption
from cost_analysis.units import format_of_column

MOST_LABELS = 14
"""Values of an axis up to which every cell says its number, and every place its value."""

WIDE = 20.0
"""Ratio of the largest to the smallest value from which colours follow the logarithm."""


def heatmap(found: HeatMap) -> Figure:
    """A column of a sweep over two axes, a cell a row."""
    (rows, row_values), (columns, column_values) = found.rows, found.columns
    figure = new_figure(1.9 + 0.42 * min(max(len(row_values), 4), MOST_LABELS))
    axes = figure.subplots()
    colours = _colours(found.values)
    shade = matplotlib.colormaps["Purples"]
    drawn = axes.pcolormesh(
        np.arange(len(column_values) + 1) - 0.5,
        np.arange(len(row_values) + 1) - 0.5,
        np.ma.masked_invalid(found.values),
        norm=colours,
        cmap=shade,
        edgecolors="white" if len(column_values) <= MOST_LABELS else "none",
        linewidth=0.5,
    )
    _hatch(axes, found)
    if max(len(row_values), len(column_values)) <= MOST_LABELS:
        _write_numbers(axes, found, colours)
    _name_places(axes, "x", column_values)
    _name_places(axes, "y", row_values)
    label_panel(
        axes, f"{found.column.name}: {found.column.text.split(';')[0]}", columns, rows, grid=False
    )
    bar = figure.colorbar(drawn, ax=axes, pad=0.01, aspect=30)
    bar.ax.yaxis.set_major_formatter(lambda value, _: format_of_column(found.column.name)(value))
    bar.ax.yaxis.set_minor_formatter(lambda *_: "")
    write_caption(figure, heat_map_caption(found))
    return figure


def _colours(values: Any) -> Normalize:
    known = values[np.isfinite(values)]
    low, high = (known.min(), known.max()) if known.size else (0.0, 1.0)
    if low > 0 and high / low > WIDE:
        return LogNorm(low, high)
    return Normalize(low, high if high > low else low + 1.0)


def _hatch(axes: Axes, found: HeatMap) -> None:
    """Hatch the cells of requests that do not fit, and say so."""
    if found.fits.all():
        return
    for row, column in zip(*np.nonzero(~found.fits), strict=True):
        corner = (column - 0.5, row - 0.5)
        axes.add_patch(
            matplotlib.patches.Rectangle(
                corner, 1, 1, fill=False, hatch="////", edgecolor="0.45", linewidth=0
            )
        )
    label = Patch(
        facecolor="white", edgecolor="0.45", hatch="////", label="does not fit the device"
    )
    axes.figure.legend(handles=[label], loc="outside upper right")


def _write_numbers(axes: Axes, found: HeatMap, colours: Normalize) -> None:
    form = format_of_column(found.column.name)
    for (row, column), value in np.ndenumerate(found.values):
        if not np.isfinite(value):
            continue
        dark = colours(value) > 0.55
        behind = {"facecolor": "0.2" if dark else "white", "edgecolor": "none", "alpha": 0.6}
        axes.text(
            column, row, form(value), ha="center", va="center", fontsize=7.5,
            color="white" if dark else "black",
            bbox=None if found.fits[row, column] else {**behind, "pad": 0.8},
        )  # fmt: skip


def _name_places(axes: Axes, which: str, values: tuple[Any, ...]) -> None:
    """Name the places of an axis; of many, some that lie evenly."""
    step = -(-len(values) // MOST_LABELS)
    places = list(range(0, len(values), step))
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks(places, [str(values[place]) for place in places])
    axis.set_tick_params(length=0)
