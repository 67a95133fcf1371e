"""Memory and latency of requests, or of the mean over several, under either cost model."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from cost_analysis.common.arrays import Number
from cost_analysis.common.errors import InputError
from cost_analysis.cost.estimate import estimate_on
from cost_analysis.cost.published import published_on
from cost_analysis.inputs.spec import ModelSpec, Workload
from cost_analysis.inputs.system import System

COST_MODELS = ("published", "operators")

DIAGONAL = (64, 128, 256, 512)
"""Input = output lengths that the paper averages over."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Memory [B] and latency [s] of a request, or of the mean over several."""

    memory: Number
    latency: Number


@dataclass(frozen=True, slots=True)
class Setting:
    """The requests that a reading averages over.

    Attributes:
        batch_sizes: Batch sizes; costs are means over them.
        input_lengths: Prompt tokens, paired with `output_lengths`.
        output_lengths: Generated tokens.
    """

    batch_sizes: tuple[int, ...]
    input_lengths: tuple[int, ...] = DIAGONAL
    output_lengths: tuple[int, ...] = DIAGONAL

    def __post_init__(self) -> None:
        """Pair the lengths: a single one goes with each of the other's."""
        pairs = max(len(self.input_lengths), len(self.output_lengths))
        for name in ("input_lengths", "output_lengths"):
            lengths = getattr(self, name)
            if len(lengths) == 1:
                object.__setattr__(self, name, lengths * pairs)
            elif len(lengths) != pairs:
                raise InputError(
                    f"{len(self.input_lengths)} input lengths and {len(self.output_lengths)} "
                    "output lengths cannot be paired; give as many of one as of the other, or one"
                )

    @property
    def workload(self) -> Workload:
        """All requests as one workload of arrays."""
        lengths = zip(self.input_lengths, self.output_lengths, strict=True)
        rows = [(batch, *pair) for batch, pair in product(self.batch_sizes, lengths)]
        batch, prompt, output = np.array(rows, np.float64).T
        return Workload(batch, prompt, output)


def mean_cost(model: str, spec: ModelSpec, setting: Setting, system: System) -> Cost:
    """Memory [B] and latency [s] of a model, means over the requests of a setting.

    Args:
        model: Cost model, one of `COST_MODELS`.
        spec: The model.
        setting: The requests.
        system: What runs it.
    """
    memory, latency = request_cost(model, spec, setting.workload, system)
    return Cost(float(np.mean(memory)), float(np.mean(latency)))


def request_cost(
    model: str, spec: ModelSpec, workload: Workload, system: System
) -> tuple[Number, Number]:
    """Memory [B] and latency [s] of requests, under one of `COST_MODELS`."""
    if model == "published":
        paper = published_on(spec, workload, system)
        return paper.total_memory, paper.total_latency
    cost = estimate_on(spec, workload, system)
    return cost.memory.total, cost.total
