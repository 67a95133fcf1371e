"""Traffic between devices, calculated by hand and by enumerating all choices."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from cost_analysis import ModelSpec, forward_pass
from cost_analysis.cost.communication import distinct_groups
from cost_analysis.cost.operator import Operator
from cost_analysis.inputs.layout import Layout
from tests.helpers.cases import MIXTURE, SMALL


def exchanges(layout: Layout, spec: ModelSpec = SMALL, batch: int = 2) -> dict[str, Operator]:
    """Exchanges of a decode step, by name and part."""
    found = forward_pass(spec, batch, 1, 100, layout=layout)
    return {f"{op.name} {op.part}": op for op in found if op.kind == "exchange"}


def test_traffic_of_a_tensor_parallel_group() -> None:
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


def test_stream_groups_exchange_once() -> None:
    spec = replace(SMALL, streams=8)
    sent = exchanges(Layout(stream_parallel=4), spec)
    assert sent.keys() == {"gather streams aggregator"}
    # Two streams of two sequences, 1024 bf16 values each, to three others.
    assert sent["gather streams aggregator"].link_bytes == 2 * 2 * 1024 * 2 * 3
    with_tensor = exchanges(Layout(tensor_parallel=2, stream_parallel=4), spec)
    assert with_tensor["gather streams aggregator"].spans == 8
    assert with_tensor["all-reduce mlp"].spans == 2


def test_stream_groups_read_the_weights_for_their_own_rows() -> None:
    spec, alone = replace(SMALL, streams=8), replace(SMALL, streams=2)
    apart, own = (
        {op.name: op for op in forward_pass(each, 3, 1, 100 + each.prefix, layout=layout)}
        for each, layout in ((spec, Layout(stream_parallel=4)), (alone, Layout()))
    )
    for name in ("gate, up projection", "attention", "rotary, cache write"):
        assert apart[name] == own[name]
    whole = {op.name: op for op in forward_pass(spec, 3, 1, 148)}
    assert apart["aggregator: mix"] == whole["aggregator: mix"]


def test_traffic_of_a_pipeline() -> None:
    (sent,) = exchanges(Layout(pipeline_parallel=4)).values()
    # Three times the residual stream of two rows, and a number of eight bytes for each sequence.
    assert sent.link_bytes == 3 * 2 * 1024 * 2 + 2 * 8
    assert (sent.messages, sent.kernels, sent.spans) == (4, 4, 4)


def test_traffic_of_experts() -> None:
    sent = exchanges(Layout(expert_parallel=4), MIXTURE, batch=6)
    # Two sequences a group at most. Two of eight experts lie in 1 + 6/7 of four groups on average,
    # three quarters of these elsewhere.
    copies = (1 + 6 / 7) * 3 / 4
    for way in ("experts: dispatch mlp", "experts: combine mlp"):
        assert sent[way].link_bytes == pytest.approx(4 * 2 * 1024 * 2 * copies)
        assert sent[way].messages == 4


def test_distinct_groups_equal_the_mean_of_all_choices() -> None:
    for number, per_token, groups in ((8, 2, 4), (8, 3, 2), (12, 4, 6), (6, 6, 3), (5, 1, 5)):
        each = number // groups
        choices = list(itertools.combinations(range(number), per_token))
        touched = [len({expert // each for expert in choice}) for choice in choices]
        mean = sum(touched) / len(touched)
        assert distinct_groups(float(number), float(per_token), float(groups)) == pytest.approx(
            mean
        )


@pytest.mark.parametrize("devices", [2, 4, 8])
def test_a_group_divides_the_work_and_sums_twice_a_layer(devices: int) -> None:
    alone, group = (
        {op.name: op for op in forward_pass(SMALL, 2, 7, 0, layout=Layout(tensor_parallel=count))}
        for count in (1, devices)
    )
    assert "all-reduce" not in alone
    for name in ("gate, up projection", "down projection", "output projection", "lm head"):
        assert group[name].flops == alone[name].flops / devices
        assert group[name].weight_bytes == alone[name].weight_bytes / devices
    # Four KV heads: each of 8 devices still holds a whole one.
    assert group["attention"].flops == alone["attention"].flops / devices
    cached = alone["attention"].cache_bytes / min(devices, 4)
    assert group["attention"].cache_bytes == cached
    assert group["input norm"] == alone["input norm"]
