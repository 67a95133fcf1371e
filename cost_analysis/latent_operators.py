"""The operators of one layer's multi-head latent attention (MLA).

Source: DeepSeek-V2, arXiv 2405.04434, section 2.1, and transformers `modeling_deepseek_v3.py`.
"""

from __future__ import annotations

from cost_analysis.arrays import Number, as_float, ceil
from cost_analysis.exchanges import all_reduce
from cost_analysis.forward import Kernels
from cost_analysis.layers import LatentAttention
from cost_analysis.ledger import QUERIES_PER_BLOCK, Operator, is_present, masked_pairs


def latent_operators(layers: Kernels, kind: LatentAttention) -> list[Operator]:
    """The attention of some layers; heads are divided among devices, latents are not."""
    model, rows = layers.model, layers.step.rows
    hidden, latent = model.hidden, as_float(kind.latent)
    values = model.query_heads * as_float(kind.value_dim)
    inputs = layers.product(
        "latent projection", "attention", hidden, latent, bias=_bias(kind, latent)
    )
    output = layers.product(
        "output projection", "attention", values, hidden, bias=_bias(kind, hidden)
    )
    return [
        layers.norm("input norm", "attention"),
        *_query(layers, kind),
        inputs.over(rows),
        _rotary(layers, kind),
        *_expansion(layers, kind),
        latent_scores(layers, kind),
        output.over(rows),
        *all_reduce(layers, "attention"),
        *layers.post_norm("attention"),
    ]


def _bias(kind: LatentAttention, width: Number) -> Number:
    return width if kind.bias else 0.0


def _query(layers: Kernels, kind: LatentAttention) -> list[Operator]:
    """Queries: projected at once, or through a latent of their own and its norm."""
    hidden, rows = layers.model.hidden, layers.step.rows
    query = layers.model.query_heads * as_float(kind.key_dim)
    if kind.q_rank is None:
        return [layers.product("q projection", "attention", hidden, query).over(rows)]
    rank = as_float(kind.q_rank)
    into = layers.product("q latent projection", "attention", hidden, rank, bias=_bias(kind, rank))
    return [
        into.over(rows),
        layers.elementwise("q latent norm", "attention", 2.0 * rank, weights=rank).over(rows),
        layers.product("q projection", "attention", rank, query).over(rows),
    ]


def _rotary(layers: Kernels, kind: LatentAttention) -> Operator:
    """Norm of the latent, rotary embedding; the latent and the rotary key go to the cache."""
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
    """Width of the latent, and of the keys (without rotary part) and values of all heads."""
    widths = as_float(kind.plain_dim) + as_float(kind.value_dim)
    return as_float(kind.kv_rank), layers.model.query_heads * widths


def _expansion(layers: Kernels, kind: LatentAttention) -> list[Operator]:
    """Latents of all positions to keys and values; or queries to latents, and latents to values.

    A decode step that expands does so inside its attention, because both grow with the context.
    """
    step, model = layers.step, layers.model
    rank, widths = _up_matrix(layers, kind)
    if _is_absorbed(layers, kind):
        # Each head's query becomes as wide as the latent, and a latent becomes its value.
        moved = (widths + 2.0 * model.query_heads * rank) * model.narrow * layers.count
        product = layers.product("absorbed k, v", "attention", rank, widths)
        return [product.over(step.rows, row_bytes=moved)]
    if not step.fills_prefix:
        return []
    rows = model.stream_sequences * (step.past + step.queries)
    return [layers.product("k, v projection", "attention", rank, widths).over(rows)]


def _widths(layers: Kernels, kind: LatentAttention) -> tuple[Number, Number]:
    """Widths of a key and a value as they are multiplied: a latent's, or a head's own."""
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
    )


def latent_position(layers: Kernels, kind: LatentAttention) -> Operator:
    """What each position of its context adds to an attention."""
    step, model = layers.step, layers.model
    heads, streams = model.query_heads, model.stream_sequences * layers.count
    keys, values = _widths(layers, kind)
    pairs, inside = streams * step.queries * heads, _expands_inside(layers, kind)
    flops, moved = 2.0 * pairs * (keys + values), 0.0
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
