"""Laws of storage formats."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_analysis import ModelSpec, Precision, Workload, forward_pass, memory, parameters
from cost_analysis.capacity import largest_batch
from cost_analysis.dtypes import DTYPES, WIDER, dtype_named
from tests.helpers.strategies import dtypes, specs, workloads

pytestmark = pytest.mark.property

sizes = st.integers(1, 20_000).map(float)
groups = st.integers(2, 65_536)
CHAIN = (
    "fp32", "bf16", "int8-g128-zp", "int8-g128", "int8", "int4-g32-zp", "nvfp4", "mxfp4",
    "int4-g128",
)  # fmt: skip
"""Each narrower than the one before, for matrices wide enough to share scales."""


@given(sizes, sizes, st.sampled_from(["int4", "int8", "fp8"]), groups, groups)
def test_more_values_a_scale_never_cost_more(
    inputs: float, outputs: float, values: str, one: int, other: int
) -> None:
    few, many = sorted((one, other))
    for shape in ("g", "b") if values != "int4" else ("g",):
        fine, coarse = (
            dtype_named(f"{values}-{shape}{size}").matrix_bytes(inputs, outputs)
            for size in (few, many)
        )
        assert fine >= coarse >= inputs * outputs * DTYPES[values].bits / 8
    assert dtype_named(f"{values}-g{few}").bytes >= dtype_named(f"{values}-g{many}").bytes


@given(sizes, sizes, st.sampled_from(["int4", "int8", "int4-g32", "int8-g7"]))
def test_zero_points_cost_their_own_width(inputs: float, outputs: float, name: str) -> None:
    plain, zeros = dtype_named(name), dtype_named(f"{name}-zp")
    scales = plain.matrix_bytes(inputs, outputs) - inputs * outputs * plain.bits / 8
    added = zeros.matrix_bytes(inputs, outputs) - plain.matrix_bytes(inputs, outputs)
    assert added == pytest.approx(scales * plain.bits / 16)


@given(specs(), workloads())
def test_narrower_formats_never_weigh_more(spec: ModelSpec, workload: Workload) -> None:
    wide = [
        size
        for size in (spec.hidden_size, spec.intermediate_size, spec.query_size)
        if size % 128 == 0
    ]
    held = [memory(spec, workload, Precision(weights=name)).layers for name in CHAIN]
    if len(wide) == 3 and not spec.layers:
        assert held == sorted(held, reverse=True)
    assert held[0] == 2 * held[1]
    assert held[2] >= held[3] >= held[4]


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


@given(dtypes, dtypes)
def test_nothing_is_computed_in_less_than_it_is_stored_in(weights: str, activations: str) -> None:
    formats = Precision(weights, activations)
    stored = max(formats.matrix.bits, formats.activation.bits)
    assert formats.compute.bits == stored
    assert formats.accumulate.bits >= 16
    assert formats.head_compute.bits >= max(16, formats.unquantised.bits)
    for wider in WIDER[formats.compute.unit]:
        assert dtype_named(wider).bits >= stored


@given(specs(), workloads(), st.sampled_from(["fp8", "int8", "int4", "int4-g32-zp"]))
def test_a_narrower_cache_never_fits_less(spec: ModelSpec, work: Workload, cache: str) -> None:
    wide, narrow = Precision(), Precision(kv_cache=cache)
    limit = 2.0 * float(memory(spec, work, wide).total)
    assert largest_batch(spec, work, narrow, limit) >= largest_batch(spec, work, wide, limit)
    added = memory(spec, work, narrow).kv_cache / memory(spec, work, wide).kv_cache
    assert added == pytest.approx(dtype_named(cache).bytes / 2)
