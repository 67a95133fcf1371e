"""Memory and time of a model by part, for several P, by our own cost model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cost_analysis.estimate import Estimate, estimate
from cost_analysis.kernel_time import OperatorTime
from cost_analysis.latency import Phase
from cost_analysis.request_costs import System
from cost_analysis.spec import ModelSpec, Workload
from cost_analysis.training_runs import Array

Parts = dict[str, Array]

MEMORY_PARTS = (
    ("layers", ("layers",)),
    ("embedding, LM head", ("embedding", "lm_head")),
    ("prefixes, aggregator", ("prefix", "aggregator")),
    ("KV cache", ("kv_cache",)),
    ("activations", ("activations",)),
)
"""Parts of the memory and the fields of `memory.Memory` that they sum."""

OVERHEAD = "kernel floors, host"
TIME_PARTS = (
    ("attention", ("attention",)),
    ("MLP", ("mlp",)),
    ("LM head", ("lm head",)),
    ("embedding, aggregator", ("embedding", "aggregator")),
    (OVERHEAD, ()),
)
"""Parts of the time at the roofs and those of the operators that they sum, and what is above."""


@dataclass(frozen=True, slots=True, eq=False)
class Breakdown:
    """Memory and time of a model by part, for several P.

    Attributes:
        spec: The model; its own P does not count.
        workload: The request.
        system: What runs it.
        streams: Parallel streams, P, (streams,).
        memory: Bytes of each part, (streams,); they sum to the memory of the request.
        prefill: Seconds of each part of the prefill, likewise.
        decode: Seconds of each part of all decode steps together, likewise.
    """

    spec: ModelSpec
    workload: Workload
    system: System
    streams: tuple[int, ...]
    memory: Parts
    prefill: Parts
    decode: Parts


def breakdown(
    spec: ModelSpec, streams: Sequence[int], workload: Workload, system: System
) -> Breakdown:
    """Memory and time by part, by our own cost model.

    Args:
        spec: The model; its own P does not count.
        streams: Parallel streams, P.
        workload: One request.
        system: What runs it.
    """
    costs = [
        estimate(
            spec.with_streams(count), workload, system.hardware, system.engine, system.precision
        )
        for count in streams
    ]
    return Breakdown(
        spec=spec,
        workload=workload,
        system=system,
        streams=tuple(streams),
        memory=_joined(_memory_parts(cost) for cost in costs),
        prefill=_joined(_time_parts(cost.prefill) for cost in costs),
        decode=_joined(_time_parts(cost.decode) for cost in costs),
    )


def _joined(rows: Iterable[dict[str, float]]) -> Parts:
    listed = list(rows)
    return {name: np.array([row[name] for row in listed]) for name in listed[0]}


def _memory_parts(cost: Estimate) -> dict[str, float]:
    return {
        part: sum(float(getattr(cost.memory, name)) for name in names)
        for part, names in MEMORY_PARTS
    }


def _time_parts(phase: Phase) -> dict[str, float]:
    """Seconds of each part at the roofs; the floors of all kernels and the host are one part."""
    seconds = {
        part: sum(_at_roofs(time) for time in phase.times if time.operator.part in operators)
        for part, operators in TIME_PARTS
    }
    seconds[OVERHEAD] = sum(float(time.overhead * time.runs) for time in phase.times)
    return seconds


def _at_roofs(time: OperatorTime) -> float:
    return float((time.seconds - time.overhead) * time.runs)
