"""A column of a table of estimates: its name with the unit, what it holds, how it is calculated.

NumPy is loaded only where there are arrays, so that a single estimate does without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from cost_analysis.cost.estimate import Answer

if TYPE_CHECKING:
    import numpy.typing as npt

Values: TypeAlias = "npt.NDArray[Any]"
"""The values of a column, one a row."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table of estimates.

    Attributes:
        name: Its name, the unit in it.
        text: What it holds.
        value: From an answer to its value; of many requests, an array that broadcasts to their
            piece.
        kind: "name", "count" (a whole number), "switch", "number", or "fraction" (a number that
            is written with decimals, also where it is whole).
        is_input: Whether it belongs to what was asked, not to the answer.
        only: The one table that has it, "sweep" or "estimate"; "" for both.
    """

    name: str
    text: str
    value: Callable[[Answer], Any]
    kind: str = "number"
    is_input: bool = False
    only: str = ""

    def values(self, found: Answer, shape: tuple[int, ...]) -> Values:
        """One value for each row of a piece; a value that all rows share is held once.

        Args:
            found: The estimates of the piece.
            shape: Axes of the piece; the value broadcasts to it.
        """
        import numpy as np

        kinds: Mapping[str, Any] = {"name": object, "count": np.int64, "switch": np.bool_}
        value = np.asarray(self.value(found), kinds.get(self.kind, np.float64))
        if value.ndim == 0:  # nothing is copied
            return np.broadcast_to(value, math.prod(shape))
        return np.broadcast_to(value, shape).reshape(-1)


def of_cost(path: str) -> Callable[[Answer], Any]:
    """An attribute of the estimate, such as "memory.weights"."""
    return attrgetter(f"cost.{path}")
