"""Times of phases: equal to recorded ones, and sums in closed form."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cost_analysis import (
    Engine,
    Hardware,
    ModelSpec,
    Precision,
    Workload,
    estimate,
    forward_pass,
    load_engine,
    load_hardware,
    load_model,
)
from cost_analysis.common.arrays import as_float, single
from cost_analysis.cost.forward_pass import context_growth
from cost_analysis.cost.latency import (
    Launched,
    decode_phase,
    make_pipeline,
    prefill_phase,
)
from cost_analysis.cost.roofline import Speeds
from cost_analysis.inputs.layers import Attention, LayerGroup
from cost_analysis.inputs.layout import Layout, micro_batches
from tests.helpers.cases import EIGHT_A_NODE, FOUR_A_NODE, PLAIN, SMALL
from tests.helpers.data import DATA
from tests.helpers.strategies import devices, engines, fitting, precisions, specs, workloads

CASES = json.loads((DATA / "plain_roofline.json").read_text())


@pytest.mark.golden
def test_recorded_times_are_of_both_engines() -> None:
    assert {case["engine"] for case in CASES} == {"ideal", "llm-analysis"}


@pytest.mark.golden
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['engine']}-{case['model']}")
def test_times_equal_recorded_ones(case: dict[str, Any]) -> None:
    weights = case["weights"]
    wide = "bf16" if weights in ("int4", "fp8") else weights
    cost = estimate(
        load_model(case["model"]).spec.with_streams(case["streams"]),
        Workload(case["batch_size"], case["input_length"], case["output_length"]),
        load_hardware(case["device"]),
        load_engine(case["engine"]),
        Precision(weights, wide, wide),
    )
    assert float(cost.ttft).hex() == case["ttft"]
    assert float(cost.decode.seconds).hex() == case["decode"]
    assert cost.interval(cost.total) is None


def finished(times: list[float], parts: int, rounds: int = 1) -> float:
    """Time at which the last of some micro-batches has passed all stages `rounds` times.

    Each stage takes the micro-batches in turn, one at a time.
    """
    free = [0.0] * len(times)
    ready = [0.0] * parts
    for _ in range(rounds):
        for part in range(parts):
            for stage, seconds in enumerate(times):
                ready[part] = free[stage] = max(ready[part], free[stage]) + seconds
    return max(ready)


@pytest.mark.parametrize("layers", [4, 5, 7, 8])
@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("batch", [1, 2, 3, 8])
def test_a_pipeline_takes_what_its_stages_take_in_turn(layers: int, count: int, batch: int) -> None:
    spec = replace(SMALL, num_hidden_layers=layers)
    layout, work = Layout(pipeline_parallel=count), Workload(batch, 64, 2)
    device = replace(FOUR_A_NODE, devices_per_node=None)
    cost = estimate(spec, work, device, PLAIN, layout=layout)
    parts = int(micro_batches(layout, work.batch_size))
    for phase, seconds in ((cost.prefill, cost.ttft), (cost.decode, cost.tpot)):
        ends, hops, inner = [0.0] * count, 0.0, 0.0
        for time in phase.times:
            place = {"embedding": 0, "lm head": -1, "aggregator": -1}.get(time.operator.part)
            if time.operator.kind == "exchange":
                hops += single(time.seconds)
            elif place is not None:
                ends[place] += single(time.seconds)
            elif time.operator.part != "pipeline":
                inner += single(time.seconds)
        counts = [layers // count] * count
        for place in range(layers % count):
            counts[count - 2 - place] += 1
        each = [e + inner * n / layers + hops / count for e, n in zip(ends, counts, strict=True)]
        if phase is cost.prefill:
            assert seconds == pytest.approx(finished(each, parts))
        else:
            many = finished(each, parts, 500) - finished(each, parts, 100)
            assert seconds == pytest.approx(many / 400)


@pytest.mark.property
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


@pytest.mark.property
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
    """The closed form equals a brute-force loop with a forward pass for each step.

    With `soft_roofs` the waiting for the host has none, and is integrated.
    """
    batch = workload.batch_size
    launched = Launched(as_float(spec.num_hidden_layers), as_float(batch))
    past = as_float(spec.prefix) + workload.input_length
    passes = [forward_pass(spec, batch, 1, past + step, precision) for step in range(steps)]
    speeds = Speeds(device, engine)
    one_by_one = [prefill_phase(operators, launched, speeds) for operators in passes]
    growth = context_growth(spec, batch, precision, past=past)
    closed = decode_phase(passes[0], growth, as_float(steps), launched, speeds)
    near = 3e-3 if engine.soft_roofs else 1e-9
    assert closed.seconds == pytest.approx(sum(phase.seconds for phase in one_by_one), rel=near)
    assert closed.flops == pytest.approx(sum(phase.flops for phase in one_by_one), rel=1e-12)
    assert closed.bytes == pytest.approx(sum(phase.bytes for phase in one_by_one), rel=1e-12)
    rounding = 1e-12 * single(closed.seconds)
    for index, time in enumerate(closed.times):
        looped = sum(phase.times[index].total_seconds for phase in one_by_one)
        own = near * single(closed.seconds) if time.operator.name == "host" else 0.0
        assert time.total_seconds == pytest.approx(looped, rel=1e-8, abs=rounding + own)


GRAPHS = load_engine("graphs")


@pytest.mark.property
@given(specs(), workloads(), st.sampled_from([2, 3, 4, 8]))
def test_a_pipeline_is_never_faster_than_its_stages_at_once(
    spec: ModelSpec, workload: Workload, count: int
) -> None:
    layout = Layout(pipeline_parallel=count)
    assume(fitting(layout, spec))
    cost = estimate(spec, workload, EIGHT_A_NODE, GRAPHS, layout=layout)
    batches = make_pipeline(spec, layout, workload.batch_size).micro_batches
    waiting = {t.operator.name: t.seconds for t in cost.prefill.times}["other micro-batches"]
    one = cost.prefill.seconds - waiting
    # All micro-batches pass the slowest stage, which takes at least its part of one pass.
    assert cost.prefill.seconds >= batches * one / count * (1 - 1e-9)
    assert waiting <= (batches - 1) * one * (1 + 1e-9)
