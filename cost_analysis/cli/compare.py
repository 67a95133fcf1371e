"""Commands on the claims: claims, compare, crossover, fit.

The modules that do the work are imported inside, so that the help and the plain estimate load
neither NumPy nor SciPy.

Flags of the commands on claims: streams, and lists of batch sizes and lengths.

The command on storage formats: precision.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cost_analysis.cli.fit import level_option, samples_option, seed_option
from cost_analysis.cli.option_types import FORMATS, NAMES, NUMBERS, POSITIVE
from cost_analysis.cli.options import (
    Command,
    SectionedCommand,
    base_option,
    baseline_option,
    dataset_option,
    device_options,
    layout_options,
    model_options,
    output_options,
    precision_options,
    request_from,
    section_option,
    several_device_options,
    system_from,
    system_options,
    workload_options,
)
from cost_analysis.cli.output import deliver
from cost_analysis.common.errors import InputError
from cost_analysis.inputs.dtypes import Precision
from cost_analysis.inputs.request import Request, make_system

if TYPE_CHECKING:
    from cost_analysis.compare.cost_models import Setting


def streams_option(lowest: int) -> Callable[[Command], Command]:
    """The number of streams, from the least that the command takes."""
    return section_option(
        "Claim",
        "--P",
        "streams",
        type=click.IntRange(lowest),
        default=8,
        show_default=True,
        metavar="N",
        help="Parallel streams.",
    )


def lists(batch: str, lengths: str) -> Callable[[Command], Command]:
    """Lists of batch sizes and lengths; their help states the defaults."""

    def decorate(command: Command) -> Command:
        """Give a command lists of batch sizes and lengths."""
        for name, shown in (
            ("output_length", lengths),
            ("input_length", lengths),
            ("batch_size", batch),
        ):
            command = section_option(
                "Workload",
                f"--{name}",
                name,
                type=NUMBERS,
                metavar="N[,N…]",
                help=f"One, or several to average over. [default: {shown}]",
            )(command)
        return command

    return decorate


def settings(options: dict[str, Any], batches: tuple[tuple[int, ...], ...]) -> list[Setting]:
    """The settings that the lists of batch sizes and lengths ask for."""
    from cost_analysis.compare.cost_models import DIAGONAL, Setting

    batch, prompt, answer = (
        options.pop(name) for name in ("batch_size", "input_length", "output_length")
    )
    chosen = batches if batch is None else (batch,)
    if prompt is None and answer is None:
        prompt = answer = DIAGONAL
    return [Setting(sizes, prompt or answer, answer or prompt) for sizes in chosen]


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
    from cost_analysis.compare.claims import BATCHES, engine_readings, fitted_laws, readings
    from cost_analysis.compare.cost_models import System
    from cost_analysis.inputs import models, profiles
    from cost_analysis.law.runs import DATASETS
    from cost_analysis.report.claims import claims_page, reading_record

    asked = settings(options, BATCHES)
    system = System(**system_from(options))
    datasets = tuple(DATASETS) if dataset is None else (dataset,)
    spec = models.load_model(base).spec
    spec.with_streams(streams)
    laws = fitted_laws(datasets, samples, seed)
    found = readings(spec, streams, asked, system, laws, level)
    engines = [
        profiles.load_engine(name).with_efficiency(
            system.flops_efficiency, system.bandwidth_efficiency
        )
        for name in (GPU_ENGINES if system.hardware.kind == "gpu" else ())
    ]
    others = engine_readings(found, engines, system, laws, level)
    rows = [reading_record(reading) for reading in (*found, *others)]
    deliver(claims_page(found, others, laws, level), rows, rows, form, output)


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
    from cost_analysis.compare.comparison import comparison
    from cost_analysis.report.comparison import comparison_page, comparison_record

    result = comparison(
        request_from(options),
        baseline=baseline,
        dataset=dataset,
        losses=losses,
        price_per_hour=price_per_hour,
    )
    record = comparison_record(result)
    deliver(comparison_page(result), record, record["metrics"], form, output)


def _compare_methods(
    methods: tuple[str, ...],
    quality: str | None,
    baseline: str,
    dataset: str,
    request: Request,
    form: str | None,
    output: str | None,
) -> None:
    from cost_analysis.compare.comparison import contest
    from cost_analysis.report.comparison import contest_page, contest_records

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
    from cost_analysis.compare.cost_models import System
    from cost_analysis.compare.crossover import compute_bound_penalty, crossings, ridge_tokens
    from cost_analysis.inputs import models
    from cost_analysis.law.equal_loss import chosen_baseline
    from cost_analysis.law.runs import published_runs
    from cost_analysis.law.scaling_law import fit as fit_law
    from cost_analysis.report.claims import crossing_record, crossover_page

    (setting,) = settings(options, ((1,),))
    spec = models.load_model(base).spec.with_streams(streams)
    fitted = fit_law(published_runs(dataset))
    chosen = chosen_baseline(spec, baseline, fitted)
    found, ridges = [], {}
    for device in gpu_config:
        system = System(**system_from({**options, "gpu_config": device}))
        found += crossings(spec, setting, system, chosen, fitted.law)
        ridges[system.hardware.name] = ridge_tokens(
            system.hardware, system.engine, system.precision
        )
    rows = [crossing_record(crossing) for crossing in found]
    penalty = compute_bound_penalty(float(fitted.law.multiplier(streams)), streams)
    notes = [
        f"baseline: {chosen.description}",
        f"where nothing rides free, P = {streams} costs {penalty:.2f} times the compute of its "
        f"baseline: P / (1 + k ln P)",
        "at the same batch, throughput crosses over where latency does",
        *chosen.warnings,
    ]
    title = f"Where {streams} streams on {base} stop paying against parameters of equal loss"
    page = crossover_page(found, title, ridges, notes)
    deliver(page, {"crossovers": rows, "ridge_tokens": ridges}, rows, form, output)


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
    from cost_analysis.compare.claims import format_claims
    from cost_analysis.compare.cost_models import System
    from cost_analysis.inputs import models
    from cost_analysis.law.equal_loss import chosen_baseline
    from cost_analysis.law.runs import published_runs
    from cost_analysis.law.scaling_law import fit
    from cost_analysis.report.claims import format_claim_record, format_claims_page

    (setting,) = settings(options, ((1,),))
    hardware, engine, _ = make_system(
        options["gpu_config"],
        options["engine"],
        options["flops_efficiency"],
        options["bandwidth_efficiency"],
    )
    system = System(hardware, engine, formats[0])
    streamed = models.load_model(base).spec.with_streams(streams)
    chosen = chosen_baseline(streamed, baseline, fit(published_runs(dataset)))
    found = format_claims(streamed, chosen, setting, system, formats)
    page = format_claims_page(found, streamed, chosen, setting, system)
    rows = [format_claim_record(claim) for claim in found]
    deliver(page, rows, rows, form, output)
