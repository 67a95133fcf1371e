"""The operators of one layer's attention."""

from __future__ import annotations

import math
from dataclasses import replace

from cost_analysis.arrays import Number, as_float, ceil
from cost_analysis.exchanges import all_reduce
from cost_analysis.forward import ForwardPass
from cost_analysis.latent_operators import latent_operators, latent_scores_and_values
from cost_analysis.layers import Attention, LatentAttention
from cost_analysis.ledger import QUERIES_PER_BLOCK, Operator, masked_pairs
from cost_analysis.matrices import cached_positions


def attention_operators(step: ForwardPass, kind: Attention | LatentAttention) -> list[Operator]:
    """One layer's attention. Keys and values are read for the KV heads only (GQA)."""
    if isinstance(kind, LatentAttention):
        return latent_operators(step, kind)
    spec = step.spec
    hidden, rows = step.size("hidden_size"), step.rows
    query, key_value = step.query, step.key_value
    heads_out, narrow = query + 2.0 * key_value, not kind.wide
    bias = heads_out * spec.qkv_bias
    head_norms = 2.0 * step.size("head_dim") * spec.qk_norm
    return [
        step.norm("input norm", "attention"),
        step.linear(
            "q, k, v projection", "attention", rows, hidden, heads_out, bias=bias, quantised=narrow
        ),
        _rotary(step, query, key_value, head_norms),
        scores_and_values(step, kind),
        step.linear(
            "output projection",
            "attention",
            rows,
            query,
            hidden,
            bias=hidden if kind.output_bias else 0.0,
            quantised=narrow,
        ),
        *all_reduce(step, "attention"),
        *step.post_norm("attention"),
    ]


def _rotary(step: ForwardPass, query: Number, key_value: Number, head_norms: Number) -> Operator:
    """Rotary embedding (and head norms) of q and k; new keys and values go to the cache."""
    name, moved = "rotary, cache write", step.rows * (2.0 * query + 2.0 * key_value)
    if step.spec.frame.position_rows:
        name, moved = "cache write", step.rows * (2.0 * key_value)
    kernel = step.elementwise(name, "attention", moved, weights=head_norms)
    written = step.rows * 2.0 * key_value * step.precision.cache.bytes
    return replace(kernel, cache_bytes=written)


def scores_and_values(step: ForwardPass, kind: Attention | LatentAttention) -> Operator:
    """Fused attention: q·kᵀ, softmax and ·v; scores never reach memory.

    With a window, the queries of a pass are multiplied with what the cache has kept and with each
    other; a fused kernel skips what the window hides, as it skips what is not causal.
    """
    if isinstance(kind, LatentAttention):
        return latent_scores_and_values(step, kind)
    query, key_value = step.query, step.key_value
    streams = step.sequences * step.streams
    past = cached_positions(kind, step.past)
    context = past + step.queries
    per_pair = 4.0 * streams * query
    flops = per_pair * (step.queries * context)
    positions, width = streams * context, step.precision.cache.bytes
    return Operator(
        name=attention_name(kind),
        part="attention",
        flops=flops,
        skipped_flops=per_pair * masked_pairs(step.queries, past, kind.window),
        cache_bytes=positions * 2.0 * key_value * width,
        activation_bytes=step.rows * 2.0 * query * step.precision.accumulate.bytes,
        expanded_bytes=positions * (2.0 * query * width),
        score_values=flops / (4.0 * step.size("head_dim")),
        blocks=streams * query / step.size("head_dim") * ceil(step.queries / QUERIES_PER_BLOCK),
        kernels=1.0,
        compute=step.precision.accumulate,
        kind="attention",
    )


def attention_name(kind: Attention | LatentAttention) -> str:
    """What the operator of a kind of attention is called."""
    return "attention" if kind.window is None else f"attention in {kind.window}"


def growth_steps(kind: Attention | LatentAttention, past: Number) -> Number:
    """Decode steps that each add a position to an attention's context; inf without a window.

    Args:
        kind: The attention.
        past: Positions before the first of the steps, prefix included.
    """
    if kind.window is None:
        return math.inf
    return as_float(kind.window - 1) - cached_positions(kind, past)
