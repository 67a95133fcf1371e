"""Laws that hold for every model, workload, precision, device and engine."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import LAYERS, precisions, specs, workloads

from cost_analysis import (
    Engine,
    Estimate,
    Hardware,
    ModelSpec,
    Precision,
    Workload,
    estimate,
    forward_pass,
    kv_cache_bytes,
    load_engine,
    load_hardware,
    memory,
    parameters,
    published_cost,
)
from cost_analysis.arrays import as_float
from cost_analysis.capacity import largest_batch, longest_context
from cost_analysis.expert_load import expected_experts
from cost_analysis.kernel_time import Speeds
from cost_analysis.latency import decode_phase, prefill_phase, sum_of_maxima
from cost_analysis.layers import Attention, LayerGroup
from cost_analysis.ledger import masked_pairs
from cost_analysis.operators import context_growth
from cost_analysis.profiles import profile_names

ENGINES = [load_engine(name) for name in profile_names("engines")]
DEVICES = [load_hardware(name) for name in ("a100-sxm-80gb", "h100-sxm-80gb", "t4", "epyc-9654")]
engines, devices = st.sampled_from(ENGINES), st.sampled_from(DEVICES)


def totals(cost: Estimate) -> dict[str, Any]:
    return {
        "memory": cost.memory.total,
        "ttft": cost.ttft,
        "decode": cost.decode.seconds,
        "total": cost.total,
        "flops": cost.flops,
        "prefill bytes": cost.prefill.bytes,
        "decode bytes": cost.decode.bytes,
    }


def resized(workload: Workload, **changes: Any) -> Workload:
    return replace(workload, **changes)


def lessened(larger: Estimate, smaller: Estimate) -> list[str]:
    """What the larger request has less of than the smaller one."""
    above = totals(larger)
    return [name for name, value in totals(smaller).items() if above[name] < value * (1 - 1e-12)]


@given(specs(), workloads(), precisions, devices, engines, st.data())
def test_more_of_anything_never_costs_less(
    spec: ModelSpec,
    workload: Workload,
    precision: Precision,
    device: Hardware,
    engine: Engine,
    data: st.DataObject,
) -> None:
    cost = estimate(spec, workload, device, engine, precision)
    name = data.draw(st.sampled_from(["batch_size", "input_length", "output_length"]))
    more = data.draw(st.integers(1, 1000))
    longer = resized(workload, **{name: int(getattr(workload, name)) + more})
    assert lessened(estimate(spec, longer, device, engine, precision), cost) == []
    sizes = ("hidden_size", "intermediate_size", "num_hidden_layers", "head_dim", "vocab_size",
             "streams", "prefix_tokens")  # fmt: skip
    width = data.draw(st.sampled_from(sizes))
    wider = replace(spec, **{width: getattr(spec, width) + more})
    assert lessened(estimate(wider, workload, device, engine, precision), cost) == []


@given(specs(), workloads(), precisions, devices, engines)
def test_parts_sum_to_totals(
    spec: ModelSpec, workload: Workload, precision: Precision, device: Hardware, engine: Engine
) -> None:
    cost = estimate(spec, workload, device, engine, precision)
    counts, held = cost.parameters, cost.memory
    assert counts.total == sum(getattr(counts, item.name) for item in fields(counts))
    assert held.total == held.weights + held.kv_cache + held.activations
    for phase in (cost.prefill, cost.decode):
        parts = sum(time.total_seconds for time in phase.times)
        assert phase.seconds == pytest.approx(parts, rel=1e-12)
        for time in phase.times:
            roof = max(time.compute, time.transfer)
            assert time.seconds >= roof + time.overhead - 1e-12 * time.seconds
    assert cost.total == cost.ttft + cost.decode.seconds


@given(specs(streams=1), workloads(), precisions, devices, engines)
def test_one_stream_is_the_plain_model(
    spec: ModelSpec, workload: Workload, precision: Precision, device: Hardware, engine: Engine
) -> None:
    cost = estimate(spec, workload, device, engine, precision)
    bare = estimate(replace(spec, prefix_tokens=0), workload, device, engine, precision)
    assert totals(cost) == totals(bare)
    assert cost.parameters.prefix == cost.parameters.aggregator == 0
    assert cost.memory.prefix == cost.memory.aggregator == 0
    idle = [time for time in cost.prefill.times if time.operator.part == "aggregator"]
    assert all(time.seconds == 0 for time in idle)


@given(specs(), workloads(), st.integers(2, 8))
def test_streams_are_a_batch_to_the_layers(
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


ROWS = {
    "hidden_size": st.integers(1, 16384),
    "intermediate_size": st.integers(1, 65536),
    "num_hidden_layers": st.integers(2, 128),
    "head_dim": st.integers(1, 256),
    "vocab_size": st.integers(1, 300_000),
    "streams": st.integers(1, 32),
    "prefix_tokens": st.integers(0, 128),
    "batch_size": st.integers(1, 512),
    "input_length": st.integers(1, 20_000),
    "output_length": st.integers(1, 3000),
}


@given(
    st.lists(st.fixed_dictionaries(ROWS), min_size=2, max_size=7),
    st.sampled_from(sorted(LAYERS)),
    precisions,
    devices,
    engines,
)
def test_a_scalar_is_a_row_of_an_array_to_the_last_bit(
    rows: list[dict[str, int]],
    layers: str,
    precision: Precision,
    device: Hardware,
    engine: Engine,
) -> None:
    columns: dict[str, Any] = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    lengths = ("batch_size", "input_length", "output_length")

    def run(values: dict[str, Any]) -> dict[str, Any]:
        sizes = {name: value for name, value in values.items() if name not in lengths}
        spec = ModelSpec(**sizes, layers=LAYERS[layers])
        workload = Workload(**{name: values[name] for name in lengths})
        cost = estimate(spec, workload, device, engine, precision)
        paper = published_cost(replace(spec, layers=()), workload, device)
        numbers = totals(cost) | {"tpot": cost.tpot, "parameters": cost.parameters.total}
        numbers |= {item.name: getattr(cost.memory, item.name) for item in fields(cost.memory)}
        numbers |= {"paper memory": paper.total_memory, "paper latency": paper.total_latency}
        for phase in (cost.prefill, cost.decode):
            for time in phase.times:
                key = f"{phase.name} {time.operator.name}"
                numbers |= {
                    f"{key} seconds": time.total_seconds,
                    f"{key} flops": time.total_flops,
                    f"{key} bytes": time.total_bytes,
                    f"{key} bound": time.bound,
                }
        return numbers

    together = run(columns)
    for index, row in enumerate(rows):
        for name, value in run(row).items():
            column = np.broadcast_to(together[name], (len(rows),))
            same = column[index] == value or (column[index] != column[index] and value != value)
            assert same, name


@given(specs(), workloads(), precisions, devices, engines, st.floats(0.01, 100))
def test_rescaling_the_device_rescales_time(
    spec: ModelSpec,
    workload: Workload,
    precision: Precision,
    device: Hardware,
    engine: Engine,
    factor: float,
) -> None:
    """A clock that runs `factor` times faster, everywhere, gives times `factor` times shorter."""
    faster = replace(
        device,
        bandwidth=device.bandwidth * factor,
        peak={dtype: peak * factor for dtype, peak in device.peak.items()},
        interconnect=None if device.interconnect is None else device.interconnect * factor,
    )
    quicker = replace(
        engine,
        kernel_floor=engine.kernel_floor / factor,
        attention=replace(engine.attention, floor=engine.attention.floor / factor),
        link_latency=engine.link_latency / factor,
        layer_host_time=engine.layer_host_time / factor,
        step_host_time=engine.step_host_time / factor,
    )
    before = estimate(spec, workload, device, engine, precision)
    after = estimate(spec, workload, faster, quicker, precision)
    assert after.total * factor == pytest.approx(before.total, rel=1e-9)
    assert after.flops == before.flops
    assert after.memory == before.memory


@given(specs(), workloads(), precisions, devices, engines, st.integers(1, 60))
def test_decode_is_the_sum_of_its_steps(
    spec: ModelSpec,
    workload: Workload,
    precision: Precision,
    device: Hardware,
    engine: Engine,
    steps: int,
) -> None:
    check_sum_of_steps(spec, workload, precision, device, engine, steps)


@given(
    specs(), st.integers(1, 120), st.integers(2, 150), precisions, devices, engines,
    st.integers(1, 60),
)  # fmt: skip
def test_decode_across_the_end_of_a_window(
    spec: ModelSpec,
    prompt: int,
    window: int,
    precision: Precision,
    device: Hardware,
    engine: Engine,
    steps: int,
) -> None:
    kinds = (LayerGroup(Attention(window), count=1), LayerGroup(spec.groups[-1].attention))
    spec = replace(spec, layers=kinds, prefix_tokens=min(spec.prefix_tokens, 20))
    check_sum_of_steps(spec, Workload(2, prompt), precision, device, engine, steps)


def check_sum_of_steps(
    spec: ModelSpec,
    workload: Workload,
    precision: Precision,
    device: Hardware,
    engine: Engine,
    steps: int,
) -> None:
    """The closed form against a brute-force loop, each step a forward pass of its own."""
    batch, layers = workload.batch_size, as_float(spec.num_hidden_layers)
    past = as_float(spec.prefix) + workload.input_length
    passes = [forward_pass(spec, batch, 1, past + step, precision) for step in range(steps)]
    speeds = Speeds(device, engine)
    single = [prefill_phase(operators, layers, speeds) for operators in passes]
    growth = context_growth(spec, batch, precision, past=past)
    closed = decode_phase(passes[0], growth, as_float(steps), layers, speeds)
    assert closed.seconds == pytest.approx(sum(phase.seconds for phase in single), rel=1e-9)
    assert closed.flops == pytest.approx(sum(phase.flops for phase in single), rel=1e-12)
    assert closed.bytes == pytest.approx(sum(phase.bytes for phase in single), rel=1e-12)
    for index, time in enumerate(closed.times):
        looped = sum(phase.times[index].total_seconds for phase in single)
        assert time.total_seconds == pytest.approx(looped, rel=1e-8, abs=1e-12 * closed.seconds)


numbers = st.floats(-1e3, 1e3).map(lambda value: round(value, 3))


@given(numbers, numbers, numbers, numbers, st.integers(0, 200))
def test_sum_of_maxima(a: float, slope_a: float, b: float, slope_b: float, count: int) -> None:
    terms = [max(a + j * slope_a, b + j * slope_b) for j in range(count)]
    scale = sum(abs(a) + abs(b) + j * (abs(slope_a) + abs(slope_b)) for j in range(count))
    starts = (np.float64(value) for value in (a, slope_a, b, slope_b, count))
    closed: Any = sum_of_maxima(*starts)
    assert closed == pytest.approx(sum(terms), abs=1e-11 * scale + 1e-12)


@given(specs(), workloads(), precisions, st.floats(1e6, 1e13))
def test_capacity_is_the_last_size_that_fits(
    spec: ModelSpec, workload: Workload, precision: Precision, limit: float
) -> None:
    def needs(**changes: int) -> float:
        return float(memory(spec, resized(workload, **changes), precision).total)

    batch = largest_batch(spec, workload, precision, limit)
    assert batch == 0 or needs(batch_size=batch) <= limit
    assert needs(batch_size=batch + 1) > limit
    context = longest_context(spec, workload, precision, limit)
    prompt = context - int(workload.output_length)
    assert context == 0 or needs(input_length=prompt) <= limit
    assert needs(input_length=max(prompt, 0) + 1) > limit


@given(specs(layers=()), st.integers(1, 64), st.integers(1, 5000), precisions)
def test_cache_grows_by_the_same_for_every_token(
    spec: ModelSpec, batch: int, tokens: int, precision: Precision
) -> None:
    # In values, which are whole; a width with the share of a scale need not be, in binary.
    held = [
        kv_cache_bytes(spec, batch, tokens + more, precision) / precision.cache.bytes
        for more in range(3)
    ]
    first, second, third = map(round, held)
    assert held == pytest.approx([first, second, third], rel=1e-12)
    values = 2 * spec.num_hidden_layers * spec.key_value_size * spec.streams * batch
    assert third - second == second - first == values


@given(specs(), st.integers(2, 300), st.integers(1, 5000))
def test_a_window_caps_the_cache(spec: ModelSpec, window: int, tokens: int) -> None:
    """A window as long as the text changes nothing; a shorter one keeps what it can still see."""
    windowed = replace(spec, layers=(LayerGroup(Attention(window)),))
    whole = replace(spec, layers=())
    seen = spec.prefix + tokens
    kept = min(seen, window - 1)
    assert kv_cache_bytes(windowed, 1, tokens) * seen == kv_cache_bytes(whole, 1, tokens) * kept


@given(st.integers(1, 300), st.integers(0, 400), st.integers(2, 200))
def test_pairs_that_a_window_hides(queries: int, past: int, window: int) -> None:
    """The closed form against a mask that is counted pair by pair."""
    kept = min(past, window - 1)
    visible = sum(min(kept + query + 1, window) for query in range(queries))
    assert masked_pairs(queries, kept, window) == queries * (kept + queries) - visible


@given(st.integers(1, 300), st.data(), st.integers(0, 10**9))
def test_distinct_experts(number: int, data: st.DataObject, token_streams: int) -> None:
    per_token = data.draw(st.integers(1, number))
    found = expected_experts(float(number), float(per_token), float(token_streams))
    power = (1 - per_token / number) ** token_streams
    assert found == pytest.approx(number * (1 - power), rel=1e-9, abs=1e-6)
    assert 0 <= found <= number
    if token_streams == 1:
        assert found == pytest.approx(per_token)


@given(specs(), workloads())
def test_narrower_weights_weigh_less(spec: ModelSpec, workload: Workload) -> None:
    held = [
        memory(spec, workload, Precision(weights=dtype)).layers
        for dtype in ("fp32", "bf16", "int8", "int4")
    ]
    plain = parameters(spec).attention + parameters(spec).mlp + parameters(spec).small
    assert held[0] == 4.0 * plain
    assert held[1] == 2.0 * plain
    if min(spec.hidden_size, spec.intermediate_size, spec.query_size) >= 8:
        assert held[0] > held[1] > held[2] > held[3]
