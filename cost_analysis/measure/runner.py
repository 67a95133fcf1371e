"""Runs jobs in turn, each in a process of its own, and keeps every sample in a journal.

The jobs of a group are loaded together and run A B A B …, so that a machine that slows down affects
all of them; ratios are taken round by round. A job that the journal has as finished is not run
again.
"""

from __future__ import annotations

import math
import multiprocessing
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from msgspec import UNSET
from msgspec.structs import replace

from cost_analysis.measure.journal import Journal
from cost_analysis.measure.journal_rows import (
    Failed,
    Finished,
    Loaded,
    Run,
    counted_runs,
    requests_of,
)
from cost_analysis.measure.session import Job, RunResult, serve
from cost_analysis.telemetry.meter import Meter, Readings

MAXIMUM_WARM_UPS = 5
"""Runs of each job, at most, that do not count, while caches and clocks settle."""

WARM_UP_SHARE = 0.25
"""Share of a group's time limit after which its warm-up is over in any case."""

WARM_UP_TOLERANCE = 0.05
"""Two runs of every job that differ by less than this share end the warm-up."""

MAXIMUM_REQUESTS = 1000
"""Requests of one run, at most, where one is too short for its energy to be read."""

MINIMUM_ROUNDS = 5
TARGET_PRECISION = 0.02
"""Half-width of the interval of a median that ends the repeats, as a share of it."""

CONTEXT = multiprocessing.get_context("spawn")
"""How a process is started: with nothing in its memory but what its job needs."""

OnProgress = Callable[[str, int, float], None]
"""Called with the name of a job, its round, and the seconds that have passed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When the repeats of a group end.

    Attributes:
        seconds: Time limit of a group, not counting loading and the fewest rounds: with fewer,
            the noise is not known.
        rounds: Most rounds.
        least: Fewest rounds.
    """

    seconds: float = 120.0
    rounds: int = 30
    least: int = MINIMUM_ROUNDS


class Worker:
    """A job in a process of its own."""

    def __init__(self, job: Job) -> None:
        """Start it; `load` waits until the model is there."""
        self.job = job
        self._pipe: Connection
        self._pipe, theirs = CONTEXT.Pipe()
        self._process = CONTEXT.Process(target=serve, args=(theirs, job), daemon=True)
        self._process.start()
        theirs.close()

    def load(self) -> Loaded | Failed:
        """Wait until the model is loaded, or cannot be."""
        answer: Loaded | Failed = self._receive()
        return answer

    @property
    def pid(self) -> int | None:
        """Id of the process."""
        return self._process.pid

    def run(self, requests: int = 1) -> RunResult | Failed:
        """Run some requests, one after another."""
        with suppress(OSError):  # the answer tells that the process has died
            self._pipe.send(requests)
        answer: RunResult | Failed = self._receive()
        return answer

    def _receive(self) -> Any:
        """The next answer of the process; a failure where it died."""
        try:
            return self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            reason = f"the process died with exit code {self._process.exitcode}"
            return Failed(job=self.job.name, reason=reason)

    def stop(self) -> None:
        """End the process."""
        with suppress(OSError):
            self._pipe.send(0)
        self._process.join(timeout=10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def run_group(
    jobs: Sequence[Job], limits: Limits, journal: Journal, on_progress: OnProgress, meter: Meter
) -> None:
    """Load jobs together and run them in turn until their medians are precise or time is up.

    A job that the journal has as finished or failed is not run again; one that has some rounds goes
    on after the last round that all jobs have.

    Args:
        jobs: Jobs that fit memory together.
        limits: When to stop.
        journal: Gets a row for each load, run and failure.
        on_progress: Called before each run.
        meter: Reads the energy of each run.
    """
    done = {row.job for row in journal.of(Finished)} | _failed(journal)
    jobs = [job for job in jobs if job.name not in done]
    workers: list[Worker] = []
    try:
        on_progress("loading", 0, 0.0)
        workers = [Worker(job) for job in jobs]
        meter.watch([worker.pid for worker in workers if worker.pid is not None])
        for worker in list(workers):
            loaded = worker.load()
            journal.append(loaded)
            if isinstance(loaded, Failed):
                _drop(workers, worker)
        _run_rounds(workers, limits, journal, on_progress, meter)
    finally:
        for worker in workers:
            worker.stop()
    failed = _failed(journal)
    for job in jobs:
        if job.name not in failed:
            journal.append(Finished(job=job.name))


def _run_rounds(
    workers: list[Worker], limits: Limits, journal: Journal, on_progress: OnProgress, meter: Meter
) -> None:
    known = _known_rounds(journal)
    totals = {worker.job.name: known.get(worker.job.name, {}) for worker in workers}
    whole = min((len(rounds) for rounds in totals.values()), default=0)
    start = time.monotonic()
    fastest: dict[str, float] = {}

    def one_round(count: int) -> dict[str, float]:
        """Run every job that has no such round yet; their times."""
        times = {}
        for worker in list(workers):
            name = worker.job.name
            if count in totals[name]:
                continue
            on_progress(name, count, time.monotonic() - start)
            requests = _requests(meter.shortest_window, fastest.get(name))
            result, readings = meter.run(partial(worker.run, requests), requests, worker.pid)
            if isinstance(result, Failed):
                journal.append(result)
                _drop(workers, worker)
                totals.pop(name)
                continue
            run = _run_row(name, count, result, readings)
            journal.append(run)
            times[name] = _total(run)
            fastest[name] = min(times[name], fastest.get(name, times[name]))
        return times

    _warm_up(one_round, WARM_UP_SHARE * limits.seconds)
    start = time.monotonic()
    for count in range(whole, limits.rounds):
        if not workers or _enough(totals, count, time.monotonic() - start, limits):
            return
        for name, seconds in one_round(count).items():
            totals[name][count] = seconds


def _run_row(job: str, count: int, result: RunResult, readings: Readings) -> Run:
    """A run as a row of the journal."""
    first, *again = result.requests
    run = Run(
        job=job,
        round=count,
        energy_joules=readings.energy,
        energy_source=readings.source,
        energy_missing=readings.missing,
        prefill=first.prefill,
        steps=first.steps,
        total=first.total,
        again=tuple(again) or UNSET,
        **{f"memory_{name}_bytes": value for name, value in result.memory.items()},
    )
    gpu = readings.gpu
    if gpu is None:
        return run
    return replace(
        run,
        device_memory_used_bytes=gpu.memory_used,
        process_memory_bytes=gpu.process_memory,
        sm_clock_hz=gpu.sm_clock,
        memory_clock_hz=gpu.memory_clock,
        temperature_celsius=gpu.temperature,
        utilisation=gpu.utilisation,
        watts=gpu.power,
    )


def _requests(window: float, seconds: float | None) -> int:
    """Requests that fill a window, each of some seconds; one where that is not known yet."""
    if seconds is None:
        return 1
    return min(max(math.ceil(window / seconds), 1), MAXIMUM_REQUESTS)


def _total(run: Run) -> float:
    return float(np.median([request.total for request in requests_of(run)]))


def _warm_up(one_round: Callable[[int], dict[str, float]], most_seconds: float) -> None:
    """Rounds before the first that counts: until two in a row take the same time, or time is up."""
    before: dict[str, float] = {}
    start = time.monotonic()
    for count in range(-MAXIMUM_WARM_UPS, 0):
        times = one_round(count)
        if time.monotonic() - start > most_seconds:
            return
        changes = [abs(times[name] / before[name] - 1) for name in times if before]
        if before and all(change < WARM_UP_TOLERANCE for change in changes):
            return
        before = times


def _known_rounds(journal: Journal) -> dict[str, dict[int, float]]:
    """Rounds of each job that the journal holds already, and their times."""
    known: dict[str, dict[int, float]] = {}
    for run in counted_runs(journal.rows):
        known.setdefault(run.job, {})[run.round] = _total(run)
    return known


def _enough(
    totals: dict[str, dict[int, float]], rounds: int, seconds: float, limits: Limits
) -> bool:
    if rounds < limits.least:
        return False
    return seconds > limits.seconds or all(
        spread(list(times.values())) < TARGET_PRECISION for times in totals.values()
    )


def spread(times: Sequence[float]) -> float:
    """Half-width of the 95 % interval of a median, as a share of it (order statistics)."""
    ordered = np.sort(np.asarray(times, np.float64))
    count = len(ordered)
    reach = 0.98 * np.sqrt(count)  # 1.96 standard deviations of a binomial with p = 1/2
    low = int(max(np.floor((count - 1) / 2 - reach), 0))
    high = int(min(np.ceil((count - 1) / 2 + reach), count - 1))
    return float((ordered[high] - ordered[low]) / 2 / np.median(ordered))


def _failed(journal: Journal) -> set[str]:
    return {row.job for row in journal.of(Failed)}


def _drop(workers: list[Worker], worker: Worker) -> None:
    worker.stop()
    workers.remove(worker)
