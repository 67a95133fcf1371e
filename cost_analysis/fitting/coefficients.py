"""The coefficients of engines that are fitted, and what is known of them before any row is seen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A coefficient of engines, and its prior.

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
    Coefficient("flops_efficiency", 0.95, 0.3, 1.0, 0.1, 0.05, 0.15, starts=(("cpu", 0.7),)),
    Coefficient("bandwidth_efficiency", 0.93, 0.4, 1.0, 0.03, 0.03, 0.2),
    Coefficient("kernel_floor", 4.5e-6, 3e-7, 3e-5, 0.1, 0.05, 0.5, starts=(("graphs", 2.5e-6),)),
    Coefficient(
        "elementwise_share",
        0.6,
        0.05,
        3.0,
        0.3,
        0.2,
        0.3,
        starts=(("eager", 0.3), ("vllm-2023", 0.6)),
    ),
    Coefficient("attention.flops_share", 0.7, 0.1, 1.0, 0.3, 0.15, 0.2),
    Coefficient("attention.bandwidth_share", 0.75, 0.1, 1.0, 0.2, 0.1, 0.2),
    Coefficient("attention.floor", 8e-6, 1e-7, 1e-4, 0.2, 0.1, 0.3),
    Coefficient("attention.score_bytes", 2.0, 0.01, 100.0, 1.5, 0.5, 1.0),
    Coefficient(
        "attention.cache_copies",
        0.05,
        0.01,
        6.0,
        1.0,
        1.5,
        0.3,
        starts=(("eager", 2.0), ("vllm-2023", 0.05)),
    ),
    Coefficient("link_share", 0.7, 0.05, 1.2, 0.3, 0.15, 0.3),
    Coefficient("link_latency", 3e-6, 1e-6, 2e-4, 0.5, 0.2, 0.4),
    Coefficient(
        "layer_host_time",
        1e-6,
        1e-7,
        2e-3,
        0.5,
        1.0,
        0.2,
        starts=(("eager", 7e-4), ("vllm-2023", 3.5e-4)),
    ),
    Coefficient(
        "step_host_time",
        6e-4,
        1e-6,
        3e-2,
        0.5,
        0.3,
        1.0,
        starts=(("graphs", 1e-4), ("vllm-2024", 1e-3)),
    ),
    Coefficient(
        "sequence_host_time",
        5e-6,
        1e-7,
        2e-4,
        0.5,
        0.5,
        1.0,
        starts=(("vllm-2024", 4.5e-5),),
    ),
    Coefficient("kernel_factor", 1.0, 0.5, 2.0, 0.03, 0.03, 0.08),
    Coefficient("kernel_gap", 5e-7, 1e-8, 1e-5, 0.5, 0.3, 0.5),
)
"""The coefficients that 16-bit rows determine. The starts are measured operators (floors, shares)
and what Python costs a layer (eager); the widths state what engines share: mostly their matrix
products, which are the vendor's, less so their overheads. In a CUDA graph the light kernels of
vidur's A100 (`add`, `emb` at one token) take 2 to 3 us, and NVIDIA states 0.5 us between kernels
("Getting Started with CUDA Graphs", 2019); a loop in one process has little left to do for a step,
while vLLM's scheduler leaves the device idle for milliseconds (vllm-project/vllm issue 6854: 4 to
13 ms with many requests). An all-reduce starts in 3.6 us and reaches 0.7 of the link (figures of
NCCL). Op by op, a norm casts to float32
and passes over its values six times, and rotary embeddings four times: of 94,000 values that a
layer of Llama-2-7B moves for a token when fused, 301,000 (eager). A token's sampling took vLLM of
2024 about 45 us a sequence. The first vLLM launched op by op as well, but a dozen fused kernels a
layer where transformers launches thirty, and did not copy its cache."""

QUANTISED = (
    Coefficient("quantised_flops_share", 0.5, 0.02, 1.5, 0.7, 0.5, 0.5),
    Coefficient("quantised_bandwidth_share", 0.8, 0.05, 1.5, 0.5, 0.3, 0.5),
)
"""The coefficients that only rows with narrower weights determine; the others stay as fitted."""
