"""The numbers of a heat map: one column of a sweep over two axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cost_analysis.errors import InputError, unknown_name
from cost_analysis.grid import Grid
from cost_analysis.sweep_columns import NAMED, Column
from cost_analysis.sweeps import rows_of
from cost_analysis.training_runs import Array

MOST_VALUES = 200
"""Values of an axis: more could not be told apart."""


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
        told = ", ".join(varied) or "none"
        raise InputError(f"a heat map needs two axes with several values each; given: {told}")
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
