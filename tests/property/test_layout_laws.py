"""Laws of several devices: what divides, what never shrinks, and what the parts add up to."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cost_analysis import (
    InputError,
    ModelSpec,
    Precision,
    Workload,
    estimate,
    load_engine,
    load_hardware,
    memory,
)
from cost_analysis.layout import Layout, Share
from cost_analysis.pipeline import make_pipeline
from tests.helpers.strategies import precisions, specs, workloads

pytestmark = pytest.mark.property

DEVICE = replace(load_hardware("h100"), devices_per_node=8, network=5e10)
GRAPHS = load_engine("graphs")
WAYS = ("tensor_parallel", "pipeline_parallel", "expert_parallel", "stream_parallel")
layouts = st.builds(Layout, *(st.sampled_from([1, 2, 3, 4, 8, 16]) for _ in WAYS))


def fitting(layout: Layout, spec: ModelSpec) -> bool:
    try:
        layout.check(spec)
    except InputError:
        return False
    return True


@given(specs(), workloads(), precisions, layouts)
def test_devices_together_hold_no_less_than_one(
    spec: ModelSpec, workload: Workload, precision: Precision, layout: Layout
) -> None:
    assume(fitting(layout, spec))
    alone, each = (memory(spec, workload, precision, way) for way in (Layout(), layout))
    assert each.total * layout.devices >= (alone.weights + alone.kv_cache) * (1 - 1e-12)
    if layout.pipeline_parallel == 1:  # else the fullest stage need not have most of each
        assert each.weights * layout.devices >= alone.weights * (1 - 1e-12)
        assert each.kv_cache * layout.devices >= alone.kv_cache * (1 - 1e-12)


@given(specs(), workloads(), precisions, layouts, st.sampled_from(WAYS))
def test_a_device_of_more_never_holds_more(
    spec: ModelSpec, workload: Workload, precision: Precision, layout: Layout, way: str
) -> None:
    """But for the logits that are gathered, and a tied matrix that is held at both ends."""
    if way == "pipeline_parallel":
        spec = replace(spec, tie_word_embeddings=False)
    before = replace(layout, **{way: 1})
    assume(fitting(layout, spec) and fitting(before, spec))
    many, few = (memory(spec, workload, precision, one) for one in (layout, before))
    assert many.weights + many.kv_cache <= (few.weights + few.kv_cache) * (1 + 1e-12)


@given(specs(), workloads(), precisions, layouts)
def test_times_and_shares_make_sense(
    spec: ModelSpec, workload: Workload, precision: Precision, layout: Layout
) -> None:
    assume(fitting(layout, spec))
    cost = estimate(spec, workload, DEVICE, GRAPHS, precision, layout)
    for phase in (cost.prefill, cost.decode):
        total = sum(time.total_seconds for time in phase.times)
        assert math.isclose(total, phase.seconds, rel_tol=1e-9, abs_tol=1e-15)
        assert all(time.total_seconds >= 0 for time in phase.times)
        assert all(time.operator.link_bytes >= 0 for time in phase.times)
    alone = estimate(spec, workload, DEVICE, GRAPHS, precision)
    assert math.isclose(cost.flops, alone.flops, rel_tol=1e-9)
    exchanged = [t for t in cost.prefill.times if t.operator.kind == "exchange"]
    assert bool(exchanged) == (not layout.is_single)


@given(specs(), workloads(), st.sampled_from([2, 3, 4, 8]))
def test_a_pipeline_is_never_faster_than_its_stages_at_once(
    spec: ModelSpec, workload: Workload, count: int
) -> None:
    layout = Layout(pipeline_parallel=count)
    assume(fitting(layout, spec))
    cost = estimate(spec, workload, DEVICE, GRAPHS, layout=layout)
    batches = make_pipeline(spec, layout, workload.batch_size).micro_batches
    waiting = {t.operator.name: t.seconds for t in cost.prefill.times}["other micro-batches"]
    one = cost.prefill.seconds - waiting
    # All micro-batches pass the slowest stage, which takes at least its part of one pass.
    assert cost.prefill.seconds >= batches * one / count * (1 - 1e-9)
    assert waiting <= (batches - 1) * one * (1 + 1e-9)


@given(specs(), st.sampled_from([1, 2, 4, 8, 16, 32, 64]))
def test_heads_are_divided_and_copied(spec: ModelSpec, group: int) -> None:
    layout = Layout(tensor_parallel=group)
    assume(fitting(layout, spec))
    share = Share(spec, layout)
    assert share.query_heads * group == spec.num_attention_heads
    kept = share.key_value / spec.head_dim
    assert kept == max(spec.num_key_value_heads / group, 1)


@given(specs(streams=16), workloads(), st.sampled_from([2, 4, 8]))
def test_streams_apart_are_a_model_of_fewer_streams(
    spec: ModelSpec, workload: Workload, groups: int
) -> None:
    """All operators but the aggregator and what meets before it; one stream has no prefix."""
    apart = estimate(spec, workload, DEVICE, GRAPHS, layout=Layout(stream_parallel=groups))
    few = estimate(spec.with_streams(16 // groups), workload, DEVICE, GRAPHS)
    for ours, theirs in ((apart.prefill, few.prefill), (apart.decode, few.decode)):
        expected = {time.operator.name: time for time in theirs.times}
        for time in ours.times:
            name = time.operator.name
            if time.operator.part in ("aggregator", "host"):
                continue
            assert time.operator == expected[name].operator
