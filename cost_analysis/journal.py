"""An append-only record of measurements: one JSON object a line, on disk before the next begins.

A run that is killed loses at most the line that it was writing; `open_journal` removes such an
incomplete last line and returns the rest, so that a run can go on where it stopped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import msgspec

from cost_analysis.errors import LONGEST_PATH, InputError, shown
from cost_analysis.journal_rows import AnyRow, Row, rows_of

LONGEST_REASON = 200
"""Characters of what is wrong with a line that a message repeats."""


class Journal:
    """A file that rows are appended to.

    Attributes:
        path: The file.
        rows: Every row of it, those that were there before included.
    """

    def __init__(self, path: Path, file: BinaryIO, rows: list[Row]) -> None:
        """Go on with an open file that holds `rows`."""
        self.path, self.rows = path, rows
        self._file = file

    def append(self, row: Row) -> None:
        """Write a row and wait until it is on disk."""
        # By the standard library: it refuses NaN, and takes a command's undecodable bytes.
        text = json.dumps(msgspec.to_builtins(row), allow_nan=False)
        self._file.write(text.encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.rows.append(row)

    def of(self, kind: type[AnyRow]) -> list[AnyRow]:
        """The rows of a kind."""
        return rows_of(self.rows, kind)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Journal:
        """The journal itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()


def open_journal(path: Path, *, resume: bool) -> Journal:
    """A journal to append to.

    Args:
        path: The file; its folder must exist.
        resume: Go on with a journal that is there; otherwise it must not be.

    Raises:
        InputError: A file that cannot be written, is there already, or is no journal.
    """
    try:
        if path.exists() and not resume:
            raise InputError(f"{_named(path)} exists; give --resume to go on with it")
        rows, length = _parse(path.read_bytes(), path) if path.exists() else ([], 0)
        file = path.open("r+b" if path.exists() else "xb")
        file.truncate(length)
        file.seek(length)
    except OSError as error:
        raise InputError(f"cannot write {_named(path)}: {error.strerror}") from None
    return Journal(path, file, rows)


def read_journal(path: Path) -> list[Row]:
    """The rows of a journal.

    Raises:
        InputError: A file that cannot be read or is no journal.
    """
    try:
        return _parse(path.read_bytes(), path)[0]
    except OSError as error:
        raise InputError(f"cannot read {_named(path)}: {error.strerror}") from None


def _parse(content: bytes, path: Path) -> tuple[list[Row], int]:
    """The rows of a journal, and the bytes that they take: an incomplete last line is not one."""
    rows: list[Row] = []
    length = 0
    for number, line in enumerate(_whole_lines(content), start=1):
        try:
            rows.append(_row(line))
        except InputError as error:
            raise InputError(f"{_named(path)}, line {number}: {error}") from None
        length += len(line)
    return rows, length


def _row(line: bytes) -> Row:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise InputError("not a JSON object")
    try:
        row: Row = msgspec.convert(content, Row)
    except msgspec.ValidationError as error:
        reason = str(error)[:LONGEST_REASON]
        raise InputError(f"not a line of a journal: {reason}") from None
    return row


def _whole_lines(content: bytes) -> Iterable[bytes]:
    return (line for line in content.splitlines(keepends=True) if line.endswith(b"\n"))


def _named(path: Path) -> str:
    return shown(str(path), LONGEST_PATH)
