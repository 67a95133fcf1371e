"""The operators of attention, of a model small enough to count by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from cost_analysis import ModelSpec, Operator, Precision, forward_pass
from cost_analysis.cost.attention import attention_name, growth_steps
from cost_analysis.inputs.layers import Attention, LatentAttention, LayerGroup

# h = 8, 2 layers, 4 heads of 2 with 2 KV heads; P = 3 streams of a batch of 2, without a prefix.
SPEC = ModelSpec(8, 20, 2, 4, 2, vocab_size=50, streams=3, prefix_tokens=0)
STREAMS = 3 * 2
LATENT = LatentAttention(kv_rank=6, rope_dim=2, plain_dim=3, value_dim=5, q_rank=4)


def operators(
    kind: Attention | LatentAttention, queries: int, past: int, **changes: Any
) -> dict[str, Operator]:
    spec = replace(SPEC, layers=(LayerGroup(kind),), **changes)
    found = forward_pass(spec, 2, queries, past, Precision(kv_cache="fp8"))
    return {op.name: op for op in found if op.part == "attention"}


def test_a_window_includes_the_query_itself() -> None:
    """A window of 4 after 10 tokens: three of them and the token itself, of all six streams."""
    seen = operators(Attention(window=4), 1, 10)["attention in 4"]
    assert seen.flops == 2 * (STREAMS * 4 * 2 * (2 * 2) * 4)
    assert seen.cache_bytes == 2 * (STREAMS * 4 * (2 * 2 * 2) * 1)
    full = operators(Attention(), 1, 10)["attention"]
    assert full.flops / seen.flops == 11 / 4
    early = operators(Attention(window=4), 1, 2)["attention in 4"]
    assert early.flops == operators(Attention(), 1, 2)["attention"].flops


def test_keys_and_values_are_written_for_the_kv_heads_only() -> None:
    written = operators(Attention(), 5, 0)["rotary, cache write"]
    assert written.cache_bytes == 2 * (STREAMS * 5 * 2 * (2 * 2) * 1)
    # Queries, keys and values pass once, in 16 bits: 4 + 2 heads of 2, in and out.
    assert written.activation_bytes == 2 * (STREAMS * 5 * 2 * (8 + 4) * 2)


def test_learned_positions_need_no_rotation() -> None:
    frame = replace(SPEC.frame, position_rows=64)
    found = operators(Attention(), 5, 0, frame=frame)
    assert "rotary, cache write" not in found
    # Keys and values alone.
    assert found["cache write"].activation_bytes == 2 * (STREAMS * 5 * 2 * 4 * 2)


def test_biases_of_the_output() -> None:
    plain, biased = (
        operators(Attention(output_bias=bias), 1, 5)["output projection"] for bias in (False, True)
    )
    assert biased.weight_bytes - plain.weight_bytes == 2 * 8 * 2
    assert biased.flops == plain.flops


def test_latents_are_cached_and_read_once_for_all_heads() -> None:
    """Absorbed: queries as wide as a latent of 6 and a rotary key of 2; values are the latent."""
    seen = operators(LATENT, 1, 10)["attention"]
    assert seen.cache_bytes == 2 * (STREAMS * 11 * (6 + 2) * 1)
    assert seen.flops == 2 * (STREAMS * 4 * 2 * ((6 + 2) + 6) * 11)
    absorbed = operators(LATENT, 1, 10)["absorbed k, v"]
    assert absorbed.flops == 2 * (2 * STREAMS * 6 * 4 * (3 + 5))


def test_expanded_latents_are_multiplied_in_every_step() -> None:
    """Keys of 3 + 2 and values of 5 for each head, made of all latents inside the attention."""
    found = operators(replace(LATENT, absorbed=False), 1, 10)
    assert "absorbed k, v" not in found
    pairs = STREAMS * 4 * 2 * ((3 + 2) + 5) * 11
    made = 2 * (STREAMS * 11) * 6 * 4 * (3 + 5)
    assert found["attention"].flops == 2 * (pairs + made)
    assert found["attention"].weight_bytes == 2 * (6 * 4 * (3 + 5)) * 2


@pytest.mark.parametrize("rank", [None, 4])
def test_queries_with_a_latent(rank: int | None) -> None:
    found = operators(replace(LATENT, q_rank=rank), 1, 10)
    inputs = 8 if rank is None else 4
    assert found["q projection"].flops == 2 * (2 * STREAMS * inputs * 4 * (3 + 2))
    latents = "latent projection" if rank is None else "latent projections"
    kept = 0 if rank is None else rank  # both latents are one product
    assert found[latents].flops == 2 * (2 * STREAMS * 8 * (kept + LATENT.latent))


def test_latent_attention_may_stay_wide() -> None:
    """Its matrices then take two bytes a weight where those of the MLP take one."""
    kinds = (replace(LATENT, q_rank=None, wide=is_wide) for is_wide in (False, True))
    narrow, wide = (
        {
            operator.name: operator.weight_bytes
            for operator in forward_pass(
                replace(SPEC, layers=(LayerGroup(kind),)), 1, 1, 10, Precision(weights="fp8")
            )
        }
        for kind in kinds
    )
    for name in ("latent projection", "output projection", "q projection"):
        assert wide[name] == pytest.approx(2 * narrow[name], rel=0.5)
    assert wide["down projection"] == narrow["down projection"]


@pytest.mark.parametrize(
    ("window", "past", "steps"), [(None, 0, math.inf), (8, 0, 7), (8, 5, 2), (8, 99, 0)]
)
def test_a_context_grows_until_its_window_is_full(
    window: int | None, past: int, steps: float
) -> None:
    assert growth_steps(Attention(window), float(past)) == steps
    assert attention_name(Attention(window)) == ("attention in 8" if window else "attention")
