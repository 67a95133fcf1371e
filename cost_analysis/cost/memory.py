"""Memory of a request, part by part [B], and the largest batch and context that fit a device.

Counted: every parameter, the KV cache of the whole request, and the largest set of tensors that
a forward pass keeps alive. Not counted: the CUDA context (about 0.3 to 0.6 GB a process), the
allocator's slack, workspaces of kernels, memory that an engine reserves beyond the request, scales
for a whole token or tensor, and tensors of attention without a fused kernel: transformers' sdpa
builds a mask when there is a prefix, and with a mask it copies K and V to all query heads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

from cost_analysis.common.arrays import Number, as_float, maximum, where
from cost_analysis.common.checks import LARGEST_SIZE
from cost_analysis.cost.activations import activation_peak, live_bytes
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
from cost_analysis.inputs.spec import BF16, ModelSpec, Workload
from cost_analysis.inputs.weights import (
    Matrix,
    aggregator_values,
    attention_matrices,
    cached_positions,
    cached_values,
    mlp_matrices,
    norm_values,
    position_values,
    small_values,
)

NOT_COUNTED = (
    "CUDA context, allocator slack, workspaces, masks, copies of K and V for grouped heads, "
    "per-token scales"
)


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of a request, part by part [B].

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
    """The memory that a request needs; of several devices, the one that needs most.

    The cache is counted at its final length, as engines with a static cache allocate it.

    Args:
        spec: The model.
        workload: Batch size and lengths.
        precision: Storage formats; bf16 throughout if None.
        layout: How the model is divided among devices.
    """
    share, formats = Share(spec, layout), precision or BF16
    first, *others = (
        _stage_memory(share, stage, workload, formats) for stage in stages(spec, layout)
    )
    fullest = first
    for other in others:
        fullest = _larger(fullest, other)
    return fullest


def _stage_memory(share: Share, stage: Stage, workload: Workload, precision: Precision) -> Memory:
    """The memory of a device of a pipeline stage."""
    spec, wide = share.spec, precision.formats.unquantised.bytes
    hidden, counts = as_float(spec.hidden_size), stage.counts(share.spec)
    table = share.vocabulary * hidden * wide
    positions = position_values(spec) * wide
    # A tied matrix is stored twice where embedding and LM head are on different devices.
    is_shared = stage.has_embedding if spec.tie_word_embeddings else 0.0
    prefill, decode = _activations(share, stage, workload, precision)
    return Memory(
        embedding=_times(table + positions, stage.has_embedding),
        layers=_layers_bytes(share, counts, precision)
        + _times(norm_values(spec) * wide, stage.has_head),
        lm_head=_times(table, stage.has_head * (1.0 - is_shared)),
        prefix=share.streams * _cached_values(share, counts) * share.prefix * wide,
        aggregator=_times(aggregator_values(spec) * wide, stage.has_head),
        kv_cache=_cache_bytes(
            share, counts, workload.batch_size, workload.cached_tokens, precision
        ),
        prefill_activations=prefill,
        decode_activations=decode,
    )


def _times(size: Number, part: Number) -> Number:
    """A size times the part of it that a stage has; unchanged if that is 1."""
    return size if is_one(part) else size * part


def _activations(
    share: Share, stage: Stage, workload: Workload, precision: Precision
) -> tuple[Number, Number]:
    """Peaks of the live activations in the prefill and in a decode step [B]."""
    batch, steps, logits = workload.batch_size, workload.decode_steps, workload.logits
    part = divided(batch, micro_batches(share.layout, batch))
    live, prompt = live_bytes(share, precision), workload.input_length
    prefill = activation_peak(live, share, part, prompt, logits, stage.has_head)
    decode = activation_peak(live, share, part, 1.0, "last", stage.has_head)
    return prefill, where(steps > 0, decode, 0.0)


def _larger(one: Memory, other: Memory) -> Memory:
    """The memory of the device with the larger total; with arrays, row by row."""
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

    A layer with a window caches only the positions that the next query may attend to.

    Args:
        spec: The model.
        batch_size: Sequences, B.
        tokens: Real tokens in the cache of each sequence.
        precision: Storage formats; bf16 if None.
        layout: How the model is divided; of several devices, the largest cache.
    """
    share, formats = Share(spec, layout), precision or BF16
    most = as_float(0)
    for stage in stages(spec, layout):
        counts = stage.counts(share.spec)
        most = maximum(most, _cache_bytes(share, counts, batch_size, tokens, formats))
    return most


def _cache_bytes(
    share: Share,
    counts: tuple[Number, ...],
    batch_size: Number,
    tokens: Number,
    precision: Precision,
) -> Number:
    """The cache of a pipeline stage's layers on one device [B]."""
    sequences = share.sequences(as_float(batch_size)) * share.streams
    positions = share.prefix + as_float(tokens)
    values = sum(
        cached_positions(group.attention, positions)
        * (count * cached_values(share, group.attention))
        for count, group in zip(counts, share.groups, strict=True)
    )
    return sequences * values * precision.formats.cache.bytes


def _cached_values(share: Share, counts: tuple[Number, ...]) -> Number:
    """Values that the layers of a stage cache for a position."""
    return sum(
        count * cached_values(share, group.attention)
        for count, group in zip(counts, share.groups, strict=True)
    )


def _layers_bytes(share: Share, counts: tuple[Number, ...], precision: Precision) -> Number:
    """Matrices in their storage format, with its scales; norms, biases and routers [B]."""
    held, formats = as_float(0), precision.formats
    for count, group in zip(counts, share.groups, strict=True):
        attention = formats.unquantised if group.attention.wide else formats.matrix
        layer = (
            small_values(share, group) * formats.unquantised.bytes
            + _stored_bytes(attention_matrices(share, group.attention), attention)
            + _stored_bytes(mlp_matrices(share, group.mlp), formats.matrix)
        )
        held = held + count * layer
    return held


def _stored_bytes(matrices: tuple[Matrix, ...], dtype: DType) -> Number:
    return sum(
        as_float(copies) * dtype.matrix_bytes(as_float(inputs), as_float(outputs))
        for inputs, outputs, copies in matrices
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
        spec: The model, without arrays.
        workload: Lengths of the request; its batch size does not matter.
        precision: Storage formats.
        limit: Memory of a device that may be used [B].
        layout: How the model is divided among devices.
    """
    return _largest(
        lambda size: _free(spec, replace(workload, batch_size=size), precision, limit, layout)
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
        lambda size: _free(spec, replace(workload, input_length=size), precision, limit, layout)
    )
    return prompt + output if prompt else 0


def _free(
    spec: ModelSpec, workload: Workload, precision: Precision, limit: float, layout: Layout
) -> float:
    """Memory within the limit that a workload leaves free [B]; below 0 it does not fit."""
    return float(limit - memory(spec, workload, precision, layout).total)


def _largest(free: Callable[[int], float]) -> int:
    """The largest size that fits, given that everything smaller fits too.

    Memory is almost linear in a size, so the next guess is where a line through the two sizes
    around the limit meets it; every other guess bisects the interval, which always converges.
    """
    low, high, is_linear = 0, 1, True
    left, lack = math.inf, free(high)
    while lack >= 0 and high < LARGEST_SIZE:
        low, left = high, lack
        high = min(8 * high, LARGEST_SIZE)
        lack = free(high)
    if lack >= 0:
        return LARGEST_SIZE
    while high - low > 1:
        share = left / (left - lack) if is_linear and low else 0.5
        guess = min(max(low + int((high - low) * share), low + 1), high - 1)
        found = free(guess)
        low, left = (guess, found) if found >= 0 else (low, left)
        high, lack = (high, lack) if found >= 0 else (guess, found)
        is_linear = not is_linear
    return low
