"""Weights, products and cache in 8 bits: what narrows, what stays, what is computed in what."""

from __future__ import annotations

from typing import Any

import pytest

from cost_analysis import (
    Engine,
    ModelSpec,
    Precision,
    Workload,
    estimate,
    forward_pass,
    kv_cache_bytes,
    load_engine,
    load_hardware,
    load_model,
)
from cost_analysis.cost.memory import largest_batch
from cost_analysis.cost.operator import Operator
from cost_analysis.inputs.dtypes import dtype_named

SPEC = ModelSpec(256, 640, 2, 8, 4, vocab_size=1000, qkv_bias=False, streams=2, prefix_tokens=4)
BATCH, PROMPT, ROWS = 3, 5, 2 * 3 * 5
PRODUCTS = {
    "q, k, v projection": (256, 512),
    "output projection": (256, 256),
    "gate, up projection": (256, 1280),
    "down projection": (640, 256),
}
"""Inputs and outputs of the products of a layer."""


def operators(weights: str, activations: str, cache: str) -> dict[str, Operator]:
    formats = Precision(weights, activations, cache)
    return {op.name: op for op in forward_pass(SPEC, BATCH, PROMPT, 4, formats)}


@pytest.mark.parametrize("eight", ["int8", "fp8"])
def test_products_of_a_layer_are_in_8_bits_and_nothing_else(eight: str) -> None:
    narrow, wide = operators(eight, eight, "bf16"), operators("bf16", "bf16", "bf16")
    for name, (inputs, outputs) in PRODUCTS.items():
        product = narrow.pop(name)
        assert product.compute == product.stored == dtype_named(eight)
        # One byte a value that goes in; what comes out is 16-bit, as norms and attention read it.
        assert product.activation_bytes == 2 * ROWS * (inputs + 2 * outputs)
        assert product.weight_bytes == 2 * (inputs * outputs + 2 * outputs)
        assert product.flops == wide.pop(name).flops
    # Norms, attention, activation functions, aggregator and head do not change.
    assert narrow == wide
    assert {op.compute.name for op in narrow.values() if op.compute} == {"bf16"}
    assert {"attention", "aggregator: mix", "lm head", "input norm"} <= narrow.keys()


def compute_seconds(device: str, weights: str, activations: str) -> float:
    """Time at the compute roof of one product of a layer, in a prefill."""
    cost = estimate(
        load_model("1.6B").spec,
        Workload(8, 512, 1),
        load_hardware(device),
        Engine("plain"),
        Precision(weights, activations, "bf16"),
    )
    (time,) = (time for time in cost.prefill.times if time.operator.name == "down projection")
    return float(time.compute)


@pytest.mark.parametrize(
    ("device", "weights", "activations", "peak"),
    [
        ("a100", "bf16", "bf16", 312e12),
        ("a100", "int8", "bf16", 312e12),
        ("a100", "int8", "int8", 624e12),
        ("a100", "int8-g128", "int8", 624e12),
        ("a100", "fp8", "fp8", 312e12),
        ("a100", "int4", "int4", 1248e12),
        ("h100", "fp8", "fp8", 1978.9e12),
        ("h100", "fp8-b128", "fp8-b128", 1978.9e12),
        ("h100", "int4", "fp8", 1978.9e12),
        ("h100", "int4", "int4", 1978.9e12),
        ("h100", "nvfp4", "nvfp4", 1978.9e12),
        ("h100", "mxfp4", "bf16", 989.4e12),
        ("b200", "nvfp4", "nvfp4", 9000e12),
        ("b200", "mxfp4", "fp8", 4500e12),
        ("v100-sxm-16gb", "fp8", "fp8", 125e12),
        ("epyc-9654", "fp8", "fp8", None),
    ],
)
def test_compute_takes_the_peak_of_the_nearest_units(
    device: str, weights: str, activations: str, peak: float | None
) -> None:
    spec = load_model("1.6B").spec
    flops = 2.0 * 8 * 512 * spec.hidden_size * spec.intermediate_size * spec.num_hidden_layers
    if peak is None:
        peak = load_hardware(device).peak["bf16"]
    assert compute_seconds(device, weights, activations) == pytest.approx(flops / peak)


def test_an_8_bit_prefill_is_faster_where_there_are_units() -> None:
    def ttft(device: str, formats: Precision) -> float:
        spec, engine = load_model("1.6B").spec.with_streams(8), load_engine("graphs")
        cost = estimate(spec, Workload(4, 512, 2), load_hardware(device), engine, formats)
        return float(cost.ttft)

    wide = Precision()
    for device, eight in (("a100", "int8"), ("h100", "fp8")):
        assert ttft(device, Precision(eight, eight)) < 0.75 * ttft(device, wide)
    # Without units the weights are widened, which costs more than it saves.
    assert ttft("a100", Precision("fp8", "fp8")) > ttft("a100", wide)


@pytest.mark.parametrize(
    ("cache", "share"),
    [("fp8", 1 / 2), ("int8", 1 / 2), ("int4", 4.125 / 16), ("int4-g32-zp", 4.625 / 16)],
)
def test_a_narrow_cache(cache: str, share: float) -> None:
    spec, formats = load_model("1.6B").spec.with_streams(8), Precision(kv_cache=cache)
    assert kv_cache_bytes(spec, 2, 1000, formats) == share * kv_cache_bytes(spec, 2, 1000)
    work, engine, device = Workload(4, 2000, 2), Engine("plain"), load_hardware("a100")

    def attention(precision: Precision) -> Any:
        cost = estimate(spec, work, device, engine, precision)
        (found,) = (time for time in cost.decode.times if time.operator.name == "attention")
        return found

    narrow, wide = attention(formats), attention(Precision())
    assert narrow.bound == wide.bound == "memory"
    # Of what attention moves, queries and results stay 16-bit.
    moved = wide.operator.activation_bytes
    left = share * (wide.operator.bytes - moved) + moved
    assert narrow.seconds / wide.seconds == pytest.approx(left / wide.operator.bytes)
    assert narrow.operator.compute.name == "bf16"


def test_a_narrow_cache_holds_a_larger_batch() -> None:
    spec, work = load_model("1.6B").spec.with_streams(8), Workload(1, 100, 30_000)
    wide, fp8, int4 = (
        largest_batch(spec, work, Precision(kv_cache=cache), 80e9)
        for cache in ("bf16", "fp8", "int4")
    )
    assert 1.4 * wide < fp8 < 2 * wide + 2
    assert fp8 < int4 < 4 * wide + 4
