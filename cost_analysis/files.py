"""Small files of the user's: read whole, within a limit, as text or as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from cost_analysis.errors import LONGEST_PATH, InputError, shown

LARGEST_FILE = 4_000_000
"""Some 100,000 rows of a table; a larger file is not one that a person wrote [B]."""


def read_small(path: Path, what: str = "") -> tuple[str, str]:
    """What an error calls a file, and its text: UTF-8 with or without a byte order mark.

    Args:
        path: The file; `~` is the home folder.
        what: What it should be, e.g. "profile"; errors put it before the path.

    Raises:
        InputError: It cannot be read, is larger than `LARGEST_FILE`, or is not UTF-8 text.
    """
    name = f"{what} {shown(str(path), LONGEST_PATH)}".lstrip()
    try:
        with path.expanduser().open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read {name}: {reason}") from None
    if len(content) > LARGEST_FILE:
        raise InputError(f"{name} is larger than {LARGEST_FILE} bytes")
    try:
        return name, content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{name} is not UTF-8 text") from None


def read_json(path: Path, what: str = "") -> dict[str, Any]:
    """The JSON object of a small file, in which each field is given once.

    Args:
        path: The file.
        what: What it should be, as for `read_small`.

    Raises:
        InputError: A file that cannot be read, is too large, or holds something else.
    """
    name, text = read_small(path, what)
    try:
        content = json.loads(text, parse_constant=_no_number, object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{name} is not JSON: {reason}") from None
    if not isinstance(content, dict):
        raise InputError(f"{name} is not a JSON object")
    return content


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose fields are given once, or with the same value."""
    content: dict[str, Any] = {}
    for name, value in pairs:
        if name in content and content[name] != value:
            raise ValueError(f"{shown(name)} is given twice, with different values")
        content[name] = value
    return content
