"""The commands `estimate` (the default one), `hardware`, `models` and `engines`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from cost_analysis.cli.flags import Flags, SectionedCommand, flag, takes_flags
from cost_analysis.cli.options import (
    PROGRAM,
    LayoutFlags,
    ModelFlags,
    SystemFlags,
    WorkloadFlags,
    request_from,
)
from cost_analysis.cli.output import OutputFlags, print_answer, print_lazy_answer
from cost_analysis.common.errors import InputError
from cost_analysis.cost.estimate import answer as request_answer
from cost_analysis.inputs.models import load_model
from cost_analysis.inputs.profiles import load_engine, load_hardware, profile_names
from cost_analysis.report import estimate_record as records
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
    """One kind of profile, and how profiles of it are shown.

    Attributes:
        folder: The folder of the profiles, which is also the name of the command.
        help: Help of the command.
        load: Loads a profile by its name.
        record: Makes the record of a profile.
        rows: Makes flat rows of several profiles.
        page: Makes the page of one profile.
        list_page: Makes the page that lists all profiles.
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
"""The kinds of profiles, each with a command of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFlags(Flags):
    """Which cost model answers, and which rows a CSV has."""

    cost_model: str = flag(
        "Answer",
        "--cost_model",
        type=click.Choice(["operators", "published"]),
        default="operators",
        show_default=True,
        help="Ours, or the paper's own beside it.",
    )
    rows: str | None = flag(
        "Answer",
        "--rows",
        type=click.Choice(["estimate", "operators"]),
        help="With CSV: a row for the request, or one for each operator. [default: estimate]",
    )


@click.command(cls=SectionedCommand)
@takes_flags
def estimate(
    model: ModelFlags,
    workload: WorkloadFlags,
    system: SystemFlags,
    layout: LayoutFlags,
    shown: AnswerFlags,
    output: OutputFlags,
) -> None:
    """Memory, latency and FLOPs of one request (the default command)."""
    with_published = shown.cost_model == "published"
    if with_published:
        layout.refuse("the published cost model")
    request = request_from(model, workload, system, layout)
    answer = request_answer(request, with_published=with_published)
    for warning in request.warnings:
        click.echo(f"{PROGRAM}: warning: {warning}", err=True)
    if shown.rows is not None and output.chosen_format != "csv":
        raise InputError("--rows chooses the rows of a CSV; give --format csv with it")

    def record() -> Record:
        return records.estimate_record(answer)

    def rows() -> list[Record]:
        of_operators = shown.rows == "operators"
        return record()["operators"] if of_operators else [records.estimate_row(answer)]

    print_lazy_answer(lambda: estimate_page(answer), record, rows, output)


def profiles_command(kind: Catalogue) -> click.Command:
    """A command that lists the profiles of a kind, or shows one."""

    @click.command(kind.folder, cls=SectionedCommand, help=kind.help)
    @click.argument("name", required=False)
    @takes_flags
    def show(name: str | None, output: OutputFlags) -> None:
        found = [kind.load(each) for each in ([name] if name else profile_names(kind.folder))]
        listed = [kind.record(profile) for profile in found]
        page = kind.page(found[0]) if name else kind.list_page(found)
        print_answer(page, listed[0] if name else listed, kind.rows(found), output)

    return show


hardware, models, engines = map(profiles_command, CATALOGUES)
