"""The published family and models widened in its shape, to a number of parameters."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from cost_analysis import InputError, load_model
from cost_analysis.common.arrays import single, single_count
from cost_analysis.inputs.profiles import profile_names
from cost_analysis.inputs.spec import family_intermediate_size
from cost_analysis.law.family import TOLERANCE, family, model_sizes, size_of, widened

OWN_WIDTHS = {"deepseek-v2-lite", "deepseek-v3", "kimi-k2"}
"""Models whose experts have a width of their own."""


@pytest.mark.parametrize("name", sorted(OWN_WIDTHS))
def test_experts_of_a_width_of_their_own_are_not_widened(name: str) -> None:
    with pytest.raises(InputError, match="cannot be widened"):
        widened(load_model(name).spec, 1e9)


@pytest.mark.parametrize("name", sorted(set(profile_names("models")) - OWN_WIDTHS))
@pytest.mark.parametrize("factor", [0.25, 0.9, 1.0, 1.82, 3.0])
def test_widened_hits_the_count_in_the_shape(name: str, factor: float) -> None:
    spec = load_model(name).spec
    target = single(size_of(spec)) * factor
    model = widened(spec, target)
    assert abs(single(size_of(model)) / target - 1) <= TOLERANCE
    assert model.hidden_size % 128 == 0
    assert model.streams == 1
    assert model.num_hidden_layers == spec.num_hidden_layers
    assert model.num_attention_heads == spec.num_attention_heads
    if spec.head_dim * spec.num_attention_heads == spec.hidden_size:
        assert model.hidden_size % model.num_attention_heads == 0
        assert model.head_dim * model.num_attention_heads == model.hidden_size
    else:
        assert model.head_dim == spec.head_dim
    step = math.lcm(128, single_count(spec.num_attention_heads))
    if model.hidden_size >= 8 * step:  # coarser steps of the hidden size leave more to the MLP
        ratio = model.intermediate_size / model.hidden_size
        assert ratio == pytest.approx(spec.intermediate_size / spec.hidden_size, rel=0.2)


def test_widened_finds_the_family_itself() -> None:
    for member in family():
        if member.hidden_size % 128 == 0:
            model = widened(load_model("1.6b").spec, single(size_of(member)))
            assert model.hidden_size == member.hidden_size
            inner = family_intermediate_size(single_count(member.hidden_size))
            assert model.intermediate_size == pytest.approx(inner, rel=0.02)


def test_widened_refuses_what_does_not_exist() -> None:
    with pytest.raises(InputError, match="no model of"):
        widened(load_model("1.6b").spec, 1e4)


@pytest.mark.parametrize("name", range(6))
def test_the_sizes_hold_the_family_in_small_steps(name: int) -> None:
    base = family()[name]
    models = model_sizes(base)
    sizes = np.asarray(size_of(models))
    hidden, inner = map(np.asarray, (models.hidden_size, models.intermediate_size))
    assert size_of(base) in sizes
    assert (np.diff(sizes) >= 0).all()
    large = sizes > 3e7
    assert (sizes[large][1:] / sizes[large][:-1] < 1.0101).all()
    assert sizes[-1] == pytest.approx(1e12, rel=0.01)
    assert (hidden % 128 == 0).all()
    shape = inner[large] / hidden[large]
    assert (abs(np.log(shape / (base.intermediate_size / base.hidden_size))) < 0.75).all()


def test_sizes_of_another_model_keep_its_head_width() -> None:
    base = replace(family()[0], head_dim=128)
    models = model_sizes(base, 1e10)
    assert models.head_dim == 128
    assert size_of(base) in np.asarray(size_of(models))
