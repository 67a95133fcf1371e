"""The operators of one layer's attention: grouped-query, and multi-head latent (MLA).

Source of MLA: DeepSeek-V2, arXiv 2405.04434, section 2.1, and transformers
`modeling_deepseek_v3.py`.
"""

from __future__ import annotations

import math

from cost_analysis.common.arrays import Number, as_float, ceil
from cost_analysis.cost.communication import all_reduce
from cost_analysis.cost.kernels import Kernels
from cost_analysis.cost.operator import (
    QUERIES_PER_BLOCK,
    Kernel,
    Operator,
    is_present,
    masked_pairs,
)
from cost_analysis.inputs.layers import Attention, LatentAttention
from cost_analysis.inputs.weights import cached_positions
from cost_analysis.kernels import shapes


def latent_operators(layers: Kernels, kind: LatentAttention) -> list[Operator]:
    """The attention of some layers; heads are divided among devices, latents are not."""
    model, rows = layers.model, layers.step.rows
    values = model.query_heads * as_float(kind.value_dim)
    output = _product(layers, kind, "output projection", values, model.hidden, biased=kind.bias)
    return [
        layers.norm("input norm", "attention"),
        *_latents(layers, kind),
        _latent_rotary(layers, kind),
        *_expansion(layers, kind),
        latent_scores(layers, kind),
        output.over(rows),
        *all_reduce(layers, "attention"),
        *layers.post_norm("attention"),
    ]


def _product(
    layers: Kernels,
    kind: LatentAttention,
    name: str,
    inputs: Number,
    outputs: Number,
    *,
    biased: bool = False,
) -> Kernel:
    """A product of the attention, in the format that its weights are stored in."""
    bias = outputs if biased else 0.0
    return layers.product(name, "attention", inputs, outputs, bias=bias, quantised=not kind.wide)


def _latents(layers: Kernels, kind: LatentAttention) -> list[Operator]:
    """Queries, and the latents of keys and values; with a latent of queries, one product for both.

    Serving engines join the two (`fused_qkv_a_proj` of SGLang, vLLM and TensorRT-LLM).
    """
    hidden, rows = layers.model.hidden, layers.step.rows
    query = layers.model.query_heads * as_float(kind.key_dim)
    latent = as_float(kind.latent)
    if kind.q_rank is None:
        into = _product(layers, kind, "latent projection", hidden, latent, biased=kind.bias)
        return [
            _product(layers, kind, "q projection", hidden, query).over(rows),
            into.over(rows),
        ]
    rank = as_float(kind.q_rank)
    into = _product(layers, kind, "latent projections", hidden, rank + latent, biased=kind.bias)
    return [
        into.over(rows),
        layers.elementwise("q latent norm", "attention", 2.0 * rank, weights=rank).over(rows),
        _product(layers, kind, "q projection", rank, query).over(rows),
    ]


def _latent_rotary(layers: Kernels, kind: LatentAttention) -> Operator:
    """Norm of the latent, rotary embedding; the latent and the rotary key are cached."""
    model, rows = layers.model, layers.step.rows
    latent, rotated = as_float(kind.latent), model.query_heads * as_float(kind.rope_dim)
    moved = 2.0 * rotated + 2.0 * latent
    kernel = layers.elementwise(
        "rotary, cache write", "attention", moved, weights=as_float(kind.kv_rank)
    )
    return kernel.over(rows, cache_bytes=rows * (latent * model.formats.cache.bytes * layers.count))


def _is_absorbed(layers: Kernels, kind: LatentAttention) -> bool:
    return kind.absorbed and not layers.step.fills_prefix


def _up_matrix(layers: Kernels, kind: LatentAttention) -> tuple[Number, Number]:
    """Width of the latent, and of all heads' keys (without the rotary part) and values."""
    widths = as_float(kind.plain_dim) + as_float(kind.value_dim)
    return as_float(kind.kv_rank), layers.model.query_heads * widths


def _expansion(layers: Kernels, kind: LatentAttention) -> list[Operator]:
    """Products with the up-projection of keys and values, outside the attention operator.

    A prefill expands the latents of all positions. A decode step maps queries to latents and
    latents to values (absorbed), or expands inside its attention, because both grow with the
    context.
    """
    step, model = layers.step, layers.model
    rank, widths = _up_matrix(layers, kind)
    if _is_absorbed(layers, kind):
        # Each head's query is mapped to the width of the latent, and a latent to its value.
        moved = (widths + 2.0 * model.query_heads * rank) * model.narrow * layers.count
        product = _product(layers, kind, "absorbed k, v", rank, widths)
        return [product.over(step.rows, row_bytes=moved)]
    if not step.fills_prefix:
        return []
    rows = model.stream_sequences * (step.past + step.queries)
    return [_product(layers, kind, "k, v projection", rank, widths).over(rows)]


def _widths(layers: Kernels, kind: LatentAttention) -> tuple[Number, Number]:
    """Widths of a key and a value in the attention: those of a latent, or of a head."""
    if _is_absorbed(layers, kind):
        return as_float(kind.latent), as_float(kind.kv_rank)
    return as_float(kind.key_dim), as_float(kind.value_dim)


def _expands_inside(layers: Kernels, kind: LatentAttention) -> bool:
    """Whether the attention itself expands latents to keys and values."""
    return not kind.absorbed and not layers.step.fills_prefix


def latent_scores(layers: Kernels, kind: LatentAttention) -> Operator:
    """Scores and values over the latents (absorbed), or over keys and values of every head."""
    step, model, one = layers.step, layers.model, latent_position(layers, kind)
    context, masked = step.past + step.queries, masked_pairs(step.queries)
    keys, values = _widths(layers, kind)
    pair = 2.0 * model.stream_sequences * model.query_heads * (keys + values) * layers.count
    inside = _expands_inside(layers, kind)
    up = model.formats.matrix.matrix_bytes(*_up_matrix(layers, kind)) if inside else 0.0
    own = step.rows * (model.query_heads * (keys + values) * model.wide * layers.count)
    return Operator(
        one.name,
        one.part,
        flops=one.flops * context,
        skipped_flops=pair * masked if is_present(masked) else 0.0,
        weight_bytes=up * layers.count if inside else 0.0,
        cache_bytes=one.cache_bytes * context,
        activation_bytes=own + one.activation_bytes * context,
        score_values=one.score_values * context,
        kernels=layers.count,
        compute=one.compute,
        kind=one.kind,
        blocks=one.blocks,
        shape=_latent_shape(layers, kind, context),
    )


def _latent_shape(
    layers: Kernels, kind: LatentAttention, context: Number
) -> shapes.LatentAttention | None:
    """The sizes by which measured kernels are found; None where latents are expanded inside."""
    model, cache = layers.model, _cache_format(layers)
    if not cache or _expands_inside(layers, kind):
        return None
    return shapes.LatentAttention(
        model.stream_sequences,
        layers.step.queries,
        context,
        model.query_heads,
        as_float(kind.latent),
        cache,
        not layers.step.fills_prefix,
    )


def _cache_format(layers: Kernels) -> str:
    """The name of the cache's format among measured kernels; "" for a format without any."""
    cache, accumulate = layers.model.formats.cache, layers.model.formats.accumulate
    if accumulate.bits > 16 or cache.bits > 16:
        return ""
    return "bf16" if cache.bits == 16 else "fp8" if cache.unit == "fp8" else ""


def latent_position(layers: Kernels, kind: LatentAttention) -> Operator:
    """The terms that each position of the context adds to an attention."""
    step, model = layers.step, layers.model
    heads, streams = model.query_heads, model.stream_sequences * layers.count
    keys, values = _widths(layers, kind)
    pairs, inside = streams * step.queries * heads, _expands_inside(layers, kind)
    flops = 2.0 * pairs * (keys + values)
    moved: Number = 0.0
    if not _is_absorbed(layers, kind):
        moved = streams * (heads * (keys + values) * model.wide * (2.0 if inside else 1.0))
    if inside:
        rank, widths = _up_matrix(layers, kind)
        flops = flops + 2.0 * streams * rank * widths
    return Operator(
        "attention",
        "attention",
        flops=flops,
        cache_bytes=streams * (as_float(kind.latent) * model.formats.cache.bytes),
        activation_bytes=moved,
        score_values=pairs,
        compute=model.formats.accumulate,
        kind="attention",
        blocks=model.stream_sequences * heads * ceil(step.queries / QUERIES_PER_BLOCK),
    )


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

    With a window, the queries of a pass are multiplied with the cached keys and with those of the
    pass; a fused kernel skips pairs outside the window, as it skips those that are not causal.
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
        shape=_shape(layers, kind, context),
    )


def _shape(layers: Kernels, kind: Attention, context: Number) -> shapes.Attention | None:
    """The sizes by which measured kernels are found; None where there are none of the cache."""
    model, step, cache = layers.model, layers.step, _cache_format(layers)
    if not cache:
        return None
    return shapes.Attention(
        model.stream_sequences,
        step.queries,
        context,
        model.query_heads,
        model.key_value / model.head_dim,
        model.head_dim,
        0.0 if kind.window is None else as_float(kind.window),
        cache,
        not step.fills_prefix,
    )


def position(layers: Kernels, kind: Attention | LatentAttention) -> Operator:
    """The terms that each position of the context adds to an attention."""
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
    """The name of the operator of a kind of attention."""
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
