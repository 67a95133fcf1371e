"""One configuration, measured beside what the cost model predicts, phase by phase."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import torch

from cost_analysis.common.arrays import Number, single
from cost_analysis.common.errors import InputError
from cost_analysis.cost.estimate import Estimate, estimate_on
from cost_analysis.cost.memory import memory
from cost_analysis.inputs.request import Request
from cost_analysis.measure.journal import PROCESS_BYTES, Journal, open_journal, too_large
from cost_analysis.measure.journal_rows import (
    Failed,
    Loaded,
    Row,
    counted_runs,
    requests_of,
    rows_of,
)
from cost_analysis.measure.results import Phase, Profile
from cost_analysis.measure.runner import Limits, OnProgress, run_group
from cost_analysis.measure.session import Job, check_device
from cost_analysis.telemetry.energy import MAXIMUM_SPREAD, relative_spread
from cost_analysis.telemetry.machine import read_machine
from cost_analysis.telemetry.meter import Meter

if TYPE_CHECKING:
    from rich.progress import Progress


def measure(
    job: Job, limits: Limits, path: Path | None, on_progress: OnProgress, meter: Meter
) -> list[Row]:
    """Run a job and return its journal, which is kept only where a path is given.

    Raises:
        InputError: The job failed; the reason is the worker's.
    """
    with TemporaryDirectory() as folder:
        target = path or Path(folder) / "run.jsonl"
        with open_journal(target, resume=False) as journal:
            run_group([job], limits, journal, on_progress, meter)
            _raise_failure(journal)
            return journal.rows


def _raise_failure(journal: Journal) -> None:
    for failed in journal.of(Failed):
        raise InputError(f"the model could not be run: {failed.reason}")


def profile_of(
    rows: Sequence[Row], cost: Estimate, findings: Sequence[str], *, on_device: bool
) -> Profile:
    """The measurements of a job beside its estimate.

    Args:
        rows: The journal of the job.
        cost: What is predicted.
        findings: What makes the readings of a GPU doubtful.
        on_device: Whether the user named the device that the model ran on.
    """
    runs = counted_runs(rows)
    loaded = rows_of(rows, Loaded)[0]
    energy = [run.energy_joules for run in runs if run.energy_joules is not None]
    steps = float(cost.workload.decode_steps)
    requests = [request for run in runs for request in requests_of(run)]
    phases = [_phase("prefill", [r.prefill for r in requests], cost.ttft, cost.prefill_flops,
                     cost.prefill.bytes, on_device)]  # fmt: skip
    if steps:
        each = [step for request in requests for step in request.steps]
        phases.append(_phase("decode step", each, cost.tpot, cost.decode_flops / steps,
                             cost.decode.bytes / steps, on_device))  # fmt: skip
    phases.append(_phase("request", [r.total for r in requests], cost.total, cost.flops,
                         cost.prefill.bytes + cost.decode.bytes, on_device))  # fmt: skip
    held = [run.memory_peak_bytes - run.memory_before_bytes for run in runs]
    return Profile(
        cost=cost,
        on_device=on_device,
        phases=tuple(phases),
        memory=float(np.median(held)),
        load_seconds=loaded.load_seconds,
        threads=loaded.threads,
        rounds=len(runs),
        energy=float(np.median(energy)) if len(energy) == len(runs) else None,
        energy_missing=runs[0].energy_missing,
        unstable=(*findings, *_wide([request.total for request in requests])),
    )


def _wide(times: Sequence[float]) -> list[str]:
    spread = relative_spread(times)
    if spread <= MAXIMUM_SPREAD:
        return []
    return [f"times vary by {spread:.0%}; close other programs, or give more --rounds"]


def _phase(
    name: str, times: list[float], predicted: Number, flops: Number, moved: Number, on_device: bool
) -> Phase:
    low, middle, high = (float(q) for q in np.quantile(times, (0.25, 0.5, 0.75)))
    expected = float(predicted) if on_device else None
    return Phase(name, middle, low, high, expected, single(flops), single(moved))


HEADROOM = 0.9
"""Share of the free memory that a group may take."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where and how a configuration is run here.

    Attributes:
        device: "cpu" or a CUDA device.
        mode: "eager" or "graphs".
        threads: CPU threads, or None.
        checkpoint: Folder or cached id of weights, or None.
        is_predicted: Whether the prediction is for this device.
    """

    device: str
    mode: str
    threads: int | None
    checkpoint: str | None
    is_predicted: bool


def profile(
    request: Request,
    place: Place,
    limits: Limits,
    path: Path | None,
    progress: Callable[[], Progress],
) -> Profile:
    """Run one configuration and compare it with its estimate.

    Args:
        request: The request; its device and engine are those of the prediction.
        place: Where and how it runs.
        limits: When the repeats end.
        path: Keeps the journal, unless None.
        progress: Opens the progress bar.

    Raises:
        InputError: A precision that no run has, a device that is not there, too little memory.
    """
    precision, work = request.system.precision, request.workload
    if len({precision.weights, precision.activations, precision.kv_cache}) > 1:
        raise InputError("a real run has one type; give all three dtypes alike")
    device = place.device
    check_device(device)
    need = float(memory(request.spec, work, precision).total) + PROCESS_BYTES
    free = available_memory(device)
    if need > free:
        raise InputError(f"the model {too_large(need, free)}")
    lengths = (int(work.batch_size), int(work.input_length), int(work.output_length))
    job = Job("profile", request.spec, *lengths, precision.weights, device, place.mode,
              place.threads, work.logits, place.checkpoint)  # fmt: skip
    with open_meter(device) as meter, progress() as bar:
        task = bar.add_task("", total=limits.rounds)

        def on_progress(name: str, count: int, _seconds: float) -> None:
            stage = f"{name}, warm-up" if count < 0 else name
            bar.update(task, description=stage, completed=max(count, 0))

        rows = measure(job, limits, path, on_progress, meter)
        findings = meter.findings()
    cost = estimate_on(request.spec, work, request.system)
    return profile_of(rows, cost, findings, on_device=place.is_predicted)


def open_meter(device: str) -> Meter:
    """Reads the energy of the processors, or of the GPU that PyTorch means."""
    if device == "cpu":
        return Meter()
    return Meter(str(torch.cuda.get_device_properties(torch.device(device)).uuid))


def available_memory(device: str) -> float:
    """Memory that a model may take on the device of a run [B]."""
    if device != "cpu":
        return torch.cuda.mem_get_info(device)[0] * HEADROOM
    free = read_machine().memory_available
    return (free or 0.0) * HEADROOM
