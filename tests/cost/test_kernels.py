"""Kernels of a small model by hand: what each reads once, and what it does for each row."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cost_analysis import Layout, ModelSpec, Precision
from cost_analysis.cost.kernels import DeviceModel, ForwardPass, Kernels
from cost_analysis.inputs.layers import Frame

SPEC = ModelSpec(64, 128, 2, 4, 2, vocab_size=500, streams=2)
"""Heads of 16 values: a query of 64, keys and values of 32 each."""


def kernels(spec: ModelSpec = SPEC, precision: Precision | None = None) -> Kernels:
    """Of two layers, in a pass of five tokens of each of three sequences."""
    model = DeviceModel(spec, 3, precision or Precision())
    return Kernels(ForwardPass(model, 5, 0), count=2.0, place=0)


def test_sizes_on_one_device() -> None:
    model = DeviceModel(SPEC, 3, Precision())
    assert (model.query, model.key_value, model.head_dim) == (64, 32, 16)
    assert model.stream_sequences == 6
    assert model.cached_width == 2 * 32 * 2
    halves = DeviceModel(SPEC, 3, Precision(kv_cache="fp8"), Layout(2, stream_parallel=2))
    assert (halves.query, halves.key_value, halves.streams) == (32, 16, 1)
    # The streams are divided, but there are still several: they are aggregated.
    assert (halves.parallel, DeviceModel(SPEC.with_streams(1), 3, Precision()).parallel) == (1, 0)


def test_rows_are_the_tokens_of_all_streams() -> None:
    step = kernels().step
    assert (step.tokens, step.rows) == (15, 30)
    assert step.residual_bytes == 30 * 64 * 2


def test_a_product_by_hand() -> None:
    found = kernels().product("qkv", "attention", 64.0, 128.0, bias=128.0)
    assert found.weight_bytes == 2 * (64 * 128 + 128) * 2
    assert found.row_bytes == 2 * (64 + 128) * 2
    assert found.row_flops == 2 * 2 * 64 * 128
    assert found.kernels == 2
    operator = found.over(30.0)
    assert (operator.kind, operator.rows) == ("product", 30)
    assert operator.flops == 30 * 2 * 2 * 64 * 128
    assert operator.bytes == found.weight_bytes + 30 * found.row_bytes


def test_an_elementwise_kernel_by_hand() -> None:
    found = kernels().elementwise("activation", "mlp", 3 * 128.0, weights=7.0)
    assert (found.weight_bytes, found.row_bytes, found.row_flops) == (2 * 7 * 2, 2 * 384 * 2, 0)
    operator = found.over(30.0)
    assert (operator.kind, operator.flops, operator.kernels) == ("elementwise", 0, 2)


def test_matrices_that_are_not_quantised_stay_wide() -> None:
    narrow = kernels(precision=Precision("int4-g32", "int8"))
    head = narrow.product("lm head", "lm head", 64.0, 512.0, quantised=False)
    assert head.weight_bytes == 2 * 64 * 512 * 2
    assert head.row_bytes == 2 * (64 + 512) * 2
    matrix = narrow.product("up", "mlp", 64.0, 512.0)
    # Half a byte a weight, and 16 bits of scale for 32 of them.
    assert matrix.weight_bytes == pytest.approx(2 * 64 * 512 * (0.5 + 2 / 32))
    # An input of 8 bits with its share of a scale, and an output of 16.
    assert 2 * (64 + 2 * 512) <= matrix.row_bytes < head.row_bytes


def test_a_kernel_is_made_once_for_all_passes_of_a_model() -> None:
    first = kernels()
    later = Kernels(ForwardPass(first.model, 1, 5), count=2.0, place=0)
    elsewhere = Kernels(first.step, count=2.0, place=1)
    made = first.product("up", "mlp", 64.0, 128.0)
    assert later.product("up", "mlp", 64.0, 128.0) is made
    assert elsewhere.product("up", "mlp", 64.0, 128.0) == made
    assert elsewhere.product("up", "mlp", 64.0, 128.0) is not made


@pytest.mark.parametrize(("frame", "values"), [(Frame(), 64), (Frame(norm_bias=True), 128)])
def test_norms_read_and_write_the_residual_stream(frame: Frame, values: int) -> None:
    made = kernels(replace(SPEC, frame=frame))
    norm = made.norm("norm", "attention")
    assert norm.weight_bytes == 2 * values * 2
    assert norm.activation_bytes == 2 * 2 * made.step.residual_bytes
    assert made.post_norm("attention") == []


def test_norms_after_attention_and_mlp_where_a_model_has_them() -> None:
    made = kernels(replace(SPEC, frame=Frame(post_norms=True)))
    names = [made.post_norm(part)[0].name for part in ("attention", "mlp")]
    assert names == ["norm after attention", "norm after MLP"]
