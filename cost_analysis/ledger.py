"""One operator of a forward pass: its FLOPs, its bytes and what kind of kernel runs it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from cost_analysis.arrays import Number, maximum, minimum
from cost_analysis.dtypes import DType


@dataclass(frozen=True, slots=True)
class Operator:
    """One kind of operator of a forward pass, summed over the layers.

    A plain 0.0 is a term that the operator does not have; it stays a scalar among arrays.

    Attributes:
        name: What it does.
        part: "embedding", "attention", "mlp", "aggregator", "lm head", "pipeline" or "host".
        flops: FLOPs of matrix products, attention as the full rectangle.
        skipped_flops: Those of the rectangle that a fused causal kernel does not compute.
        weight_bytes: Parameters read [B].
        cache_bytes: Cached keys and values read or written [B].
        activation_bytes: Activations read and written [B].
        score_values: Scores of queries and keys, the full rectangle, over all heads.
        expanded_bytes: Keys and values of the context, were they copied to all query heads [B].
        link_bytes: What a device sends to others [B].
        messages: Messages that follow one another between them.
        kernels: Kernels launched.
        compute: Data type of its matrix products; None where it has none.
        kind: Which kernel it is: "product", "attention", "elementwise", "exchange" or "host".
        stored: Format of the weights of a product; None where it has none.
        rows: Rows that the weights of a product are multiplied with.
        blocks: Parts that an attention has without its context being divided: its heads, by
            `QUERIES_PER_BLOCK` queries each.
        spans: Devices from the first to the last of those that exchange something.
    """

    name: str
    part: str
    flops: Number = 0.0
    skipped_flops: Number = 0.0
    weight_bytes: Number = 0.0
    cache_bytes: Number = 0.0
    activation_bytes: Number = 0.0
    score_values: Number = 0.0
    expanded_bytes: Number = 0.0
    link_bytes: Number = 0.0
    messages: Number = 0.0
    kernels: Number = 0.0
    compute: DType | None = None
    kind: str = "elementwise"
    stored: DType | None = None
    rows: Number = 0.0
    blocks: Number = 0.0
    spans: Number = 0.0

    @property
    def kernel_flops(self) -> Number:
        """FLOPs that its kernel computes."""
        return self.flops - self.skipped_flops if _present(self.skipped_flops) else self.flops

    @property
    def bytes(self) -> Number:
        """Everything it moves to or from memory [B]."""
        terms = (self.weight_bytes, self.cache_bytes, self.activation_bytes)
        return sum(filter(_present, terms[1:]), terms[0])

    @property
    def intensity(self) -> Number:
        """FLOPs of its kernel per byte moved [FLOP/B]; 0 where nothing moves."""
        return self.kernel_flops / maximum(self.bytes, 1.0)

    def combined(self, combine: Callable[..., Number], *others: Operator) -> Operator:
        """The operator with each of its terms combined with those of others."""
        terms = {
            name: combine(getattr(self, name), *(getattr(other, name) for other in others))
            for name in _TERMS
            if _present(getattr(self, name))
        }
        return replace(self, **terms)

    def plus(self, other: Operator) -> Operator:
        """The operator and another of its kind as one."""
        return self.combined(lambda own, others: own + others, other)

    def minus(self, other: Operator) -> Operator:
        """What the operator has beyond another of its kind."""
        return self.combined(lambda own, others: own - others, other)

    def times(self, count: Number) -> Operator:
        """The same operator, run `count` times."""
        return self.combined(lambda term: term * count)


QUERIES_PER_BLOCK = 64.0
"""Queries that one part of an attention kernel takes (PyTorch's memory-efficient attention)."""

_TERMS = (
    "flops",
    "skipped_flops",
    "weight_bytes",
    "cache_bytes",
    "activation_bytes",
    "score_values",
    "expanded_bytes",
    "link_bytes",
    "messages",
    "kernels",
)


def _present(term: Number) -> bool:
    return not (isinstance(term, float) and term == 0.0)


def masked_pairs(queries: Number, past: Number = 0.0, window: Number = None) -> Number:
    """Query-key pairs of the rectangle queries · (past + queries) that the mask hides.

    Each query sees the past and the new tokens up to itself; with a window, of these the last
    `window`. A fused kernel skips the rest.

    Args:
        queries: New tokens, S.
        past: Cached positions; with a window at most `window - 1`.
        window: Positions that a query sees, itself included; None means all.
    """
    future = queries * (queries - 1.0) / 2.0
    if window is None:
        return future
    # The first queries see everything before them; of the others each hides one position more.
    others = maximum(past + queries - window, 0.0)
    return future + others * (others + 1.0) / 2.0


@dataclass(frozen=True, slots=True)
class Growth:
    """What each further decode step adds to an operator.

    Attributes:
        operator: The terms that a step adds; it has the name of the operator that grows.
        steps: How many steps add them: those after which a window is full; inf without one.
    """

    operator: Operator
    steps: Number = math.inf

    @property
    def is_endless(self) -> bool:
        """Whether nothing ends it."""
        return isinstance(self.steps, float) and self.steps == math.inf

    def growing(self, steps: Number) -> Number:
        """How many of the first steps are followed by a growth."""
        return steps if self.is_endless else minimum(steps, self.steps)

    def total(self, first: Operator, steps: Number) -> Operator:
        """All steps of the operator together.

        Args:
            first: The operator in the first step.
            steps: Decode steps.
        """

        def over_steps(start: Number, gain: Number) -> Number:
            growing = self.growing(steps)
            grown = arithmetic_sum(start, gain, growing)
            if self.is_endless:
                return grown
            return grown + (start + gain * self.steps) * (steps - growing)

        return first.combined(over_steps, self.operator)


def arithmetic_sum(start: Number, slope: Number, count: Number) -> Number:
    """Sum of start + j·slope for j = 0 … count − 1."""
    return count * start + slope * (count * (count - 1.0) / 2.0)
