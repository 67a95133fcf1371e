"""The commands on choosing: plan and serving.

The modules that do the work are imported inside, so that the help and the plain estimate load
neither NumPy nor SciPy.
"""

from __future__ import annotations

from typing import Any

import click

from cost_analysis.delivery import chosen_format, deliver
from cost_analysis.errors import InputError
from cost_analysis.options import output_options
from cost_analysis.plan_options import answered, plan_options, question
from cost_analysis.sections import SectionedCommand, section_option
from cost_analysis.serving_options import serving_options, view_from


@click.command(cls=SectionedCommand)
@plan_options
@section_option(
    "Output",
    "--top",
    type=click.IntRange(1, 1000),
    default=8,
    show_default=True,
    help="Configurations to list.",
)
@section_option(
    "Output",
    "--rows",
    type=click.Choice(["plans", "pareto"]),
    help="With CSV or JSON: the best configurations, or the Pareto set.",
)
@output_options
def plan(top: int, rows: str | None, form: str | None, output: str | None, **options: Any) -> None:
    """The best model within limits: size, streams and format, and why."""
    from cost_analysis import plan_pages

    if rows is not None and chosen_format(form, output) not in ("csv", "json"):
        raise InputError("--rows chooses the rows of a CSV or of JSON; give --format with it")
    asked = question(options)
    found = answered(asked)
    record = plan_pages.plan_record(found, asked.fitted, top)
    table = plan_pages.pareto_records(found) if rows == "pareto" else record["plans"]
    page = plan_pages.plan_page(found, asked.fitted, asked.law, top)
    deliver(page, table if rows else record, table, form, output)


@click.command(cls=SectionedCommand)
@serving_options
@section_option(
    "Output",
    "--rows",
    type=click.Choice(["load", "batch", "models"]),
    help="With CSV: speed against load, against batch, or what fits. [default: load]",
)
@output_options
def serving(rows: str | None, form: str | None, output: str | None, **options: Any) -> None:
    """Many users at once: what fits, speed against load, streams against parameters."""
    from cost_analysis import serving_pages

    if rows is not None and chosen_format(form, output) != "csv":
        raise InputError("--rows chooses the rows of a CSV; give --format csv with it")
    rate = options.pop("request_rate")
    view = view_from(options)
    record = serving_pages.serving_record(view, rate)
    page = serving_pages.serving_page(view, rate)
    deliver(page, record, record[rows or "load"], form, output)
