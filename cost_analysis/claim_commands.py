"""Commands on the claims: claims, compare, crossover, fit.

The modules that do the work are imported inside, so that the help and the plain estimate load
neither NumPy nor SciPy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cost_analysis.claim_options import lists, settings, streams_option
from cost_analysis.delivery import deliver
from cost_analysis.errors import InputError
from cost_analysis.law_commands import level_option, samples_option, seed_option
from cost_analysis.layout_options import layout_options
from cost_analysis.option_types import NAMES, POSITIVE
from cost_analysis.options import (
    base_option,
    baseline_option,
    dataset_option,
    model_options,
    output_options,
    precision_options,
    request_from,
    several_device_options,
    system_from,
    system_options,
    workload_options,
)
from cost_analysis.request import Request
from cost_analysis.sections import SectionedCommand, section_option

GPU_ENGINES = ("eager", "graphs", "native")
"""Classes of engines that a GPU's latency is told for."""


@click.command(cls=SectionedCommand)
@base_option("Claim")
@streams_option(1)
@dataset_option("Claim", default=None)
@lists("1, and the mean over 1,2,4,8", "the mean over 64,128,256,512, input = output")
@system_options
@level_option
@samples_option
@seed_option
@output_options
def claims(
    base: str,
    streams: int,
    dataset: str | None,
    level: float,
    samples: int,
    seed: int,
    form: str | None,
    output: str | None,
    **options: Any,
) -> None:
    """Where 22x, 6x, 7x and 1.7x come from, and every other reading."""
    from cost_analysis import claim_pages, profiles
    from cost_analysis import claims as work
    from cost_analysis.request_costs import System
    from cost_analysis.training_runs import DATASETS

    asked = settings(options, work.BATCHES)
    system = System(**system_from(options))
    datasets = tuple(DATASETS) if dataset is None else (dataset,)
    spec = profiles.load_model(base).spec
    spec.with_streams(streams)
    laws = work.fitted_laws(datasets, samples, seed)
    found = work.readings(spec, streams, asked, system, laws, level)
    engines = [
        profiles.load_engine(name).with_efficiency(
            system.flops_efficiency, system.bandwidth_efficiency
        )
        for name in (GPU_ENGINES if system.hardware.kind == "gpu" else ())
    ]
    others = work.engine_readings(found, engines, system, laws, level)
    rows = [claim_pages.reading_record(reading) for reading in (*found, *others)]
    deliver(claim_pages.claims_page(found, others, laws, level), rows, rows, form, output)


@click.command(cls=SectionedCommand)
@model_options
@baseline_option("Claim")
@dataset_option("Claim")
@section_option(
    "Claim",
    "--losses",
    type=float,
    nargs=2,
    metavar="P1 PN",
    help="Losses that you measured at P = 1 and with the streams, instead of a baseline.",
)
@section_option(
    "Claim",
    "--with",
    "methods",
    type=NAMES,
    metavar="METHODS",
    help="Instead: ways of spending compute, with commas between: dense, parscale, moe, best-of-n, "
    "longer, loop, plt, phd, or a TOML file; name:4 states an amount. [default amount: --P]",
)
@section_option(
    "Claim",
    "--quality",
    type=click.Path(),
    metavar="FILE",
    help="With --with: a CSV file of your own figures, columns method and quality.",
)
@section_option(
    "Claim", "--price_per_hour", type=POSITIVE, metavar="$", help="Price of the device per hour."
)
@workload_options
@system_options
@layout_options
@output_options
def compare(
    baseline: str,
    dataset: str,
    losses: tuple[float, float] | None,
    methods: tuple[str, ...] | None,
    quality: str | None,
    price_per_hour: float | None,
    form: str | None,
    output: str | None,
    **options: Any,
) -> None:
    """One streamed model against the parameter-scaled model of equal loss, or other methods."""
    if methods is not None:
        _compare_methods(methods, quality, baseline, dataset, request_from(options), form, output)
        return
    if quality is not None:
        raise InputError("--quality goes with --with")
    from cost_analysis import comparison_pages
    from cost_analysis.comparison import comparison

    result = comparison(
        request_from(options),
        baseline=baseline,
        dataset=dataset,
        losses=losses,
        price_per_hour=price_per_hour,
    )
    record = comparison_pages.comparison_record(result)
    deliver(comparison_pages.comparison_page(result), record, record["metrics"], form, output)


def _compare_methods(
    methods: tuple[str, ...],
    quality: str | None,
    baseline: str,
    dataset: str,
    request: Request,
    form: str | None,
    output: str | None,
) -> None:
    from cost_analysis.method_choice import contest
    from cost_analysis.method_pages import contest_page, contest_records

    found = contest(
        request,
        methods,
        baseline=baseline,
        dataset=dataset,
        quality=Path(quality) if quality else None,
    )
    rows = contest_records(found)
    deliver(contest_page(found), rows, rows, form, output)


@click.command(cls=SectionedCommand)
@base_option("Claim")
@streams_option(2)
@baseline_option("Claim")
@dataset_option("Claim")
@lists("1", "the mean over 64,128,256,512, input = output")
@several_device_options
@precision_options
@output_options
def crossover(
    base: str,
    streams: int,
    baseline: str,
    dataset: str,
    gpu_config: tuple[str, ...],
    form: str | None,
    output: str | None,
    **options: Any,
) -> None:
    """Where the advantage ends: batch, context, streams, share of the prompt."""
    from cost_analysis import claim_pages, profiles
    from cost_analysis.baselines import chosen_baseline
    from cost_analysis.crossings import crossings
    from cost_analysis.crossover import compute_bound_penalty, ridge_tokens
    from cost_analysis.request_costs import System
    from cost_analysis.scaling_law import fit as fit_law
    from cost_analysis.training_runs import published_runs

    (setting,) = settings(options, ((1,),))
    spec = profiles.load_model(base).spec.with_streams(streams)
    fitted = fit_law(published_runs(dataset))
    chosen = chosen_baseline(spec, baseline, fitted)
    found, ridges = [], {}
    for device in gpu_config:
        system = System(**system_from({**options, "gpu_config": device}))
        found += crossings(spec, setting, system, chosen, fitted.law)
        ridges[system.hardware.name] = ridge_tokens(
            system.hardware, system.engine, system.precision
        )
    rows = [claim_pages.crossing_record(crossing) for crossing in found]
    penalty = compute_bound_penalty(float(fitted.law.multiplier(streams)), streams)
    notes = [
        f"baseline: {chosen.description}",
        f"where nothing rides free, P = {streams} costs {penalty:.2f} times the compute of its "
        f"baseline: P / (1 + k ln P)",
        "at the same batch, throughput crosses over where latency does",
        *chosen.warnings,
    ]
    title = f"Where {streams} streams on {base} stop paying against parameters of equal loss"
    page = claim_pages.crossover_page(found, title, ridges, notes)
    deliver(page, {"crossovers": rows, "ridge_tokens": ridges}, rows, form, output)
