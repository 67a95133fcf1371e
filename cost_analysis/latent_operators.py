"""The operators of one layer's multi-head latent attention (MLA).

Source: DeepSeek-V2, arXiv 2405.04434, section 2.1, and transformers `modeling_deepseek_v3.py`.
"""

from __future__ import annotations

from dataclasses import replace

from cost_analysis.arrays import Number, as_float, ceil
from cost_analysis.exchanges import all_reduce
from cost_analysis.forward import ForwardPass
from cost_analysis.layers import LatentAttention
from cost_analysis.ledger import QUERIES_PER_BLOCK, Operator, masked_pairs


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
        _rotary(step, kind),
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


def _rotary(step: ForwardPass, kind: LatentAttention) -> Operator:
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
