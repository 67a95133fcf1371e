"""Carries out a validation: plans the models, runs them group by group, keeps the journal."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cost_analysis import __version__
from cost_analysis.common.arrays import single_count
from cost_analysis.common.errors import InputError
from cost_analysis.inputs.spec import ModelSpec, Workload
from cost_analysis.law.family import size_of
from cost_analysis.law.runs import published_runs
from cost_analysis.law.scaling_law import fit
from cost_analysis.measure.journal import Journal, Member, groups, members, open_journal, plan_of
from cost_analysis.measure.journal_rows import (
    Ended,
    Finding,
    Plan,
    PlannedJob,
    RecordedMachine,
    Row,
)
from cost_analysis.measure.profiling import available_memory, open_meter
from cost_analysis.measure.runner import Limits, run_group
from cost_analysis.measure.session import Job, check_device
from cost_analysis.telemetry.machine import read_machine
from cost_analysis.telemetry.meter import Meter
from cost_analysis.telemetry.nvml import Unavailable

if TYPE_CHECKING:
    from rich.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationOptions:
    """What a validation measures; its journal keeps these.

    Attributes:
        size: "tiny", "small" or "paper".
        dataset: Data set of the scaling law: "stack" or "pile".
        batch_size: Sequences.
        input_length: Prompt tokens of each.
        output_length: Generated tokens of each.
        device: "cpu" or a CUDA device.
        dtype: Type of weights and activations: "fp32", "bf16" or "fp16".
        engine: "eager", or "graphs": a compiled decode step over a static cache.
        threads: CPU threads; None means PyTorch's choice.
    """

    size: str = "tiny"
    dataset: str = "stack"
    batch_size: int = 1
    input_length: int = 64
    output_length: int = 16
    device: str = "cpu"
    dtype: str = "fp32"
    engine: str = "eager"
    threads: int | None = None

    @property
    def workload(self) -> Workload:
        """What each model is asked for."""
        return Workload(self.batch_size, self.input_length, self.output_length)

    def job(self, name: str, spec: ModelSpec) -> Job:
        """A model of the validation, as it is run."""
        return Job(
            name=name,
            spec=spec,
            batch_size=self.batch_size,
            input_length=self.input_length,
            output_length=self.output_length,
            dtype=self.dtype,
            device=self.device,
            engine=self.engine,
            threads=self.threads,
        )


def run(
    options: ValidationOptions,
    limits: Limits,
    path: Path,
    progress: Callable[[], Progress],
    *,
    resume: bool,
    force: bool,
) -> list[Row]:
    """Run a validation, or what is left of one, and return its journal.

    Args:
        options: What is measured.
        limits: When the repeats of a group end.
        path: The journal.
        progress: Opens the progress bar.
        resume: Continue a journal that exists; its options must be these.
        force: Also run models that do not seem to fit.

    Raises:
        InputError: A journal of another plan, a device that does not exist, or no model fits.
    """
    check_device(options.device)
    with open_journal(path, resume=resume) as journal, open_meter(options.device) as meter:
        jobs = _plan(journal, options, meter, force=force)
        with progress() as bar:
            for group in jobs:
                task = bar.add_task("", total=limits.rounds)

                def on_progress(name: str, count: int, _seconds: float, task: Any = task) -> None:
                    stage = f"{name}, warm-up" if count < 0 else name
                    bar.update(task, description=stage, completed=max(count, 0))

                run_group(group, limits, journal, on_progress, meter)
                bar.remove_task(task)
        journal.append(_ended(meter))
        for finding in meter.findings():
            journal.append(Finding(text=finding))
        return journal.rows


def _ended(meter: Meter) -> Ended:
    clock, cost = read_machine().clock, meter.cost()
    if cost is None:
        return Ended(clock_hz=clock)
    return Ended(clock_hz=clock, sampler_cost=cost.share, sampler_rate=cost.rate)


def _plan(
    journal: Journal, options: ValidationOptions, meter: Meter, *, force: bool
) -> list[list[Job]]:
    """The jobs of a journal, group by group: those that it has, or new ones written to it."""
    law = fit(published_runs(options.dataset)).law
    models = members(options.size, law)
    if journal.rows:
        plan = plan_of(journal.rows)
        _check_same(plan, options)
    else:
        # One row, so that a journal has the whole plan or none of it.
        plan = _new_plan(models, options, meter, force=force)
        journal.append(plan)
    specs = {member.label: member.spec for member in models}
    together: dict[int, list[Job]] = {}
    for planned in plan.jobs:
        job = options.job(planned.job, specs[planned.label])
        together.setdefault(planned.group, []).append(job)
    return list(together.values())


def _check_same(plan: Plan, options: ValidationOptions) -> None:
    for name, value in asdict(options).items():
        begun = getattr(plan, name)
        if begun != value:
            raise InputError(
                f"the journal was begun with {name} = {begun}, not {value}; resume it "
                "with the options that it was begun with"
            )


def _new_plan(
    models: list[Member], options: ValidationOptions, meter: Meter, *, force: bool
) -> Plan:
    """The jobs that fit, why others do not, and the machine and the versions that measure them."""
    available = available_memory(options.device)
    together, refused = groups(models, options.workload, options.dtype, available, force=force)
    if not together:
        raise InputError(f"no model of this size fits: {refused[0][1]}; try a smaller --size")
    return Plan(
        **asdict(options),
        machine=_machine(meter),
        command=" ".join(["parscale-cost", *sys.argv[1:]]),
        versions=_versions(),
        jobs=tuple(_planned_jobs(models[0].label, together)),
        refused={member.label: reason for member, reason in refused},
    )


def _planned_jobs(base: str, together: list[list[Member]]) -> Iterator[PlannedJob]:
    """The jobs of all groups; a group without the base is compared with that of the first."""
    home = next(n for n, group in enumerate(together, start=1) if group[0].label == base)
    for number, group in enumerate(together, start=1):
        paired = group[0].label == base
        for member in group:
            yield PlannedJob(
                job=f"{base} ({number})" if member.label == base else member.label,
                label=member.label,
                role=member.role,
                group=number,
                base=f"{base} ({number if paired else home})",
                paired=paired,
                parameters=single_count(size_of(member.spec)),
            )


def _commit() -> str | None:
    """The commit of the checkout that runs; None in an installed package."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    asked = subprocess.run(
        ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return asked.stdout.strip() or None


def _versions() -> dict[str, str | None]:
    return {
        "parscale-cost": __version__,
        "commit": _commit(),
        "torch": str(torch.__version__),
        "transformers": version("transformers"),
        "python": platform.python_version(),
    }


def _machine(meter: Meter) -> RecordedMachine:
    """The machine, and its GPU where one is read or should be."""
    machine = asdict(read_machine())
    machine.pop("missing")
    gpu = meter.describe()
    if gpu is None:
        return RecordedMachine(**machine)
    if isinstance(gpu, Unavailable):
        return RecordedMachine(**machine, gpu=None, gpu_missing=gpu.reason)
    return RecordedMachine(
        **machine,
        gpu=gpu.name,
        gpu_uuid=gpu.uuid,
        driver=gpu.driver,
        power_limit_watts=gpu.power_limit,
        max_sm_clock_hz=gpu.max_sm_clock,
        max_memory_clock_hz=gpu.max_memory_clock,
        mig=gpu.mig,
        device_memory_used_bytes=gpu.memory.used if gpu.memory else None,
        gpu_unread=gpu.missing,
    )
