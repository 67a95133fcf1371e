"""Commands that run real models: profile, validate, report, calibrate, parity.

PyTorch and transformers are imported when a command runs, not before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from cost_analysis.cli.options import (
    MODEL_FIELDS,
    Command,
    SectionedCommand,
    dataset_option,
    format_option,
    model_options,
    output_options,
    request_from,
    section_option,
    system_options,
    workload_options,
)
from cost_analysis.cli.output import deliver
from cost_analysis.common.checks import FLAGS
from cost_analysis.common.errors import InputError
from cost_analysis.common.files import write_file

if TYPE_CHECKING:
    from cost_analysis.measure.journal_rows import Row


UNSTABLE = 3
"""Exit code of a measurement whose times are not to be trusted."""


@contextmanager
def _profile_extra() -> Iterator[None]:
    """Say how to install what real models need, where it is missing."""
    try:
        yield
    except ImportError as error:
        needed = ("torch", "transformers", "safetensors", "psutil", "pynvml")
        if (error.name or "").split(".")[0] not in needed:
            raise
        raise InputError(
            f"real models need {error.name}, which is not installed; "
            "pip install 'parscale-cost[profile]'"
        ) from None


def _count(name: str, default: int, text: str) -> Callable[[Command], Command]:
    return section_option(
        "Request",
        f"--{name}",
        type=click.IntRange(1),
        default=default,
        show_default=True,
        help=text,
    )


_device = section_option(
    "Machine", "--device", default="cpu", show_default=True, help="cpu or cuda."
)
_threads = section_option(
    "Machine", "--threads", type=click.IntRange(1), help="CPU threads. [default: PyTorch's]"
)
_rounds = section_option(
    "Repeats",
    "--rounds",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Most rounds of a group.",
)
_time_limit = section_option(
    "Repeats",
    "--time_limit",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    metavar="S",
    help="Seconds of a group; loading and its first 5 rounds do not count.",
)


@click.command(cls=SectionedCommand)
@click.argument("folder")
@_device
@output_options
def parity(folder: str, device: str, form: str | None, output: str | None) -> None:
    """Check the measured model against recorded logits of the published code."""
    with _profile_extra():
        from cost_analysis.measure.checkpoints import check_folder
        from cost_analysis.measure.session import check_device
        from cost_analysis.report import measured

        check_device(device)
        outcomes = list(check_folder(Path(folder), device))
    rows = [measured.outcome_record(outcome) for outcome in outcomes]
    deliver(measured.parity_page(outcomes), rows, rows, form, output)
    if not all(outcome.passed for outcome in outcomes):
        raise click.exceptions.Exit(1)


@click.command(cls=SectionedCommand)
@section_option(
    "Models",
    "--size",
    type=click.Choice(["tiny", "small", "paper"]),
    default="tiny",
    show_default=True,
    help="Seconds, minutes, or the sizes of the paper's claim.",
)
@dataset_option("Models")
@_count("batch_size", 1, "Sequences.")
@_count("input_length", 64, "Prompt tokens of each.")
@_count("output_length", 16, "Generated tokens of each.")
@_device
@section_option(
    "Machine",
    "--dtype",
    type=click.Choice(["fp32", "bf16", "fp16"]),
    default="fp32",
    show_default=True,
    help="Type of weights and activations.",
)
@section_option(
    "Machine",
    "--engine",
    type=click.Choice(["eager", "graphs"]),
    default="eager",
    show_default=True,
    help="Op by op, or a compiled decode step over a static cache.",
)
@_threads
@_rounds
@_time_limit
@section_option("Repeats", "--force", is_flag=True, help="Run what does not seem to fit too.")
@section_option(
    "Output",
    "--output",
    "journal",
    metavar="RUN.jsonl",
    help="Where every sample goes, a line each. [default: SIZE-DTYPE.jsonl, here]",
)
@section_option("Output", "--resume", is_flag=True, help="Go on with a journal that is there.")
@format_option
def validate(
    size: str,
    dataset: str,
    journal: str | None,
    resume: bool,
    force: bool,
    rounds: int,
    time_limit: float,
    form: str | None,
    **request: Any,
) -> None:
    """Run the claim's models here, and say whether each claim holds."""
    with _profile_extra():
        from cost_analysis.measure import validation

        options = {"size": size, "dataset": dataset, **request}
        limits = {"rounds": rounds, "seconds": time_limit}
        path = Path(journal or f"{size}-{request['dtype']}.jsonl")
        rows = validation.run(options, limits, path, resume=resume, force=force)
    stable = _report(rows, form, None)
    if not stable:
        raise click.exceptions.Exit(UNSTABLE)


@click.command(cls=SectionedCommand)
@click.argument("journals", nargs=-1, required=True)
@output_options
def report(journals: tuple[str, ...], form: str | None, output: str | None) -> None:
    """Rebuild the tables of validations from their journals alone, and merge several."""
    from cost_analysis.measure.verdicts import read_verdicts
    from cost_analysis.report import measured

    judged = read_verdicts(list(dict.fromkeys(journals)))
    if len(judged) == 1:
        _report(next(iter(judged.values()))[0], form, output)
        return
    records = [
        {"journal": name, **measured.verdict_record(verdict)}
        for name, (_, verdicts) in judged.items()
        for verdict in verdicts
    ]
    deliver(measured.merged_page(judged), records, records, form, output)


def _report(rows: list[Row], form: str | None, output: str | None) -> bool:
    """Deliver what a journal says; False where its times are not to be trusted."""
    from cost_analysis.measure.verdicts import verdicts_of
    from cost_analysis.report import measured

    found, verdicts = verdicts_of(rows)
    records = [measured.verdict_record(verdict) for verdict in verdicts]
    page = measured.validation_page(rows, found, verdicts)
    deliver(page, records, records, form, output)
    return not measured.stability_notes(rows, found)


@click.command(cls=SectionedCommand)
@model_options
@workload_options
@system_options
@_device
@section_option(
    "Machine",
    "--mode",
    type=click.Choice(["eager", "graphs"]),
    default="eager",
    show_default=True,
    help="How it runs here: op by op, or a compiled decode step over a static cache.",
)
@_threads
@section_option(
    "Machine",
    "--checkpoint",
    metavar="DIR|ID",
    help="Weights of a published checkpoint: a folder, or a Hugging Face id that is cached.",
)
@_rounds
@_time_limit
@section_option("Output", "--journal", metavar="FILE", help="Keep every sample, a line each.")
@output_options
@click.pass_context
def profile(
    ctx: click.Context,
    /,
    device: str,
    mode: str,
    threads: int | None,
    checkpoint: str | None,
    rounds: int,
    time_limit: float,
    journal: str | None,
    form: str | None,
    output: str | None,
    **options: Any,
) -> None:
    """One configuration, run here and measured beside what is predicted."""
    named = ctx.get_parameter_source("gpu_config") is not ParameterSource.DEFAULT
    if checkpoint is not None:
        _fill_in_checkpoint(options, checkpoint)
    request = request_from(options)
    with _profile_extra():
        from cost_analysis.measure import profiling
        from cost_analysis.measure.runner import Limits
        from cost_analysis.report import measured

        found = profiling.profile(
            request,
            device=device,
            mode=mode,
            threads=threads,
            checkpoint=checkpoint,
            limits=Limits(time_limit, rounds),
            path=Path(journal) if journal else None,
            on_device=named,
        )
    title = f"{request.title}, P = {request.spec.streams}, measured on {device}, {mode}"
    record = measured.profile_record(found)
    deliver(measured.profile_page(found, title), record, record["phases"], form, output)
    if found.unstable:
        raise click.exceptions.Exit(UNSTABLE)


def _fill_in_checkpoint(options: dict[str, Any], checkpoint: str) -> None:
    """Take the architecture from a checkpoint, where the user gave no flag for it."""
    with _profile_extra():
        from cost_analysis.measure.checkpoints import checkpoint_folder, spec_of_checkpoint

        spec = spec_of_checkpoint(checkpoint_folder(checkpoint))
    for name in MODEL_FIELDS:
        flag = FLAGS.get(name, name)
        if options[flag] is None:
            options[flag] = getattr(spec, name)


@click.command(cls=SectionedCommand)
@_device
@section_option(
    "Machine",
    "--dtype",
    "dtypes",
    type=click.Choice(["fp32", "bf16", "fp16"]),
    multiple=True,
    default=("fp32", "bf16"),
    show_default=True,
    help="Types to benchmark; may be repeated.",
)
@section_option(
    "Output",
    "--output",
    required=True,
    metavar="DEVICE.toml",
    help="The device profile; DEVICE.engine.toml is written beside it.",
)
def calibrate(device: str, dtypes: tuple[str, ...], output: str) -> None:
    """Benchmark this machine, and write it as profiles."""
    with _profile_extra():
        from cost_analysis.measure import calibration
        from cost_analysis.measure.session import check_device

        check_device(device)
        found = calibration.calibrate(device, tuple(dict.fromkeys(dtypes)))
    target = Path(output)
    engine = target.with_suffix(".engine.toml")
    write_file(target, calibration.device_toml(found))
    write_file(engine, calibration.engine_toml(found))
    click.echo(f"wrote {target} and {engine}; use them with")
    click.echo(f"  --gpu_config {target} --engine {engine}")
