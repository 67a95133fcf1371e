"""Files that are there whole or not at all, whatever ends the program or the machine."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from cost_analysis.errors import LONGEST_PATH, shown


class SweepError(Exception):
    """A sweep that failed on its way: one sentence; what was done is kept."""


@contextmanager
def beside(path: Path, folder: Path | None = None) -> Iterator[IO[bytes]]:
    """A file to write that takes its name when it is whole, and is on the disk.

    Until then it is in the folder, or beside its path: what a kill leaves goes with the folder.
    """
    other = (folder or path.parent) / f".{path.name}.{os.getpid()}"
    try:
        with other.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        other.replace(path)
        _sync(path.parent)
    finally:
        other.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Put the names of a folder on the disk, where a system lets folders be asked for it."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # of file systems without it
            raise
    finally:
        os.close(opened)


def put(path: Path, content: bytes) -> None:
    """Write a small file whole or not at all."""
    with beside(path) as file:
        file.write(content)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Tell what could not be written.

    Raises:
        SweepError: It cannot be written.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise SweepError(f"cannot write {shown(str(path), LONGEST_PATH)}: {reason}") from None
