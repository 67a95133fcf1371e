"""Pages of text and tables, as a terminal, a pipe, Markdown, JSON or CSV shows them."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from cost_analysis.errors import InputError

PLAIN_WIDTH = 80
"""Columns of a page that is not printed on a terminal."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of ready text.

    Attributes:
        title: What it shows.
        columns: Headers; those of `left` are aligned left, the others right.
        rows: Cells; a row of "" alone stands for a rule.
        left: Indices of the columns of text.
        last_is_total: The last row sums the others.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: tuple[int, ...] = (0,)
    last_is_total: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """What a command answers.

    Attributes:
        title: One line: what was asked.
        summary: Lines of text: the answer.
        tables: The breakdown.
        notes: Sentences on what was assumed and left out.
    """

    title: str
    summary: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()


def render_terminal(page: Page) -> None:
    """Print a page with colours and rules, as wide as the terminal but no less than 80."""
    console = Console(highlight=False)
    console.width = max(console.width, PLAIN_WIDTH)
    console.print(_body(page, styled=True))


def render_plain(page: Page) -> str:
    """A page as plain text of at most 80 columns."""
    buffer = io.StringIO()
    console = Console(
        file=buffer, width=PLAIN_WIDTH, color_system=None, highlight=False, legacy_windows=False
    )
    console.print(_body(page, styled=False))
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def render_markdown(page: Page) -> str:
    """A page as Markdown with pipe tables."""
    blocks = [f"## {page.title}", *page.summary]
    for table in page.tables:
        rule = ("---" if i in table.left else "---:" for i in range(len(table.columns)))
        rows = (table.columns, tuple(rule), *table.rows)
        lines = ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
        blocks += [f"### {table.title}", "\n".join(lines)]
    if page.notes:
        blocks.append("\n".join(f"- {note}" for note in page.notes))
    return "\n\n".join(blocks) + "\n"


def render_json(record: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> str:
    """A record, or a list of them, as JSON."""
    return json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def render_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Flat rows as CSV with a header; every row has the first one's columns."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def write_file(path: Path, text: str) -> None:
    """Write a file whole or not at all: beside it first, then renamed.

    Raises:
        InputError: It cannot be written; nothing half-written is left.
    """
    try:
        if path.exists() and not path.is_file():
            _write_into(path, text)
            return
        target = path.resolve()
        beside = target.with_name(f".{target.name[:200]}.{os.getpid()}.part")
        try:
            _write_into(beside, text)
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot write {str(path)!r}: {reason}") from None


def _write_into(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(text)


def _body(page: Page, *, styled: bool) -> Group:
    parts: list[Any] = [Text(page.title, style="bold"), *(Text(line) for line in page.summary)]
    for table in page.tables:
        parts += [Text(""), _rich_table(table, styled=styled)]
    if page.notes:
        parts.append(Text(""))
        parts += [_note(note) for note in page.notes]
    return Group(*parts)


def _note(note: str) -> RichTable:
    grid = RichTable.grid(padding=(0, 1))
    grid.add_row(Text("*"), Text(note, style="dim"))
    return grid


def _rich_table(table: Table, *, styled: bool) -> Group:
    rich_table = RichTable(
        box=box.SIMPLE_HEAD if styled else None,
        padding=(0, 1),
        pad_edge=False,
        show_edge=False,
        header_style="bold" if styled else "",
    )
    for index, column in enumerate(table.columns):
        left = index in table.left
        rich_table.add_column(column, justify="left" if left else "right", no_wrap=not left)
    for index, row in enumerate(table.rows):
        total = table.last_is_total and index == len(table.rows) - 1
        rich_table.add_row(*(Text(cell, style="bold" if total else "") for cell in row))
    title = Text(table.title, style="bold cyan" if styled else "")
    return Group(title, Padding(rich_table, (0, 0, 0, 2)))
