"""The operators of one layer's attention: of grouped queries, and multi-head latent (MLA).

Source of MLA: DeepSeek-V2, arXiv 2405.04434, section 2.1, and transformers
`modeling_deepseek_v3.py`.
"""

from __future__ import annotations

import math
from dataclasses import replace

from cost_analysis.common.arrays import Number, as_float, ceil
from cost_analysis.cost.communication import all_reduce
from cost_analysis.cost.operator import QUERIES_PER_BLOCK, ForwardPass, Operator, masked_pairs
from cost_analysis.inputs.spec import Attention, LatentAttention
from cost_analysis.inputs.weights import cached_positions


def latent_operators(step: ForwardPass, kind: LatentAttention) -> list[Operator]:
    """One layer's attention; heads are divided among devices, latents are not."""
    hidden, rows = step.size("hidden_size"), step.rows
    values = _heads(step) * as_float(kind.value_dim)
    latent = as_float(kind.latent)
    return [
        step.norm("input norm", "attention"),
        *_query(step, kind),
        step.linear(
            "latent projection", "attention", rows, hidden, latent, bias=_bias(kind, latent)
        ),
        _latent_rotary(step, kind),
        *_expansion(step, kind),
        latent_scores_and_values(step, kind),
        step.linear(
            "output projection", "attention", rows, values, hidden, bias=_bias(kind, hidden)
        ),
        *all_reduce(step, "attention"),
        *step.post_norm("attention"),
    ]


def _heads(step: ForwardPass) -> Number:
    return as_float(step.share.query_heads)


def _bias(kind: LatentAttention, width: Number) -> Number:
    return width if kind.bias else 0.0


def _query(step: ForwardPass, kind: LatentAttention) -> list[Operator]:
    """Queries: projected at once, or through a latent of their own and its norm."""
    hidden, rows = step.size("hidden_size"), step.rows
    query = _heads(step) * as_float(kind.key_dim)
    if kind.q_rank is None:
        return [step.linear("q projection", "attention", rows, hidden, query)]
    rank = as_float(kind.q_rank)
    return [
        step.linear("q latent projection", "attention", rows, hidden, rank, bias=_bias(kind, rank)),
        step.elementwise("q latent norm", "attention", 2.0 * rows * rank, weights=rank),
        step.linear("q projection", "attention", rows, rank, query),
    ]


def _latent_rotary(step: ForwardPass, kind: LatentAttention) -> Operator:
    """Norm of the latent, rotary embedding; the latent and the rotary key go to the cache."""
    latent, rotated = as_float(kind.latent), _heads(step) * as_float(kind.rope_dim)
    moved = step.rows * (2.0 * rotated + 2.0 * latent)
    kernel = step.elementwise(
        "rotary, cache write", "attention", moved, weights=as_float(kind.kv_rank)
    )
    return replace(kernel, cache_bytes=step.rows * latent * step.precision.cache.bytes)


def _is_absorbed(step: ForwardPass, kind: LatentAttention) -> bool:
    return kind.absorbed and not step.fills_prefix


def _up_matrix(step: ForwardPass, kind: LatentAttention) -> tuple[Number, Number]:
    """Width of the latent, and of the keys (without rotary part) and values of all heads."""
    widths = as_float(kind.plain_dim) + as_float(kind.value_dim)
    return as_float(kind.kv_rank), _heads(step) * widths


def _expansion(step: ForwardPass, kind: LatentAttention) -> list[Operator]:
    """Latents of all positions to keys and values; or queries to latents, and latents to values.

    A decode step that expands does so inside its attention, because both grow with the context.
    """
    rank, widths = _up_matrix(step, kind)
    if _is_absorbed(step, kind):
        name, rows = "absorbed k, v", step.rows
        # Each head's query becomes as wide as the latent, and a latent becomes its value.
        moved = rows * (widths + 2.0 * _heads(step) * rank)
        product = step.linear(name, "attention", rows, rank, widths)
        return [replace(product, activation_bytes=moved * step.precision.activation.bytes)]
    if not step.fills_prefix:
        return []
    rows = step.sequences * step.streams * (step.past + step.queries)
    return [step.linear("k, v projection", "attention", rows, rank, widths)]


def latent_scores_and_values(step: ForwardPass, kind: LatentAttention) -> Operator:
    """Scores and values over the latents (absorbed), or over keys and values of every head."""
    absorbed, precision = _is_absorbed(step, kind), step.precision
    heads, streams = _heads(step), step.sequences * step.streams
    context = step.past + step.queries
    positions, latent = streams * context, as_float(kind.latent)
    keys = latent if absorbed else as_float(kind.key_dim)
    values = as_float(kind.kv_rank if absorbed else kind.value_dim)
    per_pair = 2.0 * streams * heads * (keys + values)
    flops = per_pair * (step.queries * context)
    rank, widths = _up_matrix(step, kind)
    inside = not absorbed and not step.fills_prefix
    expanded = 0.0 if absorbed else positions * heads * (keys + values)
    return Operator(
        name="attention",
        part="attention",
        flops=flops + 2.0 * positions * rank * widths if inside else flops,
        skipped_flops=per_pair * masked_pairs(step.queries),
        weight_bytes=precision.matrix.matrix_bytes(rank, widths) if inside else 0.0,
        cache_bytes=positions * latent * precision.cache.bytes,
        activation_bytes=(step.rows * heads * (keys + values) + (2.0 if inside else 1.0) * expanded)
        * precision.accumulate.bytes,
        score_values=streams * heads * (step.queries * context),
        blocks=streams * heads * ceil(step.queries / QUERIES_PER_BLOCK),
        kernels=1.0,
        compute=precision.accumulate,
        kind="attention",
    )


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
