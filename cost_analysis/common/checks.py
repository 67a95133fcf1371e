"""Checks of values that a user gives: sizes, shares, times and counts within their limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any

from cost_analysis.common.arrays import Array, Number, floor, holds, is_array, is_finite, is_real
from cost_analysis.common.errors import InputError, shown

LARGEST_SIZE = 2**31 - 1
"""Upper limit of every size: the range of a 32-bit index, far beyond any model."""


FLAGS: Mapping[str, str] = {
    "streams": "P",
    "prefix_tokens": "parscale_prefix_tokens",
    "bandwidth_efficiency": "hbm_memory_efficiency",
    "weights": "weight_dtype",
    "activations": "activation_dtype",
    "kv_cache": "kv_cache_dtype",
}
"""The names of fields on the command line and in its records, where they differ."""


SWITCH: Mapping[str, Any] = {"kind": "switch"}
"""Metadata of a field that is true or false."""

REAL: Mapping[str, Any] = {"kind": "real"}
"""Metadata of a field that is a real number."""


def size_from(lowest: int, most: int = LARGEST_SIZE) -> Mapping[str, Any]:
    """Metadata of a field that is a whole number; where its default is None, None is allowed.

    Args:
        lowest: The least that is allowed.
        most: The most that is allowed.
    """
    return {"kind": "size", "lowest": lowest, "most": most}


SIZE = size_from(1)
"""Metadata of a field that is a whole number from 1."""


@cache
def _checks(made: type) -> tuple[tuple[str, int, int, bool], ...]:
    """The fields to check: name, limits of a size (of a switch -1), whether None is allowed.

    They are worked out once for each class, because every estimate makes instances.
    """
    return tuple(
        (
            item.name,
            item.metadata.get("lowest", -1),
            item.metadata.get("most", -1),
            item.default is None,
        )
        for item in fields(made)
        if item.metadata.get("kind") in ("size", "switch")
    )


def check_fields(made: Any, called: Mapping[str, str] = FLAGS) -> None:
    """Check the sizes and switches of a dataclass; sizes become Python ints, or float64 arrays.

    Args:
        made: An instance whose class describes its fields in their metadata, by `size_from` and
            `SWITCH`.
        called: The names of fields in messages, where they differ.

    Raises:
        InputError: A size that is not a whole number within its limits, or a switch that is
            neither true nor false.
    """
    for name, lowest, most, optional in _checks(made.__class__):
        value = getattr(made, name)
        if lowest < 0:
            if value is not True and value is not False:
                raise InputError(f"{name} is {shown(value)}; it must be true or false")
        elif type(value) is int and lowest <= value <= most:
            continue  # almost every size: already as it is kept
        elif not (optional and value is None):
            checked = whole_number(called.get(name, name), value, lowest, most)
            object.__setattr__(made, name, checked)


def whole_number(name: str, value: object, lowest: int, most: int = LARGEST_SIZE) -> Number:
    """A size, checked: a Python int, or float64 for an array (int64 would overflow silently).

    Args:
        name: Its name in the message.
        value: What was given.
        lowest: The least that is allowed.
        most: The most that is allowed.

    Raises:
        InputError: Not a whole number within the limits.
    """
    if type(value) is int and lowest <= value <= most:
        return value
    allowed = f"a whole number from {lowest} to {most}"
    if not is_real(value):
        kind = f"an array of {value.dtype}" if is_array(value) else shown(value)
        raise InputError(f"{name} is {kind}; it must be {allowed}")
    if is_array(value):
        array: Array = value.astype("float64", copy=False)
        good = (array >= lowest) & (array <= most) & (array == floor(array))
        if not good.all():
            raise InputError(f"{name} holds {array[~good].flat[0]:g}; each must be {allowed}")
        return array
    if value % 1 != 0:
        raise InputError(f"{name} is {value}; it must be {allowed}")
    if not lowest <= value <= most:
        raise InputError(f"{name} is {_short(int(value))}; it must be {allowed}")
    return int(value)


def _short(value: int) -> str:
    """A whole number in a message; a very long one is not written out."""
    if abs(value) < 10**16:
        return str(value)
    return "far too large" if value > 0 else "far too small"


def check_divides(whole: Number, part: Number, sentence: str) -> None:
    """Refuse a size that is not a multiple of another.

    Args:
        whole: The larger size.
        part: What must divide it.
        sentence: The message where it does not.

    Raises:
        InputError: It leaves a remainder.
    """
    if is_array(whole):  # the remainder of arrays takes ten times as long as a division
        divides = holds(floor(whole / part) * part == whole)
    else:
        divides = holds(whole % part == 0)
    if not divides:
        if is_array(whole) or is_array(part):
            raise InputError(f"{sentence} (in at least one row)")
        raise InputError(f"{sentence}: {whole} / {part} leaves {whole % part}")


LEAST_EFFICIENCY = 1e-6
"""The lowest efficiency that is accepted: real engines are above, and below it times overflow."""


def check_share(name: str, value: object) -> None:
    """Refuse what is not a share: a number from `LEAST_EFFICIENCY` to 1."""
    if not (is_real(value) and holds((value >= LEAST_EFFICIENCY) & (value <= 1))):
        raise InputError(
            f"{FLAGS.get(name, name)} is {shown(value)}; it must be from {LEAST_EFFICIENCY:g} to 1"
        )


def check_positive(name: str, value: object) -> None:
    """Refuse what is not a number above 0; infinity is allowed."""
    if not (is_real(value) and holds(value > 0)):
        raise InputError(f"{name} is {shown(value)}; it must be a positive number")


def check_time(name: str, value: object) -> None:
    """Refuse what is not a time: a finite number from 0."""
    if not (is_real(value) and holds((value >= 0) & is_finite(value))):
        raise InputError(f"{name} is {shown(value)}; it must be 0 or a positive time")


def check_count(name: str, value: object) -> None:
    """Refuse what is not a count: a finite number from 0."""
    if not (is_real(value) and holds((value >= 0) & is_finite(value))):
        raise InputError(f"{name} is {shown(value)}; it must be 0 or a positive number")
