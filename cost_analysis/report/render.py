"""Pages of text and tables, as a terminal, a pipe, Markdown, JSON or CSV shows them."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rich.console import Group
    from rich.progress import Progress
    from rich.table import Table as RichTable


PLAIN_WIDTH = 80
"""Columns of a page that is not printed on a terminal."""


class Table(NamedTuple):
    """A table of ready text.

    Attributes:
        title: What it shows.
        columns: Headers; those of `left` are aligned left, the others right.
        rows: Cells.
        left: Indices of the columns of text.
        last_is_total: The last row sums the others.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: tuple[int, ...] = (0,)
    last_is_total: bool = False


class Page(NamedTuple):
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


def render_terminal(page: Page) -> str:
    """A page with colours and rules, as wide as the terminal but no less than 80."""
    from rich.console import Console

    terminal = Console()
    width = max(terminal.width, PLAIN_WIDTH)
    with terminal.capture() as captured:
        terminal.print(_body(page, styled=True), width=width, highlight=False, soft_wrap=False)
    return _stripped(captured.get())


def render_plain(page: Page) -> str:
    """A page as plain text of at most 80 columns."""
    if _is_narrow(page):
        return "".join(f"{line.rstrip()}\n" for line in _narrow_lines(page))
    from rich.console import Console

    buffer = io.StringIO()
    console = Console(
        file=buffer, width=PLAIN_WIDTH, color_system=None, highlight=False, legacy_windows=False
    )
    console.print(_body(page, styled=False))
    return _stripped(buffer.getvalue())


GAP, MARGIN, BULLET = "  ", "  ", "* "
"""Between the columns of a plain table, before it, and before a note."""


def _is_narrow(page: Page) -> bool:
    """Whether a page needs nothing but padding, and notes that are broken at their spaces.

    Most pages do; they are the same to the byte as with rich, and take a tenth of the time. Rich
    knows how wide other letters are, and which columns are to be broken.
    """
    return (
        all(_is_plain(line) and len(line) <= PLAIN_WIDTH for line in (page.title, *page.summary))
        and all(map(_is_narrow_table, page.tables))
        and all(map(_is_narrow_note, page.notes))
    )


def _is_plain(text: str) -> bool:
    """Whether every letter takes one column: those of Latin-1 do."""
    return text.isprintable() and (text.isascii() or max(text) <= "\xff")


def _is_narrow_table(table: Table) -> bool:
    cells = (table.title, *table.columns, *(cell for row in table.rows for cell in row))
    has_markup = any("[" in column or ":" in column for column in table.columns)
    width = sum(_widths(table)) + len(GAP) * (len(table.columns) - 1)
    fits = max(width + len(MARGIN), len(table.title)) <= PLAIN_WIDTH
    return bool(table.rows) and fits and not has_markup and all(map(_is_plain, cells))


def _widths(table: Table) -> list[int]:
    """Columns of text that each column of a table takes."""
    rows = (table.columns, *table.rows)
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _is_narrow_note(note: str) -> bool:
    words = note.split(" ")
    longest = max(map(len, words))
    return "" not in words and longest <= PLAIN_WIDTH - len(BULLET) and _is_plain(note)


def _narrow_lines(page: Page) -> Iterator[str]:
    yield from (page.title, *page.summary)
    for table in page.tables:
        yield from ("", table.title)
        widths = _widths(table)
        for row in (table.columns, *table.rows):
            cells = (
                cell.ljust(width) if index in table.left else cell.rjust(width)
                for index, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            yield MARGIN + GAP.join(cells)
    if page.notes:
        yield ""
    for note in page.notes:
        yield from _broken(note)


def _broken(note: str) -> Iterator[str]:
    """The lines of a note."""
    line, before = "", BULLET
    for word in note.split(" "):
        longer = f"{line} {word}" if line else word
        if len(longer) > PLAIN_WIDTH - len(BULLET):
            yield before + line
            before, longer = " " * len(BULLET), word
        line = longer
    yield before + line


def _stripped(text: str) -> str:
    """Lines without the spaces that pad them to the full width."""
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def render_markdown(page: Page) -> str:
    """A page as Markdown with pipe tables."""
    lines = [" ".join(line.split()) for line in page.summary]
    blocks = [f"## {page.title}", "\n".join(f"- {line}" for line in lines if line)]
    for table in page.tables:
        rule = ("---" if i in table.left else "---:" for i in range(len(table.columns)))
        rows = (table.columns, tuple(rule), *table.rows)
        cells = ([cell.replace("|", "\\|").strip() for cell in row] for row in rows)
        blocks += [f"### {table.title}", "\n".join(f"| {' | '.join(row)} |" for row in cells)]
    if page.notes:
        blocks.append("\n".join(f"- {note}" for note in page.notes))
    return "\n\n".join(block for block in blocks if block) + "\n"


def render_json(record: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> str:
    """A record, or a list of them, as JSON; ASCII only, so that no encoding harms it."""
    return json.dumps(record, indent=2, allow_nan=False) + "\n"


def render_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Flat rows as CSV with a header; every row has the first one's columns."""
    import csv

    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def progress(*, rates: bool = False) -> Progress:
    """A live bar on stderr while a terminal is there; nothing in a pipe.

    Args:
        rates: Show counts, their rate and the time left; otherwise the elapsed time.
    """
    from rich import progress as rich_progress
    from rich.console import Console
    from rich.text import Text

    class Rate(rich_progress.ProgressColumn):
        """Counts a second."""

        def render(self, task: rich_progress.Task) -> Text:
            return Text(f"{task.speed or 0:,.0f}/s")

    counted = (rich_progress.MofNCompleteColumn(), Rate(), rich_progress.TimeRemainingColumn())
    behind = counted if rates else (rich_progress.TimeElapsedColumn(),)
    console = Console(stderr=True)
    console.quiet = not console.is_terminal  # older rich ends even no bar with an empty line
    columns = (rich_progress.TextColumn("{task.description}"), rich_progress.BarColumn(), *behind)
    return rich_progress.Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    )


def _body(page: Page, *, styled: bool) -> Group:
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [Text(page.title, style="bold"), *(Text(line) for line in page.summary)]
    for table in page.tables:
        parts += [Text(""), _rich_table(table, styled=styled)]
    if page.notes:
        parts.append(Text(""))
        parts += [_note(note) for note in page.notes]
    return Group(*parts)


def _note(note: str) -> RichTable:
    from rich.table import Table as RichTable
    from rich.text import Text

    grid = RichTable.grid(padding=(0, 1))
    grid.add_row(Text("*"), Text(note, style="dim"))
    return grid


def _rich_table(table: Table, *, styled: bool) -> Group:
    from rich import box
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table as RichTable
    from rich.text import Text

    rich_table = RichTable(
        box=box.SIMPLE_HEAD if styled else None,
        # A rule takes one column of the gap between two cells.
        padding=(0, 1, 0, 0) if styled else (0, 1),
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


Record = dict[str, Any]


def whole(value: Any) -> Any:
    """A number as JSON knows it: an int where it is whole, None where there is none."""
    if value is None:
        return None
    number = float(value)
    if not math.isfinite(number):
        return None
    if isinstance(value, int):
        return int(value)
    return int(number) if number.is_integer() and abs(number) < 2**63 else number
