"""Measurements that tests of fits share."""

from __future__ import annotations

from cost_analysis.fitting.measurements import Measurement


def source(row: Measurement) -> str:
    """The source of a row."""
    return row.texts["source_id"]
