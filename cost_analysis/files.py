"""Reads a small file of the user's, and no more of it than such a file can be long."""

from __future__ import annotations

from pathlib import Path

from cost_analysis.errors import LONGEST_PATH, InputError, shown


def read_small(path: Path, what: str, most: int) -> tuple[str, bytes]:
    """What an error calls a file, and its content.

    Args:
        path: The file.
        what: What it is to be, e.g. "profile".
        most: Bytes that it may have.

    Raises:
        InputError: It cannot be read, or is larger.
    """
    name = f"{what} {shown(str(path), LONGEST_PATH)}"
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read {name}: {reason}") from None
    if len(content) > most:
        raise InputError(f"{name} is larger than {most} bytes")
    return name, content
