"""The one error that a user's input can cause."""

from __future__ import annotations

from collections.abc import Iterable


class InputError(ValueError):
    """Input that is not valid: one sentence on what was given and what is allowed."""


def shown(value: object, most: int = 60) -> str:
    """A value that a user gave, as messages repeat it: at most `most` characters of it."""
    try:
        text = _spelled(value)
    except ValueError:  # an integer of thousands of digits has no decimal form
        text = "a number of thousands of digits"
    return text if len(text) <= most else f"{text[:most]}…"


def _spelled(value: object) -> str:
    """A value as a file writes it: 1979-05-27, not Python's `datetime.date(1979, 5, 27)`."""
    if isinstance(value, list):
        return f"[{', '.join(map(_spelled, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {_spelled(each)}' for key, each in value.items())}}}"
    return str(value.isoformat()) if hasattr(value, "isoformat") else repr(value)


MOST_NAMES = 12
"""Names that a message lists at most; the list commands show all of them."""

LONGEST_PATH = 400
"""Characters of a path that a message repeats at most."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that does not exist, with the nearest names that do.

    Args:
        kind: What was asked for, e.g. "device".
        name: What the user gave.
        known: Every name that would have been accepted.
    """
    import difflib  # only an error needs it

    names = sorted(known)
    folded = {candidate.lower(): candidate for candidate in names}
    asked = name.lower()[:60]
    near = [folded[match] for match in difflib.get_close_matches(asked, folded, n=3)]
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    known_names = ", ".join(names[:MOST_NAMES]) + more
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {known_names}"
    return InputError(f"unknown {kind} {shown(name)}; {hint}")
