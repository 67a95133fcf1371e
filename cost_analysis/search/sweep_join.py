"""Joins the parts of a sweep into its file while later parts are still calculated.

A thread of this process writes the file; the parts wait for it on the disk, not in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Condition

from cost_analysis.search.sweep_files import Target, assemble


class EndedEarlyError(Exception):
    """A sweep ended before all of its parts were finished."""


class FinishedParts:
    """The numbers of a sweep's parts in their order, each as soon as that part is finished.

    One thread adds the parts, in any order; another one iterates over them.
    """

    def __init__(self, count: int) -> None:
        """No part is finished yet.

        Args:
            count: Parts of the sweep.
        """
        self._count, self._finished, self._ended = count, set[int](), False
        self._changed = Condition()

    def add(self, index: int) -> None:
        """A part is finished."""
        with self._changed:
            self._finished.add(index)
            self._changed.notify()

    def end(self) -> None:
        """No more parts will be added: iteration ends with an error."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def __iter__(self) -> Iterator[int]:
        """The parts from the first to the last.

        Raises:
            EndedEarlyError: The next part will not be added.
        """
        for index in range(self._count):
            with self._changed:
                while not self._ended and index not in self._finished:
                    self._changed.wait()
                if self._ended:
                    raise EndedEarlyError
                self._finished.remove(index)
            yield index


@contextmanager
def joining(target: Target, count: int) -> Iterator[Callable[[int], None]]:
    """Write the file of a sweep from its parts as they are finished.

    On leaving, the file is complete; if the sweep ends with an error, there is no file and the
    parts stay.

    Args:
        target: Where to write.
        count: Parts of the sweep.

    Yields:
        To be called with the number of each part that is finished.

    Raises:
        SweepError: The file cannot be written; also by the next call with a finished part.
    """
    parts = FinishedParts(count)
    with ThreadPoolExecutor(1) as thread:
        file = thread.submit(assemble, target, parts)

        def on_finished(index: int) -> None:
            if file.done():  # the sweep need not go on when its file cannot be written
                file.result()
            parts.add(index)

        try:
            yield on_finished
            file.result()
        finally:
            parts.end()
