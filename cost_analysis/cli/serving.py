"""The flags of the serving view; `plot throughput` has them too.

The commands on choosing: plan and serving.

The modules that do the work are imported inside, so that the help and the plain estimate load
neither NumPy nor SciPy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cost_analysis.cli.option_types import BYTES, NUMBERS, POSITIVE, Several
from cost_analysis.cli.options import (
    SectionedCommand,
    baseline_option,
    chain,
    dataset_option,
    layout_options,
    model_options,
    output_options,
    request_from,
    section_option,
    stream_counts,
    system_options,
)
from cost_analysis.cli.output import chosen_format, deliver
from cost_analysis.common.errors import InputError

if TYPE_CHECKING:
    from cost_analysis.search.queueing import Lengths
    from cost_analysis.search.serving import ServingView


rate_option = section_option(
    "Workload",
    "--request_rate",
    type=POSITIVE,
    metavar="RATE",
    help="Requests a second that arrive at random.",
)

load_options = chain(
    model_options,
    baseline_option("Wider model of equal loss"),
    dataset_option("Wider model of equal loss"),
    section_option(
        "Workload",
        "--input_length",
        type=NUMBERS,
        metavar="N[,N…]",
        help="Prompt tokens: one length, or several kinds of requests. [default: 512]",
    ),
    section_option(
        "Workload",
        "--output_length",
        type=NUMBERS,
        metavar="N[,N…]",
        help="Generated tokens, paired with them. [default: 128]",
    ),
    section_option(
        "Workload",
        "--length_weights",
        type=Several(click.FLOAT),
        metavar="W[,W…]",
        help="How often each kind comes. [default: all alike]",
    ),
    section_option(
        "Workload",
        "--lengths",
        "lengths_file",
        metavar="FILE",
        help="CSV of requests instead: input_length, output_length and, if you like, weight.",
    ),
    section_option(
        "Workload",
        "--max_requests",
        type=click.IntRange(1, 65_536),
        default=1024,
        show_default=True,
        help="Requests that the engine decodes together at most.",
    ),
    section_option(
        "Device and engine",
        "--memory_limit",
        type=BYTES,
        metavar="SIZE",
        help="Memory that may be used, like 40GB. [default: the device's]",
    ),
    system_options,
    layout_options,
)

serving_options = chain(load_options, rate_option)


def view_from(options: dict[str, Any]) -> ServingView:
    """The view that the flags ask for, with 1, 2, 4, … streams up to P."""
    from cost_analysis.search.serving import serving_view

    lengths = _lengths(options)
    baseline, dataset = options.pop("baseline"), options.pop("dataset")
    most, limit = options.pop("max_requests"), options.pop("memory_limit")
    request = request_from(
        {**options, "batch_size": None, "input_length": None, "output_length": None, "logits": None}
    )
    streams = request.spec.streams
    return serving_view(
        request.spec,
        stream_counts(streams),
        lengths,
        request.hardware,
        request.engine,
        request.precision,
        memory_limit=limit,
        most=most,
        baseline=baseline,
        dataset=dataset,
        layout=request.layout,
    )


def _lengths(options: dict[str, Any]) -> Lengths:
    """The lengths of the requests, and these flags taken out of `options`."""
    from cost_analysis.search.queueing import Lengths
    from cost_analysis.search.serving import read_lengths

    names = ("input_length", "output_length", "length_weights")
    given = {name: options.pop(name) for name in names}
    path = options.pop("lengths_file")
    if path is None:
        return Lengths(
            given["input_length"] or (512,),
            given["output_length"] or (128,),
            given["length_weights"] or 1.0,
        )
    for name, value in given.items():
        if value is not None:
            raise InputError(f"give --lengths or --{name}, not both")
    return read_lengths(path)


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
    from cost_analysis.report.serving import serving_page, serving_record

    if rows is not None and chosen_format(form, output) != "csv":
        raise InputError("--rows chooses the rows of a CSV; give --format csv with it")
    rate = options.pop("request_rate")
    view = view_from(options)
    record = serving_record(view, rate)
    page = serving_page(view, rate)
    deliver(page, record, record[rows or "load"], form, output)
