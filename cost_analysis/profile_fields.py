"""The fields of a profile: a TOML table, taken field by field, each as what it must be."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from cost_analysis.dtypes import WIDER
from cost_analysis.errors import LONGEST_PATH, InputError, shown, unknown_name
from cost_analysis.files import read_small
from cost_analysis.product_rates import ProductRates
from cost_analysis.system import AttentionKernels, Spread
from cost_analysis.units import parse_quantity

T = TypeVar("T")


def parse(path: Path, what: str = "profile") -> dict[str, Any]:
    """The tables of a TOML file; `what` names it in errors.

    Raises:
        InputError: A file that cannot be read, is too large or is not TOML.
    """
    name, text = read_small(path, what)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is not TOML: {error}") from None


class Table:
    """A TOML table whose fields are taken one by one, so that what is left over is a mistake."""

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        """A table and the file that it is from, for errors."""
        self.path = path
        self.content = content
        self.taken: set[str] = {"aliases"}

    def take(self, field: str, convert: Callable[[Any], T], *default: T) -> T:
        """The converted value of a field, or its default; without a default it must be there."""
        self.taken.add(field)
        try:
            if field in self.content:
                return convert(self.content[field])
            if default:
                return default[0]
            raise InputError("is missing")
        except InputError as error:
            raise InputError(
                f"profile {shown(str(self.path), LONGEST_PATH)}, field {field!r}: {error}"
            ) from None

    def refuse_the_rest(self) -> None:
        """Refuse fields that were not taken; the error suggests the nearest field that exists."""
        for field in self.content:
            if field not in self.taken:
                error = unknown_name("field", field, self.taken - {"aliases"})
                raise InputError(f"profile {shown(str(self.path), LONGEST_PATH)}: {error}")


def text(value: Any) -> str:
    """A text, its lines joined."""
    if not isinstance(value, str):
        raise InputError(f"{shown(value)} must be text in quotes")
    return " ".join(value.split())


def texts(value: Any) -> dict[str, str]:
    """A table of texts."""
    if not isinstance(value, Mapping):
        raise InputError(f"{shown(value)} must be a table of texts")
    return {str(key): text(item) for key, item in value.items()}


def mapping(value: Any) -> dict[str, Any]:
    """A table."""
    if not isinstance(value, Mapping):
        raise InputError(f"{shown(value)} must be a table")
    return dict(value)


def words(value: Any) -> tuple[str, ...]:
    """A list of texts."""
    if not isinstance(value, list):
        raise InputError(f"{shown(value)} must be a list of texts")
    return tuple(text(item) for item in value)


def switch(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise InputError(f"{shown(value)} must be true or false")
    return value


def number(value: Any) -> float:
    """A number that an estimate can use."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300:
        raise InputError(f"{shown(value)} must be a number")
    return float(value)


def size(value: Any) -> int:
    """A whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{shown(value)} must be a whole number")
    return value


def quantity(unit: str) -> Callable[[Any], float]:
    """Converts a figure with a unit to that base unit."""
    return lambda value: parse_quantity(value, unit)


def time(value: Any) -> float:
    """A time that may be nothing."""
    nothing = value == 0 and not isinstance(value, bool)
    return 0.0 if nothing else parse_quantity(value, "s")


def peaks(value: Any) -> dict[str, float]:
    """Peaks by data type [FLOP/s]."""
    peaks = {}
    for dtype, text in texts(value).items():
        if dtype not in WIDER:
            raise unknown_name("data type", dtype, WIDER)
        peaks[dtype] = parse_quantity(text, "FLOP/s")
    return peaks


def product_rates(value: Any) -> dict[str, ProductRates]:
    """Measured products by data type."""
    found = {}
    for dtype, measured in mapping(value).items():
        if dtype not in WIDER:
            raise unknown_name("data type", dtype, WIDER)
        columns = measured if isinstance(measured, Mapping) else {}
        whole = {"rows", "rates", "starts"} == set(columns)
        if not whole or not all(isinstance(values, list) for values in columns.values()):
            raise InputError(f"{dtype} must have lists 'rows', 'rates' and 'starts'")
        found[dtype] = ProductRates(
            tuple(map(number, columns["rows"])),
            tuple(map(quantity("B/s"), columns["rates"])),
            tuple(map(time, columns["starts"])),
        )
    return found


def attention_kernels(value: Any) -> AttentionKernels:
    """The table of an engine's attention kernels."""
    content = mapping(value)
    times = {name: time(content.pop(name)) for name in ("floor",) if name in content}
    check_known(content, AttentionKernels)
    return AttentionKernels(**times, **{name: number(item) for name, item in content.items()})


def spread(value: Any) -> Spread | None:
    """The table of an engine's spread."""
    content = mapping(value)
    devices = words(content.pop("devices", []))
    check_known(content, Spread)
    numbers = {name: number(item) for name, item in content.items()}
    return Spread(**numbers, devices=devices)


def check_known(content: Mapping[str, Any], kind: type) -> None:
    """Refuse names that are not fields of a dataclass; the error suggests the nearest one."""
    known = [item.name for item in fields(kind)]
    for name in content:
        if name not in known:
            raise unknown_name("field", name, known)
