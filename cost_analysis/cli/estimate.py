"""TODO cli/estimate"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from cost_analysis.cli.main import cli
from cost_analysis.cli.options import (
    PROGRAM,
    SectionedCommand,
    layout_options,
    model_options,
    output_options,
    refuse_layout,
    request_from,
    section_option,
    system_options,
    workload_options,
)
from cost_analysis.cli.output import chosen_format, deliver, deliver_made
from cost_analysis.common.errors import InputError
from cost_analysis.cost.estimate import answer as request_answer
from cost_analysis.inputs.models import load_model
from cost_analysis.inputs.profiles import load_engine, load_hardware
from cost_analysis.report import estimate_record, render
from cost_analysis.report.estimate import estimate_page
from cost_analysis.report.profiles import (
    device_rows,
    engine_page,
    engine_record,
    engine_rows,
    engines_list_page,
    hardware_list_page,
    hardware_page,
    hardware_record,
    model_page,
    model_record,
    model_rows,
    models_list_page,
)
from cost_analysis.report.render import Page, Record


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A kind of profiles, and how they are shown.

    Attributes:
        folder: Where they lie, and what the command is called.
        help: Of the command.
        load: A profile by its name.
        record: One as a record.
        rows: Some as flat rows.
        page: One as a page.
        list_page: All as a page.
    """

    folder: str
    help: str
    load: Callable[[str], Any]
    record: Callable[[Any], Record]
    rows: Callable[[Sequence[Any]], list[Record]]
    page: Callable[[Any], Page]
    list_page: Callable[[Sequence[Any]], Page]


CATALOGUES = (
    Catalogue(
        "hardware",
        "List the devices, or show one with its sources.",
        load_hardware,
        hardware_record,
        device_rows,
        hardware_page,
        hardware_list_page,
    ),
    Catalogue(
        "models",
        "List the models, or show one with its source.",
        load_model,
        model_record,
        model_rows,
        model_page,
        models_list_page,
    ),
    Catalogue(
        "engines",
        "List the engines, or show one with its source.",
        load_engine,
        engine_record,
        engine_rows,
        engine_page,
        engines_list_page,
    ),
)
"""Every kind that a command lists."""


@cli.command(cls=SectionedCommand)
@model_options
@workload_options
@system_options
@layout_options
@section_option(
    "Answer",
    "--cost_model",
    type=click.Choice(["operators", "published"]),
    default="operators",
    show_default=True,
    help="Ours, or the paper's own beside it.",
)
@section_option(
    "Answer",
    "--rows",
    type=click.Choice(["estimate", "operators"]),
    help="With CSV: a row for the request, or one for each operator. [default: estimate]",
)
@output_options
def estimate(
    cost_model: str, rows: str | None, form: str | None, output: str | None, **options: Any
) -> None:
    """Memory, latency and FLOPs of one request (the default command)."""
    if cost_model == "published":
        refuse_layout(options, "the published cost model")
    request = request_from(options)
    answer = request_answer(request, with_published=cost_model == "published")
    for warning in request.warnings:
        click.echo(f"{PROGRAM}: warning: {warning}", err=True)
    if rows is not None and chosen_format(form, output) != "csv":
        raise InputError("--rows chooses the rows of a CSV; give --format csv with it")

    def record() -> render.Record:
        return estimate_record.estimate_record(answer)

    def table() -> list[render.Record]:
        return (
            record()["operators"] if rows == "operators" else [estimate_record.estimate_row(answer)]
        )

    deliver_made(lambda: estimate_page(answer), record, table, form, output)


def _catalogue(folder: str) -> Callable[[], click.Command]:
    """What makes a command that lists the profiles of a kind, or shows one."""

    def load() -> click.Command:

        from cost_analysis.inputs.profiles import profile_names

        (what,) = (kind for kind in CATALOGUES if kind.folder == folder)

        @click.command(folder, cls=SectionedCommand, help=what.help)
        @click.argument("name", required=False)
        @output_options
        def show(name: str | None, form: str | None, output: str | None) -> None:
            found = [what.load(each) for each in ([name] if name else profile_names(folder))]
            listed = [what.record(profile) for profile in found]
            page = what.page(found[0]) if name else what.list_page(found)
            deliver(page, listed[0] if name else listed, what.rows(found), form, output)

        return show

    return load
