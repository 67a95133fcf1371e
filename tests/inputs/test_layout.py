"""Layouts that fit a model, and the layers of each pipeline stage."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cost_analysis import InputError, ModelSpec
from cost_analysis.inputs.layers import Experts, LayerGroup
from cost_analysis.inputs.layout import Layout, Share, stages
from tests.helpers.cases import SMALL
from tests.helpers.strategies import fitting, specs


@pytest.mark.parametrize("count", range(1, 9))
def test_stages_have_every_layer_once(count: int) -> None:
    spec = replace(SMALL, num_hidden_layers=11)
    found = list(stages(spec, Layout(pipeline_parallel=count)))
    assert found[0].first == 0
    assert found[-1].end == 11
    assert sum(stage.has_head for stage in found) == sum(s.has_embedding for s in found) == 1
    assert max(stage.layers for stage in found) == math.ceil(11 / count) or count == 1
    between = max(count - 2, 0)
    middle = found[1].layers if count > 2 else 0
    least = found[0].layers + found[-1].layers * (count > 1)
    assert least + between * middle >= 11 >= least + between * (middle - 1)


@pytest.mark.parametrize(
    ("layout", "sentence"),
    [
        (Layout(tensor_parallel=3), "it must divide the 16 query heads"),
        (Layout(pipeline_parallel=5), "the model has 4 layers"),
        (Layout(stream_parallel=2), "the model has 1 streams"),
        (Layout(expert_parallel=2), "the model has 0 routed experts"),
        (Layout(tensor_parallel=2, expert_groups=2), "the model has 0 routed experts"),
        (Layout(tensor_parallel=4, expert_groups=3), "it must divide the 4 devices that share"),
    ],
)
def test_layouts_that_do_not_fit_a_model(layout: Layout, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence.replace("(", r"\(")):
        layout.check(SMALL)


def test_groups_that_do_not_divide_the_heads() -> None:
    spec = replace(SMALL, num_attention_heads=12, num_key_value_heads=6, head_dim=64)
    Layout(tensor_parallel=12).check(spec)
    with pytest.raises(InputError, match="it must divide the 6 KV heads, or be a multiple"):
        Layout(tensor_parallel=4).check(spec)


def test_too_many_devices() -> None:
    with pytest.raises(InputError, match="more than 65,536 devices"):
        Layout(512, 512)


@pytest.mark.property
@given(specs(), st.sampled_from([1, 2, 4, 8, 16, 32, 64]))
def test_heads_are_divided_and_copied(spec: ModelSpec, group: int) -> None:
    layout = Layout(tensor_parallel=group)
    assume(fitting(layout, spec))
    share = Share(spec, layout)
    assert share.query_heads * group == spec.num_attention_heads
    kept = share.key_value / spec.head_dim
    assert kept == max(spec.num_key_value_heads / group, 1)


def test_a_row_that_cannot_be_divided_is_named_by_its_number() -> None:
    with pytest.raises(InputError, match="tensor_parallel is 3; it must divide the 16 query heads"):
        Layout(tensor_parallel=np.array([1, 2, 3, 4])).check(SMALL)


def test_experts_are_divided_by_the_layers_with_fewest() -> None:
    kinds = (LayerGroup(mlp=Experts(8, 2), count=1), LayerGroup(mlp=Experts(4, 2)))
    spec = replace(SMALL, layers=kinds)
    Layout(expert_parallel=4).check(spec)
    with pytest.raises(InputError, match="expert_parallel is 8"):
        Layout(expert_parallel=8).check(spec)


def test_a_model_of_few_streams_has_few_groups_of_them() -> None:
    layout = Layout(tensor_parallel=2, stream_parallel=4)
    assert [layout.of_streams(count).stream_parallel for count in (1, 2, 8)] == [1, 2, 4]
    rows = layout.of_streams(np.array([1.0, 2.0, 8.0]))
    assert np.broadcast_to(rows.stream_parallel, 3).tolist() == [1, 2, 4]
    assert Layout(tensor_parallel=2).of_streams(1) == Layout(tensor_parallel=2)
