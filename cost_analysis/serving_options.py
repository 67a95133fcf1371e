"""The flags of the serving view; `plot throughput` has them too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cost_analysis.errors import InputError
from cost_analysis.layout_options import layout_options
from cost_analysis.option_types import BYTES, NUMBERS, POSITIVE, Several
from cost_analysis.options import (
    baseline_option,
    dataset_option,
    model_options,
    request_from,
    stream_counts,
    system_options,
)
from cost_analysis.sections import chain, section_option

if TYPE_CHECKING:
    from cost_analysis.request_lengths import Lengths
    from cost_analysis.serving_view import ServingView

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
    from cost_analysis.serving_view import serving_view

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
    from cost_analysis.request_lengths import Lengths
    from cost_analysis.serving_view import read_lengths

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
