"""A CSV file with a header, whose errors say where in which file they are."""

from __future__ import annotations

import csv
import difflib
import io
import math
from pathlib import Path

from cost_analysis.errors import InputError
from cost_analysis.files import read_small


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
            whole: Only whole numbers will do.

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
    """A CSV file, UTF-8 with or without a mark.

    Raises:
        InputError: A file that cannot be read, is too large or is not such a table.
    """
    return CsvTable(str(path), read_small(path)[1])
