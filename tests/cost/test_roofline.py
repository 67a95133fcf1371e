"""Each term of an operator's time, compared with a calculation by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cost_analysis import (
    Engine,
    Hardware,
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
from cost_analysis.cost.operator import Operator
from cost_analysis.cost.roofline import OperatorTime, Speeds
from cost_analysis.inputs.dtypes import dtype_named
from cost_analysis.inputs.engine import AttentionKernels
from cost_analysis.inputs.layout import Layout
from tests.helpers.arrays import several
from tests.helpers.cases import FOUR_A_NODE, PLAIN, SMALL

DEVICE = Hardware(
    "d", "d", memory=1e11, bandwidth=1e12, peak={"bf16": 1e14}, interconnect=2e11,
    reached_flops=0.5, reached_bandwidth=0.8,
)  # fmt: skip
MEASURED = replace(PLAIN, device_shares=True, soft_roofs=True, kernel_floor=4e-6)
BF16 = dtype_named("bf16")
PRODUCT = Operator("p", "mlp", flops=4e9, weight_bytes=3.2e7, kernels=1.0, compute=BF16,
                   kind="product")  # fmt: skip


def operator_time(operator: Operator, hardware: Hardware, engine: Engine) -> OperatorTime:
    return Speeds(hardware, engine).time(operator)


def test_both_roofs_slow_a_product() -> None:
    # 4e9 FLOP at half of 1e14 FLOP/s: 80 us; 32 MB at 0.8 of 1 TB/s: 40 us.
    time = operator_time(PRODUCT, DEVICE, MEASURED)
    assert time.compute == pytest.approx(80e-6)
    assert time.transfer == pytest.approx(40e-6)
    assert time.seconds == pytest.approx(4e-6 + math.hypot(80e-6, 40e-6))
    assert time.bound == "compute"
    hard = operator_time(PRODUCT, DEVICE, replace(MEASURED, soft_roofs=False))
    assert hard.seconds == pytest.approx(84e-6)


def test_shares_of_the_datasheet_or_of_the_device() -> None:
    datasheet = operator_time(PRODUCT, DEVICE, PLAIN)
    assert datasheet.compute == pytest.approx(40e-6)
    assert datasheet.transfer == pytest.approx(32e-6)
    device = DEVICE.at_datasheet(flops=True, bandwidth=False)
    assert operator_time(PRODUCT, device, MEASURED).compute == pytest.approx(40e-6)
    assert operator_time(PRODUCT, device, MEASURED).transfer == pytest.approx(40e-6)


def test_a_few_dozen_rows_take_no_longer_than_one_on_an_a100(a100: Hardware) -> None:
    """Measured 0.266, 0.260 and 0.278 ms for the products of a 7B layer: streams add no time."""
    spec = ModelSpec(4096, 11008, 32, 32, 32, vocab_size=32000, qkv_bias=False)
    engine = replace(MEASURED, kernel_floor=5e-6)

    def products(batch: int) -> float:
        layer = forward_pass(replace(spec, num_hidden_layers=1), batch, 1, 100)
        times = [operator_time(op, a100, engine) for op in layer if op.kind == "product"]
        return float(sum(time.seconds for time in times if time.operator.part != "lm head"))

    one = products(1)
    assert one == pytest.approx(0.266e-3, rel=0.1)
    assert products(8) == pytest.approx(0.260e-3, rel=0.1)
    assert products(64) == pytest.approx(0.278e-3, rel=0.1)
    assert products(8) < 1.02 * one
    assert products(2048) > 10 * one


def test_attention_copies_and_scores_add_traffic() -> None:
    kernels = AttentionKernels(0.5, 0.5, 8e-6, score_bytes=2.0, cache_copies=3.0)
    engine = replace(MEASURED, attention=kernels)
    operator = Operator(
        "attention", "attention", flops=1e6, cache_bytes=8e6, score_values=1e6,
        expanded_bytes=1.6e7, kernels=2.0, compute=BF16, kind="attention",
    )  # fmt: skip
    time = operator_time(operator, DEVICE, engine)
    # 8 MB at 0.4 TB/s; three copies of 16 MB and 2 MB of scores at 0.8 TB/s.
    assert time.transfer == pytest.approx(20e-6 + 60e-6 + 2.5e-6)
    assert time.overhead == pytest.approx(2 * (4e-6 + 8e-6))
    assert time.compute == pytest.approx(1e6 / (1e14 * 0.5 * 0.5))


def test_quantised_products_have_their_own_shares() -> None:
    engine = replace(MEASURED, quantised_flops_share=0.25, quantised_bandwidth_share=0.5)
    wide, narrow = (
        operator_time(replace(PRODUCT, stored=dtype_named(name)), DEVICE, engine)
        for name in ("bf16", "int8")
    )
    assert narrow.compute == pytest.approx(4 * wide.compute)
    assert narrow.transfer == pytest.approx(2 * wide.transfer)


def test_elementwise_kernels_have_their_own_share() -> None:
    operator = Operator("norm", "mlp", activation_bytes=8e6, kernels=3.0)
    time = operator_time(operator, DEVICE, replace(MEASURED, elementwise_share=0.25))
    assert time.seconds == pytest.approx(3 * 4e-6 + 40e-6)


LINKED = replace(MEASURED, link_latency=5e-6, link_share=0.5)


def first_reduction(rows: int) -> Operator:
    reductions = [op for op in forward_pass(SMALL, rows, 1, 0, layout=Layout(4))
                  if op.name == "all-reduce"]  # fmt: skip
    assert [op.part for op in reductions] == ["embedding", "attention", "mlp"]
    return reductions[1]


def test_a_short_all_reduce_takes_messages_and_a_quarter_of_the_link() -> None:
    time = operator_time(first_reduction(14), DEVICE, LINKED)
    assert time.overhead == pytest.approx(4 * (4e-6 + 5e-6))
    # Four layers of 2 · 3 messages; a ring moves 2 · 3/4 of 14 · 1024 values of 2 bytes each way.
    moved = 1.5 * 14 * 1024 * 2 / (1e11 * 0.5)
    assert time.transfer == pytest.approx(4 * (6 * 0.47e-6 + 4 * moved))
    assert time.bound == "overhead"


def test_a_long_all_reduce_starts_later_and_takes_the_whole_link() -> None:
    time = operator_time(first_reduction(50_000), DEVICE, LINKED)
    moved = 1.5 * 50_000 * 1024 * 2 / (1e11 * 0.5)
    assert time.transfer == pytest.approx(4 * (6.4e-6 + 6 * 1.9e-6 + moved))
    assert time.bound == "link"


def test_attention_that_does_not_divide_the_context_fills_part_of_the_device() -> None:
    """Sixteen heads and three streams: 48 blocks in a decode step, three times that at 129."""
    spec = replace(SMALL, streams=3)
    whole = replace(MEASURED, attention=replace(MEASURED.attention, filling_blocks=0.0))
    undivided = replace(whole, attention=replace(whole.attention, filling_blocks=192.0))
    for queries, share in ((1, 48 / 192), (129, 144 / 192), (500, 1.0)):
        (attention,) = (op for op in forward_pass(spec, 1, queries, 999) if op.kind == "attention")
        filled, part = (Speeds(DEVICE, engine).transfer(attention) for engine in (whole, undivided))
        reading = attention.bytes / (DEVICE.bandwidth * DEVICE.reached_bandwidth)
        assert part - filled == pytest.approx(reading * (1 / share - 1), rel=1e-6)


def test_groups_of_several_sizes_in_one_call() -> None:
    together = forward_pass(SMALL, 2, 7, 0, layout=Layout(np.array([1, 4])))
    engine = replace(load_engine("graphs"), link_latency=5e-6)
    seconds = sum(operator_time(op, DEVICE, engine).seconds for op in together)
    for place, count in enumerate((1, 4)):
        single = forward_pass(SMALL, 2, 7, 0, layout=Layout(tensor_parallel=count))
        alone = sum(operator_time(op, DEVICE, engine).seconds for op in single)
        assert several(seconds)[place] == pytest.approx(alone, rel=1e-12)


def test_eight_bit_products_need_no_widening() -> None:
    """The shares for quantised weights are those of kernels that convert them."""
    engine = replace(MEASURED, quantised_flops_share=0.25, quantised_bandwidth_share=0.5)
    with_units = replace(DEVICE, peak={"bf16": 1e14, "int8": 2e14})
    eight = replace(PRODUCT, stored=dtype_named("int8-g128"), compute=dtype_named("int8"))
    native = operator_time(eight, with_units, engine)
    assert native.compute == pytest.approx(PRODUCT.flops / (2e14 * 0.5))
    assert native.transfer == operator_time(PRODUCT, with_units, engine).transfer
    # Without such units the device computes in bf16, and so it does with int4 weights in int8.
    widened = operator_time(eight, DEVICE, engine)
    assert widened.compute == pytest.approx(PRODUCT.flops / (1e14 * 0.5 * 0.25))
    assert widened.transfer == pytest.approx(2 * native.transfer)
    four = operator_time(replace(eight, stored=dtype_named("int4")), with_units, engine)
    assert four.compute == pytest.approx(4 * native.compute)


def test_a_group_that_leaves_its_node_pays_the_network() -> None:
    operator = Operator(
        "x", "mlp", link_bytes=1e9, messages=2.0, kernels=1.0, kind="exchange", spans=4.0
    )
    # In a node 100 GB/s each way, and 1.9 us a message after 6.4 us; beyond it 10 GB/s.
    inside = Speeds(FOUR_A_NODE, PLAIN).transfer(operator)
    beyond = Speeds(FOUR_A_NODE, PLAIN).transfer(replace(operator, spans=5.0))
    assert inside == pytest.approx(1e9 / 1e11 + 6.4e-6 + 2 * 1.9e-6)
    assert beyond == pytest.approx(1e9 / 1e10 + 7.4e-6 + 2 * 4.0e-6)
    short = replace(operator, link_bytes=10.0, spans=5.0)
    assert Speeds(FOUR_A_NODE, PLAIN).transfer(short) == pytest.approx(2 * 2.7e-6, rel=1e-3)
    both = Speeds(FOUR_A_NODE, PLAIN).transfer(replace(operator, spans=np.array([4.0, 5.0])))
    assert several(both).tolist() == [inside, beyond]


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
    reached = load_hardware(device).peak["bf16"] if peak is None else peak
    assert compute_seconds(device, weights, activations) == pytest.approx(flops / reached)


def test_8_bit_products_of_a_prefill_are_faster_where_there_are_units() -> None:
    def seconds(device: str, formats: Precision) -> float:
        spec, engine = load_model("1.6B").spec.with_streams(8), load_engine("graphs")
        cost = estimate(spec, Workload(4, 512, 2), load_hardware(device), engine, formats)
        return sum(float(t.seconds) for t in cost.prefill.times if t.operator.kind == "product")

    wide = Precision()
    for device, eight in (("a100", "int8"), ("h100", "fp8")):
        assert seconds(device, Precision(eight, eight)) < 0.8 * seconds(device, wide)
    # Without units the weights are widened, which costs more than it saves.
    assert seconds("a100", Precision("fp8", "fp8")) > seconds("a100", wide)


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


def test_devices_with_a_network_only() -> None:
    """Without an interconnect, every exchange goes over the network."""
    alone = replace(FOUR_A_NODE, interconnect=None, devices_per_node=1)
    operator = Operator(
        "x", "mlp", link_bytes=1e9, messages=2.0, kernels=1.0, kind="exchange", spans=4.0
    )
    assert Speeds(alone, PLAIN).transfer(operator) == pytest.approx(
        1e9 / 1e10 + 7.4e-6 + 2 * 4.0e-6
    )
