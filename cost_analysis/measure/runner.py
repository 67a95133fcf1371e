"""Runs jobs in turn, each in a process of its own, and keeps every sample in a journal.

The jobs of a group are loaded together and run A B A B …, so that a machine that slows down slows
all of them; ratios are taken round by round. What a job of an earlier life of the journal has
finished is not run again.
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

from cost_analysis.measure.journal import Journal, Row, requests_of
from cost_analysis.measure.session import Job, serve
from cost_analysis.telemetry.meter import Meter

WARM_UPS = 5
"""Most runs of each job whose samples are kept apart, while caches and clocks settle."""

WARM_UP_SHARE = 0.25
"""Share of a group's time limit after which its warm-up is over in any case."""

SETTLED = 0.05
"""Two runs of every job that differ by less than this share end the warm-up."""

MOST_REQUESTS = 1000
"""Requests of one run at most, where one is too short for its energy to be told."""

LEAST_ROUNDS = 5
PRECISION = 0.02
"""Half-width of the interval of a median that ends the repeats, as a share of it."""

CONTEXT = multiprocessing.get_context("spawn")
"""How a process is started: with nothing in its memory but what its job needs."""

Tell = Callable[[str, int, float], None]
"""Told the name of a job, its round, and the seconds that have passed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When the repeats of a group end.

    Attributes:
        seconds: Time limit of a group, loading and the fewest rounds not counted: fewer would say
            nothing of the noise.
        rounds: Most rounds.
        least: Fewest rounds.
    """

    seconds: float = 120.0
    rounds: int = 30
    least: int = LEAST_ROUNDS


class Worker:
    """A job in a process of its own."""

    def __init__(self, job: Job) -> None:
        """Start it; `wait_loaded` says when the model is there."""
        self.job = job
        self._pipe: Connection
        self._pipe, theirs = CONTEXT.Pipe()
        self._process = CONTEXT.Process(target=serve, args=(theirs, job), daemon=True)
        self._process.start()
        theirs.close()

    def answer(self) -> Row:
        """What the worker says next; {"failed": reason} where it died."""
        try:
            said: Row = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            return {"failed": f"the process died with exit code {self._process.exitcode}"}
        return said

    @property
    def pid(self) -> int | None:
        """Id of the process."""
        return self._process.pid

    def ask(self, requests: int = 1) -> Row:
        """One run of some requests."""
        with suppress(OSError):  # a worker that died is found out by its answer
            self._pipe.send(requests)
        return self.answer()

    def stop(self) -> None:
        """End the process."""
        with suppress(OSError):
            self._pipe.send(0)
        self._process.join(timeout=10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def run_group(
    jobs: Sequence[Job], limits: Limits, journal: Journal, tell: Tell, meter: Meter
) -> None:
    """Load jobs together and run them in turn until their medians are known or time is up.

    A group that an earlier life of the journal finished is not run again; one that it began goes
    on after its last whole round.

    Args:
        jobs: Jobs that fit memory together.
        limits: When to stop.
        journal: Gets a row for each load, sample and failure.
        tell: Told of progress.
        meter: Reads the energy of each run.
    """
    done = {row["job"] for row in journal.of("finished") + journal.of("failed")}
    jobs = [job for job in jobs if job.name not in done]
    workers: list[Worker] = []
    try:
        tell("loading", 0, 0.0)
        workers = [Worker(job) for job in jobs]
        meter.watch([worker.pid for worker in workers if worker.pid is not None])
        for worker in list(workers):
            if not _kept(journal, worker.job, worker.answer()):
                _drop(workers, worker)
        _run_rounds(workers, limits, journal, tell, meter)
    finally:
        for worker in workers:
            worker.stop()
    for job in jobs:
        if job.name not in {row["job"] for row in journal.of("failed")}:
            journal.append({"kind": "finished", "job": job.name})


def _run_rounds(
    workers: list[Worker], limits: Limits, journal: Journal, tell: Tell, meter: Meter
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
            if count in totals[worker.job.name]:
                continue
            tell(worker.job.name, count, time.monotonic() - start)
            name = worker.job.name
            requests = _requests(meter.shortest_window, fastest.get(name))
            said, readings = meter.run(partial(worker.ask, requests), requests, worker.pid)
            if _kept(journal, worker.job, said, round=count, **readings):
                times[name] = _total(said["run"])
                fastest[name] = min(times[name], fastest.get(name, times[name]))
            else:
                _drop(workers, worker)
                totals.pop(worker.job.name)
        return times

    _warm_up(one_round, WARM_UP_SHARE * limits.seconds)
    start = time.monotonic()
    for count in range(whole, limits.rounds):
        if not workers or _enough(totals, count, time.monotonic() - start, limits):
            return
        for name, seconds in one_round(count).items():
            totals[name][count] = seconds


def _requests(window: float, seconds: float | None) -> int:
    """Requests that fill a window, each of some seconds; one where that is not known yet."""
    if seconds is None:
        return 1
    return min(max(math.ceil(window / seconds), 1), MOST_REQUESTS)


def _total(run: Row) -> float:
    return float(np.median([request["total"] for request in requests_of(run)]))


def _warm_up(one_round: Callable[[int], dict[str, float]], most_seconds: float) -> None:
    """Rounds before the first that counts: until two in a row take the same time, or time is up."""
    before: dict[str, float] = {}
    start = time.monotonic()
    for count in range(-WARM_UPS, 0):
        times = one_round(count)
        if time.monotonic() - start > most_seconds:
            return
        if before and all(abs(times[name] / before[name] - 1) < SETTLED for name in times):
            return
        before = times


def _known_rounds(journal: Journal) -> dict[str, dict[int, float]]:
    """Rounds of each job that the journal holds already, and their times."""
    known: dict[str, dict[int, float]] = {}
    for row in journal.of("run"):
        if row["round"] >= 0:
            known.setdefault(row["job"], {})[row["round"]] = _total(row)
    return known


def _enough(
    totals: dict[str, dict[int, float]], rounds: int, seconds: float, limits: Limits
) -> bool:
    if rounds < limits.least:
        return False
    return seconds > limits.seconds or all(
        spread(list(times.values())) < PRECISION for times in totals.values()
    )


def spread(times: Sequence[float]) -> float:
    """Half-width of the 95 % interval of a median, as a share of it (order statistics)."""
    ordered = np.sort(np.asarray(times, np.float64))
    count = len(ordered)
    reach = 0.98 * np.sqrt(count)  # 1.96 standard deviations of a binomial with p = 1/2
    low = int(max(np.floor((count - 1) / 2 - reach), 0))
    high = int(min(np.ceil((count - 1) / 2 + reach), count - 1))
    return float((ordered[high] - ordered[low]) / 2 / np.median(ordered))


def _kept(journal: Journal, job: Job, said: Row, **more: Any) -> bool:
    """Write what a worker said; False where it failed."""
    kind = next(iter(said))
    content = {"reason": said["failed"]} if kind == "failed" else said[kind]
    more = {} if kind == "failed" else more
    journal.append({"kind": kind, "job": job.name, **more, **content})
    return kind != "failed"


def _drop(workers: list[Worker], worker: Worker) -> None:
    worker.stop()
    workers.remove(worker)
