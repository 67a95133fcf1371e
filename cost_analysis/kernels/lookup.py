"""Measured times of kernels on a device under an engine, by the published tables.

Each time is on a grid point of a table, interpolated in it or extrapolated, and says which; a shape
without a table is an error, never a guess.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cache
from typing import NamedTuple

import numpy as np

from cost_analysis.common.arrays import Array, Label, Number
from cost_analysis.inputs.engine import KernelSources
from cost_analysis.kernels.curves import FAMILIES as FAMILIES_OF_SOURCES
from cost_analysis.kernels.curves import key_of
from cost_analysis.kernels.families import (
    FAMILIES,
    Roofs,
    find_roofs,
    flat,
    format_of,
    is_possible,
    part_of,
)
from cost_analysis.kernels.interpolation import Curves, make_curves
from cost_analysis.kernels.library import Library, engine_named, find_library
from cost_analysis.kernels.shapes import Attention, Shape
from cost_analysis.kernels.tables import NoTableError, Table
from cost_analysis.kernels.times import KernelTime

MEASURED, INTERPOLATED, EXTRAPOLATED = "measured", "interpolated", "extrapolated"
"""Labels of times: on a grid point, between grid points, beyond them."""

SHORTEST = 0.001
"""Share of a table's times that lie below the time of a start: robust, where the least is not."""


class Timed(NamedTuple):
    """Times of kernels.

    Attributes:
        seconds: Of one call on one device [s].
        label: `MEASURED`, `INTERPOLATED` or `EXTRAPOLATED`.
        beyond: Factor by which the size furthest beyond the measured shapes exceeds them; 1.0
            within.
    """

    seconds: Number
    label: Label
    beyond: Number


@dataclass(frozen=True, slots=True)
class Measured:
    """One table, ready to be looked up.

    Attributes:
        curves: Its ratios.
        start: Time of the shortest kernels, which the roofs do not explain [s].
        table: Where it comes from.
        rows: Shapes that were measured.
        dropped: Shapes among them that were left out, because they break a roof.
    """

    curves: Curves
    start: float
    table: Table
    rows: int
    dropped: int


class NoWindowError(Exception):
    """A table of attention has no kernels with a window."""


@dataclass(slots=True)
class MeasuredKernels:
    """Times of kernels by the tables of one engine on one device; a table is read when needed.

    Attributes:
        device: Our name of the device.
        engine: Our name of the engine.
        library: Where the tables are; by default the installed package.
    """

    device: str
    engine: str
    library: Library = field(default_factory=find_library)
    _roofs: Roofs = field(init=False, repr=False)
    _tables: dict[tuple[object, ...], Measured] = field(
        init=False, repr=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        """Check the names.

        Raises:
            InputError: There are no tables of the device or the engine.
        """
        engine_named(self.engine)
        self._roofs = find_roofs(self.library, self.device)

    def seconds(self, shape: Shape) -> Timed:
        """Times of kernels, as tables have them, whose caches were warm (see `cold`).

        Args:
            shape: Sizes, as numbers or arrays that broadcast.

        Raises:
            InputError: There is no table, or it lacks the format.
        """
        shapes, dimensions = flat(shape)
        timed = self._flat_seconds(shapes)
        if dimensions:
            return Timed(*(np.reshape(column, dimensions) for column in timed))
        seconds, label, beyond = (np.asarray(column)[0] for column in timed)
        return Timed(float(seconds), str(label), float(beyond))

    def table(self, shape: Shape, window: float = 0.0) -> Measured:
        """The table that times shapes of a kind and format.

        Args:
            shape: A shape of the kind.
            window: Of attention: the window that the kernels have; 0.0 means none.

        Raises:
            InputError: There is none, or it lacks the format.
            NoWindowError: It has no kernels with the window.
        """
        decodes = getattr(shape, "decodes", False)
        key = (type(shape), format_of(shape), decodes, window)
        if key not in self._tables:
            reader = FAMILIES[type(shape)].read
            measured, seconds, table = reader(shape, self.device, self.engine, self.library)
            if isinstance(measured, Attention):
                own = np.asarray(measured.window) == window
                if not own.any():
                    raise NoWindowError
                measured, seconds = part_of(measured, own), seconds[own]
            self._tables[key] = self._ready(measured, seconds, table)
        return self._tables[key]

    def _ready(self, shape: Shape, seconds: Array, table: Table) -> Measured:
        possible = is_possible(shape, seconds, self._roofs)
        shape, seconds = part_of(shape, possible), seconds[possible]
        start = float(np.quantile(seconds, SHORTEST))
        family = FAMILIES[type(shape)]
        members, axes, _ = family.coordinates(shape)
        least = family.work(shape, self._roofs).seconds
        curves = make_curves(members, axes, seconds / (least + start))
        return Measured(curves, start, table, len(possible), int((~possible).sum()))

    def _flat_seconds(self, shape: Shape) -> Timed:
        if isinstance(shape, Attention):
            return self._attention_seconds(shape)
        return self._timed(shape, self.table(shape))

    def _attention_seconds(self, shape: Attention) -> Timed:
        """Attention by the table of each window.

        A window that was not measured is taken from the kernels without one: a decode step over
        as many positions, and a prompt with as much less work, which counts as extrapolated.
        """
        context = np.asarray(shape.context)
        window = np.where(np.asarray(shape.window) >= context, 0.0, shape.window)
        seconds, beyond = np.zeros(len(context)), np.ones(len(context))
        label = np.full(len(context), EXTRAPOLATED)
        for value in map(float, np.unique(window)):
            own = window == value
            part = part_of(shape._replace(window=window), own)
            further: Number = 1.0
            try:
                table = self.table(part, value)
            except NoWindowError:
                table = self.table(part)
                if part.decodes:
                    part = part._replace(context=part.window, window=part.window * 0.0)
                else:
                    further = part.context / part.window
            seconds[own], label[own], beyond[own] = self._timed(part, table, further)
        return Timed(seconds, label, beyond)

    def _timed(self, shape: Shape, table: Measured, further: Number = 1.0) -> Timed:
        family = FAMILIES[type(shape)]
        members, axes, apart = family.coordinates(shape)
        found = table.curves.at(members, axes)
        roof = family.work(shape, self._roofs).seconds + table.start
        beyond = np.maximum(np.maximum(found.beyond, apart), further)
        inside = np.where(found.is_exact, MEASURED, INTERPOLATED)
        label = np.where(beyond > 1.0, EXTRAPOLATED, inside)
        return Timed(cold(roof * np.exp(found.logs), shape), label, beyond)


class MeasuredSources:
    """Times of the kernels that an engine runs on a device, each by the tables of their source."""

    def __init__(self, device: str, sources: KernelSources) -> None:
        """The kernels of the engines that `sources` names, on the device of that name.

        Raises:
            InputError: There are no tables of the device or of an engine.
        """
        self.device, self.sources = device, sources
        self._engines = {
            engine: MeasuredKernels(device, engine)
            for kind in fields(sources)
            if (engine := getattr(sources, kind.name))
        }

    def time(self, shape: Shape) -> KernelTime | None:
        """The time of a shape; None where its source has no table of such kernels.

        Raises:
            InputError: The table lacks the format, or is damaged.
        """
        engine = getattr(self.sources, FAMILIES_OF_SOURCES[key_of(shape)[0]])
        if not engine:
            return None
        kernels = self._engines[engine]
        try:
            seconds, label, beyond = kernels.seconds(shape)
        except NoTableError:
            return None
        if isinstance(label, str):
            origin: Label = f"{label} x{beyond:.2g}" if label == EXTRAPOLATED else label
        else:
            origin = label
        return KernelTime(seconds, kernels.table(shape).start, origin)


measured_kernels = cache(MeasuredSources)
"""The tables of a device and some sources, each read once."""


def cold(seconds: Array, shape: Shape) -> Array:
    """Times in a model, of times that were measured in a benchmark's loop.

    The loop reads the same operands again and again: those that fit in the second-level cache
    (40 MB on A100, 50 on H100, 126 on B200) were read from there, and in a decode step they come
    from memory. No correction is made here: times are those of the tables.

    Args:
        seconds: Measured times [s].
        shape: The shapes that took them.
    """
    del shape  # what a correction would need
    return seconds
