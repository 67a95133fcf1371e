"""A small model under load on one device."""

from __future__ import annotations

from functools import cache

from cost_analysis import load_engine, load_hardware, load_model
from cost_analysis.inputs.system import System
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
