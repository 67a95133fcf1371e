"""A heat map of one column of a sweep over two axes: darker is more, hatched does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cost_analysis.common.arrays import Array
from cost_analysis.common.errors import InputError, unknown_name
from cost_analysis.common.units import format_of_column
from cost_analysis.figures.style import UNBROKEN, label_panel, new_figure, write_caption
from cost_analysis.search.column import Column
from cost_analysis.search.columns import NAMED
from cost_analysis.search.grid import Grid
from cost_analysis.search.sweep import rows_of

MOST_VALUES = 200
"""Most values of an axis: the cells of more could not be distinguished."""


@dataclass(frozen=True, slots=True, eq=False)
class HeatMap:
    """A column of a sweep over two axes.

    Attributes:
        column: What is shown.
        rows: Name of the vertical axis, and its values.
        columns: Name of the horizontal axis, and its values.
        values: The column, (rows, columns).
        fits: Whether the request fits its device, (rows, columns).
        fixed: The axes with one value.
    """

    column: Column
    rows: tuple[str, tuple[Any, ...]]
    columns: tuple[str, tuple[Any, ...]]
    values: Array
    fits: Any
    fixed: Mapping[str, Any]


def heat_map(grid: Grid, name: str) -> HeatMap:
    """A column over the two axes of a grid that have several values.

    Raises:
        InputError: Another number of axes varies, an axis has too many values, or no such column.
    """
    numbers = {each for each, column in NAMED.items() if column.kind in ("number", "count")}
    if name not in numbers:
        raise unknown_name("column of numbers", name, numbers)
    varied = grid.varied
    if len(varied) != 2:
        named = ", ".join(varied) or "none"
        raise InputError(f"a heat map needs two axes with several values each; given: {named}")
    long = [axis for axis in varied if len(grid.axes[axis]) > MOST_VALUES]
    if long:
        raise InputError(f"{long[0]} has more than the {MOST_VALUES} values that a map can show")
    found = rows_of(grid, range(grid.piece_count))
    shape = tuple(len(grid.axes[axis]) for axis in varied)

    def over_axes(column: str) -> Any:
        return found[column].reshape(shape)

    return HeatMap(
        column=NAMED[name],
        rows=(varied[0], grid.axes[varied[0]]),
        columns=(varied[1], grid.axes[varied[1]]),
        values=over_axes(name).astype(float),
        fits=over_axes("device_fits"),
        fixed={axis: values[0] for axis, values in grid.axes.items() if len(values) == 1},
    )


def heat_map_caption(found: HeatMap) -> str:
    """What a heat map holds fixed."""
    fixed = ", ".join(
        f"{name} {value}".replace(" ", UNBROKEN) for name, value in found.fixed.items()
    )
    return f"A cell is one estimate; {f'at {fixed}; ' if fixed else ''}all else by default."


MOST_LABELS = 14
"""Values of an axis up to which every cell shows its number, and every tick its value."""

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
