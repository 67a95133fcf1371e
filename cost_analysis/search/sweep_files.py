"""The files of a sweep: parts in a folder beside its file, then the file that holds them all.

A part is written under another name and then renamed, so that every part that exists is complete.
The file itself appears once, at the end: a file of that name is complete. A sweep that ended early
is continued with the parts that are missing.

Parts of a Parquet file are Arrow files: to write and read one again takes a third of the time that
Parquet takes, and about half as much more disk.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from cost_analysis.common.errors import LONGEST_PATH, InputError, shown
from cost_analysis.common.files import UNFINISHED, beside, put, writing
from cost_analysis.search.column import Values
from cost_analysis.search.columns import COLUMNS
from cost_analysis.search.grid import Grid
from cost_analysis.search.sweep import Summary, outcome, rows_of, summary_of

if TYPE_CHECKING:
    import pyarrow


FORMATS = {".csv": "csv", ".parquet": "parquet"}
"""Formats of the rows by the ending of their file."""

PART_FORMATS = {"csv": "csv", "parquet": "arrow"}
"""Formats of the parts, by the format of the file."""

VERSION = 3
"""Version of the parts: another version of the program may divide a grid in another way."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a sweep is written.

    Attributes:
        path: The file at the end, absolute.
        form: "csv" or "parquet".
        objectives: Columns of the Pareto front.
    """

    path: Path
    form: str
    objectives: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """The folder of the parts, beside the file."""
        return self.path.with_name(self.path.name + ".parts")

    @property
    def manifest(self) -> Path:
        """The file that says which sweep the parts belong to."""
        return self.folder / "sweep.json"

    def part(self, index: int) -> Path:
        """The file of a part."""
        return self.folder / f"part-{index:07d}.{PART_FORMATS[self.form]}"

    def summary(self, index: int) -> Path:
        """The summary of a part."""
        return self.folder / f"part-{index:07d}.json"


def make_target(path: str, objectives: tuple[str, ...]) -> Target:
    """Where to write.

    Raises:
        InputError: An ending that names no format, or a format that needs another package.
    """
    file = Path(path).absolute()
    form = FORMATS.get(file.suffix.lower())
    if form is None:
        raise InputError(f"--output is {shown(path, LONGEST_PATH)}; not a .csv or .parquet file")
    if form == "parquet":
        need_pyarrow()
    if file.is_dir():
        raise InputError(f"--output is {shown(path, LONGEST_PATH)}, which is a folder")
    return Target(file, form, objectives)


def need_pyarrow() -> None:
    """Say how to install what Parquet needs, where it is missing.

    Raises:
        InputError: It is missing.
    """
    try:
        import_module("pyarrow.parquet")
    except ImportError:
        raise InputError(
            "Parquet needs pyarrow, which is not installed; pip install 'parscale-cost[sweep]'"
        ) from None


def prepare(target: Target, grid: Grid, *, resume: bool) -> list[int]:
    """Make the folder of the parts, and say which parts are missing.

    Args:
        target: Where to write.
        grid: What to write.
        resume: Continue from the parts of an earlier run.

    Raises:
        InputError: Another sweep's parts are there, or parts and no `resume`.
        SweepError: The folder cannot be made.
    """
    identity = _identity(grid, target)
    if target.manifest.exists():
        _check_same(target, identity, resume=resume)
        for left in target.folder.glob(f"{UNFINISHED}*"):  # by a run that was killed
            left.unlink(missing_ok=True)
    else:
        with writing(target.path):
            target.folder.mkdir(exist_ok=True)
            put(target.manifest, json.dumps(identity, indent=2).encode())
    return [i for i in range(grid.part_count) if not target.part(i).exists()]


def _check_same(target: Target, identity: Mapping[str, Any], *, resume: bool) -> None:
    folder = shown(str(target.folder), LONGEST_PATH)
    if not resume:
        raise InputError(
            f"{folder} holds parts of a sweep that was interrupted; go on with --resume, or "
            "remove the folder"
        )
    try:
        same = json.loads(target.manifest.read_text()) == identity
    except (OSError, ValueError):
        same = False
    if not same:
        raise InputError(
            f"{folder} holds parts of another sweep (other axes, profiles, --pareto or version); "
            "remove the folder, or write elsewhere"
        )


def _identity(grid: Grid, target: Target) -> dict[str, Any]:
    """What makes two sweeps the same: the axes, and what their names stand for."""
    pieces = (grid.piece(place) for place in _first_of_each_combination(grid))
    digest = sha256()
    for piece in pieces:
        cost = outcome(piece).cost
        digest.update(repr((cost.hardware, cost.engine, cost.precision)).encode())
        digest.update(repr(_digest(cost)).encode())
    return {
        "version": VERSION,
        "axes": {name: list(values) for name, values in grid.axes.items()},
        "columns": [column.name for column in COLUMNS],
        "pareto": list(target.objectives),
        "part_rows": grid.part_rows,
        "system": digest.hexdigest(),
    }


def _digest(cost: Any) -> tuple[float, ...]:
    """A few numbers that change when a model does."""
    return (float(np.sum(cost.parameters.total)), float(np.sum(cost.total)))


def _first_of_each_combination(grid: Grid) -> range:
    """The first piece of each combination of names; at most some hundreds are looked at."""
    combinations = grid.combinations
    step = grid.piece_count // combinations
    return range(0, grid.piece_count, step * max(1, combinations // 256))


def write_part(grid: Grid, target: Target, index: int) -> Summary:
    """Calculate a part and write it; a part that is there is not touched.

    Raises:
        SweepError: It cannot be written.
    """
    columns = rows_of(grid, grid.part(index))
    summary = summary_of(columns, target.objectives)
    with writing(target.path):
        put(target.summary(index), json.dumps(summary.record).encode())
        with beside(target.part(index)) as file:
            if target.form == "csv":
                _write_csv(columns, file, header=index == 0)
            else:
                _write_arrow(_table(columns), file)
    return summary


def read_summary(target: Target, index: int) -> Summary:
    """The summary of a part that was written."""
    return Summary(**json.loads(target.summary(index).read_text()))


def _write_arrow(table: pyarrow.Table, file: IO[bytes]) -> None:
    from pyarrow import ipc

    options = ipc.IpcWriteOptions(compression="lz4", use_threads=False)
    with ipc.new_file(file, table.schema, options=options) as writer:
        writer.write_table(table)


def _read_arrow(path: Path) -> pyarrow.Table:
    from pyarrow import ipc

    options = ipc.IpcReadOptions(use_threads=False)
    with path.open("rb") as file, ipc.open_file(file, options=options) as reader:
        return reader.read_all()


def _write_csv(columns: Mapping[str, Values], file: IO[bytes], *, header: bool) -> None:
    import pandas as pd

    pd.DataFrame(dict(columns)).to_csv(file, index=False, header=header, lineterminator="\n")


def _table(columns: Mapping[str, Values]) -> pyarrow.Table:
    import pyarrow as pa

    arrays = {}
    for column in COLUMNS:
        values = columns[column.name]
        if column.kind != "name":
            arrays[column.name] = pa.array(values, from_pandas=True)
        elif values.strides == (0,):  # one name in all rows
            places = np.zeros(len(values), np.int32)
            arrays[column.name] = pa.DictionaryArray.from_arrays(places, values[:1])
        else:
            arrays[column.name] = _names(values)
    return pa.table(arrays)


def _names(values: Values) -> pyarrow.DictionaryArray:
    """A column of names, which stay the same for many rows: only where they change is looked up."""
    import pyarrow as pa

    starts = np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1])))
    different: dict[str, int] = {}
    codes = [different.setdefault(name, len(different)) for name in values[starts].tolist()]
    lengths = np.diff(starts, append=len(values))
    indices = pa.array(np.repeat(np.array(codes, np.int32), lengths))
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(different), pa.string()))


def _schema() -> pyarrow.Schema:
    import pyarrow as pa

    kinds = {
        "name": pa.dictionary(pa.int32(), pa.string()),
        "count": pa.int64(),
        "switch": pa.bool_(),
        "number": pa.float64(),
    }
    texts = {c.name: c.text for c in COLUMNS}
    return pa.schema(
        [pa.field(c.name, kinds[c.kind], metadata={"description": texts[c.name]}) for c in COLUMNS]
    )


@contextmanager
def _parquet_writer(file: IO[bytes]) -> Iterator[pyarrow.parquet.ParquetWriter]:
    """A writer of Parquet: names and counts by dictionaries, numbers with their bytes split.

    The first bytes of all numbers are stored together, then the second ones, and so on: neighbours
    differ little in them, so that they take a fifth less of the disk and of the time.
    """
    from pyarrow import parquet

    few = [c.name for c in COLUMNS if c.is_input or c.kind != "number"]
    with parquet.ParquetWriter(
        file,
        _schema(),
        compression="zstd",
        use_dictionary=few,
        use_byte_stream_split=[c.name for c in COLUMNS if c.name not in few],
        store_schema=False,
    ) as writer:
        yield writer


def assemble(target: Target, parts: Iterable[int]) -> None:
    """Make one file of the parts; they stay, until `remove_parts`.

    Args:
        target: Where to write.
        parts: Numbers of the parts in their order; each is read when it is asked for, so that
            they may still be calculated when this begins. Only one is in memory at a time.

    Raises:
        SweepError: It cannot be written.
    """
    with writing(target.path), beside(target.path, target.folder) as file:
        if target.form == "csv":
            for index in parts:
                with target.part(index).open("rb") as part:
                    shutil.copyfileobj(part, file, 1 << 20)
        else:
            with _parquet_writer(file) as writer:
                for index in parts:
                    writer.write_table(_read_arrow(target.part(index)))


def remove_parts(target: Target) -> None:
    """Remove the parts of a sweep whose file is complete.

    Raises:
        SweepError: They cannot be removed.
    """
    with writing(target.path):
        shutil.rmtree(target.folder)


def remove_empty_folder(target: Target) -> None:
    """Remove the folder of the parts if it has no part that a later run could use."""
    folder = target.folder
    if folder.is_dir() and not any(folder.glob(f"part-*.{PART_FORMATS[target.form]}")):
        shutil.rmtree(folder, ignore_errors=True)
