"""Functions that take a number or a NumPy array, and broadcast.

A formula is written once. For a single estimate its numbers stay Python floats, which are IEEE
doubles like NumPy's: the results are the same to the last bit, each operation is several times
faster than on NumPy scalars, and NumPy is not even imported, which would be half of the time that
the command line needs to start. With an array anywhere, NumPy does the same arithmetic.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, overload

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from typing_extensions import TypeIs

Array: TypeAlias = "npt.NDArray[np.float64]"
"""An array of float64."""

Number: TypeAlias = "float | Array"
"""A Python number, or a NumPy array of float64: everything broadcasts."""

Condition: TypeAlias = "bool | npt.NDArray[np.bool_]"
"""The result of comparing two numbers."""

Label: TypeAlias = "str | npt.NDArray[np.str_]"
"""A piece of text, or an array of them."""


@overload
def is_array(value: Number) -> TypeIs[Array]: ...
@overload
def is_array(value: Condition) -> TypeIs[npt.NDArray[np.bool_]]: ...
@overload
def is_array(value: object) -> TypeIs[npt.NDArray[Any]]: ...
def is_array(value: object) -> bool:
    """Whether a value is a NumPy array with at least one axis; NumPy need not be loaded."""
    # Asking a float for an attribute that it lacks takes longer than its arithmetic.
    return type(value) not in _PLAIN and getattr(value, "ndim", 0) > 0


_PLAIN = frozenset((float, int, bool, str, type(None)))
"""Types that are not arrays."""


def as_float(value: Number | Condition) -> Number:
    """A float, or a float64 array; a condition becomes 1.0 or 0.0.

    Products of sizes are then the same for numbers and arrays, and do not overflow.
    """
    if type(value) is float:
        return value
    if is_array(value):
        array: Array = value.astype("float64", copy=False)
        return array
    return float(value)


def single(value: Number) -> float:
    """A value that must be one number, as reports and Python's own functions need it.

    Raises:
        TypeError: It is an array.
    """
    if is_array(value):
        raise TypeError(f"one number is needed, not an array of shape {value.shape}")
    return value


def single_count(value: Number) -> int:
    """A value that must be one whole number, as an int.

    Raises:
        TypeError: It is an array.
    """
    return int(single(value))


def as_count(condition: Condition) -> Number:
    """1 where a condition is true, else 0; an int for a single condition."""
    return condition.astype("float64") if is_array(condition) else int(condition)


def holds(condition: Condition) -> bool:
    """Whether a condition is true; of an array, whether every element is."""
    return bool(condition.all()) if is_array(condition) else bool(condition)


def maximum(a: Number, b: Number) -> Number:
    """The larger of two values."""
    if (type(a) is not float or type(b) is not float) and (is_array(a) or is_array(b)):
        larger: Array = _numpy().maximum(a, b)
        return larger
    return a if a >= b else b


def minimum(a: Number, b: Number) -> Number:
    """The smaller of two values."""
    if (type(a) is not float or type(b) is not float) and (is_array(a) or is_array(b)):
        smaller: Array = _numpy().minimum(a, b)
        return smaller
    return a if a <= b else b


def clip(value: Number, low: Number, high: Number) -> Number:
    """The value, limited to an interval."""
    return minimum(maximum(value, low), high)


def ceil(value: Number) -> Number:
    """The value rounded up to a whole number."""
    if is_array(value):
        rounded: Array = _numpy().ceil(value)
        return rounded
    return float(math.ceil(value)) if math.isfinite(value) else value


def floor(value: Number) -> Number:
    """The value rounded down to a whole number."""
    if is_array(value):
        rounded: Array = _numpy().floor(value)
        return rounded
    return float(math.floor(value)) if math.isfinite(value) else value


def square_root(value: Number) -> Number:
    """The square root, correctly rounded for numbers and arrays alike."""
    if type(value) is float:
        return math.sqrt(value)
    if is_array(value):
        roots: Array = _numpy().sqrt(value)
        return roots
    return math.sqrt(value)


def whole_power(base: Number, exponent: Number) -> Number:
    """A power with a whole exponent from 0, by squaring: the same bits for numbers and arrays.

    Args:
        base: From 0 to 1.
        exponent: Whole, at most 2^1000.
    """
    result, rest = base * 0.0 + 1.0, exponent
    while not holds(rest == 0):
        odd = rest % 2.0
        result = result * where(odd == 1, base, 1.0)
        base, rest = base * base, (rest - odd) / 2.0
    return result


@overload
def where(condition: Condition, a: Number, b: Number) -> Number: ...
@overload
def where(condition: Condition, a: Label, b: Label) -> Label: ...
def where(condition: Condition, a: Number | Label, b: Number | Label) -> Number | Label:
    """`a` where a condition holds, else `b`."""
    if (type(condition) is not bool and is_array(condition)) or is_array(a) or is_array(b):
        chosen: Array = _numpy().where(condition, a, b)
        return chosen
    return a if condition else b


def interpolated(value: Number, places: Sequence[float], heights: Sequence[float]) -> Number:
    """Linear interpolation between points; outside them, the height of the nearest one.

    Args:
        value: Where to interpolate.
        places: Of the points, in rising order.
        heights: Of the points.
    """
    if is_array(value):
        between: Array = _numpy().interp(value, places, heights)
        return between
    after = bisect_right(places, value)
    if after in (0, len(places)):
        return heights[0] if after == 0 else heights[-1]
    left, right = places[after - 1], places[after]
    slope = (heights[after] - heights[after - 1]) / (right - left)
    return slope * (value - left) + heights[after - 1]


def is_finite(value: Number) -> Condition:
    """Whether a value is neither infinite nor not a number."""
    if is_array(value):
        finite: npt.NDArray[np.bool_] = _numpy().isfinite(value)
        return finite
    return math.isfinite(value)


def is_real(value: object) -> TypeGuard[float | npt.NDArray[Any]]:
    """Whether a value is a number, or an array of numbers; true and false are not numbers."""
    if is_array(value):
        return value.dtype.kind in "iuf"
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    if kind is not None:
        return kind in "iuf"
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numpy() -> Any:
    import numpy as np

    return np
