"""Commands that run real models: profile, validate, report, calibrate, parity.

PyTorch and transformers are imported when a command runs, not before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from cost_analysis.cli.flags import Flags, SectionedCommand, flag, takes_flags
from cost_analysis.cli.options import (
    ModelFlags,
    SystemFlags,
    WorkloadFlags,
    dataset_flag,
    request_from,
)
from cost_analysis.cli.output import OutputFlags, format_flag, print_answer
from cost_analysis.common.errors import InputError
from cost_analysis.common.files import write_file
from cost_analysis.report.render import progress

if TYPE_CHECKING:
    from cost_analysis.measure.journal_rows import Row


UNSTABLE = 3
"""Exit code of a measurement whose times are not to be trusted."""


@contextmanager
def _profile_extra() -> Iterator[None]:
    """Turn an import error of an optional library into a sentence that says how to install it."""
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


def _count(name: str, default: int, text: str) -> Any:
    return flag(
        "Request",
        f"--{name}",
        type=click.IntRange(1),
        default=default,
        show_default=True,
        help=text,
    )


def _device() -> Any:
    return flag("Machine", "--device", default="cpu", show_default=True, help="cpu or cuda.")


def _threads() -> Any:
    return flag(
        "Machine", "--threads", type=click.IntRange(1), help="CPU threads. [default: PyTorch's]"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatFlags(Flags):
    """When the repeats of a measurement end."""

    rounds: int = flag(
        "Repeats",
        "--rounds",
        type=click.IntRange(1),
        default=20,
        show_default=True,
        help="Most rounds of a group.",
    )
    time_limit: float = flag(
        "Repeats",
        "--time_limit",
        type=click.FloatRange(0),
        default=60.0,
        show_default=True,
        metavar="S",
        help="Seconds of a group; loading and its first 5 rounds do not count.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityFlags(Flags):
    """Where the models are checked."""

    device: str = _device()


@click.command(cls=SectionedCommand)
@click.argument("folder")
@takes_flags
def parity(folder: str, where: ParityFlags, output: OutputFlags) -> None:
    """Check the measured model against recorded logits of the published code."""
    with _profile_extra():
        from cost_analysis.measure.checkpoints import check_folder
        from cost_analysis.measure.session import check_device
        from cost_analysis.report import measured

        check_device(where.device)
        outcomes = list(check_folder(Path(folder), where.device))
    rows = [measured.outcome_record(outcome) for outcome in outcomes]
    print_answer(measured.parity_page(outcomes), rows, rows, output)
    if not all(outcome.passed for outcome in outcomes):
        raise click.exceptions.Exit(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationFlags(Flags):
    """What a validation runs; the journal records these values."""

    size: str = flag(
        "Models",
        "--size",
        type=click.Choice(["tiny", "small", "paper"]),
        default="tiny",
        show_default=True,
        help="Seconds, minutes, or the sizes of the paper's claim.",
    )
    dataset: str = dataset_flag("Models")
    batch_size: int = _count("batch_size", 1, "Sequences.")
    input_length: int = _count("input_length", 64, "Prompt tokens of each.")
    output_length: int = _count("output_length", 16, "Generated tokens of each.")
    device: str = _device()
    dtype: str = flag(
        "Machine",
        "--dtype",
        type=click.Choice(["fp32", "bf16", "fp16"]),
        default="fp32",
        show_default=True,
        help="Type of weights and activations.",
    )
    engine: str = flag(
        "Machine",
        "--engine",
        type=click.Choice(["eager", "graphs"]),
        default="eager",
        show_default=True,
        help="Op by op, or a compiled decode step over a static cache.",
    )
    threads: int | None = _threads()


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalFlags(Flags):
    """The journal of a validation, and the format of its report."""

    force: bool = flag(
        "Repeats", "--force", is_flag=True, help="Run what does not seem to fit too."
    )
    journal: str | None = flag(
        "Output",
        "--output",
        metavar="RUN.jsonl",
        help="Where every sample goes, a line each. [default: SIZE-DTYPE.jsonl, here]",
    )
    resume: bool = flag(
        "Output", "--resume", is_flag=True, help="Go on with a journal that is there."
    )
    form: str | None = format_flag()


@click.command(cls=SectionedCommand)
@takes_flags
def validate(asked: ValidationFlags, repeats: RepeatFlags, kept: JournalFlags) -> None:
    """Run the claim's models here, and say whether each claim holds."""
    with _profile_extra():
        from cost_analysis.measure import validation
        from cost_analysis.measure.runner import Limits

        options = validation.ValidationOptions(
            size=asked.size,
            dataset=asked.dataset,
            batch_size=asked.batch_size,
            input_length=asked.input_length,
            output_length=asked.output_length,
            device=asked.device,
            dtype=asked.dtype,
            engine=asked.engine,
            threads=asked.threads,
        )
        rows = validation.run(
            options,
            Limits(repeats.time_limit, repeats.rounds),
            Path(kept.journal or f"{asked.size}-{asked.dtype}.jsonl"),
            progress,
            resume=kept.resume,
            force=kept.force,
        )
    stable = _report(rows, OutputFlags(form=kept.form))
    if not stable:
        raise click.exceptions.Exit(UNSTABLE)


@click.command(cls=SectionedCommand)
@click.argument("journals", nargs=-1, required=True)
@takes_flags
def report(journals: tuple[str, ...], output: OutputFlags) -> None:
    """Rebuild the tables of validations from their journals alone, and merge several."""
    from cost_analysis.measure.verdicts import read_verdicts
    from cost_analysis.report import measured

    judged = read_verdicts(list(dict.fromkeys(journals)))
    if len(judged) == 1:
        _report(next(iter(judged.values()))[0], output)
        return
    records = [
        {"journal": name, **measured.verdict_record(verdict)}
        for name, (_, verdicts) in judged.items()
        for verdict in verdicts
    ]
    print_answer(measured.merged_page(judged), records, records, output)


def _report(rows: list[Row], output: OutputFlags) -> bool:
    """Print the report of a journal; False if its times are unstable."""
    from cost_analysis.measure.verdicts import verdicts_of
    from cost_analysis.report import measured

    found, verdicts = verdicts_of(rows)
    records = [measured.verdict_record(verdict) for verdict in verdicts]
    page = measured.validation_page(rows, found, verdicts)
    print_answer(page, records, records, output)
    return not measured.stability_notes(rows, found)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceFlags(Flags):
    """Where and how one configuration is run, and where its samples go."""

    device: str = _device()
    mode: str = flag(
        "Machine",
        "--mode",
        type=click.Choice(["eager", "graphs"]),
        default="eager",
        show_default=True,
        help="How it runs here: op by op, or a compiled decode step over a static cache.",
    )
    threads: int | None = _threads()
    checkpoint: str | None = flag(
        "Machine",
        "--checkpoint",
        metavar="DIR|ID",
        help="Weights of a published checkpoint: a folder, or a Hugging Face id that is cached.",
    )
    repeats: RepeatFlags
    journal: str | None = flag(
        "Output", "--journal", metavar="FILE", help="Keep every sample, a line each."
    )


@click.command(cls=SectionedCommand)
@click.pass_context
@takes_flags
def profile(
    ctx: click.Context,
    model: ModelFlags,
    workload: WorkloadFlags,
    system: SystemFlags,
    here: PlaceFlags,
    output: OutputFlags,
) -> None:
    """One configuration, run here and measured beside what is predicted."""
    named = ctx.get_parameter_source("gpu_config") is not ParameterSource.DEFAULT
    if here.checkpoint is not None:
        model = _of_checkpoint(model, here.checkpoint)
    request = request_from(model, workload, system)
    with _profile_extra():
        from cost_analysis.measure import profiling
        from cost_analysis.measure.runner import Limits
        from cost_analysis.report import measured

        found = profiling.profile(
            request,
            profiling.Place(here.device, here.mode, here.threads, here.checkpoint, named),
            Limits(here.repeats.time_limit, here.repeats.rounds),
            Path(here.journal) if here.journal else None,
            progress,
        )
    streams = request.spec.streams
    title = f"{request.title}, P = {streams}, measured on {here.device}, {here.mode}"
    record = measured.profile_record(found)
    print_answer(measured.profile_page(found, title), record, record["phases"], output)
    if found.unstable:
        raise click.exceptions.Exit(UNSTABLE)


def _of_checkpoint(model: ModelFlags, checkpoint: str) -> ModelFlags:
    """The architecture of a checkpoint, where the user gave no flag for it."""
    with _profile_extra():
        from cost_analysis.measure.checkpoints import checkpoint_folder, spec_of_checkpoint

        return model.filled_in(spec_of_checkpoint(checkpoint_folder(checkpoint)))


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationFlags(Flags):
    """What is benchmarked, and where the profiles go."""

    device: str = _device()
    dtypes: tuple[str, ...] = flag(
        "Machine",
        "--dtype",
        type=click.Choice(["fp32", "bf16", "fp16"]),
        multiple=True,
        default=("fp32", "bf16"),
        show_default=True,
        help="Types to benchmark; may be repeated.",
    )
    output: str = flag(
        "Output",
        "--output",
        required=True,
        metavar="DEVICE.toml",
        help="The device profile; DEVICE.engine.toml is written beside it.",
    )


@click.command(cls=SectionedCommand)
@takes_flags
def calibrate(asked: CalibrationFlags) -> None:
    """Benchmark this machine, and write it as profiles."""
    with _profile_extra():
        from cost_analysis.measure import calibration
        from cost_analysis.measure.session import check_device

        check_device(asked.device)
        found = calibration.calibrate(asked.device, tuple(dict.fromkeys(asked.dtypes)))
    target = Path(asked.output)
    engine = target.with_suffix(".engine.toml")
    write_file(target, calibration.device_toml(found))
    write_file(engine, calibration.engine_toml(found))
    click.echo(f"wrote {target} and {engine}; use them with")
    click.echo(f"  --gpu_config {target} --engine {engine}")
