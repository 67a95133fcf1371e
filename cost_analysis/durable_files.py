"""Atomic writes: a file is complete or absent, even after a kill or a power cut."""

from __future__ import annotations

import errno
import os
import stat
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

    It has the permissions of the file whose place it takes.

    Args:
        path: The name that it takes.
        folder: Where it is until then, on the same disk; None means beside its path. What is left
            there when the program is killed is removed with the folder.

    Raises:
        OSError: It cannot be written, or the file whose place it takes is read-only.
    """
    mode = _mode_of(path)
    other = (folder or path.parent) / f".parscale-cost-{os.urandom(8).hex()}"
    try:
        with other.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            other.chmod(mode)
        other.replace(path)
        _sync(path.parent)
    finally:
        other.unlink(missing_ok=True)


def _mode_of(path: Path) -> int | None:
    """Permissions of a file that may be replaced; None where there is none."""
    if not path.exists():
        return None
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return stat.S_IMODE(path.stat().st_mode)


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
    """Write a file whole or not at all, as `beside` does."""
    with beside(path) as file:
        file.write(content)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name the file in the error of a write that fails.

    Raises:
        SweepError: It cannot be written.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise SweepError(f"cannot write {shown(str(path), LONGEST_PATH)}: {reason}") from None
