"""Checks of values that a user gives: sizes, shares, times and counts within their limits."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from cost_analysis.common.arrays import Number, as_float, holds, is_array, is_finite, is_real
from cost_analysis.common.errors import InputError, shown

LARGEST_SIZE = 2**31 - 1
"""Upper limit of every size: what a 32-bit index reaches, far beyond any model."""


FLAGS = {
    "streams": "P",
    "prefix_tokens": "parscale_prefix_tokens",
    "bandwidth_efficiency": "hbm_memory_efficiency",
    "weights": "weight_dtype",
    "activations": "activation_dtype",
    "kv_cache": "kv_cache_dtype",
}
"""What the command line and its records call a field, where that is another name."""


def whole_number(name: str, value: object, lowest: int) -> Number:
    """A size, checked: a Python int, or float64 for an array (int64 would overflow silently).

    Args:
        name: The field, for the message.
        value: What was given.
        lowest: The least that is allowed.

    Raises:
        InputError: Not a whole number within the limits.
    """
    allowed = f"a whole number from {lowest} to {LARGEST_SIZE}"
    name = FLAGS.get(name, name)
    if not is_real(value):
        kind = f"an array of {value.dtype}" if is_array(value) else shown(value)
        raise InputError(f"{name} is {kind}; it must be {allowed}")
    if is_array(value):
        array = as_float(value)
        good = (array >= lowest) & (array <= LARGEST_SIZE) & (array % 1 == 0)
        if not good.all():
            raise InputError(f"{name} holds {array[~good].flat[0]:g}; each must be {allowed}")
        return array
    number: Any = value
    if number % 1 != 0:
        raise InputError(f"{name} is {number}; it must be {allowed}")
    if not lowest <= number <= LARGEST_SIZE:
        raise InputError(f"{name} is {_short(int(number))}; it must be {allowed}")
    return int(number)


def _short(value: int) -> str:
    """A whole number as it is said: a very long one is not spelled out."""
    if abs(value) < 10**16:
        return str(value)
    return "far too large" if value > 0 else "far too small"


def check_divides(whole: Number, part: Number, sentence: str) -> None:
    """Refuse a size that is no multiple of another.

    Args:
        whole: The larger size.
        part: What must divide it.
        sentence: What is wrong where it does not.

    Raises:
        InputError: It leaves a rest.
    """
    if not holds(whole % part == 0):
        if is_array(whole) or is_array(part):
            raise InputError(f"{sentence} (in at least one row)")
        raise InputError(f"{sentence}: {whole} / {part} leaves {whole % part}")


LEAST_EFFICIENCY = 1e-6
"""No engine is slower; below it, times would leave the range of numbers."""


def check_share(name: str, value: Any) -> None:
    """Refuse what is not a share: a number from `LEAST_EFFICIENCY` to 1."""
    if not (is_real(value) and holds((value >= LEAST_EFFICIENCY) & (value <= 1))):
        raise InputError(
            f"{FLAGS.get(name, name)} is {shown(value)}; it must be from {LEAST_EFFICIENCY:g} to 1"
        )


def check_positive(name: str, value: Any) -> None:
    """Refuse what is no number above 0; infinity is one."""
    if not (is_real(value) and holds(value > 0)):
        raise InputError(f"{name} is {shown(value)}; it must be a positive number")


def check_time(name: str, value: Any) -> None:
    """Refuse what is not a time: a finite number from 0."""
    if not (is_real(value) and holds((value >= 0) & is_finite(value))):
        raise InputError(f"{name} is {shown(value)}; it must be 0 or a positive time")


def check_count(name: str, value: Any) -> None:
    """Refuse what is not a count: a finite number from 0."""
    if not (is_real(value) and holds((value >= 0) & is_finite(value))):
        raise InputError(f"{name} is {shown(value)}; it must be 0 or a positive number")


def check_fields(kind: Any, lowest: int = 1) -> None:
    """Check the fields of a kind: switches, and sizes from `lowest`; None where it may be."""
    for item in fields(kind):
        value = getattr(kind, item.name)
        if item.type == "bool":
            if not isinstance(value, bool):
                raise InputError(f"{item.name} is {shown(value)}; it must be true or false")
        elif not (value is None and item.default is None):
            object.__setattr__(kind, item.name, whole_number(item.name, value, lowest))
