"""What a flag of a sweep may be: one value, a list, or a range.

`1,2,4` is a list, `64:512:64` a range by steps, `1:256:x2` one that multiplies; a range ends at
its last value, which belongs to it. Lists and ranges join with commas.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cost_analysis.errors import InputError, shown
from cost_analysis.spec import LARGEST_SIZE

MOST_VALUES = 1_000_000
"""Values of one axis."""

RANGE = re.compile(r"(?P<first>\d+):(?P<last>\d+)(?::(?P<step>[x+]?\d+))?")
HOW = "a list like 1,2,4 or a range like 64:512:64 or 1:256:x2"


def whole_numbers(name: str, value: Any) -> tuple[int, ...]:
    """The values of an axis of sizes.

    Args:
        name: What the axis is called.
        value: A number, text, or a list of these.

    Raises:
        InputError: It is neither, a range is empty or endless, or a value stands twice.
    """
    return _distinct(name, _sizes(name, value))


def shares(name: str, value: Any) -> tuple[float, ...]:
    """The values of an axis of shares; arguments and errors as for `whole_numbers`."""
    return _distinct(name, (_share(name, part) for part in _parts(name, value)))


def names(name: str, value: Any) -> tuple[str, ...]:
    """The values of an axis of names; arguments and errors as for `whole_numbers`."""
    return _distinct(name, (_name(name, part) for part in _parts(name, value)))


def switches(name: str, value: Any) -> tuple[bool, ...]:
    """The values of an axis of switches; arguments and errors as for `whole_numbers`."""
    return _distinct(name, (_switch(name, part) for part in _parts(name, value)))


Reader = Callable[[str, Any], tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Axis:
    """A flag that may take several values.

    Attributes:
        name: What the command line calls it.
        read: How its values are read.
        broadcasts: Its values are numbers of one array calculation; those of others are told
            apart by a calculation each.
    """

    name: str
    read: Reader
    broadcasts: bool = False


def _distinct(name: str, values: Iterator[Any]) -> tuple[Any, ...]:
    found: dict[Any, None] = {}
    for value in values:
        if value in found:
            raise InputError(f"{name} has {shown(value)} twice")
        found[value] = None
        if len(found) > MOST_VALUES:
            raise InputError(f"{name} has more than {MOST_VALUES:,} values")
    if not found:
        raise InputError(f"{name} has no value; give {HOW}")
    return tuple(found)


def _parts(name: str, value: Any) -> Iterator[Any]:
    """What stands between commas, or in a list."""
    if isinstance(value, str):
        parts = [part.strip() for part in value.split(",")]
        if not all(parts):
            raise InputError(f"{name} is {shown(value)}; something is missing beside a comma")
        yield from parts
    elif isinstance(value, Sequence) or hasattr(value, "tolist"):
        listed = value.tolist() if hasattr(value, "tolist") else value
        yield from listed if isinstance(listed, Sequence) else [listed]
    else:
        yield value


def _sizes(name: str, value: Any) -> Iterator[int]:
    for part in _parts(name, value):
        if isinstance(part, str):
            yield from _range(name, part)
        elif isinstance(part, bool) or not isinstance(part, int | float) or part % 1 != 0:
            raise InputError(f"{name} has {shown(part)}, which is not a whole number; give {HOW}")
        else:
            yield int(part)


def _range(name: str, text: str) -> Iterator[int]:
    """The numbers of a range, or the one number that a text is."""
    found = RANGE.fullmatch(text)
    if not found:
        yield _whole(name, text, text)
        return
    first, last = (_whole(name, found[end], text) for end in ("first", "last"))
    step = found["step"] or "1"
    by = _whole(name, step.lstrip("x+"), text)
    if last < first:
        raise InputError(f"{name}: the range {shown(text)} ends before it begins")
    if by < (2 if step.startswith("x") else 1) or (step.startswith("x") and first < 1):
        raise InputError(f"{name}: the range {shown(text)} never ends: its step leads nowhere")
    while first <= last:
        yield first
        first = first * by if step.startswith("x") else first + by


def _whole(name: str, digits: str, text: str) -> int:
    try:
        number = int(digits)
    except ValueError:
        raise InputError(
            f"{name} has {shown(text)}, which is not a whole number; give {HOW}"
        ) from None
    if not -LARGEST_SIZE <= number <= LARGEST_SIZE:
        raise InputError(f"{name} has {shown(text)}, which is too large; at most {LARGEST_SIZE}")
    return number


def _share(name: str, part: Any) -> float:
    try:
        return float(part)
    except (TypeError, ValueError):
        raise InputError(f"{name} has {shown(part)}, which is not a number") from None


def _name(name: str, part: Any) -> str:
    if not isinstance(part, str):
        raise InputError(f"{name} has {shown(part)}, which is not a name")
    return part


def _switch(name: str, part: Any) -> bool:
    if isinstance(part, bool):
        return part
    if part not in ("true", "false"):
        raise InputError(f"{name} has {shown(part)}; it must be true or false")
    return bool(part == "true")
