"""The layouts command: every way to divide a model among devices."""

from __future__ import annotations

from typing import Any

import click

from cost_analysis.delivery import deliver
from cost_analysis.layout_choice import GOALS, laid_out
from cost_analysis.layout_options import link_options
from cost_analysis.option_types import NUMBERS
from cost_analysis.options import (
    model_options,
    output_options,
    request_from,
    system_options,
    workload_options,
)
from cost_analysis.sections import SectionedCommand, section_option


@click.command(cls=SectionedCommand)
@section_option(
    "Layouts",
    "--devices",
    type=NUMBERS,
    default="1,2,4,8",
    show_default=True,
    metavar="N,…",
    help="Numbers of devices.",
)
@section_option(
    "Layouts",
    "--minimize",
    type=click.Choice(list(GOALS)),
    default="tpot",
    show_default=True,
    help="What they are ordered by; those that fit go first.",
)
@section_option(
    "Layouts",
    "--top",
    type=click.IntRange(1, 10_000),
    default=6,
    show_default=True,
    help="Layouts to list of each number of devices.",
)
@model_options
@workload_options
@system_options
@link_options
@output_options
def layouts(
    devices: tuple[int, ...],
    minimize: str,
    top: int,
    form: str | None,
    output: str | None,
    **options: Any,
) -> None:
    """Every way to divide a model among devices: layers, stages, experts, streams."""
    from cost_analysis.layout_pages import layouts_page, layouts_records

    request = request_from(options)
    found = laid_out(request, devices, minimize)
    records = layouts_records(found)
    deliver(layouts_page(request, found, top), records, records, form, output)
