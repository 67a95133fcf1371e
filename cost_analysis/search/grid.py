"""The grid of a sweep: an outer product of axes, and the pieces that it is calculated in.

An axis is one value, a list or a range: `1,2,4` is a list, `64:512:64` a range by steps, `1:256:x2`
one that multiplies; a range ends at its last value, which belongs to it. Lists and ranges join with
commas.

Rows are numbered as an outer product is: the last axis moves fastest. A piece is a box of the
grid and a run of its rows at once, so that its numbers broadcast: a term that depends on few axes
is calculated for those only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cost_analysis.common.checks import LARGEST_SIZE
from cost_analysis.common.errors import InputError, shown, unknown_name

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
        broadcasts: Whether its values are numbers of one array calculation; each value of
            another axis needs a calculation of its own.
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
    """The values between commas, or in a list."""
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


PIECE_ROWS = 1 << 17
"""Rows of a piece: the more there are, the more terms depend on few of its axes only."""

PART_ROWS = 1 << 17
"""Rows of a part, which is what is written, and lost, as a whole."""

MOST_ROWS = 10**11
"""Most rows of a grid, which take days."""

AXES = (
    Axis("model", names),
    Axis("gpu_config", names),
    Axis("engine", names),
    Axis("kernels", names),
    Axis("flops_efficiency", shares),
    Axis("hbm_memory_efficiency", shares),
    Axis("weight_dtype", names),
    Axis("activation_dtype", names),
    Axis("kv_cache_dtype", names),
    Axis("logits", names),
    Axis("gated_mlp", switches),
    Axis("qkv_bias", switches),
    Axis("qk_norm", switches),
    Axis("tie_word_embeddings", switches),
    Axis("interconnect", names),
    Axis("network", names),
    Axis("devices_per_node", whole_numbers),
    Axis("hidden_size", whole_numbers, broadcasts=True),
    Axis("intermediate_size", whole_numbers, broadcasts=True),
    Axis("num_hidden_layers", whole_numbers, broadcasts=True),
    Axis("num_attention_heads", whole_numbers, broadcasts=True),
    Axis("num_key_value_heads", whole_numbers, broadcasts=True),
    Axis("head_dim", whole_numbers, broadcasts=True),
    Axis("vocab_size", whole_numbers, broadcasts=True),
    Axis("max_position_embeddings", whole_numbers, broadcasts=True),
    Axis("parscale_prefix_tokens", whole_numbers, broadcasts=True),
    Axis("P", whole_numbers, broadcasts=True),
    Axis("tensor_parallel", whole_numbers, broadcasts=True),
    Axis("pipeline_parallel", whole_numbers, broadcasts=True),
    Axis("expert_parallel", whole_numbers, broadcasts=True),
    Axis("stream_parallel", whole_numbers, broadcasts=True),
    Axis("expert_groups", whole_numbers, broadcasts=True),
    Axis("batch_size", whole_numbers, broadcasts=True),
    Axis("input_length", whole_numbers, broadcasts=True),
    Axis("output_length", whole_numbers, broadcasts=True),
)
"""Every axis, in the order of a row's number."""

_AXES = {axis.name: axis for axis in AXES}


def broadcasts(name: str) -> bool:
    """Whether the values of an axis are numbers of one array calculation."""
    return _AXES[name].broadcasts


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive rows that one array calculation gives.

    Attributes:
        names: The value of each axis that does not broadcast.
        numbers: The values of each axis that does; one, or those of an array dimension.
    """

    names: Mapping[str, Any]
    numbers: Mapping[str, tuple[int, ...]]

    @property
    def shape(self) -> tuple[int, ...]:
        """Values of each axis of `numbers`; their product is the number of rows."""
        return tuple(len(values) for values in self.numbers.values())


@dataclass(frozen=True, slots=True)
class Grid:
    """An outer product of axes.

    Attributes:
        axes: The values of each axis that was given, in the order of `AXES`.
        part_rows: Rows of a part, at most, where a single piece has no more.
    """

    axes: Mapping[str, tuple[Any, ...]]
    part_rows: int = PART_ROWS

    @property
    def rows(self) -> int:
        """Rows of the grid."""
        return math.prod(map(len, self.axes.values()))

    @property
    def varied(self) -> tuple[str, ...]:
        """Names of the axes with more than one value."""
        return tuple(name for name, values in self.axes.items() if len(values) > 1)

    @property
    def piece_count(self) -> int:
        """Pieces of the grid."""
        return self.combinations * self._cut.pieces

    def piece(self, index: int) -> Piece:
        """A piece by its number; pieces in turn give the rows in turn."""
        combination, place = divmod(index, self._cut.pieces)
        chosen = _unravelled(combination, [len(values) for values in self._named.values()])
        named = {
            name: values[i] for (name, values), i in zip(self._named.items(), chosen, strict=True)
        }
        return Piece(named, self._cut.numbers(self._numbered, place))

    @property
    def pieces_per_part(self) -> int:
        """Pieces of every part but the last."""
        return max(1, self.part_rows // self._cut.rows)

    @property
    def part_count(self) -> int:
        """Parts of the grid."""
        return -(-self.piece_count // self.pieces_per_part)

    def part(self, index: int) -> range:
        """The numbers of the pieces of a part."""
        first = index * self.pieces_per_part
        return range(first, min(first + self.pieces_per_part, self.piece_count))

    def rows_of_part(self, index: int) -> int:
        """Rows of a part."""
        return sum(math.prod(self.piece(place).shape) for place in self.part(index))

    @property
    def _named(self) -> dict[str, tuple[Any, ...]]:
        return {name: v for name, v in self.axes.items() if not broadcasts(name)}

    @property
    def _numbered(self) -> dict[str, tuple[int, ...]]:
        return {name: v for name, v in self.axes.items() if broadcasts(name)}

    @property
    def combinations(self) -> int:
        """Combinations of the axes that do not broadcast."""
        return math.prod(map(len, self._named.values()))

    @property
    def _cut(self) -> _Cut:
        most = min(PIECE_ROWS, self.part_rows)
        return _cut([len(values) for values in self._numbered.values()], most)


@dataclass(frozen=True, slots=True)
class _Cut:
    """How the numbers of one combination of names are cut into boxes.

    Attributes:
        sizes: Values of each axis.
        axis: The axis that is cut; those before it have one value in a box, those after it all.
        width: Values of the cut axis in a box, but for the last.
    """

    sizes: tuple[int, ...]
    axis: int
    width: int

    @property
    def rows(self) -> int:
        """Rows of a whole box."""
        return self.width * math.prod(self.sizes[self.axis + 1 :])

    @property
    def slices(self) -> int:
        """Boxes along the cut axis."""
        return -(-self.sizes[self.axis] // self.width) if self.sizes else 1

    @property
    def pieces(self) -> int:
        """Boxes of a combination."""
        return math.prod(self.sizes[: self.axis]) * self.slices

    def numbers(
        self, axes: Mapping[str, tuple[int, ...]], place: int
    ) -> dict[str, tuple[int, ...]]:
        """The values of each axis in a box, by its number."""
        before, slot = divmod(place, self.slices)
        fixed = _unravelled(before, self.sizes[: self.axis])
        chosen = {}
        for axis, (name, values) in enumerate(axes.items()):
            if axis < self.axis:
                chosen[name] = values[fixed[axis] : fixed[axis] + 1]
            elif axis == self.axis:
                chosen[name] = values[slot * self.width : (slot + 1) * self.width]
            else:
                chosen[name] = values
        return chosen


def _cut(sizes: list[int], most: int) -> _Cut:
    """The largest boxes of at most so many rows."""
    axis, after = len(sizes) - 1, 1
    while axis > 0 and sizes[axis] * after <= most:
        after *= sizes[axis]
        axis -= 1
    axis = max(axis, 0)
    return _Cut(tuple(sizes), axis, min(most // after, sizes[axis]) if sizes else 1)


def _unravelled(index: int, sizes: list[int] | tuple[int, ...]) -> list[int]:
    """The place on each axis of a row's number."""
    places = []
    for size in reversed(sizes):
        index, place = divmod(index, size)
        places.append(place)
    return places[::-1]


def make_grid(given: Mapping[str, Any], part_rows: int = PART_ROWS) -> Grid:
    """A grid from the values of its axes.

    Args:
        given: For some of `AXES` a value, a list, or text such as "1,2" or "1:256:x2".
        part_rows: Rows of a part, at most.

    Raises:
        InputError: No such axis, values that make no sense, or too many rows.
    """
    for name in given:
        if name not in _AXES:
            raise unknown_name("axis", name, _AXES)
    axes = {a.name: a.read(a.name, given[a.name]) for a in AXES if given.get(a.name) is not None}
    grid = Grid(axes, part_rows)
    if grid.rows > MOST_ROWS:
        sizes = " x ".join(f"{len(axes[name]):,} {name}" for name in grid.varied)
        raise InputError(f"the grid {sizes} has more than {MOST_ROWS:,} rows")
    return grid
