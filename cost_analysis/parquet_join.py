"""Joins Parquet files of one schema without decoding them: pages are copied, footers are merged.

A footer is a structure in Thrift's compact protocol. Of all that is in it only the places of the
pages change, so what is read here is the protocol and not the format: structures as field numbers
and values, which are written again as they were.

Source: apache/parquet-format, README.md and src/main/thrift/parquet.thrift (2.11); apache/thrift,
doc/specs/thrift-compact-protocol.md.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import IO, Any, NamedTuple

MAGIC = b"PAR1"
"""First and last bytes of a file."""

CHUNK = 1 << 20
"""Bytes that are copied at once."""

Fields = dict[int, tuple[int, Any]]
"""A structure: the type and the value of each of its fields, by number."""

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)

_ROWS, _ROW_GROUPS = 3, 4
"""Fields of a file's metadata."""

_COLUMNS, _FILE_OFFSET, _ORDINAL = 1, 5, 7
"""Fields of a row group."""

_METADATA, _CHUNK_OFFSETS = 3, (2, 4, 6)
"""Fields of a column chunk: what is known of it, and places in the file."""

_PAGE_OFFSETS = (9, 10, 11, 14)
"""Fields of a chunk's metadata that are places in the file."""


class List(NamedTuple):
    """A list or a set: the type of its elements, and the elements."""

    kind: int
    values: list[Any]


def join(parts: Sequence[Path], file: IO[bytes]) -> None:
    """Write one file that holds the row groups of others, in their order.

    Args:
        parts: Files of the same schema; at least one.
        file: Where to write, at its beginning.

    Raises:
        OSError: A part cannot be read, or the file not be written.
        ValueError: A part is no Parquet file.
    """
    file.write(MAGIC)
    whole: Fields = {}
    for path in parts:
        with path.open("rb") as part:
            start, footer = _footer(part)
            moved = file.tell() - len(MAGIC)
            part.seek(len(MAGIC))
            _copy(part, file, start - len(MAGIC))
        for group in footer[_ROW_GROUPS][1].values:
            _shift(group, moved)
        whole = _with(whole, footer)
    for index, group in enumerate(whole[_ROW_GROUPS][1].values):
        if _ORDINAL in group:
            group[_ORDINAL] = (_I16, index)
    written = BytesIO()
    _write(written, _STRUCT, whole)
    file.write(written.getvalue() + written.tell().to_bytes(4, "little") + MAGIC)


def _footer(part: IO[bytes]) -> tuple[int, Fields]:
    """Where the footer of a file begins, and what is in it."""
    end = part.seek(-8, os.SEEK_END)
    length, magic = int.from_bytes(part.read(4), "little"), part.read(4)
    start = end - length
    if magic != MAGIC or start < len(MAGIC):
        raise ValueError("it is no Parquet file")
    part.seek(start)
    footer: Fields = _read(BytesIO(part.read(length)), _STRUCT)
    return start, footer


def _copy(source: IO[bytes], target: IO[bytes], length: int) -> None:
    while length:
        piece = source.read(min(length, CHUNK))
        if not piece:
            raise ValueError("the file is cut short")
        target.write(piece)
        length -= len(piece)


def _shift(group: Fields, by: int) -> None:
    """Move all places that a row group names."""
    _add(group, _FILE_OFFSET, by)
    for chunk in group[_COLUMNS][1].values:
        for field in _CHUNK_OFFSETS:
            _add(chunk, field, by)
        for field in _PAGE_OFFSETS:
            _add(chunk[_METADATA][1], field, by)


def _add(fields: Fields, field: int, number: int) -> None:
    """Add to a field; a place that is 0 is not stated."""
    if field in fields and fields[field][1]:
        kind, value = fields[field]
        fields[field] = (kind, value + number)


def _with(whole: Fields, part: Fields) -> Fields:
    """The metadata of the files so far with those of another."""
    if not whole:
        return part
    _add(whole, _ROWS, part[_ROWS][1])
    whole[_ROW_GROUPS][1].values.extend(part[_ROW_GROUPS][1].values)
    return whole


def _read(source: IO[bytes], kind: int) -> Any:
    """A value of a type."""
    if kind == _STRUCT:
        return _read_struct(source)
    if kind in (_LIST, _SET):
        return _read_list(source)
    if kind in (_TRUE, _FALSE, _BYTE):  # a byte each, as elements of a list
        return source.read(1)[0]
    if kind in (_I16, _I32, _I64):
        number = _read_size(source)
        return number >> 1 ^ -(number & 1)
    if kind == _DOUBLE:
        return source.read(8)
    if kind == _BINARY:
        return source.read(_read_size(source))
    raise ValueError(f"a footer with a value of type {kind} is not understood")


def _read_size(source: IO[bytes]) -> int:
    """A number without sign: seven bits a byte, the lowest first."""
    number, shift = 0, 0
    while True:
        byte = source.read(1)[0]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number
        shift += 7


def _read_struct(source: IO[bytes]) -> Fields:
    fields: Fields = {}
    field = 0
    while header := source.read(1)[0]:
        step, kind = header >> 4, header & 15
        field = field + step if step else _read(source, _I16)
        fields[field] = (kind, None if kind in (_TRUE, _FALSE) else _read(source, kind))
    return fields


def _read_list(source: IO[bytes]) -> List:
    header = source.read(1)[0]
    size, kind = header >> 4, header & 15
    size = _read_size(source) if size == 15 else size
    return List(kind, [_read(source, kind) for _ in range(size)])


def _write(target: IO[bytes], kind: int, value: Any) -> None:
    """A value of a type, as it is read."""
    if kind == _STRUCT:
        _write_struct(target, value)
    elif kind in (_LIST, _SET):
        size = len(value.values)
        target.write(bytes([min(size, 15) << 4 | value.kind]))
        if size >= 15:
            _write_size(target, size)
        for each in value.values:
            _write(target, value.kind, each)
    elif kind in (_TRUE, _FALSE, _BYTE):
        target.write(bytes([value]))
    elif kind in (_I16, _I32, _I64):
        _write_size(target, value << 1 ^ value >> 63)
    else:
        if kind == _BINARY:
            _write_size(target, len(value))
        target.write(value)


def _write_size(target: IO[bytes], number: int) -> None:
    while number >= 0x80:
        target.write(bytes([number & 0x7F | 0x80]))
        number >>= 7
    target.write(bytes([number]))


def _write_struct(target: IO[bytes], fields: Fields) -> None:
    before = 0
    for field, (kind, value) in sorted(fields.items()):
        if 0 < field - before < 16:
            target.write(bytes([field - before << 4 | kind]))
        else:
            target.write(bytes([kind]))
            _write(target, _I16, field)
        if kind not in (_TRUE, _FALSE):
            _write(target, kind, value)
        before = field
    target.write(b"\0")
