"""How an answer leaves the program: on the terminal, in a pipe, or in a file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from cost_analysis.common import files
from cost_analysis.report import render

Content = Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""A record, or a list of them."""

FORMAT_OF_ENDING = {".csv": "csv", ".json": "json", ".md": "markdown", ".markdown": "markdown"}


def deliver(
    page: render.Page,
    record: Content,
    rows: Sequence[Mapping[str, Any]],
    form: str | None,
    output: str | None,
) -> None:
    """Print an answer, or write it to a file, in the format that was asked for.

    Args:
        page: For tables and Markdown.
        record: For JSON.
        rows: For CSV.
        form: The format, or None.
        output: The file, or None.
    """
    deliver_made(lambda: page, lambda: record, lambda: rows, form, output)


def deliver_made(
    page: Callable[[], render.Page],
    record: Callable[[], Content],
    rows: Callable[[], Sequence[Mapping[str, Any]]],
    form: str | None,
    output: str | None,
) -> None:
    """The same for an answer of which only what the format asks for is made."""
    form = chosen_format(form, output)
    output = None if output == "-" else output
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


def chosen_format(form: str | None, output: str | None) -> str:
    """The format that was asked for, by name or by the ending of the output file."""
    return form or FORMAT_OF_ENDING.get(Path(output or "").suffix.lower(), "table")
