"""Memory of a run, part by part [B], its activations, and how much fits a device.

Counted: every parameter, the KV cache of the whole request, and the largest set of tensors that
a forward pass keeps alive. Not counted: the CUDA context (about 0.3 to 0.6 GB a process), the
allocator's slack, workspaces of kernels, what an engine reserves beyond the request, scales for
a whole token or tensor, and what attention without a fused kernel for the case makes:
transformers' sdpa builds a mask when there is a prefix, and with a mask it copies K and V to all
query heads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

from cost_analysis.common.arrays import Number, as_float, maximum, where
from cost_analysis.common.checks import LARGEST_SIZE
from cost_analysis.inputs.dtypes import DType, Precision
from cost_analysis.inputs.layout import (
    SINGLE,
    Layout,
    Share,
    Stage,
    divided,
    is_one,
    micro_batches,
    stages,
)
from cost_analysis.inputs.spec import Experts, ModelSpec, Workload
from cost_analysis.inputs.weights import (
    Matrix,
    attention_matrices,
    cached_positions,
    cached_values,
    expert_width,
    mlp_matrices,
    norm_values,
    parameters,
    small_values,
)

FLOAT32 = 4.0
"""Norms and the aggregation's weighted sum compute in float32, whatever is stored [B]."""

OF_THE_HEAD = ("aggregation", "logits")
"""Moments that only the devices with the LM head see."""


def activation_bytes(
    spec: ModelSpec,
    batch_size: Number,
    queries: Number,
    precision: Precision | None = None,
    logits: str = "last",
    layout: Layout = SINGLE,
    has_head: Number = 1.0,
) -> Number:
    """Peak of the activations that are alive at once in a forward pass [B].

    The largest of five moments, with what transformers' Qwen2 keeps alive in each (fused
    attention, the cache not counted); the tests compare it with the live tensors of real passes.

    Args:
        spec: The model.
        batch_size: Sequences of the pass, B.
        queries: New tokens of each sequence.
        precision: Storage formats; bf16 if None.
        logits: "last" or "all" positions whose logits are kept.
        layout: Of the model; the activations are those of one device.
        has_head: 1 where the device has the aggregator and LM head, else 0.
    """
    moments = activation_moments(
        Share(spec, layout), batch_size, queries, precision or Precision(), logits
    )
    peak = as_float(0)
    for name, moment in moments.items():
        peak = maximum(peak, moment * has_head if name in OF_THE_HEAD else moment)
    return peak


def activation_moments(
    share: Share, batch_size: Number, queries: Number, precision: Precision, logits: str
) -> dict[str, Number]:
    """Live activations at the moments that can be the peak [B].

    Kept alive through all layers: the copied embeddings, the layer's input, and the rotary tables
    of one sequence. Masks are not counted: a fused causal kernel needs none. The streams of all
    devices meet in the aggregation, and the logits of all parts of a divided vocabulary at the end.
    """
    spec = share.spec
    sequences = share.sequences(as_float(batch_size))
    tokens = sequences * as_float(queries)
    rows = tokens * share.streams
    hidden, inner = rows * spec.hidden_size, rows * _live_mlp_values(share)
    query, key_value = rows * share.query, rows * share.key_value
    narrow, wide = precision.activation.bytes, precision.accumulate.bytes
    # A product of 8-bit values writes 16-bit ones.
    kept = (2.0 * as_float(queries) * spec.head_dim + 2.0 * hidden) * wide
    rotary = maximum(4.0 * query + 2.0 * key_value, 2.0 * query + 5.0 * key_value)
    aggregate = tokens * spec.hidden_size
    gathered = aggregate * spec.streams
    logit_values = (tokens if logits == "all" else sequences) * _live_logits(share)
    return {
        "norm": kept + hidden * (wide + 2.0 * FLOAT32),
        "rotary": kept + (hidden + rotary) * wide,
        "mlp": kept + hidden * (wide + narrow) + inner * wide,
        "aggregation": (gathered + aggregate) * (wide + FLOAT32) * (spec.streams > 1),
        "logits": (aggregate + logit_values) * wide,
    }


def _live_logits(share: Share) -> Number:
    """Logits of a position: all of them, and where the vocabulary is divided the device's part."""
    if is_one(share.layout.tensor_parallel):
        return share.spec.vocab_size
    return share.spec.vocab_size + share.vocabulary * as_float(share.layout.tensor_parallel > 1)


def _live_mlp_values(share: Share) -> Number:
    """Values that the widest MLP keeps alive for a token-stream: gate, up and their product.

    Experts work on copies of their inputs, one for each expert that a token-stream is sent to.
    """
    spec, peak = share.spec, as_float(0)
    parts = 3.0 if spec.gated_mlp else 2.0
    for group in spec.groups:
        kind = group.mlp
        if isinstance(kind, Experts):
            inner = share.width(expert_width(spec, kind))
            routed = kind.per_token * (parts * inner + spec.hidden_size)
            live = maximum(as_float(routed), parts * share.width(kind.shared_width))
        else:
            live = parts * share.width(spec.intermediate_size)
        peak = maximum(peak, live)
    return peak


NOT_COUNTED = (
    "CUDA context, allocator slack, workspaces, masks, copies of K and V for grouped heads, "
    "per-token scales"
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


def memory(
    spec: ModelSpec,
    workload: Workload,
    precision: Precision | None = None,
    layout: Layout = SINGLE,
) -> Memory:
    """The memory that a request needs; of several devices, that of the fullest.

    The cache is counted at its final length, as engines with a static cache allocate it.

    Args:
        spec: The model.
        workload: Batch size and lengths.
        precision: Storage formats; bf16 throughout if None.
        layout: How the model is divided among devices.
    """
    share, formats = Share(spec, layout), precision or Precision()
    first, *others = (
        _stage_memory(share, stage, workload, formats) for stage in stages(spec, layout)
    )
    fullest = first
    for other in others:
        fullest = _fuller(fullest, other)
    return fullest


def _stage_memory(share: Share, stage: Stage, workload: Workload, precision: Precision) -> Memory:
    """What a device of a pipeline stage holds."""
    spec, layout = share.spec, share.layout
    wide, hidden = precision.unquantised.bytes, as_float(spec.hidden_size)
    table = share.vocabulary * hidden * wide
    positions = spec.frame.position_rows * hidden * wide
    # A tied matrix is held twice where the two ends of the model are on different devices.
    is_shared = stage.has_embedding if spec.tie_word_embeddings else 0.0
    batch = workload.batch_size
    part = divided(batch, micro_batches(layout, batch))
    return Memory(
        embedding=(table + positions) * stage.has_embedding,
        layers=_layers_bytes(share, stage, precision) + norm_values(spec) * wide * stage.has_head,
        lm_head=table * (stage.has_head * (1.0 - is_shared)),
        prefix=share.streams * _cached_values(share, stage) * spec.prefix * wide,
        aggregator=parameters(spec).aggregator * wide * stage.has_head,
        kv_cache=_cache_bytes(share, stage, batch, workload.cached_tokens, precision),
        prefill_activations=activation_bytes(
            spec, part, workload.input_length, precision, workload.logits, layout, stage.has_head
        ),
        decode_activations=where(
            workload.decode_steps > 0,
            activation_bytes(spec, part, 1, precision, "last", layout, stage.has_head),
            0.0,
        ),
    )


def _fuller(one: Memory, other: Memory) -> Memory:
    """The device with more in total; with arrays, row by row."""
    is_less = one.total < other.total
    return Memory(
        **{
            item.name: where(is_less, getattr(other, item.name), getattr(one, item.name))
            for item in fields(Memory)
        }
    )


def kv_cache_bytes(
    spec: ModelSpec,
    batch_size: Number,
    tokens: Number,
    precision: Precision | None = None,
    layout: Layout = SINGLE,
) -> Number:
    """Cached keys and values of all layers, for P·B·(prefix + tokens) positions [B].

    A layer with a window caches the positions that the next query may see, and no more.

    Args:
        spec: The model.
        batch_size: Sequences, B.
        tokens: Real tokens in the cache of each sequence.
        precision: Storage formats; bf16 if None.
        layout: How the model is divided; of several devices, the cache of that with most of it.
    """
    share, formats = Share(spec, layout), precision or Precision()
    most = as_float(0)
    for stage in stages(spec, layout):
        most = maximum(most, _cache_bytes(share, stage, batch_size, tokens, formats))
    return most


def _cache_bytes(
    share: Share, stage: Stage, batch_size: Number, tokens: Number, precision: Precision
) -> Number:
    """The cache of a pipeline stage's layers on one device [B]."""
    spec = share.spec
    sequences = share.sequences(as_float(batch_size)) * share.streams
    positions = spec.prefix + as_float(tokens)
    values = sum(
        cached_positions(group.attention, positions)
        * (stage.count(spec, place) * cached_values(share, group.attention))
        for place, group in enumerate(spec.groups)
    )
    return sequences * values * precision.cache.bytes


def _cached_values(share: Share, stage: Stage) -> Number:
    """Values that the layers of a stage cache for a position."""
    return sum(
        stage.count(share.spec, place) * cached_values(share, group.attention)
        for place, group in enumerate(share.spec.groups)
    )


def _layers_bytes(share: Share, stage: Stage, precision: Precision) -> Number:
    """Matrices in their storage format, with its scales; norms, biases and routers [B]."""
    spec, held = share.spec, as_float(0)
    for place, group in enumerate(spec.groups):
        attention = precision.unquantised if group.attention.wide else precision.matrix
        layer = (
            small_values(share, group) * precision.unquantised.bytes
            + _stored_bytes(attention_matrices(share, group.attention), attention)
            + _stored_bytes(mlp_matrices(share, group.mlp), precision.matrix)
        )
        held = held + stage.count(spec, place) * layer
    return held


def _stored_bytes(matrices: tuple[Matrix, ...], dtype: DType) -> Number:
    return sum(
        as_float(matrix.copies)
        * dtype.matrix_bytes(as_float(matrix.inputs), as_float(matrix.outputs))
        for matrix in matrices
    )


def largest_batch(
    spec: ModelSpec,
    workload: Workload,
    precision: Precision,
    limit: float,
    layout: Layout = SINGLE,
) -> int:
    """The largest batch whose memory stays within `limit` bytes; 0 if not even one sequence does.

    Args:
        spec: The model, a single one.
        workload: Lengths of the request; its batch size does not matter.
        precision: Storage formats.
        limit: Memory of a device that may be used [B].
        layout: How the model is divided among devices.
    """
    return _largest(
        lambda size: _fits(spec, replace(workload, batch_size=size), precision, limit, layout)
    )


def longest_context(
    spec: ModelSpec,
    workload: Workload,
    precision: Precision,
    limit: float,
    layout: Layout = SINGLE,
) -> int:
    """The most prompt and output tokens of each sequence that stay within `limit` bytes.

    The prompt grows, output length and batch stay; 0 if not even a prompt of one token fits.
    """
    output = int(workload.output_length)
    prompt = _largest(
        lambda size: _fits(spec, replace(workload, input_length=size), precision, limit, layout)
    )
    return prompt + output if prompt else 0


def _fits(
    spec: ModelSpec, workload: Workload, precision: Precision, limit: float, layout: Layout
) -> bool:
    return bool(memory(spec, workload, precision, layout).total <= limit)


def _largest(fits: Callable[[int], bool]) -> int:
    """The largest size that fits, given that everything smaller fits too."""
    low, high = 0, 1
    while high < LARGEST_SIZE and fits(high):
        low, high = high, min(2 * high, LARGEST_SIZE)
    if high == LARGEST_SIZE and fits(high):
        return LARGEST_SIZE
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
