"""Sizes as they are checked: whole numbers within what any model can have."""

from __future__ import annotations

from typing import Any

from cost_analysis.arrays import Number, as_float, floor, holds, is_array, is_real
from cost_analysis.errors import InputError, shown

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
    if type(value) is int and lowest <= value <= LARGEST_SIZE:
        return value
    allowed = f"a whole number from {lowest} to {LARGEST_SIZE}"
    name = FLAGS.get(name, name)
    if not is_real(value):
        kind = f"an array of {value.dtype}" if is_array(value) else shown(value)
        raise InputError(f"{name} is {kind}; it must be {allowed}")
    if is_array(value):
        array = as_float(value)
        good = (array >= lowest) & (array <= LARGEST_SIZE) & (array == floor(array))
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
    # The remainder of arrays takes ten times as long as a division.
    if not holds(floor(whole / part) * part == whole if is_array(whole) else whole % part == 0):
        if is_array(whole) or is_array(part):
            raise InputError(f"{sentence} (in at least one row)")
        raise InputError(f"{sentence}: {whole} / {part} leaves {whole % part}")
