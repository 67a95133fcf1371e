"""Recorded and published values in tests/data."""

from __future__ import annotations

import csv
from pathlib import Path

DATA = Path(__file__).parents[1] / "data"
ROOT = Path(__file__).parents[2]
"""The checkout."""


def read_rows(name: str) -> list[dict[str, str]]:
    """The rows of a CSV file in tests/data."""
    with (DATA / name).open(newline="") as file:
        return list(csv.DictReader(file))
