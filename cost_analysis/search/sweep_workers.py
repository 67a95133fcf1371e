"""Runs the parts of a sweep on the processes of this machine, or on a Dask cluster.

Both take the same task: calculate a part, write it, and send its summary back. What is handed out
at once is bounded, so that a grid of any size waits in no queue.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from cost_analysis.common.errors import InputError, shown
from cost_analysis.common.files import SweepError
from cost_analysis.search.grid import Grid
from cost_analysis.search.sweep import Summary
from cost_analysis.search.sweep_files import Target, write_part

AHEAD = 4
"""Parts that are handed out for each worker."""

RETRIES = 3
"""How often Dask repeats a part that failed."""

DEATHS = 20
"""Workers that may die over a part before Dask gives it up: it is not the part's fault."""

PATIENCE = 10.0
"""How long a scheduler may take to answer [s]."""

Tell = Callable[[int, Summary], None]
"""Hears of each part that is done."""


def run_parts(grid: Grid, target: Target, parts: Sequence[int], workers: int, tell: Tell) -> None:
    """Calculate and write parts on this machine.

    Args:
        grid: The grid.
        target: Where to write.
        parts: Numbers of the parts.
        workers: Processes.
        tell: Hears of each part that is done.

    Raises:
        SweepError: A part could not be written, or a process died; what is done stays.
    """
    if min(workers, len(parts)) < 2:
        for index in parts:
            tell(index, write_part(grid, target, index))
        return
    from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    pool = ProcessPoolExecutor(workers, get_context("spawn"), _join_parent)
    waiting, running = iter(parts), dict[Any, int]()
    try:
        while True:
            for index in islice(waiting, AHEAD * workers - len(running)):
                running[pool.submit(write_part, grid, target, index)] = index
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                summary = future.result()
                tell(running.pop(future), summary)
    except BrokenProcessPool:
        raise SweepError(
            "a process of the sweep died, perhaps for want of memory; go on with --resume"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _join_parent() -> None:
    """Leave Ctrl-C to the parent, and end with it, however it ends."""
    import multiprocessing

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def run_on_dask(
    grid: Grid,
    target: Target,
    parts: Sequence[int],
    workers: int,
    scheduler: str | None,
    tell: Tell,
) -> None:
    """Calculate and write parts on a Dask cluster; its workers must see the target's folder.

    Args:
        grid: The grid.
        target: Where to write.
        parts: Numbers of the parts.
        workers: Processes of a local cluster.
        scheduler: Address of a scheduler; None starts a local cluster.
        tell: Hears of each part that is done.

    Raises:
        InputError: Dask is missing, or no scheduler answers.
        SweepError: A part could not be written; what is done stays.
    """
    with _client(scheduler, workers) as client:
        from distributed import as_completed
        from distributed.scheduler import KilledWorker

        waiting, places, running = iter(parts), {}, as_completed()

        def hand_out(count: int) -> None:
            for index in islice(waiting, count):
                future = client.submit(write_part, grid, target, index, pure=False, retries=RETRIES)
                places[future.key] = index
                running.add(future)

        hand_out(AHEAD * max(1, sum(client.nthreads().values())))
        while not running.is_empty():
            future = next(running)
            try:
                summary = future.result()
            except KilledWorker:
                raise SweepError(
                    f"{DEATHS} workers died over one part; go on with --resume"
                ) from None
            index = places.pop(future.key)
            if not target.part(index).exists():
                raise SweepError(
                    f"a worker wrote a part that is not in {target.folder} here: the workers of "
                    "a cluster must share that folder"
                )
            tell(index, summary)
            hand_out(1)


@contextmanager
def _client(scheduler: str | None, workers: int) -> Iterator[Any]:
    """A client of a scheduler, or of a cluster of its own."""
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError:
        raise InputError(
            "--executor dask needs distributed, which is not installed; "
            "pip install 'parscale-cost[dask]'"
        ) from None
    if scheduler is not None:
        with _connected(Client, scheduler) as client:
            yield client
        return
    settings = {"distributed.scheduler.allowed-failures": DEATHS}
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address=None,
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def _connected(client: Any, scheduler: str) -> Any:
    try:
        return client(scheduler, timeout=PATIENCE)
    except (OSError, ValueError, TimeoutError) as error:
        reason = " ".join(str(error).split()).removesuffix(".")
        raise InputError(f"no Dask scheduler answers at {shown(scheduler)}: {reason}") from None
