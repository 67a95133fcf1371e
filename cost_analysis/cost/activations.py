"""Activations that are alive at once in a forward pass [B]."""

from __future__ import annotations

from typing import NamedTuple

from cost_analysis.common.arrays import Number, as_float, maximum
from cost_analysis.inputs.dtypes import Precision
from cost_analysis.inputs.layers import Experts
from cost_analysis.inputs.layout import SINGLE, Layout, Share, is_one
from cost_analysis.inputs.spec import BF16, ModelSpec
from cost_analysis.inputs.weights import expert_width

OF_THE_HEAD = ("aggregation", "logits")
"""Moments that occur only on devices with the LM head."""


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

    The largest of five moments, with the tensors that transformers' Qwen2 keeps alive in each
    (fused attention, the cache not counted); the tests compare it with live tensors of real passes.

    Args:
        spec: The model.
        batch_size: Sequences of the pass, B.
        queries: New tokens of each sequence.
        precision: Storage formats; bf16 if None.
        logits: "last" or "all" positions whose logits are kept.
        layout: How the model is divided; the activations are those of one device.
        has_head: 1 where the device has the aggregator and LM head, else 0.
    """
    share, formats = Share(spec, layout), precision or BF16
    return activation_peak(live_bytes(share, formats), share, batch_size, queries, logits, has_head)


def activation_peak(
    live: LiveBytes,
    share: Share,
    batch_size: Number,
    queries: Number,
    logits: str,
    has_head: Number = 1.0,
) -> Number:
    """The largest of the moments of a pass [B]; arguments as for `activation_bytes`."""
    peak: Number = 0.0
    for name, moment in live.moments(share, batch_size, queries, logits).items():
        is_bound = name in OF_THE_HEAD and not is_one(has_head)
        peak = maximum(peak, moment * has_head if is_bound else moment)
    return peak


def activation_moments(
    share: Share, batch_size: Number, queries: Number, precision: Precision, logits: str
) -> dict[str, Number]:
    """Live activations at the moments that can be the peak [B].

    Kept alive through all layers: the copied embeddings, the layer's input, and the rotary tables
    of one sequence. Masks are not counted: a fused causal kernel needs none. The aggregation has
    the streams of all devices, and the end has the logits of all parts of a divided vocabulary.
    """
    return live_bytes(share, precision).moments(share, batch_size, queries, logits)


class LiveBytes(NamedTuple):
    """Live activations for each row of a pass, the same for all passes [B].

    Attributes:
        table: The rotary tables, for each position of one sequence.
        kept: Kept through all layers, for each token-stream.
        norm: In addition in a norm, for each token-stream.
        rotary: In addition in the rotary embedding, likewise.
        mlp: In addition in the widest MLP, likewise.
        aggregation: In the aggregation, for each token.
        hidden: The aggregated hidden state, for each token.
        logits: For each position whose logits are kept.
    """

    table: Number
    kept: Number
    norm: Number
    rotary: Number
    mlp: Number
    aggregation: Number
    hidden: Number
    logits: Number

    def moments(
        self, share: Share, batch_size: Number, queries: Number, logits: str
    ) -> dict[str, Number]:
        """The moments of a pass [B]; arguments as for `activation_moments`."""
        sequences, queries = share.sequences(as_float(batch_size)), as_float(queries)
        tokens = sequences * queries
        rows = tokens * share.streams
        kept = queries * self.table + rows * self.kept
        ends = tokens if logits == "all" else sequences
        return {
            "norm": kept + rows * self.norm,
            "rotary": kept + rows * self.rotary,
            "mlp": kept + rows * self.mlp,
            "aggregation": tokens * self.aggregation,
            "logits": tokens * self.hidden + ends * self.logits,
        }


def live_bytes(share: Share, precision: Precision) -> LiveBytes:
    """Live activations for each row of any pass [B].

    Args:
        share: The sizes of the model on one device.
        precision: Storage formats.
    """
    spec, formats, hidden = share.spec, precision.formats, as_float(share.spec.hidden_size)
    narrow, wide = formats.activation.bytes, formats.accumulate.bytes
    query, key_value = as_float(share.query), as_float(share.key_value)
    rotary = maximum(4.0 * query + 2.0 * key_value, 2.0 * query + 5.0 * key_value)
    gathered = hidden * as_float(spec.streams) + hidden
    # A product of 8-bit values has 16-bit results.
    return LiveBytes(
        table=2.0 * as_float(spec.head_dim) * wide,
        kept=2.0 * hidden * wide,
        norm=hidden * (wide + 2.0 * FLOAT32),
        rotary=(hidden + rotary) * wide,
        mlp=hidden * (wide + narrow) + _live_mlp_values(share) * wide,
        aggregation=gathered * (wide + FLOAT32) * as_float(spec.streams > 1),
        hidden=hidden * wide,
        logits=_live_logits(share) * wide,
    )


def _live_logits(share: Share) -> Number:
    """Logits of a position: all of them, and where the vocabulary is divided the device's part."""
    if is_one(share.layout.tensor_parallel):
        return share.spec.vocab_size
    return share.spec.vocab_size + share.vocabulary * as_float(share.layout.tensor_parallel > 1)


def _live_mlp_values(share: Share) -> Number:
    """Values that the widest MLP keeps alive for a token-stream: gate, up and their product.

    Experts work on copies of their inputs, one for each expert that a token-stream is sent to.
    """
    spec = share.spec
    peak: Number = 0.0
    parts = 3.0 if spec.gated_mlp else 2.0
    for group in share.groups:
        kind = group.mlp
        if isinstance(kind, Experts):
            inner = share.width(expert_width(spec, kind))
            routed = kind.per_token * (parts * inner + spec.hidden_size)
            live = maximum(as_float(routed), parts * share.width(kind.shared_width))
        else:
            live = parts * share.width(spec.intermediate_size)
        peak = maximum(peak, live)
    return peak


FLOAT32 = 4.0
"""Width of values in norms and in the aggregation's weighted sum, always float32 [B]."""
