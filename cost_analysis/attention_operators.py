"""The operators of one kind of layers' attention."""

from __future__ import annotations

import math

from cost_analysis.arrays import Number, as_float, ceil
from cost_analysis.exchanges import all_reduce
from cost_analysis.forward import Kernels
from cost_analysis.latent_operators import latent_operators, latent_position, latent_scores
from cost_analysis.layers import Attention, LatentAttention
from cost_analysis.ledger import QUERIES_PER_BLOCK, Operator, is_present, masked_pairs
from cost_analysis.matrices import cached_positions


def attention_operators(layers: Kernels, kind: Attention | LatentAttention) -> list[Operator]:
    """The attention of some layers. Keys and values are read for the KV heads only (GQA)."""
    if isinstance(kind, LatentAttention):
        return latent_operators(layers, kind)
    model, rows = layers.model, layers.step.rows
    hidden, query, narrow = model.hidden, model.query, not kind.wide
    heads_out = query + 2.0 * model.key_value
    bias = heads_out if model.spec.qkv_bias else 0.0
    inputs = layers.product(
        "q, k, v projection", "attention", hidden, heads_out, bias=bias, quantised=narrow
    )
    bias = hidden if kind.output_bias else 0.0
    output = layers.product(
        "output projection", "attention", query, hidden, bias=bias, quantised=narrow
    )
    return [
        layers.norm("input norm", "attention"),
        inputs.over(rows),
        _rotary(layers),
        scores_and_values(layers, kind),
        output.over(rows),
        *all_reduce(layers, "attention"),
        *layers.post_norm("attention"),
    ]


def _rotary(layers: Kernels) -> Operator:
    """Rotary embedding (and head norms) of q and k; new keys and values go to the cache."""
    model, rows = layers.model, layers.step.rows
    name, moved = "rotary, cache write", 2.0 * model.query + 2.0 * model.key_value
    if model.spec.frame.position_rows:
        name, moved = "cache write", 2.0 * model.key_value
    head_norms = 2.0 * model.head_dim if model.spec.qk_norm else 0.0
    kernel = layers.elementwise(name, "attention", moved, weights=head_norms)
    return kernel.over(rows, cache_bytes=rows * (model.cached_width * layers.count))


def scores_and_values(layers: Kernels, kind: Attention | LatentAttention) -> Operator:
    """Fused attention: q·kᵀ, softmax and ·v; scores never reach memory.

    With a window, the queries of a pass are multiplied with what the cache has kept and with each
    other; a fused kernel skips what the window hides, as it skips what is not causal.
    """
    if isinstance(kind, LatentAttention):
        return latent_scores(layers, kind)
    step, model, one = layers.step, layers.model, position(layers, kind)
    past = cached_positions(kind, step.past)
    context, masked = past + step.queries, masked_pairs(step.queries, past, kind.window)
    written = 2.0 * model.query * model.wide * layers.count
    return Operator(
        one.name,
        one.part,
        flops=one.flops * context,
        skipped_flops=one.flops / step.queries * masked if is_present(masked) else 0.0,
        cache_bytes=one.cache_bytes * context,
        activation_bytes=step.rows * written,
        score_values=one.score_values * context,
        expanded_bytes=one.expanded_bytes * context,
        kernels=layers.count,
        compute=one.compute,
        kind=one.kind,
        blocks=one.blocks,
    )


def position(layers: Kernels, kind: Attention | LatentAttention) -> Operator:
    """What each position of its context adds to an attention."""
    known = layers.step.positions
    if layers.place not in known:
        known[layers.place] = (
            latent_position(layers, kind)
            if isinstance(kind, LatentAttention)
            else _plain_position(layers, kind)
        )
    return known[layers.place]


def _plain_position(layers: Kernels, kind: Attention) -> Operator:
    step, model = layers.step, layers.model
    streams = model.stream_sequences * layers.count
    pairs = streams * step.queries
    return Operator(
        attention_name(kind),
        "attention",
        flops=pairs * (4.0 * model.query),
        cache_bytes=streams * model.cached_width,
        score_values=pairs * model.query_heads,
        expanded_bytes=streams * (2.0 * model.query * model.formats.cache.bytes),
        compute=model.formats.accumulate,
        kind="attention",
        blocks=model.stream_sequences * model.query_heads * ceil(step.queries / QUERIES_PER_BLOCK),
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
