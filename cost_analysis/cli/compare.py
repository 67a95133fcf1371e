"""The commands `claims`, `compare`, `crossover` and `precision`: streams against parameters.

The modules that calculate are imported inside the commands, so that the help and the plain
estimate load neither NumPy nor SciPy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from cost_analysis.cli.fit import IntervalFlags
from cost_analysis.cli.flags import Flags, SectionedCommand, flag, takes_flags
from cost_analysis.cli.option_types import FORMATS, NAMES, NUMBERS, POSITIVE, WholeNumber
from cost_analysis.cli.options import (
    DeviceFlags,
    LayoutFlags,
    ModelFlags,
    PrecisionFlags,
    SeveralDeviceFlags,
    SystemFlags,
    WorkloadFlags,
    base_flag,
    baseline_flag,
    chosen_datasets,
    dataset_flag,
    request_from,
)
from cost_analysis.cli.output import OutputFlags, print_answer
from cost_analysis.common.arrays import single
from cost_analysis.common.errors import InputError
from cost_analysis.inputs.dtypes import Precision
from cost_analysis.inputs.request import Request

if TYPE_CHECKING:
    from cost_analysis.compare.cost_models import Setting


def _streams(lowest: int) -> Any:
    """The number of streams, from the least that the command takes."""
    return flag(
        "Claim",
        "--P",
        type=WholeNumber(lowest),
        default=8,
        show_default=True,
        metavar="N",
        help="Parallel streams.",
    )


def _numbers(name: str, default: str) -> Any:
    """A flag of the workload that takes several numbers, its default in words."""
    return flag(
        "Workload",
        f"--{name}",
        type=NUMBERS,
        metavar="N[,N…]",
        help=f"One, or several to average over. [default: {default}]",
    )


LENGTHS = "the mean over 64,128,256,512, input = output"


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingFlags(Flags):
    """Batch sizes and lengths that costs are means over."""

    batch_size: tuple[int, ...] | None = _numbers("batch_size", "1")
    input_length: tuple[int, ...] | None = _numbers("input_length", LENGTHS)
    output_length: tuple[int, ...] | None = _numbers("output_length", LENGTHS)

    def settings(self, batches: tuple[tuple[int, ...], ...]) -> list[Setting]:
        """The settings that were asked for; without a batch size, one for each of `batches`."""
        from cost_analysis.compare.cost_models import DIAGONAL, Setting

        chosen = batches if self.batch_size is None else (self.batch_size,)
        prompts = self.input_length or self.output_length or DIAGONAL
        return [Setting(sizes, prompts, self.output_length or prompts) for sizes in chosen]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimSettingFlags(SettingFlags):
    """Batch sizes and lengths of the claims, which by default have two settings."""

    batch_size: tuple[int, ...] | None = _numbers("batch_size", "1, and the mean over 1,2,4,8")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimFlags(Flags):
    """The model that is scaled, its streams, and whose losses count."""

    base: str = base_flag("Claim")
    streams: int = _streams(1)
    dataset: str | None = dataset_flag("Claim", default=None)


GPU_ENGINES = ("eager", "graphs", "native")
"""Classes of engines for which the latency claim of a GPU is reported."""


@click.command(cls=SectionedCommand)
@click.pass_context
@takes_flags
def claims(
    ctx: click.Context,
    claim: ClaimFlags,
    requests: ClaimSettingFlags,
    system: SystemFlags,
    intervals: IntervalFlags,
    output: OutputFlags,
) -> None:
    """Where 22x, 6x, 7x and 1.7x come from, and every other reading.

    With --kernels fitted or measured: on each device and engine whose kernels were measured.
    """
    if system.device.run_by.kernels in ("fitted", "measured"):
        _claims_on_gpus(ctx, claim, requests, system, output)
        return
    from cost_analysis.compare.claims import BATCHES, engine_readings, fitted_laws, readings
    from cost_analysis.inputs import models, profiles
    from cost_analysis.report.claims import claims_page, reading_record

    asked, where = requests.settings(BATCHES), system.system()
    spec, level = models.load_model(claim.base).spec, intervals.level
    spec.with_streams(claim.streams)
    laws = fitted_laws(chosen_datasets(claim.dataset), intervals.samples, intervals.seed)
    found = readings(spec, claim.streams, asked, where, laws, level)
    engines = [
        profiles.load_engine(name).with_efficiency(
            where.flops_efficiency, where.bandwidth_efficiency
        )
        for name in (GPU_ENGINES if where.hardware.kind == "gpu" else ())
    ]
    others = engine_readings(found, engines, where, laws, level)
    rows = [reading_record(reading) for reading in (*found, *others)]
    print_answer(claims_page(found, others, laws, level), rows, rows, output)


def _claims_on_gpus(
    ctx: click.Context,
    claim: ClaimFlags,
    requests: ClaimSettingFlags,
    system: SystemFlags,
    output: OutputFlags,
) -> None:
    from cost_analysis.compare.claims import BATCHES
    from cost_analysis.compare.claims_on_gpus import Question, claims_on_gpus, measured_systems
    from cost_analysis.inputs.models import load_model
    from cost_analysis.report.claims_on_gpus import gpu_claims_page, gpu_records

    for name in ("level", "samples", "seed"):
        if _is_given(ctx, name):
            raise InputError(f"--{name} is of the law's intervals; with --kernels, leave it out")
    run_by, formats = system.device.run_by, system.formats.precision()
    device = system.device.gpu_config if _is_given(ctx, "gpu_config") else None
    systems = measured_systems(run_by.named, formats, device, run_by.engine)
    setting, spec = requests.settings(BATCHES)[-1], load_model(claim.base).spec
    asked = Question(spec, claim.streams, setting, chosen_datasets(claim.dataset))
    found = claims_on_gpus(asked, systems)
    rows = gpu_records(found)
    print_answer(gpu_claims_page(found), rows, rows, output)


def _is_given(ctx: click.Context, name: str) -> bool:
    """Whether the user gave a flag."""
    return ctx.get_parameter_source(name) is not ParameterSource.DEFAULT


@dataclass(frozen=True, slots=True, kw_only=True)
class RivalFlags(Flags):
    """What the streamed model is compared with."""

    baseline: str = baseline_flag("Claim")
    dataset: str = dataset_flag("Claim")
    losses: tuple[float, float] | None = flag(
        "Claim",
        "--losses",
        type=float,
        nargs=2,
        metavar="P1 PN",
        help="Losses that you measured at P = 1 and with the streams, instead of a baseline.",
    )
    methods: tuple[str, ...] | None = flag(
        "Claim",
        "--with",
        type=NAMES,
        metavar="METHODS",
        help="Instead: ways of spending compute, with commas between: dense, parscale, moe, "
        "best-of-n, longer, loop, plt, phd, or a TOML file; name:4 states an amount. "
        "[default amount: --P]",
    )
    quality: str | None = flag(
        "Claim",
        "--quality",
        type=click.Path(),
        metavar="FILE",
        help="With --with: a CSV file of your own figures, columns method and quality.",
    )
    price_per_hour: float | None = flag(
        "Claim",
        "--price_per_hour",
        type=POSITIVE,
        metavar="$",
        help="Price of the device per hour.",
    )


@click.command(cls=SectionedCommand)
@takes_flags
def compare(
    model: ModelFlags,
    rival: RivalFlags,
    workload: WorkloadFlags,
    system: SystemFlags,
    layout: LayoutFlags,
    output: OutputFlags,
) -> None:
    """One streamed model against the parameter-scaled model of equal loss, or other methods."""
    if rival.methods is not None:
        request = request_from(model, workload, system, layout)
        _compare_methods(request, rival.methods, rival, output)
        return
    if rival.quality is not None:
        raise InputError("--quality goes with --with")
    from cost_analysis.compare.comparison import comparison
    from cost_analysis.report.comparison import comparison_page, comparison_record

    result = comparison(
        request_from(model, workload, system, layout),
        baseline=rival.baseline,
        dataset=rival.dataset,
        losses=rival.losses,
        price_per_hour=rival.price_per_hour,
    )
    record = comparison_record(result)
    print_answer(comparison_page(result), record, record["metrics"], output)


def _compare_methods(
    request: Request, methods: tuple[str, ...], rival: RivalFlags, output: OutputFlags
) -> None:
    from cost_analysis.compare.comparison import method_comparison
    from cost_analysis.report.comparison import method_records, methods_page

    found = method_comparison(
        request,
        methods,
        baseline=rival.baseline,
        dataset=rival.dataset,
        quality=Path(rival.quality) if rival.quality else None,
    )
    rows = method_records(found)
    print_answer(methods_page(found), rows, rows, output)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledFlags(Flags):
    """A streamed model and the parameter-scaled model of equal loss."""

    base: str = base_flag("Claim")
    streams: int = _streams(2)
    baseline: str = baseline_flag("Claim")
    dataset: str = dataset_flag("Claim")


@click.command(cls=SectionedCommand)
@takes_flags
def crossover(
    models: ScaledFlags,
    requests: SettingFlags,
    devices: SeveralDeviceFlags,
    formats: PrecisionFlags,
    output: OutputFlags,
) -> None:
    """Where the advantage ends: batch, context, streams, share of the prompt."""
    from cost_analysis.compare.crossover import compute_bound_penalty, crossings, ridge_tokens
    from cost_analysis.inputs.models import load_model
    from cost_analysis.law.equal_loss import chosen_baseline
    from cost_analysis.law.runs import published_runs
    from cost_analysis.law.scaling_law import fit as fit_law
    from cost_analysis.report.claims import crossing_record, crossover_page

    streams = models.streams
    (setting,) = requests.settings(((1,),))
    spec = load_model(models.base).spec.with_streams(streams)
    fitted = fit_law(published_runs(models.dataset))
    chosen = chosen_baseline(spec, models.baseline, fitted)
    found, ridges = [], {}
    for device in devices.gpu_config:
        system = replace(devices.run_by.on(device), precision=formats.precision())
        found += crossings(spec, setting, system, chosen, fitted.law)
        ridge = ridge_tokens(system.hardware, system.engine, system.precision)
        ridges[system.hardware.name] = single(ridge)
    rows = [crossing_record(crossing) for crossing in found]
    penalty = compute_bound_penalty(float(fitted.law.multiplier(streams)), streams)
    notes = [
        f"baseline: {chosen.description}",
        f"where nothing rides free, P = {streams} costs {penalty:.2f} times the compute of its "
        f"baseline: P / (1 + k ln P)",
        "at the same batch, throughput crosses over where latency does",
        *chosen.warnings,
    ]
    title = f"Where {streams} streams on {models.base} stop paying against parameters of equal loss"
    page = crossover_page(found, title, ridges, notes)
    print_answer(page, {"crossovers": rows, "ridge_tokens": ridges}, rows, output)


SHOWN = "bf16,int8,int4,int8/bf16/fp8,int4/bf16/fp8,int8/int8,int8/int8/fp8"
"""Fewer bits for the weights alone, for weights and cache, and for weights and products."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatFlags(ScaledFlags):
    """The same two models, and the storage formats that both are compared in."""

    streams: int = _streams(1)
    baseline: str = baseline_flag("Claim", default="measured")
    formats: tuple[Precision, ...] = flag(
        "Claim",
        "--formats",
        type=FORMATS,
        default=SHOWN,
        show_default=True,
        metavar="W[/A[/KV]][,…]",
        help="Formats of weights, activations and cache; what is left out is bf16.",
    )


@click.command(cls=SectionedCommand)
@takes_flags
def precision(
    models: FormatFlags, requests: SettingFlags, device: DeviceFlags, output: OutputFlags
) -> None:
    """How the claims shrink with fewer bits, and which term does it."""
    from cost_analysis.compare.claims import format_claims
    from cost_analysis.inputs.models import load_model
    from cost_analysis.law.equal_loss import chosen_baseline
    from cost_analysis.law.runs import published_runs
    from cost_analysis.law.scaling_law import fit
    from cost_analysis.report.claims import format_claim_record, format_claims_page

    (setting,) = requests.settings(((1,),))
    system = device.system()
    streamed = load_model(models.base).spec.with_streams(models.streams)
    chosen = chosen_baseline(streamed, models.baseline, fit(published_runs(models.dataset)))
    found = format_claims(streamed, chosen, setting, system, models.formats)
    page = format_claims_page(found, streamed, chosen, setting, system)
    rows = [format_claim_record(claim) for claim in found]
    print_answer(page, rows, rows, output)
