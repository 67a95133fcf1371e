"""What tests of fits share: the cited rows of time, and the recorded errors of each."""

from __future__ import annotations

import pytest

from cost_analysis.fitting.accuracy import represented
from cost_analysis.fitting.measurements import MEMORY_METRIC, Measurement, read_measurements
from tests.helpers.data import read_rows


@pytest.fixture(scope="module")
def rows() -> list[Measurement]:
    kept, refused = represented(read_measurements())
    assert not refused
    return [row for row in kept if row.metric != MEMORY_METRIC]


@pytest.fixture(scope="module")
def recorded() -> dict[str, dict[str, str]]:
    """What `fit-latency --format csv` printed: predicted / measured time of every row."""
    return {row["id"]: row for row in read_rows("held_out_times.csv")}
