"""One configuration, measured beside what the cost model predicts, phase by phase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from cost_analysis.campaign import Limits, OnProgress, run_group
from cost_analysis.errors import InputError
from cost_analysis.estimate import Estimate
from cost_analysis.journal import Journal, open_journal
from cost_analysis.journal_rows import Failed, Loaded, Row, counted_runs, requests_of, rows_of
from cost_analysis.measure import Job
from cost_analysis.meter import Meter
from cost_analysis.stability import MAXIMUM_SPREAD, relative_spread


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase as measured and as predicted.

    Attributes:
        name: "prefill", "decode step" or "request".
        measured: Median time [s].
        low: Lower quartile [s].
        high: Upper quartile [s].
        predicted: By the cost model on the device profile [s]; None without one.
        flops: FLOPs of the phase.
        bytes: Bytes that it moves at least [B].
    """

    name: str
    measured: float
    low: float
    high: float
    predicted: float | None
    flops: float
    bytes: float

    @property
    def flops_rate(self) -> float:
        """FLOP/s that were reached."""
        return self.flops / self.measured

    @property
    def bytes_rate(self) -> float:
        """B/s that were reached, by the least traffic that the phase needs."""
        return self.bytes / self.measured


@dataclass(frozen=True, slots=True)
class Profile:
    """What a profile found.

    Attributes:
        cost: The estimate; its device counts only where `on_device` is true.
        on_device: Whether the user named the device that the model ran on.
        phases: Prefill, decode step, request.
        memory: What the process needed for the model [B].
        load_seconds: Building or loading the model [s].
        threads: CPU threads.
        rounds: Runs that count.
        energy: Median energy of a request [J]; None where it could not be read.
        energy_missing: Why not.
        unstable: Sentences on what makes the times doubtful.
    """

    cost: Estimate
    on_device: bool
    phases: tuple[Phase, ...]
    memory: float
    load_seconds: float
    threads: int
    rounds: int
    energy: float | None
    energy_missing: str
    unstable: tuple[str, ...]


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
    """What the runs of a job say beside an estimate of it.

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
    name: str, times: list[float], predicted: float, flops: float, moved: float, on_device: bool
) -> Phase:
    low, middle, high = (float(q) for q in np.quantile(times, (0.25, 0.5, 0.75)))
    return Phase(name, middle, low, high, float(predicted) if on_device else None, flops, moved)
