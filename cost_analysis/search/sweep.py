"""Calculates the pieces of a grid, and summarises them: extremes and the Pareto front.

A summary of a part is small and plain, so that it is kept beside the part and sent between
processes; summaries of parts merge into that of the sweep.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from cost_analysis.common.checks import FLAGS
from cost_analysis.common.errors import InputError, unknown_name
from cost_analysis.common.pareto import non_dominated
from cost_analysis.common.units import parse_quantity
from cost_analysis.cost.estimate import Answer, Estimate, estimate_on
from cost_analysis.inputs.device import LINKS
from cost_analysis.inputs.dtypes import Precision
from cost_analysis.inputs.layout import Layout
from cost_analysis.inputs.request import Request, make_request, model_asked
from cost_analysis.inputs.spec import ModelSpec, Workload, family_intermediate_size
from cost_analysis.inputs.system import named_system
from cost_analysis.search.column import Values
from cost_analysis.search.columns import COLUMNS, columns_of
from cost_analysis.search.grid import Grid, Piece, broadcasts, make_grid

if TYPE_CHECKING:
    import pandas as pd


FIELDS = {flag: field for field, flag in FLAGS.items()}
"""Fields of the core by the names of the command line."""

_WORKLOAD = ("batch_size", "input_length", "output_length")
_PRECISION = ("weights", "activations", "kv_cache")
_LAYOUT = tuple(item.name for item in fields(Layout))
_SYSTEM = ("gpu_config", "engine", "kernels", "flops_efficiency", "bandwidth_efficiency")

MOST_ROWS_IN_MEMORY = 20_000_000
"""Rows that a data frame takes: about 10 GB."""


def sweep(**axes: Any) -> pd.DataFrame:
    """The costs of every combination of axes, a row each.

    >>> frame = sweep(model="1.6B", P=[1, 2, 4, 8], batch_size="1:64:x2")  # doctest: +SKIP

    Args:
        axes: Flags of the estimate: a value, a list, or text such as "1,2,4" and "1:256:x2".

    Returns:
        The columns of `columns.COLUMNS`; the last axis moves fastest.

    Raises:
        InputError: No such axis, values that make no sense, or too many rows for the memory.
    """
    import pandas as pd

    grid = make_grid(axes)
    if grid.rows > MOST_ROWS_IN_MEMORY:
        raise InputError(
            f"{grid.rows:,} rows are too many for the memory (at most {MOST_ROWS_IN_MEMORY:,}); "
            "write them to a file: parscale-cost sweep --output FILE.parquet"
        )
    return pd.DataFrame(rows_of(grid, range(grid.piece_count)))


def pieces_of(grid: Grid, places: range) -> Iterator[dict[str, Values]]:
    """The columns of some pieces of a grid, one by one."""
    for place in places:
        piece = grid.piece(place)
        yield columns_of(outcome(piece), piece.shape)


def rows_of(grid: Grid, places: range) -> dict[str, Values]:
    """The columns of some pieces of a grid, their rows one after the other; not to be written to.

    Of a single piece nothing is copied: a value that all of its rows share is held once.
    """
    first, *others = pieces_of(grid, places)
    if not others:
        return first
    return {
        column.name: np.concatenate([piece[column.name] for piece in (first, *others)])
        for column in COLUMNS
    }


_TIED = (
    "hidden_size",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "tensor_parallel",
    "expert_groups",
)
"""Sizes of which one must divide another."""

MOST_CHECKED = 5_000_000
"""Combinations of sizes that are checked before anything is calculated."""


def check(grid: Grid) -> None:
    """Refuse a grid with a row that makes no sense, before any of its rows is calculated.

    Every combination of names and of sizes that are tied is tried, and the ends of all others.

    Raises:
        InputError: The values of its axes contradict each other.
    """
    ends = {
        name: values if name in _TIED or not broadcasts(name) else (min(values), max(values))
        for name, values in grid.axes.items()
    }
    few = Grid({name: tuple(dict.fromkeys(values)) for name, values in ends.items()})
    if few.rows <= MOST_CHECKED:
        for place in range(few.piece_count):
            _asked(few.piece(place))


def outcome(piece: Piece) -> Answer:
    """The estimates of a piece.

    Raises:
        InputError: The values of its axes contradict each other.
    """
    request, spec, workload = _asked(piece)
    cost = _estimated(request, spec, workload)
    title = str(piece.names.get("model", request.title))
    return Answer(replace(request, title=title), cost, _baseline(piece, request, cost))


def _estimated(request: Request, spec: ModelSpec, workload: Workload) -> Estimate:
    return estimate_on(spec, workload, request.system.of_streams(spec.streams))


def _baseline(piece: Piece, request: Request, cost: Estimate) -> Estimate:
    """The estimates of a piece at P = 1."""
    if "P" not in piece.numbers:
        return _estimated(request, cost.spec.with_streams(1), cost.workload)
    if piece.numbers["P"] == (1,):
        return cost
    numbers = {**piece.numbers, "P": (1,)}
    return _at_one_stream(tuple(piece.names.items()), tuple(numbers.items()))


@lru_cache(maxsize=4)
def _at_one_stream(
    named: tuple[tuple[str, Any], ...], numbers: tuple[tuple[str, tuple[int, ...]], ...]
) -> Estimate:
    """The estimates of a piece with P = 1: pieces that differ in P alone share them."""
    return _estimated(*_asked(Piece(dict(named), dict(numbers))))


def _asked(piece: Piece) -> tuple[Request, ModelSpec, Workload]:
    """The request of a piece's first row, and the models and workloads of all its rows.

    Its layout is that of all rows; more groups of streams than a row has streams are not used.
    """
    numbers = {name: _dimension(piece, name) for name in piece.numbers}
    request = _request(
        tuple(piece.names.items()),
        tuple((name, values[0]) for name, values in piece.numbers.items()),
    )
    given = {name: numbers[name] for name in _WORKLOAD if name in numbers}
    workload: Workload = replace(request.workload, **given)
    spec = _spec(request, numbers)
    counts = {name: numbers[name] for name in _LAYOUT if name in numbers}
    layout = Layout(**counts).of_streams(spec.streams)
    layout.check(spec)
    return replace(request, system=replace(request.system, layout=layout)), spec, workload


def _dimension(piece: Piece, name: str) -> Any:
    """The values of an axis as a dimension of the piece's arrays; a number where it has one."""
    values = piece.numbers[name]
    if len(values) == 1:
        return values[0]
    shape = [1] * len(piece.numbers)
    shape[list(piece.numbers).index(name)] = len(values)
    return np.array(values, np.float64).reshape(shape)


@lru_cache(maxsize=64)
def _request(named: tuple[tuple[str, Any], ...], numbers: tuple[tuple[str, int], ...]) -> Request:
    """The request of the first row of a piece: its names resolved, its defaults filled in."""
    given = {FIELDS.get(name, name): value for name, value in (*named, *numbers)}
    names = {name: given.pop(name) for name in _SYSTEM if name in given}
    workload = {name: given.pop(name) for name in (*_WORKLOAD, "logits") if name in given}
    precision = {name: given.pop(name) for name in _PRECISION if name in given}
    links = {name: given.pop(name) for name in LINKS if name in given}
    rates: dict[str, Any] = {
        name: parse_quantity(value, "B/s") if isinstance(value, str) else value
        for name, value in links.items()
    }
    for name in _LAYOUT:
        given.pop(name, None)
    model = model_asked(given.pop("model", None), given)
    system = named_system(**names)
    hardware = system.hardware.with_links(rates)
    system = replace(system, hardware=hardware, precision=Precision(**precision))
    return make_request(model, Workload(**workload), system, engine_assumed="engine" not in names)


def _spec(request: Request, numbers: Mapping[str, Any]) -> ModelSpec:
    """The architecture of a piece: the first row's, with the arrays in its place."""
    sizes = {FIELDS.get(name, name): value for name, value in numbers.items()}
    of_model = (item for item in sizes.items() if item[0] not in (*_WORKLOAD, *_LAYOUT))
    changed = {
        name: value
        for name, value in of_model
        if not np.array_equal(value, getattr(request.spec, name))
    }
    if "intermediate_size" in request.assumed and "hidden_size" in changed:
        changed["intermediate_size"] = np.vectorize(family_intermediate_size)(
            changed["hidden_size"]
        ).astype(np.float64)
    wide = {"hidden_size", "num_attention_heads"} & changed.keys()
    if wide and request.spec.scales_heads and "head_dim" not in sizes:
        changed["head_dim"] = None
    spec: ModelSpec = replace(request.spec, **changed)
    return spec


LARGER_IS_BETTER = ("tokens_per_s", "device_free_bytes")
"""Columns of which a larger value is better; of all others a smaller one."""

MEASURES = (
    "memory_total_bytes",
    "latency_ttft_s",
    "latency_tpot_s",
    "latency_total_s",
    "tokens_per_s",
)
"""Columns whose extremes are reported."""

OBJECTIVES = ("memory_total_bytes", "latency_tpot_s", "tokens_per_s")
"""Columns of the Pareto front, unless others are asked for."""

MOST_WAITING = 20_000
"""Rows of fronts of parts that wait to be compared."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Summary:
    """The summary of some rows of a sweep.

    Attributes:
        rows: How many there are.
        fitting: How many of them fit their device.
        least: By measure, the first row with the least of it.
        most: By measure, the first row with the most of it.
        front: Rows that no other beats in all objectives, least of the first objective first.
    """

    rows: int = 0
    fitting: int = 0
    least: Mapping[str, Row] | None = None
    most: Mapping[str, Row] | None = None
    front: Sequence[Row] = ()

    @property
    def record(self) -> dict[str, Any]:
        """The summary as a JSON object; its rows are not copied."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


def objectives_named(names: Sequence[str]) -> tuple[str, ...]:
    """The columns of a Pareto front.

    Raises:
        InputError: No such column, one that holds no number, or one twice.
    """
    numbers = {column.name for column in COLUMNS if column.kind == "number"}
    for name in names:
        if name not in numbers:
            raise unknown_name("column of numbers", name, numbers)
    if len(set(names)) < len(names):
        raise InputError(f"the Pareto front is asked for {', '.join(names)}; each once")
    return tuple(names)


def summary_of(columns: Mapping[str, Values], objectives: Sequence[str] = OBJECTIVES) -> Summary:
    """The summary of some rows.

    Only rows that fit their device are on the front: the others cannot run.
    """
    fits = columns["device_fits"]
    found = {name: columns[name] for name in MEASURES if not np.isnan(columns[name]).all()}
    return Summary(
        rows=len(fits),
        fitting=int(fits.sum()),
        least=_extremes(columns, {name: np.nanargmin(values) for name, values in found.items()}),
        most=_extremes(columns, {name: np.nanargmax(values) for name, values in found.items()}),
        front=_front(columns, objectives, np.flatnonzero(fits)),
    )


def merged(summaries: Iterable[Summary], objectives: Sequence[str] = OBJECTIVES) -> Summary:
    """The summary of all rows from those of their parts, in the order of the parts."""
    total = Summary(least={}, most={})
    waiting: list[Row] = []
    for each in summaries:
        waiting += each.front
        if len(waiting) > MOST_WAITING:
            waiting = _pruned(waiting, objectives)
        total = Summary(
            total.rows + each.rows,
            total.fitting + each.fitting,
            _better(total.least or {}, each.least or {}, 1.0),
            _better(total.most or {}, each.most or {}, -1.0),
        )
    front = sorted(_pruned(waiting, objectives), key=lambda row: _signed(row, objectives[0]))
    return Summary(total.rows, total.fitting, total.least, total.most, front)


def _pruned(rows: Sequence[Row], objectives: Sequence[str]) -> list[Row]:
    on_front = _mask([[row[name] for row in rows] for name in objectives], objectives)
    return [row for row, kept in zip(rows, on_front, strict=True) if kept]


def _better(ours: Mapping[str, Row], theirs: Mapping[str, Row], sign: float) -> Mapping[str, Row]:
    """By measure, the row with less of it; ours where they are equal."""
    chosen = dict(ours)
    for name, row in theirs.items():
        if name not in chosen or sign * row[name] < sign * chosen[name][name]:
            chosen[name] = row
    return chosen


def _extremes(columns: Mapping[str, Values], places: Mapping[str, Any]) -> dict[str, Row]:
    """The rows at some places, by name."""
    return dict(zip(places, _rows(columns, np.array(list(places.values()), int)), strict=True))


def _front(columns: Mapping[str, Values], objectives: Sequence[str], among: Any) -> list[Row]:
    everything = len(among) == len(columns["device_fits"])
    values = (columns[name] if everything else columns[name][among] for name in objectives)
    return _rows(columns, among[_mask(list(values), objectives)], objectives)


def _mask(values: Sequence[Any], objectives: Sequence[str]) -> Any:
    signs = [-1.0 if name in LARGER_IS_BETTER else 1.0 for name in objectives]
    return non_dominated(
        [
            np.asarray(each, float) if sign > 0 else -np.asarray(each, float)
            for sign, each in zip(signs, values, strict=True)
        ]
    )


def _signed(row: Row, name: str) -> float:
    return -float(row[name]) if name in LARGER_IS_BETTER else float(row[name])


def _rows(columns: Mapping[str, Values], places: Any, more: Sequence[str] = ()) -> list[Row]:
    """Rows as plain values: what was asked, the measures, and more columns."""
    names = tuple(dict.fromkeys((*_ASKED, *MEASURES, *more)))
    values = (columns[name][places].tolist() for name in names)
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]


_ASKED = tuple(column.name for column in COLUMNS if column.is_input)
