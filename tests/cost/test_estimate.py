"""Laws of an estimate, for any model, workload, precision, layout, device and engine."""

from __future__ import annotations

import itertools
import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cost_analysis import (
    Engine,
    Estimate,
    Hardware,
    InputError,
    ModelSpec,
    Precision,
    Workload,
    estimate,
    load_engine,
    load_hardware,
    published_cost,
)
from cost_analysis.inputs.layout import Layout
from tests.helpers.cases import EIGHT_A_NODE, FOUR_A_NODE, MIXTURE, PLAIN, SMALL
from tests.helpers.strategies import (
    LAYERS,
    devices,
    engines,
    fitting,
    layouts,
    precisions,
    specs,
    workloads,
)


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
    """The quantities of which the larger request has less than the smaller one."""
    above = totals(larger)
    return [name for name, value in totals(smaller).items() if above[name] < value * (1 - 1e-12)]


@pytest.mark.property
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


@pytest.mark.property
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
            if time.origin != "modelled":  # roofs are those of other kernels
                assert time.seconds >= time.overhead >= 0
                continue
            assert time.seconds >= roof + time.overhead - 1e-12 * time.seconds
    assert cost.total == cost.ttft + cost.decode.seconds


@pytest.mark.property
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


@pytest.mark.property
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


@pytest.mark.property
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
        kernels="",
    )
    quicker = replace(
        engine,
        kernel_floor=engine.kernel_floor / factor,
        attention=replace(engine.attention, floor=engine.attention.floor / factor),
        link_latency=engine.link_latency / factor,
        layer_host_time=engine.layer_host_time / factor,
        step_host_time=engine.step_host_time / factor,
        sequence_host_time=engine.sequence_host_time / factor,
    )
    before = estimate(spec, workload, replace(device, kernels=""), engine, precision)
    after = estimate(spec, workload, faster, quicker, precision)
    assert after.total * factor == pytest.approx(before.total, rel=1e-9)
    assert after.flops == before.flops
    assert after.memory == before.memory


def test_flops_of_a_layout_are_those_of_the_model(a100: Hardware, graphs: Engine) -> None:
    spec, work = replace(MIXTURE, streams=4), Workload(4, 32, 9)
    alone = estimate(spec, work, a100, graphs)
    layout = Layout(tensor_parallel=2, pipeline_parallel=2, expert_parallel=2, stream_parallel=4)
    divided = estimate(spec, work, a100, graphs, layout=layout)
    assert (divided.prefill_flops, divided.decode_step_flops) == (
        alone.prefill_flops, alone.decode_step_flops,
    )  # fmt: skip
    assert divided.decode_flops == pytest.approx(alone.decode_flops, rel=1e-12)
    assert divided.prefill.flops < alone.prefill.flops


def test_arrays_of_layouts_are_their_rows(a100: Hardware, graphs: Engine) -> None:
    spec, work = replace(MIXTURE, streams=4), Workload(6, 32, 9)
    axes = (np.array([1, 2, 8]), np.array([1, 2, 4]), np.array([1, 4, 8]), np.array([1, 2, 3]))
    shaped = [axis.reshape([3 if i == place else 1 for i in range(4)])
              for place, axis in enumerate(axes)]  # fmt: skip
    together = estimate(spec, work, a100, graphs, layout=Layout(*shaped))
    for place in itertools.product(range(3), repeat=4):
        counts = [int(axis[i]) for axis, i in zip(axes, place, strict=True)]
        alone = estimate(spec, work, a100, graphs, layout=Layout(*counts))
        for quantity in ("ttft", "total", "prefill_flops"):
            one, row = getattr(alone, quantity), getattr(together, quantity)
            found = np.broadcast_to(row, (3, 3, 3, 3))[place]
            assert found == pytest.approx(one, rel=1e-12), (quantity, counts)
        row = np.broadcast_to(together.memory.total, (3, 3, 3, 3))[place]
        assert row == alone.memory.total, counts


def test_devices_without_a_link(graphs: Engine) -> None:
    unlinked = replace(load_hardware("a100"), interconnect=None)
    with pytest.raises(InputError, match="states no link to others; give its rate"):
        estimate(SMALL, Workload(), unlinked, graphs, layout=Layout(2))
    with pytest.raises(InputError, match="more than the 4 devices of a node"):
        estimate(SMALL, Workload(), replace(FOUR_A_NODE, network=None), PLAIN, layout=Layout(8))


GRAPHS = load_engine("graphs")


@pytest.mark.property
@given(specs(), workloads(), precisions, layouts)
def test_phases_are_sums_and_flops_do_not_depend_on_the_layout(
    spec: ModelSpec, workload: Workload, precision: Precision, layout: Layout
) -> None:
    assume(fitting(layout, spec))
    cost = estimate(spec, workload, EIGHT_A_NODE, GRAPHS, precision, layout)
    for phase in (cost.prefill, cost.decode):
        total = sum(time.total_seconds for time in phase.times)
        assert math.isclose(total, phase.seconds, rel_tol=1e-9, abs_tol=1e-15)
        assert all(time.total_seconds >= 0 for time in phase.times)
        assert all(time.operator.link_bytes >= 0 for time in phase.times)
    alone = estimate(spec, workload, EIGHT_A_NODE, GRAPHS, precision)
    assert math.isclose(cost.flops, alone.flops, rel_tol=1e-9)
    exchanged = [t for t in cost.prefill.times if t.operator.kind == "exchange"]
    assert bool(exchanged) == (not layout.is_single)


@pytest.mark.property
@given(specs(streams=16), workloads(), st.sampled_from([2, 4, 8]))
def test_a_stream_group_is_a_model_of_fewer_streams(
    spec: ModelSpec, workload: Workload, groups: int
) -> None:
    """All operators but the aggregator and the exchange before it; one stream has no prefix."""
    apart = estimate(spec, workload, EIGHT_A_NODE, GRAPHS, layout=Layout(stream_parallel=groups))
    few = estimate(spec.with_streams(16 // groups), workload, EIGHT_A_NODE, GRAPHS)
    for ours, theirs in ((apart.prefill, few.prefill), (apart.decode, few.decode)):
        expected = {time.operator.name: time for time in theirs.times}
        for time in ours.times:
            name = time.operator.name
            if time.operator.part in ("aggregator", "host"):
                continue
            assert time.operator == expected[name].operator
