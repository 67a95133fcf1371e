"""The one error that a user's input can cause."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Input that makes no sense: one sentence on what was given and what is allowed."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that nothing carries, with the nearest names that something does.

    Args:
        kind: What was asked for, e.g. "device".
        name: What the user gave.
        known: Every name that would have been accepted.
    """
    names = sorted(known)
    folded = {candidate.lower(): candidate for candidate in names}
    near = [folded[match] for match in difflib.get_close_matches(name.lower(), folded, n=3)]
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
    return InputError(f"unknown {kind} {name!r}; {hint}")
