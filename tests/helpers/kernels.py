"""Timings of kernels that tests fit curves to."""

from __future__ import annotations

import numpy as np

from cost_analysis.distilling.exchange_curves import ExchangeTimings
from cost_analysis.distilling.expert_curves import ExpertFacts, ExpertTimings
from tests.helpers.data import read_rows

H100_BLOCKS = ExpertFacts(cache=50e6, bandwidth=3.35e12, peak=1979e12, weight_bytes=1.0)
"""An H100 that multiplies fp8 in blocks, as the experts of `kernel_experts.csv`."""


def expert_timings() -> ExpertTimings:
    """Those of tests/data/kernel_experts.csv."""
    rows = read_rows("kernel_experts.csv")
    names = ("tokens", "hidden", "inner", "experts", "held", "per_token", "matrices")
    columns = {name: np.array([float(row[name]) for row in rows]) for name in names}
    seconds = np.array([float(row["microseconds"]) for row in rows]) / 1e6
    return ExpertTimings(seconds=seconds, **columns)


def exchange_timings(device: str, engine: str) -> ExchangeTimings:
    """Those of a device and an engine in tests/data/kernel_exchanges.csv."""
    rows = [
        row
        for row in read_rows("kernel_exchanges.csv")
        if (row["device"], row["engine"]) == (device, engine)
    ]
    names = ("bytes", "devices", "microseconds")
    size, devices, time = (np.array([float(row[name]) for row in rows]) for name in names)
    return ExchangeTimings(size, devices, time / 1e6)
