"""Runs the parts of a sweep here, on processes of this machine, or on a Dask cluster.

All three are executors with the interface of `concurrent.futures`, and take the same task:
calculate a part, write it, and send its summary back. How many parts are handed out at once is
bounded, so that the queue does not grow with the grid.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Any, ParamSpec, TypeVar

from cost_analysis.common.errors import InputError, shown
from cost_analysis.common.files import SweepError
from cost_analysis.search.grid import Grid
from cost_analysis.search.sweep import Summary
from cost_analysis.search.sweep_files import Target, write_part

PARTS_PER_WORKER = 4
"""Parts that are handed out for each worker."""

RETRIES = 3
"""How often Dask repeats a part that failed."""

MAXIMUM_CRASHES = 20
"""Workers that may die during a part before Dask gives it up; mostly the part is not the cause."""

CONNECTION_TIMEOUT = 10.0
"""How long a scheduler may take to answer [s]."""

OnPart = Callable[[int, Summary], None]
"""Called with the number of each part that is done, and its summary."""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Workers:
    """The executor that calculates parts.

    Attributes:
        executor: Takes parts.
        capacity: Parts that are handed out at once.
    """

    executor: Executor
    capacity: int


def run_parts(
    grid: Grid, target: Target, parts: Sequence[int], workers: Workers, on_part: OnPart
) -> None:
    """Calculate and write parts.

    Args:
        grid: The grid.
        target: Where to write; the workers must see its folder.
        parts: Numbers of the parts.
        workers: The executor.
        on_part: Called for each part that is done, as soon as it is.

    Raises:
        SweepError: A part could not be written; what is done stays.
    """
    waiting, running = iter(parts), dict[Future[Summary], int]()
    while True:
        for index in islice(waiting, workers.capacity - len(running)):
            running[workers.executor.submit(write_part, grid, target, index)] = index
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            index, summary = running.pop(future), future.result()
            if not target.part(index).exists():
                raise SweepError(
                    f"a worker wrote a part that is not in {target.folder} here: the workers of "
                    "a cluster must share that folder"
                )
            on_part(index, summary)


def local_workers(count: int) -> AbstractContextManager[Workers]:
    """Processes of this machine; for one alone, this process itself.

    Args:
        count: Processes.

    Raises:
        SweepError: On leaving, where a process has died; what is done stays.
    """
    return _processes(count) if count > 1 else nullcontext(Workers(_ThisProcess(), 1))


@contextmanager
def _processes(count: int) -> Iterator[Workers]:
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    pool = ProcessPoolExecutor(count, get_context("spawn"), _end_with_parent)
    try:
        yield Workers(pool, PARTS_PER_WORKER * count)
    except BrokenProcessPool:
        raise SweepError(
            "a process of the sweep died, perhaps for want of memory; go on with --resume"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


class _ThisProcess(Executor):
    """Runs each task when it is submitted."""

    def submit(
        self,
        task: Callable[Parameters, Result],
        /,
        *arguments: Parameters.args,
        **options: Parameters.kwargs,
    ) -> Future[Result]:
        future: Future[Result] = Future()
        try:
            future.set_result(task(*arguments, **options))
        except Exception as error:  # as every executor: kept for who asks for the result
            future.set_exception(error)
        return future


def _end_with_parent() -> None:
    """Ignore Ctrl-C, which the parent handles, and exit when the parent ends in any way."""
    import multiprocessing

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent,), daemon=True).start()


def _exit_after(parent: Any) -> None:
    parent.join()
    os._exit(1)


@contextmanager
def dask_workers(count: int, scheduler: str | None) -> Iterator[Workers]:
    """The workers of a Dask cluster.

    Args:
        count: Processes of a local cluster.
        scheduler: Address of a scheduler; None starts a local cluster.

    Raises:
        InputError: Dask is missing, or no scheduler answers.
        SweepError: On leaving, where workers died over a part, or the scheduler is gone; what is
            done stays.
    """
    with _client(scheduler, count) as client:
        from distributed.scheduler import KilledWorker

        threads = max(1, sum(client.nthreads().values()))
        executor = client.get_executor(pure=False, retries=RETRIES)
        try:
            yield Workers(executor, PARTS_PER_WORKER * threads)
        except KilledWorker:
            raise SweepError(
                f"{MAXIMUM_CRASHES} workers died over one part; go on with --resume"
            ) from None
        except CancelledError:
            raise SweepError("the Dask scheduler is gone; go on with --resume") from None


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
        with _quiet(), _connected(Client, scheduler) as client:
            yield client
        return
    settings = {"distributed.scheduler.allowed-failures": MAXIMUM_CRASHES}
    with (
        _quiet(),
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


_CLIENT_LOGGERS = ("distributed", "distributed.client", "tornado.application")


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the client's log messages about closed connections, which our own error reports."""
    levels = {name: logging.getLogger(name).level for name in _CLIENT_LOGGERS}
    for name in levels:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _connected(client: Any, scheduler: str) -> Any:
    try:
        return client(scheduler, timeout=CONNECTION_TIMEOUT)
    except (OSError, ValueError, TimeoutError) as error:
        reason = " ".join(str(error).split()).removesuffix(".")
        raise InputError(f"no Dask scheduler answers at {shown(scheduler)}: {reason}") from None
