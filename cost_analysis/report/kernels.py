"""Tables of kernel timings as records and pages: what `kernels` shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from statistics import median

from cost_analysis.common.units import format_count
from cost_analysis.distilling.kernel_fits import Bucket, KernelFit
from cost_analysis.kernels.library import LICENCE, PACKAGE, Library
from cost_analysis.kernels.tables import Table as Timings
from cost_analysis.kernels.tables import formats_of, newest
from cost_analysis.report.render import Page, Record, Table

SIZES = {
    "m": "rows",
    "num_tokens": "tokens",
    "num_token": "tokens",
    "batch_size": "sequences",
    "message_size": "elements",
}
"""The columns whose range a list shows, and what they count."""


def list_page(library: Library, tables: Sequence[Timings]) -> Page:
    """All tables, a line for each kind of kernels of an engine, and a part for each device."""
    parts = []
    for device, own in groupby(tables, key=lambda table: table.device):
        rows = tuple(
            _family_cells(list(each))
            for _, each in groupby(own, key=lambda table: (table.engine, table.family))
        )
        headers = ("engine", "kernels", "version", "rows", "range")
        parts.append(Table(device, headers, rows, left=(0, 1, 2, 4)))
    rows_in_all = sum(table.rows for table in tables)
    return Page(
        f"{len(tables)} tables of kernel timings, {format_count(rows_in_all)} rows",
        ("`parscale-cost kernels DEVICE ENGINE` shows those of one engine with their formats",),
        tuple(parts),
        (
            _source(library),
            "version: the newest that is complete, which is used; * where none is complete; +1 "
            "where there is another version",
            "rows: of all tables of these kernels, in the versions that are used",
        ),
    )


def _family_cells(tables: Sequence[Timings]) -> tuple[str, ...]:
    """The line of one kind of kernels of an engine."""
    used = defaults(tables)
    largest = max(used, key=lambda table: table.rows)
    others = len({table.version for table in tables} - {largest.version})
    return (
        largest.engine,
        largest.family,
        largest.version + ("" if largest.is_complete else "*") + (f" +{others}" if others else ""),
        f"{sum(table.rows for table in used):,}",
        _range(largest),
    )


def _range(table: Timings) -> str:
    for column, name in SIZES.items():
        if column in table.ranges:
            low, high = table.ranges[column]
            return f"{name} {format_count(low)} to {format_count(high)}"
    return ""


def defaults(tables: Sequence[Timings]) -> list[Timings]:
    """The version of each table that is used.

    Args:
        tables: In the order of device, engine, family and name.
    """
    by_name = groupby(tables, key=lambda t: (t.device, t.engine, t.family, t.name))
    return [newest(list(versions)) for _, versions in by_name]


def engine_page(library: Library, tables: Sequence[Timings]) -> Page:
    """The tables of one engine on a device, each with its formats, ranges and file."""
    first = tables[0]
    used = {table.path for table in defaults(tables)}
    return Page(
        f"Kernels of {first.engine} on {first.device}: {len(tables)} tables",
        tables=tuple(_table(table, is_used=table.path in used) for table in tables),
        notes=(
            _source(library),
            "times are those of a loop with warm caches; formats and sizes as the tables name them",
        ),
    )


def _table(table: Timings, *, is_used: bool) -> Table:
    state = "" if table.is_complete else ", partial"
    state += "" if is_used else ", not used"
    rows = [("rows", f"{table.rows:,}")]
    rows += [(name, ", ".join(values)) for name, values in formats_of(table).items()]
    rows += [
        (name, f"{low:,} to {high:,}" if low < high else f"{low:,}")
        for name, (low, high) in table.ranges.items()
    ]
    parts = table.source.rsplit("/", 1)
    rows += [("folder", parts[0]), ("file", parts[1])]
    title = f"{table.family}: {table.name}, {table.version}{state}"
    return Table(title, ("column", "values"), tuple(rows), left=(0, 1))


def _source(library: Library) -> str:
    return f"source: {PACKAGE} {library.version} (NVIDIA, {LICENCE}), read from its Parquet files"


def table_records(
    library: Library, tables: Sequence[Timings], *, with_formats: bool
) -> list[Record]:
    """A record for each table.

    Args:
        library: Where they are.
        tables: In the order of device, engine, family and name.
        with_formats: Read the formats that each has, which takes a while for all of them.

    Raises:
        InputError: A file is damaged.
    """
    used = {table.path for table in defaults(tables)}
    return [
        {
            "device": table.device,
            "engine": table.engine,
            "version": table.version,
            "family": table.family,
            "table": table.name,
            "rows": table.rows,
            "is_complete": table.is_complete,
            "is_used": table.path in used,
            "ranges": {name: list(pair) for name, pair in table.ranges.items()},
            "formats": {name: list(values) for name, values in formats_of(table).items()}
            if with_formats
            else {},
            "file": table.source,
            "package": f"{PACKAGE} {library.version}",
            "licence": LICENCE,
        }
        for table in tables
    ]


def table_rows(records: Sequence[Record]) -> list[Record]:
    """Records as flat rows: a range is "m 1 to 32768"."""
    return [
        record
        | {
            "ranges": "; ".join(
                f"{name} {low} to {high}" for name, (low, high) in record["ranges"].items()
            ),
            "formats": _joined(record["formats"]),
        }
        for record in records
    ]


def _joined(formats: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{name} {' '.join(values)}" for name, values in formats.items())


KINDS = {
    "product": "products",
    "quantise": "quantising",
    "decode": "decode attention",
    "prompt": "prompt attention",
    "latent_decode": "latent decode",
    "latent_prompt": "latent prompt",
    "experts": "experts",
    "all_reduce": "all-reduce",
}
"""Families of curves in words."""


def fit_page(fits: Sequence[KernelFit]) -> Page:
    """The errors of curves on shapes that their fit has not seen, a part for each device."""
    usable = [fit for fit in fits if fit.curve is not None]
    parts = []
    for device, own in groupby(usable, key=lambda fit: fit.job.device):
        rows = tuple(_fit_cells(fit) for fit in own)
        headers = ("engine", "kernels", "format", "timings", "median", "90 %", "8 to 1")
        parts.append(Table(device, headers, rows, left=(0, 1, 2)))
    parts += [_by_rows(usable)]
    unusable = [fit for fit in fits if fit.curve is None and not fit.reason.startswith("no kernel")]
    notes = [
        "errors: |predicted / measured - 1| on shapes that a fit of the others has not seen",
        "8 to 1: the time at 8 rows, sequences or tokens over that at 1, median error",
    ]
    notes += [
        f"{fit.job.engine} on {fit.job.device}, {KINDS[fit.job.family]} in {fit.job.format}: "
        f"{fit.reason}"
        for fit in unusable
        if "has no timings" not in fit.reason
    ]
    return Page(
        f"Curves of kernels: {len(usable)} tables, "
        f"{format_count(sum(fit.rows for fit in usable))} timings",
        tables=tuple(part for part in parts if part.rows),
        notes=tuple(notes),
    )


def _fit_cells(fit: KernelFit) -> tuple[str, ...]:
    job, errors = fit.job, fit.held_out
    return (
        job.engine,
        KINDS[job.family],
        job.format,
        f"{fit.rows:,}",
        f"{errors.median:.1%}",
        f"{errors.ninety:.1%}",
        "" if math.isnan(fit.eight) else f"{fit.eight:.1%}",
    )


def _by_rows(fits: Sequence[KernelFit]) -> Table:
    """Median errors of products by rows, the median over the tables of each format."""
    found: dict[str, dict[str, list[float]]] = {}
    for fit in fits:
        if fit.job.family == "product":
            columns = found.setdefault(fit.job.format, {})
            for bucket in fit.buckets:
                columns.setdefault(bucket.name.removeprefix("rows "), []).append(bucket.median)
    names = list(dict.fromkeys(name for columns in found.values() for name in columns))
    rows = tuple(
        (form, *(f"{median(columns[name]):.1%}" if name in columns else "" for name in names))
        for form, columns in found.items()
    )
    return Table("Products by rows: medians of tables", ("format", *names), rows, left=(0,))


def fit_rows(fits: Sequence[KernelFit]) -> list[Record]:
    """A row for each part of the timings of a table, the first of all of them."""
    return [
        {
            "device": fit.job.device,
            "engine": fit.job.engine,
            "kernels": fit.job.family,
            "format": fit.job.format,
            "part": bucket.name,
            "timings": fit.rows,
            "dropped": fit.dropped,
            "held_out": bucket.rows,
            "median_error": _known(bucket.median),
            "ninety_error": _known(bucket.ninety),
            "eight_to_one_error": _known(fit.eight),
            "source": fit.source,
            "reason": fit.reason,
        }
        for fit in fits
        for bucket in _parts(fit)
    ]


def _parts(fit: KernelFit) -> tuple[Bucket, ...]:
    return (fit.held_out, *fit.buckets)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
