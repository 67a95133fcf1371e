"""Values that must be arrays."""

from __future__ import annotations

from cost_analysis.common.arrays import Array, Number, is_array


def several(value: Number | None) -> Array:
    """The value, which must be an array."""
    assert value is not None
    assert is_array(value)
    return value
