"""The serving view as rows and pages."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from cost_analysis import load_engine, load_hardware, load_model
from cost_analysis.inputs.system import System
from cost_analysis.report.serving import (
    batch_rows,
    load_rows,
)
from cost_analysis.search.queueing import Lengths, Server
from cost_analysis.search.serving import ServingView, serving_view

BASE = load_model("1.6b").spec
H100 = System(load_hardware("h100"), load_engine("graphs"))


@cache
def view(
    streams: tuple[int, ...] = (4, 1),
    lengths: tuple[int, int] = (200, 40),
    memory: float | None = None,
) -> ServingView:
    server = Server(BASE, Lengths(*lengths), H100, most=64)
    return serving_view(server, streams, memory_limit=memory)


def test_rows_of_loads_and_of_batches() -> None:
    found = view()
    rows = load_rows(found, np.array([0.5, 2.0]))
    assert [(row["model"], row["requests_per_s"]) for row in rows] == [
        (name, rate) for name in ("P = 1", "P = 4", "wider") for rate in (0.5, 2.0)
    ]
    load = found.streams[1].load(2.0)
    (row,) = (r for r in rows if (r["model"], r["requests_per_s"]) == ("P = 4", 2.0))
    assert row["ttft_s"] == pytest.approx(float(load.ttft))
    assert row["latency_s"] == pytest.approx(float(load.latency))
    batches = [row for row in batch_rows(found) if row["model"] == "P = 1"]
    assert [row["batch_size"] for row in batches] == found.streams[0].batches.tolist()
    for row in batches:
        assert row["tokens_per_s"] == pytest.approx(40 * row["requests_per_s"])
