"""Activations that are alive at once in a forward pass [B]."""

from __future__ import annotations

from cost_analysis.arrays import Number, as_float, maximum
from cost_analysis.layers import Experts
from cost_analysis.layout import SINGLE, Layout, Share, is_one
from cost_analysis.matrices import expert_width
from cost_analysis.spec import ModelSpec, Precision

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
