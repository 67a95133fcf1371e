"""The coefficients of the latency model that a fit moves, and what is believed of each before.

Physics and single operators say where they start; the widths say what engines share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cost_analysis.system import AttentionKernels, Engine


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A coefficient of engines, and what is believed of it before any row is seen.

    Attributes:
        name: Field of `Engine`, or of its attention as "attention.field".
        start: Its value for all engines.
        low: Its least value.
        high: Its largest value.
        shared: How far its logarithm may lie from the start, for all engines together.
        of_class: How far for a class.
        of_engine: How far for an engine of a class.
        starts: Its value for a class, or an engine, whose physics is another.
    """

    name: str
    start: float
    low: float
    high: float
    shared: float
    of_class: float
    of_engine: float
    starts: tuple[tuple[str, float], ...] = ()


COEFFICIENTS = (
    Coefficient("flops_efficiency", 0.95, 0.3, 1.0, 0.1, 0.05, 0.15),
    Coefficient("bandwidth_efficiency", 0.93, 0.4, 1.0, 0.03, 0.03, 0.2),
    Coefficient("kernel_floor", 4.5e-6, 3e-7, 3e-5, 0.1, 0.05, 0.5, starts=(("graphs", 2.5e-6),)),
    Coefficient("elementwise_share", 0.6, 0.05, 3.0, 0.3, 0.2, 0.3),
    Coefficient("attention.flops_share", 0.7, 0.1, 1.0, 0.3, 0.15, 0.2),
    Coefficient("attention.bandwidth_share", 0.75, 0.1, 1.0, 0.2, 0.1, 0.2),
    Coefficient("attention.floor", 8e-6, 1e-7, 1e-4, 0.2, 0.1, 0.3),
    Coefficient("attention.score_bytes", 2.0, 0.01, 100.0, 1.5, 0.5, 1.0),
    Coefficient("attention.cache_copies", 0.05, 0.01, 6.0, 1.0, 1.5, 0.3, starts=(("eager", 2.0),)),
    Coefficient("link_share", 0.7, 0.05, 1.2, 0.3, 0.15, 0.3),
    Coefficient("link_latency", 3e-6, 1e-6, 2e-4, 0.5, 0.2, 0.4),
    Coefficient("layer_host_time", 1e-6, 1e-7, 2e-3, 0.5, 1.0, 0.2, starts=(("eager", 7e-4),)),
    Coefficient(
        "step_host_time", 6e-4, 1e-6, 3e-2, 0.5, 0.3, 1.0, starts=(("graphs", 1e-4), ("vllm", 1e-3))
    ),
)
"""The coefficients that 16-bit rows tell. The starts are measured operators (floors, shares) and
what Python costs a layer (eager); the widths say what engines share: their matrix products, mostly,
which are the vendor's, less so their overheads. In a CUDA graph the light kernels of vidur's A100
(`add`, `emb` at one token) take 2 to 3 us, and NVIDIA states 0.5 us between kernels ("Getting
Started with CUDA Graphs", 2019); a loop in one process has little left to do for a step, while
vLLM's scheduler leaves the device idle for milliseconds (vllm-project/vllm issue 6854: 4 to 13 ms
with many requests). An all-reduce starts in 3.6 us and reaches 0.7 of the link (NCCL's figures)."""

QUANTISED = (
    Coefficient("quantised_flops_share", 0.5, 0.02, 1.5, 0.7, 0.5, 0.5),
    Coefficient("quantised_bandwidth_share", 0.8, 0.05, 1.5, 0.5, 0.3, 0.5),
)
"""The coefficients that only rows with narrower weights tell; the others stay as fitted."""


def with_coefficients(
    engine: Engine, coefficients: Sequence[Coefficient], values: npt.NDArray[Any]
) -> Engine:
    """An engine with other coefficients: a number, or an array over rows, for each."""
    plain: dict[str, Any] = {}
    kernels: dict[str, Any] = {}
    for item, value in zip(coefficients, values, strict=True):
        number = value if np.ndim(value) else float(value)
        if item.name.startswith("attention."):
            kernels[item.name.removeprefix("attention.")] = number
        else:
            plain[item.name] = number
    attention: AttentionKernels = replace(engine.attention, **kernels)
    return replace(engine, attention=attention, device_shares=True, soft_roofs=True, **plain)
