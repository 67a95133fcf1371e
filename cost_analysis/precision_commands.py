"""The command on storage formats: precision."""

from __future__ import annotations

from typing import Any

import click

from cost_analysis.claim_options import lists, settings, streams_option
from cost_analysis.delivery import deliver
from cost_analysis.option_types import FORMATS
from cost_analysis.options import (
    base_option,
    baseline_option,
    dataset_option,
    device_options,
    output_options,
)
from cost_analysis.request import make_system
from cost_analysis.sections import SectionedCommand, section_option
from cost_analysis.spec import Precision

SHOWN = "bf16,int8,int4,int8/bf16/fp8,int4/bf16/fp8,int8/int8,int8/int8/fp8"
"""Fewer bits for the weights alone, for weights and cache, and for weights and products."""


@click.command(cls=SectionedCommand)
@base_option("Claim")
@streams_option(1)
@baseline_option("Claim", default="measured")
@dataset_option("Claim")
@section_option(
    "Claim",
    "--formats",
    type=FORMATS,
    default=SHOWN,
    show_default=True,
    metavar="W[/A[/KV]][,…]",
    help="Formats of weights, activations and cache; what is left out is bf16.",
)
@lists("1", "the mean over 64,128,256,512, input = output")
@device_options
@output_options
def precision(
    base: str,
    streams: int,
    baseline: str,
    dataset: str,
    formats: tuple[Precision, ...],
    form: str | None,
    output: str | None,
    **options: Any,
) -> None:
    """How the claims shrink with fewer bits, and which term does it."""
    from cost_analysis import format_claims, format_pages, profiles
    from cost_analysis.baselines import chosen_baseline
    from cost_analysis.request_costs import System
    from cost_analysis.scaling_law import fit
    from cost_analysis.training_runs import published_runs

    (setting,) = settings(options, ((1,),))
    hardware, engine, _ = make_system(
        options["gpu_config"],
        options["engine"],
        options["flops_efficiency"],
        options["bandwidth_efficiency"],
    )
    system = System(hardware, engine, formats[0])
    streamed = profiles.load_model(base).spec.with_streams(streams)
    chosen = chosen_baseline(streamed, baseline, fit(published_runs(dataset)))
    found = format_claims.format_claims(streamed, chosen, setting, system, formats)
    page = format_pages.format_claims_page(found, streamed, chosen, setting, system)
    rows = [format_pages.format_claim_record(claim) for claim in found]
    deliver(page, rows, rows, form, output)
