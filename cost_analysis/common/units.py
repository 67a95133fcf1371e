"""Constants and units: the only module that converts a number from one unit to another.

Inside the package every quantity is in SI base units: bytes, seconds, FLOPs, joules, watts.
`parse_quantity` converts a profile's figure to base units; `gib` and the `format_…` functions
convert one for output.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial

from cost_analysis.common.errors import InputError, shown

GIB = 2.0**30
"""Bytes of one GiB. One GB is 1e9 bytes; output names the unit that it uses."""


_PREFIXES = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50}
_SMALL = {"m": 1e-3, "u": 1e-6, "µ": 1e-6, "n": 1e-9}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\s*([A-Za-zµ]*(?:/s)?)")
_SYNONYMS = {"OP/s": "FLOP/s"}


def parse_quantity(text: object, unit: str) -> float:
    """A figure with its unit, in SI base units: "3.35 TB/s" -> 3.35e12.

    Args:
        text: The figure and its unit, as a profile states it.
        unit: The base unit that is expected: "B", "B/s", "FLOP/s", "W" or "s".

    Raises:
        InputError: Not a figure followed by that unit with an SI or binary prefix, or out of range.
    """
    match = _QUANTITY.fullmatch(text.strip()) if isinstance(text, str) else None
    if match:
        factor = _prefix_factor(match.group(2), unit)
        if factor is not None:
            value = float(match.group(1)) * factor
            low, high = _SENSIBLE[unit]
            if low <= value <= high:
                return value
            raise InputError(f"{shown(text)} is not between {low:g} and {high:g} {unit}")
    raise InputError(
        f"{shown(text)} is not a positive quantity in {unit}; write it like {_EXAMPLES[unit]!r}"
    )


_SENSIBLE = {
    "B": (1e3, 1e20),
    "B/s": (1e3, 1e20),
    "FLOP/s": (1e3, 1e24),
    "W": (1e-3, 1e9),
    "s": (1e-12, 1e4),
}
"""Limits of a profile's figures: beyond any device, but small enough that nothing overflows."""

_EXAMPLES = {
    "B": "80 GiB",
    "B/s": "3.35 TB/s",
    "FLOP/s": "989 TFLOP/s",
    "W": "700 W",
    "s": "3 us",
}


def _prefix_factor(written: str, unit: str) -> float | None:
    prefixes = _SMALL | {"": 1.0} if unit == "s" else _PREFIXES | _BINARY
    for base in (unit, *(s for s, meaning in _SYNONYMS.items() if meaning == unit)):
        if written.endswith(base) and written.removesuffix(base) in prefixes:
            return prefixes[written.removesuffix(base)]
    return None


def format_bytes(value: float) -> str:
    """Bytes in the binary unit that leaves three or four digits: "8.95 GiB"."""
    return _scaled(value, 1024.0, ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"))


def format_flops(value: float) -> str:
    """FLOPs in the decimal unit that leaves three or four digits: "17.4 GFLOP"."""
    return _scaled(value, 1000.0, ("FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP", "EFLOP"))


def format_rate(value: float, unit: str) -> str:
    """A rate in the decimal unit that leaves four digits at most: "3.35 TB/s", "2.039 TB/s"."""
    return _scaled(value, 1000.0, tuple(f"{prefix}{unit}" for prefix in ("", *"kMGTPE")), digits=4)


def format_peak(value: float, dtype: str) -> str:
    """A peak of matrix products, as datasheets write it: TFLOP/s, or TOP/s for integers."""
    return format_rate(value, "OP/s" if dtype.startswith("int") else "FLOP/s")


def format_per(value: float, unit: str) -> str:
    """A rate per second or per joule, not scaled: "1,974 /s", "0.39 /J"."""
    return f"{format_figure(value)} /{unit}"


def format_figure(value: float) -> str:
    """A figure without its unit, not scaled: "1,250", "12.5"."""
    return f"{value:,.0f}" if 999.5 <= abs(value) < 1e9 else _digits(value)


def format_count(value: float) -> str:
    """A count, short: "4.35B" for 4.35e9."""
    return _scaled(value, 1000.0, ("", "K", "M", "B", "T", "Q")).replace(" ", "")


def format_seconds(value: float) -> str:
    """Seconds in the unit that leaves three or four digits: "3.21 ms"."""
    if value == 0:
        return "0 s"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)):
        if abs(value) >= 0.9995 * size or unit == "ns":
            return f"{_digits(value / size)} {unit}"
    raise AssertionError("the last unit takes every value")


def format_interval(low: float, high: float) -> str:
    """Two times in the unit of the larger one: "10.9 to 14.6 ms"."""
    figure, unit = format_seconds(high).split()
    size = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}[unit]
    return f"{_digits(low / size)} to {figure} {unit}"


def format_ratio(value: float) -> str:
    """A ratio of increases: "2.35"; "free" where infinite, "none" where nothing increases."""
    if math.isnan(value):
        return "none"
    return f"{value:.2f}" if math.isfinite(value) else "free"


def format_of_column(name: str) -> Callable[[float], str]:
    """The format of a column's numbers, from the unit in the column's name."""
    if name.endswith("_bytes"):
        return format_bytes
    if name.endswith("_per_s"):
        return partial(format_per, unit="s")
    if name.endswith("_s"):
        return format_seconds
    if name.startswith("flops_"):
        return format_flops
    return "{:.1%}".format if name.endswith("_relative") else format_count


def gib(value: float) -> float:
    """Bytes in GiB."""
    return value / GIB


def _scaled(value: float, step: float, names: tuple[str, ...], digits: int = 3) -> str:
    index, limit = 0, step * (1 - 0.5 * 10.0**-digits)
    while abs(value) >= limit and index < len(names) - 1:
        value /= step
        index += 1
    whole = index == 0 and float(value).is_integer() and abs(value) < step
    return f"{f'{value:.0f}' if whole else _digits(value, digits)} {names[index]}".rstrip()


def _digits(value: float, digits: int = 3) -> str:
    """A figure of three digits; of four where they are asked for and the fourth is not zero."""
    size = abs(value)
    if size >= 1e5 or 0 < size < 0.01:
        return f"{value:.2g}" if size < 0.01 else f"{value:.2e}"
    if size >= 999.5:
        return f"{value:.0f}"
    short = f"{value:#.3g}".rstrip(".")
    exact = abs(float(short) - value) < 1e-9 * size
    return short if digits == 3 or exact else f"{value:#.{digits}g}".rstrip(".")
