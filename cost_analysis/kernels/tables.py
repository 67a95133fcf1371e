"""Published tables of kernel timings: which there are, and the columns of one that are asked for.

They are systems/data/DEVICE/FAMILY/ENGINE/VERSION/TABLE.parquet of their package (`library`), with
a collection_meta.yaml beside them that says which tables are complete. Lists come from the metadata
of the files, and of a table only the columns and rows that are needed are read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cost_analysis.common.errors import LONGEST_PATH, InputError, shown
from cost_analysis.kernels.library import (
    DEVICES,
    ENGINES,
    KNOWN_VERSION,
    PACKAGE,
    Library,
    damaged,
    device_named,
    engine_named,
    read_yaml,
    readable,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow

    Column = npt.NDArray[np.float64] | npt.NDArray[np.str_]


class NoTableError(InputError):
    """An engine has no table of a kind of kernels on a device."""


LEAST_SHARE = 0.5
"""A version with fewer rows than this share of the fullest one was collected for single models."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of timings, as the metadata of its file describes it.

    Attributes:
        device: Our name of the device, or the package's where we have none.
        engine: Our name of the engine, or a library of collectives such as "nccl".
        version: Version of the engine.
        family: Kind of kernels, e.g. "attention".
        name: Name of the table, e.g. "generation_attention_perf".
        path: Its file.
        source: The file within the package.
        is_complete: Whether everything that was planned was measured.
        rows: Number of timings.
        columns: Names of its columns.
        ranges: Least and largest value of each column of whole numbers, as stored.
    """

    device: str
    engine: str
    version: str
    family: str
    name: str
    path: Path
    source: str
    is_complete: bool
    rows: int
    columns: tuple[str, ...]
    ranges: Mapping[str, tuple[int, int]]


def list_tables(
    library: Library,
    device: str = "*",
    engine: str = "*",
    family: str = "*",
    name: str = "*",
) -> list[Table]:
    """The tables, in the order of device, engine, family, name and version.

    Args:
        library: Where they are.
        device: The package's name of a device; `*` means all.
        engine: The package's name of an engine or library of collectives.
        family: Kind of kernels.
        name: Name of the table.

    Raises:
        InputError: A file is damaged.
    """
    data = library.systems / "data"
    pattern = f"{device}/{family}/{engine}/*/{name}.parquet"
    statuses: dict[Path, Mapping[str, bool]] = {}
    found = []
    for path in data.glob(pattern):
        folder = path.parent
        if folder not in statuses:
            statuses[folder] = _complete_tables(folder / "collection_meta.yaml")
        found.append(_described(path, data, statuses[folder]))
    return sorted(
        found,
        key=lambda each: (each.device, each.engine, each.family, each.name, order(each.version)),
    )


def _described(path: Path, data: Path, statuses: Mapping[str, bool]) -> Table:
    from pyarrow import parquet

    with readable(path):
        metadata = parquet.read_metadata(path)
    device, family, engine, number = path.relative_to(data).parts[:4]
    return Table(
        device=_ours(DEVICES, device),
        engine=_ours(ENGINES, engine),
        version=number,
        family=family,
        name=path.stem,
        path=path,
        source=str(path.relative_to(data.parents[1])),
        is_complete=statuses.get(path.stem, False),
        rows=metadata.num_rows,
        columns=tuple(metadata.schema.names),
        ranges=_ranges(metadata),
    )


def _ours(names: Mapping[str, str], theirs: str) -> str:
    return next((name for name, other in names.items() if other == theirs), theirs)


def _ranges(metadata: pyarrow.parquet.FileMetaData) -> dict[str, tuple[int, int]]:
    """Least and largest value of each column of whole numbers, by the statistics of the parts."""
    found: dict[str, tuple[int, int]] = {}
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for column in map(group.column, range(metadata.num_columns)):
            statistics = column.statistics
            if statistics is None or not statistics.has_min_max:
                continue
            if isinstance(statistics.min, int) and not isinstance(statistics.min, bool):
                name = column.path_in_schema
                low, high = found.get(name, (statistics.min, statistics.max))
                found[name] = (min(low, statistics.min), max(high, statistics.max))
    return found


def _complete_tables(path: Path) -> dict[str, bool]:
    """Whether each table of a folder is complete."""
    if not path.is_file():
        return {}
    content = read_yaml(path)
    if content.get("schema_version") not in (1, 2):  # 2 adds how parts were collected
        raise InputError(
            f"{shown(str(path), LONGEST_PATH)} is not of the layout that {PACKAGE} "
            f"{KNOWN_VERSION} has; pip install '{PACKAGE}=={KNOWN_VERSION}.*'"
        )
    try:
        tables = content["tables"].items()
        return {name: table["status"] == "complete" for name, table in tables}
    except (KeyError, TypeError, AttributeError):
        raise damaged(path) from None


def order(number: str) -> tuple[tuple[int, ...], int, int]:
    """The place of a version among others: its numbers, then development, candidate, final, post.

    Args:
        number: E.g. "1.3.0rc20", "0.5.6.post2" or "0.1.dev19262".
    """
    stages = {"dev": -2, "rc": -1, "": 0, "post": 1}
    match = re.match(r"([0-9.]*[0-9])\.?(dev|rc|post)?([0-9]*)", number)
    if match is None:
        return ((), 0, 0)
    release = tuple(int(part) for part in match[1].split(".") if part)
    while release and release[-1] == 0:  # 1.3 and 1.3.0 are the same
        release = release[:-1]
    return (release, stages[match[2] or ""], int(match[3] or 0))


def newest(versions: Sequence[Table]) -> Table:
    """The version of a table that is used: the newest complete one, if any is complete.

    Versions with less than `LEAST_SHARE` of the rows of the fullest one are passed over: they
    were collected for single new models.

    Args:
        versions: The same table in one or more versions of an engine.
    """
    whole = [table for table in versions if table.is_complete] or list(versions)
    least = LEAST_SHARE * max(table.rows for table in whole)
    return max(
        (table for table in whole if table.rows >= least), key=lambda table: order(table.version)
    )


def find_table(
    library: Library, device: str, engine: str, name: str, number: str | None = None
) -> Table:
    """One table.

    Args:
        library: Where it is.
        device: Our name of the device.
        engine: Our name of the engine.
        name: Name of the table.
        number: Version of the engine; None means the default, by `newest`.

    Raises:
        NoTableError: There is no such table.
        InputError: There is no such version of it.
    """
    theirs, by = device_named(device), engine_named(engine)
    found = list_tables(library, theirs, by, name=name)
    if not found:
        others = sorted({table.engine for table in list_tables(library, theirs, name=name)})
        hint = f"there are some of {', '.join(others)}" if others else "no engine has any there"
        raise NoTableError(f"no kernel table {name} of {engine} on {device}; {hint}")
    if number is None:
        return newest(found)
    for table in found:
        if table.version == number:
            return table
    known = ", ".join(table.version for table in found)
    raise InputError(f"no kernel table {name} of {engine} {number} on {device}; there are {known}")


def tables_of(
    library: Library, device: str | None = None, engine: str | None = None
) -> list[Table]:
    """The tables of a device and an engine, by our names; None means all.

    Args:
        library: Where they are.
        device: Our name of the device.
        engine: Our name of the engine.

    Raises:
        InputError: There are none, or a file is damaged.
    """
    theirs = device_named(device) if device else "*"
    by = engine_named(engine) if engine else "*"
    found = list_tables(library, theirs, by)
    if not found:
        others = {table.engine for table in list_tables(library, theirs)} & ENGINES.keys()
        raise InputError(
            f"no kernel tables of {engine or 'any engine'} on {device or 'any device'}; "
            f"there are some of {', '.join(sorted(others)) or 'no engine'}"
        )
    return found


def formats_of(table: Table) -> dict[str, tuple[str, ...]]:
    """The different values of the columns of formats.

    Raises:
        InputError: The file is damaged.
    """
    names = [name for name in table.columns if name.endswith(("dtype", "quant_type", "gemm_type"))]
    return {name: values_of(table, name) for name in names}


def values_of(table: Table, column: str) -> tuple[str, ...]:
    """The different values of a column of text.

    Raises:
        InputError: The column is missing, or the file damaged.
    """
    from pyarrow import parquet

    _check_columns(table, [column])
    with readable(table.path):
        values = parquet.read_table(table.path, columns=[column])[column].unique()
    return tuple(sorted(map(str, values.to_pylist())))


def read_columns(
    table: Table,
    columns: Sequence[str],
    among: Mapping[str, Collection[str | int]] | None = None,
) -> dict[str, Column]:
    """Columns of a table as arrays: numbers as float64, text as it is.

    Args:
        table: The table.
        columns: Their names.
        among: The values that columns must have; other rows are not read.

    Raises:
        InputError: A column is missing, or the file damaged.
    """
    from pyarrow import parquet, types

    _check_columns(table, [*columns, *(among or ())])
    wanted = [(name, "in", list(values)) for name, values in (among or {}).items()]
    with readable(table.path):
        rows = parquet.read_table(table.path, columns=list(columns), filters=wanted or None)
    found: dict[str, Column] = {}
    for name in columns:
        is_text = types.is_string(rows[name].type) or types.is_large_string(rows[name].type)
        found[name] = rows[name].to_numpy().astype("str" if is_text else "float64")
    return found


def _check_columns(table: Table, columns: Collection[str]) -> None:
    missing = sorted(set(columns) - set(table.columns))
    if missing:
        raise InputError(
            f"the kernel table {shown(str(table.path), LONGEST_PATH)} has no column "
            f"{', '.join(missing)}; pip install '{PACKAGE}=={KNOWN_VERSION}.*'"
        )
