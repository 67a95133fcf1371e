"""Types of flags: a quantity with its unit, and several values with commas between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cost_analysis.common.checks import LARGEST_SIZE
from cost_analysis.common.errors import InputError, shown
from cost_analysis.common.units import parse_quantity
from cost_analysis.inputs.dtypes import DTYPES, EXAMPLES, Precision, dtype_named

if TYPE_CHECKING:
    _FloatType = click.ParamType[float]
    _TupleType = click.ParamType[tuple[Any, ...]]
    _NameType = click.ParamType[str]
    _PrecisionType = click.ParamType[Precision]
else:
    # click 8.2 has no type parameter for it
    _FloatType = _TupleType = _NameType = _PrecisionType = click.ParamType

MOST_VALUES = 1000
"""Values that one flag takes."""

LARGEST_NUMBER = 1e12
"""Upper limit of rates and prices, so that products with them stay numbers."""


class Quantity(_FloatType):
    """A figure with its unit, "200 ms", in SI base units."""

    name = "quantity"

    def __init__(self, unit: str) -> None:
        """A quantity in a base unit that `units.parse_quantity` knows."""
        self.unit = unit

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The figure."""
        if isinstance(value, float):
            return value
        try:
            return parse_quantity(value, self.unit)
        except InputError as error:
            self.fail(str(error), param, ctx)


class DataType(_NameType):
    """A number format."""

    name = "type"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name of a format that there is."""
        try:
            return dtype_named(value).name
        except InputError as error:
            self.fail(str(error), param, ctx)


class Formats(_PrecisionType):
    """Formats of weights, activations and cache, with slashes between."""

    name = "formats"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Precision:
        """The formats; those left out are bf16."""
        if isinstance(value, Precision):
            return value
        parts = str(value).split("/")
        if len(parts) > 3:
            self.fail(f"{value[:60]!r} has more than weights/activations/cache", param, ctx)
        try:
            return Precision(*parts)
        except InputError as error:
            self.fail(str(error), param, ctx)


class WholeNumber(click.IntRange):
    """A whole number within limits, called so where something else is given."""

    name = "whole number"


class Count(WholeNumber):
    """A whole number from 1, as large as a size may be."""

    def __init__(self) -> None:
        """A count."""
        super().__init__(1, LARGEST_SIZE)


class Positive(click.FloatRange):
    """A number above 0 and below `LARGEST_NUMBER`."""

    name = "number"

    def __init__(self) -> None:
        """A positive number."""
        super().__init__(0, min_open=True)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number."""
        number = float(super().convert(value, param, ctx))
        if not number < LARGEST_NUMBER:  # "nan" is not below 0 either
            self.fail(f"{number:g} is not below {LARGEST_NUMBER:g}.", param, ctx)
        return number


class Several(_TupleType):
    """One value of a type, or several with commas between."""

    def __init__(self, item: click.ParamType[Any], *, distinct: bool = False) -> None:
        """Several values of a type, each once where they must be distinct."""
        self.item = item
        self.distinct = distinct
        self.name = f"{item.name}s"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Any, ...]:
        """The values, in the order given."""
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        if len(parts) > MOST_VALUES:
            self.fail(f"{len(parts)} values are too many; give up to {MOST_VALUES}", param, ctx)
        found = tuple(self.item.convert(part, param, ctx) for part in parts)
        for part in parts:
            if self.distinct and parts.count(part) > 1:
                self.fail(f"{shown(part)} is given twice", param, ctx)
        return found


DATA_TYPE = DataType()
DATA_TYPES_HELP = f"{', '.join(DTYPES)}, or with scales of your own: {', '.join(EXAMPLES)}"
"""Formats, as the help lists them."""

FORMATS = Several(Formats(), distinct=True)
NAMES = Several(click.STRING)
NUMBERS = Several(Count())
POSITIVE = Positive()
BYTES, SECONDS, WATTS = Quantity("B"), Quantity("s"), Quantity("W")
