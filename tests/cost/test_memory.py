"""Bytes that are held: weights against published checkpoints, caches and layouts by hand, and laws.

What a checkpoint holds beyond what is counted is added here, term by term; docs/precision.md says
it in words. Files begin with a header that lists their tensors.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cost_analysis import (
    Layout,
    ModelSpec,
    Precision,
    Workload,
    kv_cache_bytes,
    load_model,
    memory,
    parameters,
)
from cost_analysis.common.arrays import single, single_count
from cost_analysis.common.checks import LARGEST_SIZE
from cost_analysis.cost.memory import largest_batch, longest_context
from cost_analysis.inputs.dtypes import dtype_named
from cost_analysis.inputs.layers import Attention, LayerGroup
from tests.helpers.cases import MIXTURE, SMALL
from tests.helpers.data import read_rows
from tests.helpers.strategies import WAYS, fitting, layouts, precisions, specs, workloads

ROWS = {row["checkpoint"]: row for row in read_rows("checkpoint_bytes.csv")}
GPTQ = [name for name in ROWS if name.endswith("GPTQ")]


def counted(name: str) -> tuple[int, ModelSpec, Precision]:
    """Published bytes, the model, and its formats."""
    row = ROWS[name]
    spec = load_model(row["model"]).spec
    return int(row["bytes"]), spec, Precision(row["weight_dtype"])


def weights(spec: ModelSpec, precision: Precision) -> float:
    return float(memory(spec, Workload(), precision).weights)


def header_is_plausible(left: float, tensors: int) -> bool:
    """What is left is the list of tensors: name, type, shape and two offsets of each."""
    return 90 * tensors < left < 150 * tensors


def narrow(group: LayerGroup) -> LayerGroup:
    """The layers with an attention that is stored as the MLP is."""
    assert isinstance(group.attention, Attention)
    return replace(group, attention=replace(group.attention, wide=False))


@pytest.mark.golden
@pytest.mark.parametrize("name", [name for name in ROWS if name.startswith("openai")])
def test_gpt_oss_is_counted_to_the_byte(name: str) -> None:
    published, spec, precision = counted(name)
    assert weights(spec, precision) == published
    # Without its 16-bit attention it would be 2 to 7 % smaller.
    assert (
        0.93
        < weights(replace(spec, layers=tuple(map(narrow, spec.layers))), precision) / published
        < 0.98
    )


@pytest.mark.golden
def test_deepseek_v3_has_a_layer_that_is_not_counted() -> None:
    published, spec, precision = counted("deepseek-ai/DeepSeek-V3")
    deeper = replace(spec, num_hidden_layers=spec.num_hidden_layers + 1)
    hidden, vocab = spec.hidden_size, spec.vocab_size
    layer = (
        memory(deeper, Workload(), precision).layers - memory(spec, Workload(), precision).layers
    )
    # The layer that predicts a second token: a projection of two inputs, three norms, and its own
    # copies of the embedding and of the head.
    second = layer + 2 * (2 * hidden * hidden + 3 * hidden + 2 * vocab * hidden)
    experts = 256
    router_biases = 59 * experts * 2  # float32, counted as 16 bits
    left = published - weights(spec, precision) - second - router_biases
    # Each matrix is two tensors; 3 layers are dense, 58 and the one that is not counted are not.
    attention, dense, routed = 5 * 2 + 4, 3 * 2, (experts + 1) * 3 * 2 + 2
    tensors = 3 * (attention + dense) + 59 * (attention + routed) + 3 + 6
    assert header_is_plausible(single(left), tensors)


@pytest.mark.golden
@pytest.mark.parametrize("name", GPTQ)
def test_gptq_stores_an_order_of_inputs_and_empty_biases(name: str) -> None:
    published, spec, precision = counted(name)
    hidden, inner, layers = spec.hidden_size, spec.intermediate_size, spec.num_hidden_layers
    query, key_value = spec.query_size, spec.key_value_size
    order = 4 * (5 * hidden + query + inner)  # q, k, v, gate and up read the hidden size
    biases = 2 * (query + 2 * key_value + 2 * hidden + 2 * inner)
    left = published - weights(spec, precision) - layers * (order + biases)
    assert header_is_plausible(single(left), single_count(layers) * (7 * 5 + 2) + 3)


@pytest.mark.golden
@pytest.mark.parametrize("other", ["int4-g128-zp", "int4-g32", "int8-g128", "int8-zp"])
def test_other_formats_do_not_match_the_published_bytes(other: str) -> None:
    """A format without zero points, or with other groups, is off by more than all the rest."""
    name = "TheBloke/Mythalion-13B-GPTQ" if "int4" in other else "TheBloke/Pygmalion-2-7B-GPTQ"
    published, spec, precision = counted(name)
    rest = published - weights(spec, precision)
    assert (
        abs(weights(spec, replace(precision, weights=other)) - weights(spec, precision)) > 3 * rest
    )


@pytest.mark.parametrize(("devices", "heads"), [(1, 4), (2, 2), (4, 1), (8, 1), (16, 1)])
def test_a_kv_head_is_copied_where_there_are_fewer_than_devices(devices: int, heads: int) -> None:
    held = memory(SMALL, Workload(3, 50, 51), layout=Layout(devices))
    # 100 positions of 3 sequences in 4 layers: keys and values of `heads` heads of 64 bf16 values.
    assert held.kv_cache == 3 * 100 * 4 * 2 * heads * 64 * 2


def test_the_cache_of_groups_of_experts_is_divided_by_sequences() -> None:
    held = memory(MIXTURE, Workload(6, 20, 1), layout=Layout(expert_parallel=4))
    assert held.kv_cache == kv_cache_bytes(MIXTURE, 2, 20)


def test_a_tied_matrix_is_held_at_both_ends() -> None:
    spec = load_model("0.5B").spec
    held = memory(spec, Workload(1, 8, 8), layout=Layout(pipeline_parallel=2))
    table = spec.vocab_size * spec.hidden_size * 2
    assert (held.embedding, held.lm_head) in {(table, 0), (0, table)}


def resized(workload: Workload, **changes: Any) -> Workload:
    return replace(workload, **changes)


@pytest.mark.property
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


@pytest.mark.property
@given(specs(layers=()), st.integers(1, 64), st.integers(1, 5000), precisions)
def test_cache_grows_by_the_same_for_every_token(
    spec: ModelSpec, batch: int, tokens: int, precision: Precision
) -> None:
    # In values, which are whole; a width with the share of a scale need not be, in binary.
    held = [
        single(kv_cache_bytes(spec, batch, tokens + more, precision)) / precision.cache.bytes
        for more in range(3)
    ]
    first, second, third = map(round, held)
    assert held == pytest.approx([first, second, third], rel=1e-12)
    values = 2 * spec.num_hidden_layers * spec.key_value_size * spec.streams * batch
    assert third - second == second - first == values


@pytest.mark.property
@given(specs(), st.integers(2, 300), st.integers(1, 5000))
def test_a_window_caps_the_cache(spec: ModelSpec, window: int, tokens: int) -> None:
    """A window as long as the text changes nothing; a shorter one limits the cached positions."""
    windowed = replace(spec, layers=(LayerGroup(Attention(window)),))
    whole = replace(spec, layers=())
    seen = spec.prefix + tokens
    kept = min(seen, window - 1)
    assert kv_cache_bytes(windowed, 1, tokens) * seen == kv_cache_bytes(whole, 1, tokens) * kept


@pytest.mark.property
@given(specs(), workloads())
def test_narrower_weights_take_less_memory(spec: ModelSpec, workload: Workload) -> None:
    held = [
        memory(spec, workload, Precision(weights=dtype)).layers
        for dtype in ("fp32", "bf16", "int8", "int4")
    ]
    plain = parameters(spec).attention + parameters(spec).mlp + parameters(spec).small
    assert held[0] == 4.0 * plain
    assert held[1] == 2.0 * plain
    if min(spec.hidden_size, spec.intermediate_size, spec.query_size) >= 8:
        assert held[0] > held[1] > held[2] > held[3]


def test_a_narrow_cache_holds_a_larger_batch() -> None:
    spec, work = load_model("1.6B").spec.with_streams(8), Workload(1, 100, 30_000)
    wide, fp8, int4 = (
        largest_batch(spec, work, Precision(kv_cache=cache), 80e9)
        for cache in ("bf16", "fp8", "int4")
    )
    assert 1.4 * wide < fp8 < 2 * wide + 2
    assert fp8 < int4 < 4 * wide + 4


CHAIN = (
    "fp32", "bf16", "int8-g128-zp", "int8-g128", "int8", "int4-g32-zp", "nvfp4", "mxfp4",
    "int4-g128",
)  # fmt: skip
"""Each narrower than the one before, for matrices wide enough to share scales."""


@pytest.mark.property
@given(specs(), workloads())
def test_narrower_formats_never_take_more_memory(spec: ModelSpec, workload: Workload) -> None:
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


@pytest.mark.property
@given(specs(), workloads(), st.sampled_from(["fp8", "int8", "int4", "int4-g32-zp"]))
def test_a_narrower_cache_never_lowers_the_largest_batch(
    spec: ModelSpec, work: Workload, cache: str
) -> None:
    wide, narrow = Precision(), Precision(kv_cache=cache)
    limit = 2.0 * float(memory(spec, work, wide).total)
    assert largest_batch(spec, work, narrow, limit) >= largest_batch(spec, work, wide, limit)
    added = memory(spec, work, narrow).kv_cache / memory(spec, work, wide).kv_cache
    assert added == pytest.approx(dtype_named(cache).bytes / 2)


@pytest.mark.property
@given(specs(), workloads(), precisions, layouts)
def test_all_devices_together_need_at_least_the_memory_of_one(
    spec: ModelSpec, workload: Workload, precision: Precision, layout: Layout
) -> None:
    assume(fitting(layout, spec))
    alone, each = (memory(spec, workload, precision, way) for way in (Layout(), layout))
    assert each.total * layout.devices >= (alone.weights + alone.kv_cache) * (1 - 1e-12)
    if layout.pipeline_parallel == 1:  # else the fullest stage need not have most of each
        assert each.weights * layout.devices >= alone.weights * (1 - 1e-12)
        assert each.kv_cache * layout.devices >= alone.kv_cache * (1 - 1e-12)


@pytest.mark.property
@given(specs(), workloads(), precisions, layouts, st.sampled_from(WAYS))
def test_more_devices_never_need_more_memory_each(
    spec: ModelSpec, workload: Workload, precision: Precision, layout: Layout, way: str
) -> None:
    """Apart from gathered logits, and a tied matrix that is stored at both ends."""
    if way == "pipeline_parallel":
        spec = replace(spec, tie_word_embeddings=False)
    before = replace(layout, **{way: 1})
    assume(fitting(layout, spec) and fitting(before, spec))
    many, few = (memory(spec, workload, precision, one) for one in (layout, before))
    assert many.weights + many.kv_cache <= (few.weights + few.kv_cache) * (1 + 1e-12)


SPEC = ModelSpec(64, 128, 4, 4, 2, vocab_size=500, streams=2)
WORK, PRECISION = Workload(3, 11, 7), Precision()


@pytest.mark.parametrize("layout", [Layout(), Layout(2), Layout(1, 2), Layout(1, 1, 3)])
@pytest.mark.parametrize("room", [0.9, 1.0, 1.01, 1.5, 4.0, 37.0])
def test_the_largest_size_is_the_last_that_fits(layout: Layout, room: float) -> None:
    limit = room * float(memory(SPEC, replace(WORK, batch_size=1), PRECISION, layout).total)

    def fits(batch: int) -> bool:
        return bool(memory(SPEC, replace(WORK, batch_size=batch), PRECISION, layout).total <= limit)

    most = largest_batch(SPEC, WORK, PRECISION, limit, layout)
    assert most == 0 or fits(most)
    assert not fits(most + 1)


def test_longest_context_of_a_limit() -> None:
    limit = float(memory(SPEC, replace(WORK, input_length=5000), PRECISION).total)
    assert longest_context(SPEC, WORK, PRECISION, limit) == 5000 + 7
    assert longest_context(SPEC, WORK, PRECISION, 10.0) == 0


def test_an_unlimited_device_fits_the_largest_size() -> None:
    assert largest_batch(SPEC, WORK, PRECISION, float("inf")) == LARGEST_SIZE


def test_capacity_ends_at_the_largest_size() -> None:
    assert largest_batch(SMALL, Workload(), Precision(), 1e40) == LARGEST_SIZE
    assert largest_batch(SMALL, Workload(), Precision(), 1.0) == 0
