"""Reading and writing of files: small inputs within a limit, CSV tables, whole-file writes.

A file is written completely or not at all, even if the program or the machine stops.
"""

from __future__ import annotations

import csv
import difflib
import errno
import io
import json
import math
import os
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import IO, Any, NoReturn, TypeVar

from cost_analysis.common.errors import LONGEST_PATH, InputError, shown, unknown_name
from cost_analysis.common.units import parse_quantity

LARGEST_FILE = 4_000_000
"""Some 100,000 rows of a table: larger than any file that a person writes by hand [B]."""


def read_small(path: Path, what: str = "") -> tuple[str, str]:
    """The name of a file in errors, and its text: UTF-8 with or without a byte order mark.

    Args:
        path: The file; `~` is the home folder.
        what: What it should be, e.g. "profile"; errors put it before the path.

    Raises:
        InputError: It cannot be read, is larger than `LARGEST_FILE`, or is not UTF-8 text.
    """
    name = f"{what} {shown(str(path), LONGEST_PATH)}".lstrip()
    try:
        with path.expanduser().open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read {name}: {reason}") from None
    if len(content) > LARGEST_FILE:
        raise InputError(f"{name} is larger than {LARGEST_FILE} bytes")
    try:
        return name, content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{name} is not UTF-8 text") from None


def read_json(path: Path, what: str = "") -> dict[str, Any]:
    """The JSON object of a small file, in which each field is given once.

    Args:
        path: The file.
        what: What it should be, as for `read_small`.

    Raises:
        InputError: A file that cannot be read, is too large, or holds something else.
    """
    name, text = read_small(path, what)
    try:
        content = json.loads(text, parse_constant=_no_number, object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{name} is not JSON: {reason}") from None
    if not isinstance(content, dict):
        raise InputError(f"{name} is not a JSON object")
    return content


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose fields are given once, or with the same value."""
    content: dict[str, Any] = {}
    for name, value in pairs:
        if name in content and content[name] != value:
            raise ValueError(f"{shown(name)} is given twice, with different values")
        content[name] = value
    return content


class SweepError(Exception):
    """A sweep that failed while it ran: one sentence; finished parts are kept."""


UNFINISHED = ".parscale-cost-"
"""How the name of a file begins that is being written, or that a killed program left."""


@contextmanager
def beside(path: Path, folder: Path | None = None) -> Iterator[IO[bytes]]:
    """A temporary file to write, renamed once it is complete and on the disk.

    It keeps the permissions of a file that it replaces.

    Args:
        path: The final name.
        folder: Where the temporary file is, on the same disk; None means beside the path. If the
            program is killed, the file remains there until the folder is removed.

    Raises:
        OSError: It cannot be written, or the file to replace is read-only.
    """
    mode = _mode_of(path)
    other = (folder or path.parent) / f"{UNFINISHED}{os.urandom(8).hex()}"
    try:
        with other.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            other.chmod(mode)
        other.replace(path)
        _sync(path.parent)
    finally:
        other.unlink(missing_ok=True)


def _mode_of(path: Path) -> int | None:
    """Permissions of the file to replace; None where there is none."""
    if not path.exists():
        return None
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return stat.S_IMODE(path.stat().st_mode)


def _sync(folder: Path) -> None:
    """Write a folder's entries to the disk, on systems that can open folders."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that cannot
            raise
    finally:
        os.close(opened)


def put(path: Path, content: bytes) -> None:
    """Write a file completely or not at all, as `beside` does."""
    with beside(path) as file:
        file.write(content)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name the file in the error when a write fails.

    Raises:
        SweepError: It cannot be written.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise SweepError(f"cannot write {shown(str(path), LONGEST_PATH)}: {reason}") from None


class CsvTable:
    """The cells of a CSV file.

    Attributes:
        name: The file's name, for errors.
        header: Names of the columns.
        rows: Line number and cells of each row.
    """

    def __init__(self, name: str, text: str) -> None:
        """Split the text.

        Args:
            name: The file's name.
            text: Its content; empty lines do not count.

        Raises:
            InputError: No header, a column that is there twice, or a row of another length.
        """
        reader = csv.reader(io.StringIO(text), skipinitialspace=True)
        try:
            lines = [(reader.line_num, cells) for cells in reader if any(map(str.strip, cells))]
        except csv.Error as error:
            raise InputError(f"{name!r}, line {reader.line_num}: {error}") from None
        if not lines:
            raise InputError(f"{name!r} is empty; it needs a header and rows below it")
        self.name = name
        self.header = [cell.strip() for cell in lines[0][1]]
        self.rows = lines[1:]
        self._check_shape()

    def _check_shape(self) -> None:
        width = len(self.header)
        for column in self.header:
            if self.header.count(column) > 1:
                raise InputError(f"{self.name!r} has the column {column!r} twice")
        for line, cells in self.rows:
            if len(cells) != width:
                raise InputError(
                    f"{self.name!r}, line {line}: {len(cells)} cells under {width} columns"
                )

    def column(self, *names: str) -> str:
        """The first of the names that the header has.

        Raises:
            InputError: It has none of them.
        """
        for name in names:
            if name in self.header:
                return name
        wanted = " or ".join(map(repr, names))
        near = [match for name in names for match in difflib.get_close_matches(name, self.header)]
        hint = f"is it {near[0]!r}?" if near else f"it has {', '.join(self.header[:12])}"
        raise InputError(f"{self.name!r} has no column {wanted}; {hint}")

    def texts(self, column: str) -> tuple[str, ...]:
        """The cells of a column."""
        index = self.header.index(column)
        return tuple(cells[index].strip() for _, cells in self.rows)

    def positive_numbers(self, column: str, whole: bool = False) -> list[float]:
        """The cells of a column as numbers.

        Args:
            column: Its name.
            whole: Accept only whole numbers.

        Raises:
            InputError: A cell that is not a positive, finite (whole) number.
        """
        numbers = []
        for (line, _), cell in zip(self.rows, self.texts(column), strict=True):
            value = _number(cell)
            if not 0 < value < math.inf or (whole and not value.is_integer()):
                wanted = "whole number from 1" if whole else "positive number"
                place = f"{self.name!r}, line {line}, column {column!r}"
                raise InputError(f"{place}: {cell[:40]!r} is not a {wanted}")
            numbers.append(value)
        return numbers


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def read_table(path: Path) -> CsvTable:
    """A CSV file, UTF-8 with or without a byte order mark.

    Raises:
        InputError: A file that cannot be read, is too large or is not such a table.
    """
    return CsvTable(str(path), read_small(path)[1])


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file completely or not at all; a pipe or a device is written directly.

    Raises:
        InputError: It cannot be written; no incomplete file is left.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
        else:
            put(path.resolve(), data)
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot write {shown(str(path), LONGEST_PATH)}: {reason}") from None


T = TypeVar("T")


def parse(path: Path, what: str = "profile") -> dict[str, Any]:
    """The tables of a TOML file; `what` names it in errors.

    Raises:
        InputError: A file that cannot be read, is too large or is not TOML.
    """
    name, text = read_small(path, what)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is not TOML: {error}") from None


class Table:
    """A TOML table whose fields are taken one by one, so that unknown fields are found."""

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        """A table, and the file that errors name."""
        self.path = path
        self.content = content
        self.taken: set[str] = {"aliases"}

    def take(self, field: str, convert: Callable[[object], T], *default: T) -> T:
        """The converted value of a field, or its default; without a default it must be there."""
        self.taken.add(field)
        try:
            if field in self.content:
                return convert(self.content[field])
            if default:
                return default[0]
            raise InputError("is missing")
        except InputError as error:
            raise InputError(
                f"profile {shown(str(self.path), LONGEST_PATH)}, field {field!r}: {error}"
            ) from None

    def refuse_the_rest(self) -> None:
        """Refuse fields that were not taken; the error suggests the nearest field that exists."""
        for field in self.content:
            if field not in self.taken:
                error = unknown_name("field", field, self.taken - {"aliases"})
                raise InputError(f"profile {shown(str(self.path), LONGEST_PATH)}: {error}")


def text(value: object) -> str:
    """Text, its lines joined."""
    if not isinstance(value, str):
        raise InputError(f"{shown(value)} must be text in quotes")
    return " ".join(value.split())


def texts(value: object) -> dict[str, str]:
    """A table of texts."""
    if not isinstance(value, Mapping):
        raise InputError(f"{shown(value)} must be a table of texts")
    return {str(key): text(item) for key, item in value.items()}


def mapping(value: object) -> dict[str, Any]:
    """A table."""
    if not isinstance(value, Mapping):
        raise InputError(f"{shown(value)} must be a table")
    return dict(value)


def words(value: object) -> tuple[str, ...]:
    """A list of texts."""
    if not isinstance(value, list):
        raise InputError(f"{shown(value)} must be a list of texts")
    return tuple(text(item) for item in value)


def switch(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise InputError(f"{shown(value)} must be true or false")
    return value


def number(value: object) -> float:
    """A number of at most 1e300."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300:
        raise InputError(f"{shown(value)} must be a number")
    return float(value)


def size(value: object) -> int:
    """A whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{shown(value)} must be a whole number")
    return value


def quantity(unit: str) -> Callable[[object], float]:
    """Converts a figure with a unit to that base unit."""
    return lambda value: parse_quantity(value, unit)


def time(value: object) -> float:
    """A time that may be 0, which needs no unit."""
    is_zero = value == 0 and not isinstance(value, bool)
    return 0.0 if is_zero else parse_quantity(value, "s")


def check_known(content: Mapping[str, Any], kind: type) -> None:
    """Refuse names that are not fields of a dataclass; the error suggests the nearest one."""
    known = [item.name for item in fields(kind)]
    for name in content:
        if name not in known:
            raise unknown_name("field", name, known)
