"""One operator of a forward pass: its FLOPs, its bytes and what kind of kernel runs it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from operator import add, attrgetter
from typing import NamedTuple, TypeVar, dataclass_transform

from cost_analysis.common.arrays import Number, maximum, minimum
from cost_analysis.inputs.dtypes import DType

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def record(kind: type[T]) -> type[T]:
    """A data class whose fields are not to be changed, which the type checker alone looks after.

    One that Python looks after takes four times as long to make, and an estimate makes a hundred.
    """
    return dataclass(slots=True)(kind)


@record
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
        skipped = self.skipped_flops
        # `is_present`, written out, as in `bytes`: each is asked for at every operator.
        return self.flops if type(skipped) is float and skipped == 0.0 else self.flops - skipped

    @property
    def bytes(self) -> Number:
        """Everything it moves to or from memory [B]."""
        moved, cache, activations = self.weight_bytes, self.cache_bytes, self.activation_bytes
        if type(cache) is not float or cache != 0.0:
            moved = moved + cache
        return moved if type(activations) is float and activations == 0.0 else moved + activations

    @property
    def intensity(self) -> Number:
        """FLOPs of its kernel per byte moved [FLOP/B]; 0 where nothing moves."""
        return self.kernel_flops / maximum(self.bytes, 1.0)

    def combined(self, combine: Callable[[Number, Number], Number], other: Operator) -> Operator:
        """The operator with each of its terms combined with that of another."""
        flops, skipped, weights, cache, activations, scores, expanded, sent, messages, kernels = (
            combine(own, another) if is_present(own) else own
            for own, another in zip(_terms(self), _terms(other), strict=True)
        )
        return Operator(
            self.name,
            self.part,
            flops,
            skipped,
            weights,
            cache,
            activations,
            scores,
            expanded,
            sent,
            messages,
            kernels,
            self.compute,
            self.kind,
            self.stored,
            self.rows,
            self.blocks,
            self.spans,
        )

    def plus(self, other: Operator) -> Operator:
        """The operator and another of its kind as one."""
        return self.combined(add, other)


QUERIES_PER_BLOCK = 64.0
"""Queries that one part of an attention kernel takes (PyTorch's memory-efficient attention)."""

_terms = attrgetter(
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
"""The terms of an operator that add up, in the order of its fields."""


def is_present(term: Number) -> bool:
    """Whether a term is more than the plain 0.0 that stands for none."""
    return type(term) is not float or term != 0.0


@record
class Kernel:
    """A kernel as every pass has it: what it reads once, and what it does for each row.

    Attributes:
        name: Of the operator.
        part: Of the model.
        weight_bytes: Parameters read [B].
        row_bytes: Activations read and written for a row [B].
        kernels: Kernels launched.
        row_flops: FLOPs for a row.
        compute: Data type of its matrix product; None where it has none.
        stored: Format of its weights; None where it has no matrix product.
    """

    name: str
    part: str
    weight_bytes: Number
    row_bytes: Number
    kernels: Number
    row_flops: Number = 0.0
    compute: DType | None = None
    stored: DType | None = None

    def over(
        self, rows: Number, *, row_bytes: Number | None = None, cache_bytes: Number = 0.0
    ) -> Operator:
        """The operator for so many rows, token-streams or tokens.

        Args:
            rows: How many.
            row_bytes: Activations moved for a row, where they are not the kernel's [B].
            cache_bytes: What it writes to the cache besides [B].
        """
        moved = rows * (self.row_bytes if row_bytes is None else row_bytes)
        if self.compute is None:
            return Operator(
                self.name,
                self.part,
                weight_bytes=self.weight_bytes,
                cache_bytes=cache_bytes,
                activation_bytes=moved,
                kernels=self.kernels,
            )
        return self._product(rows, self.weight_bytes, moved, rows)

    def of_several(self, rows: Number, matrices: Number) -> Operator:
        """The product of the rows of several matrices with each its own, in one grouped kernel.

        Args:
            rows: Over all matrices.
            matrices: How many have any.
        """
        weights = self.weight_bytes * matrices
        return self._product(rows, weights, rows * self.row_bytes, rows / matrices)

    def _product(
        self, rows: Number, weight_bytes: Number, moved: Number, rows_of_one: Number
    ) -> Operator:
        """A matrix product: rows in all, weights and activations [B], rows of each matrix."""
        return Operator(
            self.name,
            self.part,
            rows * self.row_flops,
            weight_bytes=weight_bytes,
            activation_bytes=moved,
            kernels=self.kernels,
            compute=self.compute,
            kind="product",
            stored=self.stored,
            rows=rows_of_one,
        )


def masked_pairs(queries: Number, past: Number = 0.0, window: Number | None = None) -> Number:
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


class Growth(NamedTuple):
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
        return type(self.steps) is float and self.steps == math.inf

    def growing(self, steps: Number) -> Number:
        """How many of the first steps are followed by a growth."""
        return steps if self.is_endless else minimum(steps, self.steps)

    def total(self, first: Operator, steps: Number) -> Operator:
        """All steps of the operator together.

        Args:
            first: The operator in the first step.
            steps: Decode steps.
        """
        growing = self.growing(steps)
        rest = 0.0 if self.is_endless else steps - growing

        def over_steps(start: Number, gain: Number) -> Number:
            # Of a window that is full, each further step is like the last.
            if not is_present(gain):
                return steps * start
            grown = growing * start + gain * gains
            return grown + (start + gain * self.steps) * rest if is_present(rest) else grown

        gains = growing * (growing - 1.0) / 2.0
        return first.combined(over_steps, self.operator)


def arithmetic_sum(start: Number, slope: Number, count: Number) -> Number:
    """Sum of start + j·slope for j = 0 … count − 1."""
    return count * start + slope * (count * (count - 1.0) / 2.0)
