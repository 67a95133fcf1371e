"""Memory of a run, part by part [B].

Counted: every parameter, the KV cache of the whole request, and the largest set of tensors that
a forward pass keeps alive. Not counted: the CUDA context (about 0.3 to 0.6 GB a process), the
allocator's slack, workspaces of kernels, what an engine reserves beyond the request, the scales of
a quantised cache, and what attention without a fused kernel for the case makes: transformers' sdpa
builds a mask when there is a prefix, and with a mask it copies K and V to all query heads.
"""

from __future__ import annotations

from dataclasses import dataclass

from cost_analysis.arrays import Number, as_float, maximum, where
from cost_analysis.layers import Experts
from cost_analysis.matrices import (
    attention_matrices,
    cached_positions,
    cached_values,
    expert_width,
    mlp_matrices,
)
from cost_analysis.parameters import parameters
from cost_analysis.spec import ModelSpec, Precision, Workload

FLOAT32 = 4.0
"""Norms and the aggregation's weighted sum compute in float32, whatever is stored [B]."""

NOT_COUNTED = (
    "CUDA context, allocator slack, workspaces, masks, copies of K and V for grouped heads, "
    "scales of a quantised cache"
)


@dataclass(frozen=True, slots=True)
class Memory:
    """What is held in memory [B].

    Attributes:
        embedding: Embedding table.
        layers: Layers' matrices, norms and biases, and the final norm.
        lm_head: Output matrix; 0 when tied.
        prefix: Learned prefixes; 0 at P = 1.
        aggregator: Aggregation of the streams; 0 at P = 1.
        kv_cache: Cached keys and values at the end of the request, prefix included.
        prefill_activations: Peak of live activations in the prefill.
        decode_activations: Peak of live activations in a decode step.
    """

    embedding: Number
    layers: Number
    lm_head: Number
    prefix: Number
    aggregator: Number
    kv_cache: Number
    prefill_activations: Number
    decode_activations: Number

    @property
    def weights(self) -> Number:
        """All parameters, prefixes and aggregator included."""
        return self.embedding + self.layers + self.lm_head + self.prefix + self.aggregator

    @property
    def activations(self) -> Number:
        """The larger of the two activation peaks."""
        return maximum(self.prefill_activations, self.decode_activations)

    @property
    def total(self) -> Number:
        """Weights, the cache at its final length and the activation peak together."""
        return self.weights + self.kv_cache + self.activations


def memory(spec: ModelSpec, workload: Workload, precision: Precision | None = None) -> Memory:
    """The memory that a request needs.

    The cache is counted at its final length, as engines with a static cache allocate it.
    """
    precision = precision or Precision()
    counts = parameters(spec)
    wide = precision.unquantised.bytes
    return Memory(
        embedding=counts.embedding * wide,
        layers=_matrices_bytes(spec, precision) + counts.small * wide,
        lm_head=counts.lm_head * wide,
        prefix=counts.prefix * wide,
        aggregator=counts.aggregator * wide,
        kv_cache=kv_cache_bytes(spec, workload.batch_size, workload.cached_tokens, precision),
        prefill_activations=activation_bytes(
            spec, workload.batch_size, workload.input_length, precision, workload.logits
        ),
        decode_activations=where(
            workload.decode_steps > 0,
            activation_bytes(spec, workload.batch_size, 1, precision),
            0.0,
        ),
    )


def kv_cache_bytes(
    spec: ModelSpec, batch_size: Number, tokens: Number, precision: Precision | None = None
) -> Number:
    """Cached keys and values of all layers, for P·B·(prefix + tokens) positions [B].

    A layer with a window caches the positions that the next query may see, and no more.

    Args:
        spec: The model.
        batch_size: Sequences, B.
        tokens: Real tokens in the cache of each sequence.
        precision: Storage formats; bf16 if None.
    """
    precision = precision or Precision()
    sequences = as_float(batch_size) * spec.streams
    positions = spec.prefix + as_float(tokens)
    values = sum(
        cached_positions(group.attention, positions)
        * (group.count * cached_values(spec, group.attention))
        for group in spec.groups
    )
    return sequences * values * precision.cache.bytes


def activation_bytes(
    spec: ModelSpec,
    batch_size: Number,
    queries: Number,
    precision: Precision | None = None,
    logits: str = "last",
) -> Number:
    """Peak of the activations that are alive at once in a forward pass [B].

    The largest of five moments, with what transformers' Qwen2 keeps alive in each (fused
    attention, the cache not counted); the tests compare it with the live tensors of real passes.

    Args:
        spec: The model.
        batch_size: Sequences, B.
        queries: New tokens of each sequence.
        precision: Storage formats; bf16 if None.
        logits: "last" or "all" positions whose logits are kept.
    """
    moments = activation_moments(spec, batch_size, queries, precision or Precision(), logits)
    peak = as_float(0)
    for moment in moments.values():
        peak = maximum(peak, moment)
    return peak


def activation_moments(
    spec: ModelSpec, batch_size: Number, queries: Number, precision: Precision, logits: str
) -> dict[str, Number]:
    """Live activations at the moments that can be the peak [B].

    Kept alive through all layers: the copied embeddings, the layer's input, and the rotary tables
    of one sequence. Masks are not counted: a fused causal kernel needs none.
    """
    tokens = as_float(batch_size) * as_float(queries)
    rows = tokens * spec.streams
    hidden, inner = rows * spec.hidden_size, rows * _live_mlp_values(spec)
    query, key_value = rows * spec.query_size, rows * spec.key_value_size
    narrow, wide = precision.activation.bytes, precision.accumulate.bytes
    kept = (2.0 * as_float(queries) * spec.head_dim + 2.0 * hidden) * wide
    rotary = maximum(4.0 * query + 2.0 * key_value, 2.0 * query + 5.0 * key_value)
    aggregate = tokens * spec.hidden_size
    logit_values = (tokens if logits == "all" else as_float(batch_size)) * spec.vocab_size
    return {
        "norm": kept + hidden * (wide + 2.0 * FLOAT32),
        "rotary": kept + (hidden + rotary) * wide,
        "mlp": kept + hidden * (wide + narrow) + inner * narrow,
        "aggregation": (hidden + aggregate) * (wide + FLOAT32) * (spec.streams > 1),
        "logits": (aggregate + logit_values) * wide,
    }


def _live_mlp_values(spec: ModelSpec) -> Number:
    """Values that the widest MLP keeps alive for a token-stream: gate, up and their product.

    Experts work on copies of their inputs, one for each expert that a token-stream is sent to.
    """
    parts = 3.0 if spec.gated_mlp else 2.0
    peak = as_float(0)
    for group in spec.groups:
        kind = group.mlp
        if isinstance(kind, Experts):
            routed = kind.per_token * (parts * expert_width(spec, kind) + spec.hidden_size)
            live = maximum(as_float(routed), parts * kind.shared_width)
        else:
            live = parts * spec.intermediate_size
        peak = maximum(peak, live)
    return peak


def _matrices_bytes(spec: ModelSpec, precision: Precision) -> Number:
    """Attention and MLP matrices in their storage format, with its scales [B]."""
    stored = precision.matrix.matrix_bytes
    return sum(
        as_float(group.count)
        * as_float(matrix.copies)
        * stored(as_float(matrix.inputs), as_float(matrix.outputs))
        for group in spec.groups
        for matrix in (
            *attention_matrices(spec, group.attention),
            *mlp_matrices(spec, group.mlp),
        )
    )
