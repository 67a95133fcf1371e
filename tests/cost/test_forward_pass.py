"""Operators of a pass: of a model small enough to count by hand, and in 8 bits."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_analysis import ModelSpec, Operator, Precision, Workload, forward_pass, memory, parameters
from cost_analysis.cost.forward_pass import context_growth
from cost_analysis.cost.operator import masked_pairs
from cost_analysis.inputs.dtypes import dtype_named
from cost_analysis.inputs.layers import Attention, LayerGroup
from tests.helpers.cases import SMALL
from tests.helpers.strategies import dtypes, specs, workloads

# h = 8, inner = 20, 2 layers, 4 heads of 2, 2 KV heads, vocabulary 50, P = 3, prefix 5.
SPEC = ModelSpec(8, 20, 2, 4, 2, vocab_size=50, streams=3, prefix_tokens=5)
BATCH, PROMPT = 2, 7
ROWS = 3 * BATCH * PROMPT


@pytest.fixture(scope="module")
def prefill() -> dict[str, Operator]:
    operators = forward_pass(SPEC, BATCH, PROMPT, SPEC.prefix, fills_prefix=True)
    return {operator.name: operator for operator in operators}


def test_flops(prefill: dict[str, Operator]) -> None:
    context = 5 + PROMPT
    assert prefill["q, k, v projection"].flops == 2 * (2 * ROWS * 8 * (8 + 4 + 4))
    assert prefill["output projection"].flops == 2 * (2 * ROWS * 8 * 8)
    assert prefill["gate, up projection"].flops == 2 * (2 * ROWS * 8 * 2 * 20)
    assert prefill["down projection"].flops == 2 * (2 * ROWS * 20 * 8)
    # Each of 4 heads: q·kᵀ and ·v, two FLOPs a multiply-add, head_dim 2.
    assert prefill["attention"].flops == 2 * (3 * BATCH * 4 * (2 * 2 * 2) * PROMPT * context)
    assert prefill["aggregator: mix"].flops == 2 * BATCH * PROMPT * (3 * 8) * 8
    assert prefill["aggregator: score"].flops == 2 * BATCH * PROMPT * 8 * 3
    assert prefill["lm head"].flops == 2 * BATCH * 8 * 50
    for name in ("embedding", "input norm", "rotary, cache write", "activation", "final norm"):
        assert prefill[name].flops == 0


def test_causal_kernel_skips_the_triangle(prefill: dict[str, Operator]) -> None:
    pairs = sum(5 + position + 1 for position in range(PROMPT))
    assert prefill["attention"].kernel_flops == 2 * (3 * BATCH * 4 * (2 * 2 * 2) * pairs)
    assert masked_pairs(1) == 0


def test_weight_bytes(prefill: dict[str, Operator]) -> None:
    assert prefill["embedding"].weight_bytes == BATCH * PROMPT * 8 * 2
    assert prefill["q, k, v projection"].weight_bytes == 2 * (8 * 16 + 16) * 2
    assert prefill["gate, up projection"].weight_bytes == 2 * (8 * 40) * 2
    assert prefill["lm head"].weight_bytes == 50 * 8 * 2
    assert prefill["prefix to cache"].weight_bytes == 2 * 3 * 2 * 4 * 5 * 2
    assert prefill["aggregator: mix"].weight_bytes == (24 * 8 + 8) * 2


def test_layers_read_all_their_weights_once(prefill: dict[str, Operator]) -> None:
    """A pass reads all that memory holds, apart from the look-up of embeddings."""
    read = sum(op.weight_bytes for op in prefill.values() if op.name != "embedding")
    held = memory(SPEC, Workload(BATCH, PROMPT))
    assert read == held.weights  # the tied table is read by the LM head


def test_cache_bytes(prefill: dict[str, Operator]) -> None:
    rows_of_cache = 3 * BATCH
    per_position = 2 * 4 * 2  # k and v, 2 KV heads of 2, bf16
    assert prefill["attention"].cache_bytes == 2 * rows_of_cache * (5 + PROMPT) * per_position
    assert prefill["rotary, cache write"].cache_bytes == 2 * ROWS * per_position
    assert prefill["prefix to cache"].cache_bytes == 2 * rows_of_cache * 5 * per_position


def test_growth_is_the_difference_of_two_steps() -> None:
    def attention(past: int) -> Operator:
        return next(op for op in forward_pass(SPEC, BATCH, 1, past) if op.name == "attention")

    growth = context_growth(SPEC, BATCH)[0].operator
    near, far = attention(30), attention(31)
    assert growth.flops == far.flops - near.flops > 0
    assert growth.cache_bytes == far.cache_bytes - near.cache_bytes > 0
    assert growth.kernels == growth.activation_bytes == 0


def test_all_logits() -> None:
    def head(logits: str) -> Operator:
        return forward_pass(SPEC, BATCH, PROMPT, 5, logits=logits)[-1]

    assert head("all").flops == PROMPT * head("last").flops


def test_quantised_cache_and_weights() -> None:
    int8 = Precision("int8", "bf16", "fp8")
    operators = {op.name: op for op in forward_pass(SPEC, BATCH, 1, 12, int8)}
    assert operators["down projection"].weight_bytes == 2 * (20 * 8 + 8 * 2)
    assert operators["lm head"].weight_bytes == 50 * 8 * 2
    assert operators["attention"].cache_bytes == 2 * 3 * BATCH * 13 * 2 * 4


def test_plain_mlp() -> None:
    plain = ModelSpec(8, 20, 2, 4, 2, vocab_size=50, gated_mlp=False)
    operators = {op.name: op for op in forward_pass(plain, BATCH, PROMPT, 0)}
    assert operators["up projection"].flops == 2 * (2 * BATCH * PROMPT * 8 * 20)


def test_operators_of_two_kinds_of_layers() -> None:
    """By hand: one layer attends to three positions, the other to all; each caches these."""
    kinds = (LayerGroup(Attention(window=3), count=1), LayerGroup(count=1))
    spec = replace(SPEC, layers=kinds)
    operators = forward_pass(spec, 1, 1, 10)
    names = [op.name for op in operators]
    assert abs(names.index("attention in 3") - names.index("attention")) == 1
    found = {op.name: op for op in operators}
    streams, query = spec.streams, spec.query_size
    assert found["attention in 3"].flops == 4 * streams * query * 3
    assert found["attention"].flops == 4 * streams * query * 11
    assert found["q, k, v projection"].flops == next(
        op.flops for op in forward_pass(SPEC, 1, 1, 10) if op.name == "q, k, v projection"
    )
    near, far = context_growth(spec, 1, past=1)
    assert (near.steps, far.steps) == (1, math.inf)


@pytest.mark.property
@given(specs(), workloads(), st.integers(2, 8))
def test_streams_cost_layers_the_same_as_a_larger_batch(
    spec: ModelSpec, workload: Workload, factor: int
) -> None:
    """P streams of a batch of B and one stream of a batch of P·B do the same products."""
    streamed = replace(spec, streams=factor, prefix_tokens=0)
    batched = replace(spec, streams=1)
    few = forward_pass(streamed, workload.batch_size, workload.input_length, 0)
    many = forward_pass(batched, workload.batch_size * factor, workload.input_length, 0)
    for one, other in zip(few, many, strict=True):
        if one.part in ("attention", "mlp") and one.flops:
            assert one.flops == pytest.approx(other.flops, rel=1e-14)
            assert one.bytes == pytest.approx(other.bytes, rel=1e-14)


def test_weights_below_16_bits_are_marked() -> None:
    passes = forward_pass(SMALL, 1, 1, 0, Precision("int4"))
    marked = {op.name for op in passes if op.stored and op.stored.bits < 16}
    assert marked == {
        "q, k, v projection", "output projection", "gate, up projection", "down projection",
    }  # fmt: skip


WIDE_SPEC = ModelSpec(
    256, 640, 2, 8, 4, vocab_size=1000, qkv_bias=False, streams=2, prefix_tokens=4
)

WIDE_BATCH, WIDE_PROMPT, WIDE_ROWS = 3, 5, 2 * 3 * 5

PRODUCTS = {
    "q, k, v projection": (256, 512),
    "output projection": (256, 256),
    "gate, up projection": (256, 1280),
    "down projection": (640, 256),
}
"""Inputs and outputs of the products of a layer."""


def in_formats(weights: str, activations: str, cache: str) -> dict[str, Operator]:
    formats = Precision(weights, activations, cache)
    return {op.name: op for op in forward_pass(WIDE_SPEC, WIDE_BATCH, WIDE_PROMPT, 4, formats)}


@pytest.mark.parametrize("eight", ["int8", "fp8"])
def test_products_of_a_layer_are_in_8_bits_and_nothing_else(eight: str) -> None:
    narrow, wide = in_formats(eight, eight, "bf16"), in_formats("bf16", "bf16", "bf16")
    for name, (inputs, outputs) in PRODUCTS.items():
        product = narrow.pop(name)
        assert product.compute == product.stored == dtype_named(eight)
        # One byte a value that goes in; what comes out is 16-bit, as norms and attention read it.
        assert product.activation_bytes == 2 * WIDE_ROWS * (inputs + 2 * outputs)
        assert product.weight_bytes == 2 * (inputs * outputs + 2 * outputs)
        assert product.flops == wide.pop(name).flops
    # Norms, attention, activation functions, aggregator and head do not change.
    assert narrow == wide
    assert {op.compute.name for op in narrow.values() if op.compute} == {"bf16"}
    assert {"attention", "aggregator: mix", "lm head", "input norm"} <= narrow.keys()


@pytest.mark.property
@given(specs(layers=(), qkv_bias=False), dtypes, dtypes)
def test_a_pass_reads_what_is_stored(spec: ModelSpec, weights: str, activations: str) -> None:
    formats = Precision(weights, activations)
    read = sum(
        op.weight_bytes
        for op in forward_pass(spec, 1, 1, spec.prefix, formats)
        if op.kind == "product" and op.part in ("attention", "mlp")
    )
    small = parameters(spec).small * formats.unquantised.bytes
    assert read == pytest.approx(memory(spec, Workload(), formats).layers - small, rel=1e-12)
