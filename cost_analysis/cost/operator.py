"""One operator of a forward pass: its FLOPs, its bytes and its kind of kernel."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import add, attrgetter
from typing import NamedTuple, TypeVar, dataclass_transform

from cost_analysis.common.arrays import Number, maximum, minimum
from cost_analysis.inputs.dtypes import DType
from cost_analysis.kernels.shapes import Experts, Product, Shape

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def record(kind: type[T]) -> type[T]:
    """A data class whose fields must not be changed, which only the type checker ensures.

    A frozen data class takes four times as long to make, and an estimate makes a hundred.
    """
    return dataclass(slots=True)(kind)


@record
class Operator:
    """One kind of operator of a forward pass, summed over the layers.

    A plain 0.0 is a term that the operator does not have; it stays a scalar among arrays.

    Attributes:
        name: Its name.
        part: "embedding", "attention", "mlp", "aggregator", "lm head", "pipeline" or "host".
        flops: FLOPs of matrix products, attention as the full rectangle.
        skipped_flops: FLOPs of the rectangle that a fused causal kernel does not compute.
        weight_bytes: Parameters read [B].
        cache_bytes: Cached keys and values read or written [B].
        activation_bytes: Activations read and written [B].
        score_values: Scores of queries and keys, the full rectangle, over all heads.
        expanded_bytes: Keys and values of the context if they were copied to all query heads [B].
        link_bytes: Bytes that a device sends to others [B].
        messages: Messages between them, one after another.
        kernels: Kernels launched.
        compute: Data type of its matrix products; None where it has none.
        kind: Its kind of kernel: "product", "attention", "elementwise", "exchange" or "host".
        stored: Format of the weights of a product; None where it has none.
        rows: Rows of the input matrix of a product.
        blocks: Blocks of an attention kernel that does not divide the context: heads, times groups
            of `QUERIES_PER_BLOCK` queries.
        spans: Devices from the first to the last of the group that takes part in an exchange.
        shape: Sizes of one of its kernels, by which measured ones are found; None where it has no
            such kernel.
        is_inside: Where its shape has measured kernels, it runs inside them, as another operator
            with that shape does: the activation between the products of experts.
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
    shape: Shape | None = None
    is_inside: bool = False

    @property
    def kernel_flops(self) -> Number:
        """FLOPs that its kernel computes."""
        skipped = self.skipped_flops
        # `is_present` inlined for speed, as in `bytes`: every operator needs both.
        return self.flops if type(skipped) is float and skipped == 0.0 else self.flops - skipped

    @property
    def bytes(self) -> Number:
        """Traffic to and from memory [B]."""
        moved, cache, activations = self.weight_bytes, self.cache_bytes, self.activation_bytes
        if type(cache) is not float or cache != 0.0:
            moved = moved + cache
        return moved if type(activations) is float and activations == 0.0 else moved + activations

    @property
    def intensity(self) -> Number:
        """FLOPs of its kernel per byte moved [FLOP/B]; 0 where no bytes move."""
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
            self.shape,
            self.is_inside,
        )

    def inside(self, shape: Shape | None) -> Operator:
        """The operator as a part of measured kernels of a shape, which another stands for."""
        return replace(self, shape=shape, is_inside=shape is not None)

    def plus(self, other: Operator) -> Operator:
        """The operator and another of its kind as one."""
        return self.combined(add, other)


QUERIES_PER_BLOCK = 64.0
"""Queries of one block of an attention kernel (PyTorch's memory-efficient attention)."""

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
    """Whether a term is other than the plain 0.0 of a term that an operator does not have."""
    return type(term) is not float or term != 0.0


@record
class Kernel:
    """A kernel of every pass: bytes that it reads once, and its FLOPs and bytes for each row.

    Attributes:
        name: Of the operator.
        part: Of the model.
        weight_bytes: Parameters read [B].
        row_bytes: Activations read and written for a row [B].
        kernels: Kernels launched.
        row_flops: FLOPs for a row.
        compute: Data type of its matrix product; None where it has none.
        stored: Format of its weights; None where it has no matrix product.
        inputs: Width of the input of its product.
        outputs: Width of the output.
        format: Name of the weights' format among measured kernels; "" where there is none.
    """

    name: str
    part: str
    weight_bytes: Number
    row_bytes: Number
    kernels: Number
    row_flops: Number = 0.0
    compute: DType | None = None
    stored: DType | None = None
    inputs: Number = 0.0
    outputs: Number = 0.0
    format: str = ""

    def over(
        self, rows: Number, *, row_bytes: Number | None = None, cache_bytes: Number = 0.0
    ) -> Operator:
        """The operator for a number of rows.

        Args:
            rows: Token-streams or tokens.
            row_bytes: Activations moved for a row, if other than the kernel's [B].
            cache_bytes: Bytes that it also writes to the cache [B].
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
        shape = Product(rows, self.inputs, self.outputs, self.format) if self.format else None
        return self._product(rows, self.weight_bytes, moved, rows, shape)

    def of_several(self, rows: Number, matrices: Number, shape: Experts | None = None) -> Operator:
        """Products with several matrices, each with rows of its own, in one grouped kernel.

        Args:
            rows: Rows of all matrices.
            matrices: Matrices that have any rows.
            shape: Sizes of the whole of both products, of the operator that stands for them.
        """
        weights = self.weight_bytes * matrices
        return self._product(rows, weights, rows * self.row_bytes, rows / matrices, shape)

    def _product(
        self,
        rows: Number,
        weight_bytes: Number,
        moved: Number,
        rows_of_one: Number,
        shape: Shape | None,
    ) -> Operator:
        """A matrix product: all rows, bytes of weights and activations, rows of each matrix."""
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
            shape=shape,
        )


def masked_pairs(queries: Number, past: Number = 0.0, window: Number | None = None) -> Number:
    """Query-key pairs of the rectangle queries · (past + queries) that are masked.

    Each query attends to the past and to the new tokens up to itself; with a window, to the last
    `window` of these. A fused kernel skips the rest.

    Args:
        queries: New tokens, S.
        past: Cached positions; with a window at most `window - 1`.
        window: Positions that a query attends to, itself included; None means all.
    """
    future = queries * (queries - 1.0) / 2.0
    if window is None:
        return future
    # The first queries attend to everything before them; each later one masks one position more.
    others = maximum(past + queries - window, 0.0)
    return future + others * (others + 1.0) / 2.0


class Growth(NamedTuple):
    """The terms that each further decode step adds to an operator.

    Attributes:
        operator: The terms of a step, under the name of the operator that grows.
        steps: Steps that add them, until a window is full; inf without a window.
    """

    operator: Operator
    steps: Number = math.inf

    @property
    def is_endless(self) -> bool:
        """Whether it continues in every step."""
        return type(self.steps) is float and self.steps == math.inf

    def growing(self, steps: Number) -> Number:
        """How many of the first steps the growth follows."""
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
            # Once a window is full, each further step equals the last.
            if not is_present(gain):
                return steps * start
            grown = growing * start + gain * gains
            return grown + (start + gain * self.steps) * rest if is_present(rest) else grown

        gains = growing * (growing - 1.0) / 2.0
        return first.combined(over_steps, self.operator)


def arithmetic_sum(start: Number, slope: Number, count: Number) -> Number:
    """Sum of start + j·slope for j = 0 … count − 1."""
    return count * start + slope * (count * (count - 1.0) / 2.0)
