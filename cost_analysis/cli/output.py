"""Prints an answer in the format that was asked for, or writes it to a file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from cost_analysis.cli.flags import Flags, flag
from cost_analysis.common import files
from cost_analysis.report import render

Content = Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""A record, or a list of them."""

FORMATS = ("table", "csv", "json", "markdown")
FORMAT_OF_ENDING = {".csv": "csv", ".json": "json", ".md": "markdown", ".markdown": "markdown"}


def format_flag() -> Any:
    """The format of an answer."""
    return flag(
        "Output",
        "--format",
        type=click.Choice(FORMATS),
        help="How to answer. [default: by the ending of --output, else table]",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFlags(Flags):
    """The format of an answer, and the file that it is written to."""

    form: str | None = format_flag()
    output: str | None = flag(
        "Output",
        "--output",
        type=click.Path(),
        metavar="FILE",
        help="Write to a file instead of the terminal; - is the terminal.",
    )

    @property
    def chosen_format(self) -> str:
        """The format that was asked for, by name or by the ending of the output file."""
        ending = Path(self.output or "").suffix.lower()
        return self.form or FORMAT_OF_ENDING.get(ending, "table")


def print_answer(
    page: render.Page,
    record: Content,
    rows: Sequence[Mapping[str, Any]],
    asked: OutputFlags,
) -> None:
    """Print an answer, or write it to a file, in the format that was asked for.

    Args:
        page: For tables and Markdown.
        record: For JSON.
        rows: For CSV.
        asked: The format and the file.
    """
    print_lazy_answer(lambda: page, lambda: record, lambda: rows, asked)


def print_lazy_answer(
    page: Callable[[], render.Page],
    record: Callable[[], Content],
    rows: Callable[[], Sequence[Mapping[str, Any]]],
    asked: OutputFlags,
) -> None:
    """Print an answer of which only the part that the format needs is made.

    Args:
        page: Makes the page, for tables and Markdown.
        record: Makes the record, for JSON.
        rows: Makes the rows, for CSV.
        asked: The format and the file.
    """
    form = asked.chosen_format
    output = None if asked.output == "-" else asked.output
    if form == "table" and output is None and sys.stdout.isatty():
        click.echo(render.render_terminal(page()), nl=False, color=True)
        return
    text = {
        "table": lambda: render.render_plain(page()),
        "markdown": lambda: render.render_markdown(page()),
        "json": lambda: render.render_json(record()),
        "csv": lambda: render.render_csv(rows()),
    }[form]()
    if output is None:
        click.echo(text, nl=False)
    else:
        files.write_file(Path(output), text)
