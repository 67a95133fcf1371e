"""One operator of a forward pass: FLOPs, bytes and kernel; and the pass that makes operators."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from cost_analysis.common.arrays import Number, as_float, maximum, minimum
from cost_analysis.inputs.dtypes import DType, Precision
from cost_analysis.inputs.layout import SINGLE, Layout, Share
from cost_analysis.inputs.spec import ModelSpec


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


@dataclass(frozen=True, slots=True)
class ForwardPass:
    """One forward pass, and the two kinds of operators that it is made of.

    Attributes:
        spec: The model.
        precision: Storage formats.
        batch: Sequences of the pass on all devices, B.
        queries: New tokens of each sequence.
        past: Positions before the pass, prefix included.
        logits: "last" or "all" positions whose logits are computed.
        fills_prefix: The pass copies the learned prefixes into an empty cache first.
        layout: Of the model; everything is what one device has of it.
    """

    spec: ModelSpec
    precision: Precision
    batch: Number
    queries: Number
    past: Number
    logits: str = "last"
    fills_prefix: bool = False
    layout: Layout = SINGLE

    def size(self, name: str) -> Number:
        """A size of the model as float64."""
        return as_float(getattr(self.spec, name))

    @property
    def share(self) -> Share:
        """What one device has of the model."""
        return Share(self.spec, self.layout)

    @property
    def sequences(self) -> Number:
        """Sequences on one device."""
        return self.share.sequences(self.batch)

    @property
    def streams(self) -> Number:
        """Streams on one device."""
        return as_float(self.share.streams)

    @property
    def tokens(self) -> Number:
        """Tokens before they are copied to streams, B·queries."""
        return self.sequences * self.queries

    @property
    def rows(self) -> Number:
        """Token-streams, P·B·queries: the rows of every matrix product of a layer."""
        return self.tokens * self.streams

    @property
    def query(self) -> Number:
        """Width of the query heads on one device."""
        return as_float(self.share.query)

    @property
    def key_value(self) -> Number:
        """Width of the KV heads on one device."""
        return as_float(self.share.key_value)

    @property
    def parallel(self) -> Number:
        """1.0 where P > 1, else 0.0."""
        return as_float(self.spec.streams > 1)

    def linear(
        self,
        name: str,
        part: str,
        rows: Number,
        inputs: Number,
        outputs: Number,
        *,
        bias: Number = 0.0,
        quantised: bool = True,
    ) -> Operator:
        """A matrix product (rows, inputs) × (inputs, outputs), and the bias it may add.

        Args:
            name: Of the operator.
            part: Of the model.
            rows: Token-streams or tokens.
            inputs: Width that goes in.
            outputs: Width that comes out; matrices that read the same input are one product.
            bias: Values of the bias.
            quantised: Its weights are stored in the format of matrices, not the wider one.
        """
        precision = self.precision
        stored = precision.matrix if quantised else precision.unquantised
        moved = precision.activation if quantised else precision.accumulate
        flops = 2.0 * rows * inputs * outputs
        return Operator(
            name=name,
            part=part,
            flops=flops,
            weight_bytes=stored.matrix_bytes(inputs, outputs) + bias * precision.unquantised.bytes,
            activation_bytes=rows * (inputs * moved.bytes + outputs * precision.accumulate.bytes),
            kernels=1.0,
            compute=precision.compute if quantised else precision.head_compute,
            kind="product",
            stored=stored,
            rows=rows,
        )

    def elementwise(
        self, name: str, part: str, values: Number, *, weights: Number = 0.0
    ) -> Operator:
        """A kernel without matrix product: `values` activations moved, `weights` values read."""
        return Operator(
            name=name,
            part=part,
            weight_bytes=weights * self.precision.unquantised.bytes,
            activation_bytes=values * self.precision.accumulate.bytes,
            kernels=1.0,
        )

    def norm(self, name: str, part: str, moved: float = 2.0) -> Operator:
        """A norm over the residual stream.

        Args:
            name: Of the operator.
            part: Of the model.
            moved: Values that are read and written for each of the stream's: more than two where a
                residual is added in the same kernel.
        """
        hidden = self.size("hidden_size")
        weights = hidden * 2.0 if self.spec.frame.norm_bias else hidden
        return self.elementwise(name, part, moved * self.rows * hidden, weights=weights)

    def post_norm(self, part: str) -> list[Operator]:
        """The norm after attention or MLP, where the model has one."""
        if not self.spec.frame.post_norms:
            return []
        return [self.norm(f"norm after {'MLP' if part == 'mlp' else part}", part)]

    @property
    def residual_bytes(self) -> Number:
        """The residual stream of all token-streams of one device [B]."""
        return self.rows * self.size("hidden_size") * self.precision.accumulate.bytes
