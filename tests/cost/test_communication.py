"""What devices hold, send and wait for, worked by hand, by brute force and by random routing."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace

import numpy as np
import pytest

from cost_analysis import (
    Engine,
    Hardware,
    InputError,
    ModelSpec,
    Workload,
    estimate,
    forward_pass,
    kv_cache_bytes,
    load_hardware,
    load_model,
    memory,
)
from cost_analysis.expert_load import busiest_experts, distinct_groups
from cost_analysis.kernel_time import transfer_time
from cost_analysis.layers import Experts, LayerGroup
from cost_analysis.layout import Layout, micro_batches, stages
from cost_analysis.ledger import Operator

SPEC = ModelSpec(1024, 4096, 4, 16, 4, vocab_size=8000, qkv_bias=False)
MIXTURE = replace(SPEC, layers=(LayerGroup(mlp=Experts(8, 2)),))
PLAIN = Engine("plain")
DEVICE = Hardware(
    "d", "d", memory=1e11, bandwidth=1e12, peak={"bf16": 1e14}, interconnect=2e11,
    devices_per_node=4, network=1e10,
)  # fmt: skip


def exchanges(layout: Layout, spec: ModelSpec = SPEC, batch: int = 2) -> dict[str, Operator]:
    """Exchanges of a decode step, by name and part."""
    found = forward_pass(spec, batch, 1, 100, layout=layout)
    return {f"{op.name} {op.part}": op for op in found if op.kind == "exchange"}


@pytest.mark.parametrize(("devices", "heads"), [(1, 4), (2, 2), (4, 1), (8, 1), (16, 1)])
def test_a_kv_head_is_copied_where_there_are_fewer_than_devices(devices: int, heads: int) -> None:
    held = memory(SPEC, Workload(3, 50, 51), layout=Layout(devices))
    # 100 positions of 3 sequences in 4 layers: keys and values of `heads` heads of 64 bf16 values.
    assert held.kv_cache == 3 * 100 * 4 * 2 * heads * 64 * 2


def test_what_a_tensor_parallel_group_sends() -> None:
    sent = exchanges(Layout(tensor_parallel=4))
    assert sent.keys() == {
        "all-reduce embedding", "all-reduce attention", "all-reduce mlp", "gather logits lm head",
    }  # fmt: skip
    # Two rows of 1024 bf16 values, 2 · 3/4 of them from each, in each of four layers.
    assert sent["all-reduce attention"].link_bytes == 4 * 1.5 * 2 * 1024 * 2
    assert sent["all-reduce attention"].messages == 4 * 2 * 3
    assert sent["all-reduce embedding"].link_bytes == 1.5 * 2 * 1024 * 2
    # A quarter of the vocabulary, for two sequences, to three others.
    assert sent["gather logits lm head"].link_bytes == 2000 * 2 * 2 * 3


def test_streams_apart_meet_once() -> None:
    spec = replace(SPEC, streams=8)
    sent = exchanges(Layout(stream_parallel=4), spec)
    assert sent.keys() == {"gather streams aggregator"}
    # Two streams of two sequences, 1024 bf16 values each, to three others.
    assert sent["gather streams aggregator"].link_bytes == 2 * 2 * 1024 * 2 * 3
    with_tensor = exchanges(Layout(tensor_parallel=2, stream_parallel=4), spec)
    assert with_tensor["gather streams aggregator"].spans == 8
    assert with_tensor["all-reduce mlp"].spans == 2


def test_streams_apart_read_the_weights_for_their_own_rows() -> None:
    spec, alone = replace(SPEC, streams=8), replace(SPEC, streams=2)
    apart, own = (
        {op.name: op for op in forward_pass(each, 3, 1, 100 + each.prefix, layout=layout)}
        for each, layout in ((spec, Layout(stream_parallel=4)), (alone, Layout()))
    )
    for name in ("gate, up projection", "attention", "rotary, cache write"):
        assert apart[name] == own[name]
    whole = {op.name: op for op in forward_pass(spec, 3, 1, 148)}
    assert apart["aggregator: mix"] == whole["aggregator: mix"]


def test_what_a_pipeline_sends() -> None:
    (sent,) = exchanges(Layout(pipeline_parallel=4)).values()
    # Three times the residual stream of two rows, and a number of eight bytes for each sequence.
    assert sent.link_bytes == 3 * 2 * 1024 * 2 + 2 * 8
    assert (sent.messages, sent.kernels, sent.spans) == (4, 4, 4)


def test_what_experts_send() -> None:
    sent = exchanges(Layout(expert_parallel=4), MIXTURE, batch=6)
    # Two sequences a group at most. Two of eight experts lie in 1 + 6/7 of four groups on average,
    # three quarters of these elsewhere.
    copies = (1 + 6 / 7) * 3 / 4
    for way in ("experts: dispatch mlp", "experts: combine mlp"):
        assert sent[way].link_bytes == pytest.approx(4 * 2 * 1024 * 2 * copies)
        assert sent[way].messages == 4


def test_distinct_groups_are_those_of_every_choice() -> None:
    for number, per_token, groups in ((8, 2, 4), (8, 3, 2), (12, 4, 6), (6, 6, 3), (5, 1, 5)):
        each = number // groups
        choices = list(itertools.combinations(range(number), per_token))
        touched = [len({expert // each for expert in choice}) for choice in choices]
        mean = sum(touched) / len(touched)
        assert distinct_groups(float(number), float(per_token), float(groups)) == pytest.approx(
            mean
        )


@pytest.mark.parametrize(
    ("number", "per_token", "rows", "groups"),
    [(8, 2, 1, 2), (8, 2, 4, 4), (8, 2, 1, 8), (64, 6, 16, 8), (256, 8, 32, 16), (256, 8, 300, 8),
     (128, 8, 400, 16)],
)  # fmt: skip
def test_the_busiest_group_is_that_of_random_routing(
    number: int, per_token: int, rows: int, groups: int
) -> None:
    generator, each, most = random.Random(1), number // groups, []
    for _ in range(300):
        reached = {e for _ in range(rows) for e in generator.sample(range(number), per_token)}
        counts = [0] * groups
        for expert in reached:
            counts[expert // each] += 1
        most.append(max(counts))
    expected = busiest_experts(*map(float, (number, per_token, rows, groups, each)))
    # That the groups are not independent shows at a single row, where it is 6 % at most here.
    assert expected == pytest.approx(np.mean(most), rel=0.07)
    assert expected <= each


def test_the_busiest_group_row_by_row() -> None:
    rows = np.array([1.0, 3.0, 50.0, 1e4])
    together = busiest_experts(64.0, 6.0, rows, np.array([[1.0], [4.0], [8.0]]), 16.0)
    for (i, groups), (j, row) in itertools.product(enumerate((1.0, 4.0, 8.0)), enumerate(rows)):
        assert together[i, j] == busiest_experts(64.0, 6.0, float(row), groups, 16.0)


def test_a_group_that_leaves_its_node_pays_the_network() -> None:
    operator = Operator(
        "x", "mlp", link_bytes=1e9, messages=2.0, kernels=1.0, kind="exchange", spans=4.0
    )
    # In a node 100 GB/s each way, and 1.9 us a message after 6.4 us; beyond it 10 GB/s.
    inside = transfer_time(operator, DEVICE, PLAIN)
    beyond = transfer_time(replace(operator, spans=5.0), DEVICE, PLAIN)
    assert inside == pytest.approx(1e9 / 1e11 + 6.4e-6 + 2 * 1.9e-6)
    assert beyond == pytest.approx(1e9 / 1e10 + 7.4e-6 + 2 * 4.0e-6)
    short = replace(operator, link_bytes=10.0, spans=5.0)
    assert transfer_time(short, DEVICE, PLAIN) == pytest.approx(2 * 2.7e-6, rel=1e-3)
    both = transfer_time(replace(operator, spans=np.array([4.0, 5.0])), DEVICE, PLAIN)
    assert both.tolist() == [inside, beyond]


def finished(times: list[float], parts: int, rounds: int = 1) -> float:
    """When the last of some micro-batches has passed all stages `rounds` times.

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
    spec = replace(SPEC, num_hidden_layers=layers)
    layout, work = Layout(pipeline_parallel=count), Workload(batch, 64, 2)
    device = replace(DEVICE, devices_per_node=None)
    cost = estimate(spec, work, device, PLAIN, layout=layout)
    parts = int(micro_batches(layout, work.batch_size))
    for phase, seconds in ((cost.prefill, cost.ttft), (cost.decode, cost.tpot)):
        ends, hops, inner = [0.0] * count, 0.0, 0.0
        for time in phase.times:
            place = {"embedding": 0, "lm head": -1, "aggregator": -1}.get(time.operator.part)
            if time.operator.kind == "exchange":
                hops += time.seconds
            elif place is not None:
                ends[place] += time.seconds
            elif time.operator.part != "pipeline":
                inner += time.seconds
        counts = [layers // count] * count
        for place in range(layers % count):
            counts[count - 2 - place] += 1
        each = [e + inner * n / layers + hops / count for e, n in zip(ends, counts, strict=True)]
        if phase is cost.prefill:
            assert seconds == pytest.approx(finished(each, parts))
        else:
            many = finished(each, parts, 500) - finished(each, parts, 100)
            assert seconds == pytest.approx(many / 400)


@pytest.mark.parametrize("count", range(1, 9))
def test_stages_have_every_layer_once(count: int) -> None:
    spec = replace(SPEC, num_hidden_layers=11)
    found = list(stages(spec, Layout(pipeline_parallel=count)))
    assert found[0].first == 0
    assert found[-1].end == 11
    assert sum(stage.has_head for stage in found) == sum(s.has_embedding for s in found) == 1
    assert max(stage.layers for stage in found) == math.ceil(11 / count) or count == 1
    between = max(count - 2, 0)
    middle = found[1].layers if count > 2 else 0
    least = found[0].layers + found[-1].layers * (count > 1)
    assert least + between * middle >= 11 >= least + between * (middle - 1)


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


def test_the_cache_of_groups_of_experts_is_divided_by_sequences() -> None:
    held = memory(MIXTURE, Workload(6, 20, 1), layout=Layout(expert_parallel=4))
    assert held.kv_cache == kv_cache_bytes(MIXTURE, 2, 20)


@pytest.mark.parametrize(
    ("layout", "sentence"),
    [
        (Layout(tensor_parallel=3), "it must divide the 16 query heads"),
        (Layout(pipeline_parallel=5), "the model has 4 layers"),
        (Layout(stream_parallel=2), "the model has 1 streams"),
        (Layout(expert_parallel=2), "the model has 0 routed experts"),
    ],
)
def test_what_a_model_cannot_be_divided_by(layout: Layout, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence.replace("(", r"\(")):
        layout.check(SPEC)


def test_heads_that_a_group_would_break() -> None:
    spec = replace(SPEC, num_attention_heads=12, num_key_value_heads=6, head_dim=64)
    Layout(tensor_parallel=12).check(spec)
    with pytest.raises(InputError, match="it must divide the 6 KV heads, or be a multiple"):
        Layout(tensor_parallel=4).check(spec)


def test_devices_without_a_link(graphs: Engine) -> None:
    lonely = replace(load_hardware("a100"), interconnect=None)
    with pytest.raises(InputError, match="states no link to others; give its rate"):
        estimate(SPEC, Workload(), lonely, graphs, layout=Layout(2))
    with pytest.raises(InputError, match="more than the 4 devices of a node"):
        estimate(SPEC, Workload(), replace(DEVICE, network=None), PLAIN, layout=Layout(8))


def test_too_many_devices() -> None:
    with pytest.raises(InputError, match="more than 65,536 devices"):
        Layout(512, 512)


def test_a_tied_matrix_is_held_at_both_ends() -> None:
    spec = load_model("0.5B").spec
    held = memory(spec, Workload(1, 8, 8), layout=Layout(pipeline_parallel=2))
    table = spec.vocab_size * spec.hidden_size * 2
    assert (held.embedding, held.lm_head) in {(table, 0), (0, table)}
