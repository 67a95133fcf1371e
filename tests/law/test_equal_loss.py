from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_analysis import InputError, ModelSpec, load_model
from cost_analysis.baselines import (
    TOLERANCE,
    family,
    interpolation_weights,
    law_baseline,
    measured_baseline,
    size_of,
    sized_baseline,
    widened,
)
from cost_analysis.comparison import size_multiple
from cost_analysis.profiles import profile_names
from cost_analysis.scaling_law import ScalingLaw
from cost_analysis.spec import family_intermediate_size
from cost_analysis.training_runs import published_runs

STREAMED = load_model("1.6b").spec.with_streams(8)
STACK = ScalingLaw(0.6912, 1.131e7, 0.1894, 0.3935)


def test_measured_baseline_is_the_papers_chord() -> None:
    baseline = measured_baseline(STREAMED, published_runs("stack"))
    share = {spec.name: w for spec, w in zip(baseline.specs, baseline.weights, strict=True) if w}
    assert share == pytest.approx({"4.4b": 0.2857, "2.8b": 0.7143}, abs=5e-5)
    assert sum(baseline.weights) == pytest.approx(1)
    assert baseline.cost(size_of) == pytest.approx(0.2857 * 4.3532e9 + 0.7143 * 2.77477e9, rel=1e-4)


def test_law_baseline_counts_prefixes_and_aggregator() -> None:
    assert size_of(STREAMED) == 1_595_669_000
    baseline = law_baseline(STREAMED, STACK)
    assert baseline.parameters == pytest.approx(2.90e9, rel=1e-3)
    assert baseline.cost(size_of) == pytest.approx(baseline.parameters, rel=1e-12)


def test_law_baseline_of_many_laws() -> None:
    many = ScalingLaw(
        np.full(3, 0.69), np.full(3, 1.1e7), np.full(3, 0.19), np.array([0.3, 0.4, 0.5])
    )
    together = law_baseline(STREAMED, many)
    for index, k in enumerate((0.3, 0.4, 0.5)):
        alone = law_baseline(STREAMED, ScalingLaw(0.69, 1.1e7, 0.19, k))
        assert together.cost(size_of)[index] == pytest.approx(alone.cost(size_of), rel=1e-12)


def test_a_loss_that_no_measured_model_reaches() -> None:
    with pytest.raises(InputError, match=r"no measured P = 1 model reaches the loss 0\.9794"):
        measured_baseline(load_model("4.4b").spec.with_streams(8), published_runs("stack"))
    with pytest.raises(InputError, match="no published run"):
        measured_baseline(load_model("1.6b").spec.with_streams(3), published_runs("stack"))


OWN_WIDTHS = {"deepseek-v2-lite", "deepseek-v3"}
"""Models whose experts have a width of their own."""


@pytest.mark.parametrize("name", sorted(OWN_WIDTHS))
def test_experts_of_a_width_of_their_own_are_not_widened(name: str) -> None:
    with pytest.raises(InputError, match="cannot be widened"):
        widened(load_model(name).spec, 1e9)


@pytest.mark.parametrize("name", sorted(set(profile_names("models")) - OWN_WIDTHS))
@pytest.mark.parametrize("factor", [0.25, 0.9, 1.0, 1.82, 3.0])
def test_widened_hits_the_count_in_the_shape(name: str, factor: float) -> None:
    spec = load_model(name).spec
    target = size_of(spec) * factor
    model = widened(spec, target)
    assert abs(size_of(model) / target - 1) <= TOLERANCE
    assert model.hidden_size % 128 == 0
    assert model.streams == 1
    assert model.num_hidden_layers == spec.num_hidden_layers
    assert model.num_attention_heads == spec.num_attention_heads
    if spec.head_dim * spec.num_attention_heads == spec.hidden_size:
        assert model.hidden_size % model.num_attention_heads == 0
        assert model.head_dim * model.num_attention_heads == model.hidden_size
    else:
        assert model.head_dim == spec.head_dim
    step = math.lcm(128, spec.num_attention_heads)
    if model.hidden_size >= 8 * step:  # coarser steps of the hidden size leave more to the MLP
        ratio = model.intermediate_size / model.hidden_size
        assert ratio == pytest.approx(spec.intermediate_size / spec.hidden_size, rel=0.2)


def test_widened_finds_the_family_itself() -> None:
    for member in family():
        if member.hidden_size % 128 == 0:
            model = widened(load_model("1.6b").spec, size_of(member))
            assert model.hidden_size == member.hidden_size
            inner = family_intermediate_size(member.hidden_size)
            assert model.intermediate_size == pytest.approx(inner, rel=0.02)


def test_widened_refuses_what_does_not_exist() -> None:
    with pytest.raises(InputError, match="no model of"):
        widened(load_model("1.6b").spec, 1e4)


@given(st.lists(st.floats(0.1, 100), min_size=2, max_size=6, unique=True), st.floats(-50, 200))
def test_interpolation_weights(nodes: list[float], value: float) -> None:
    positions = np.sort(np.array(nodes))
    if np.diff(positions).min() < 1e-6:
        return
    weights = interpolation_weights(value, positions)
    assert sum(weights) == pytest.approx(1, abs=1e-9 * max(map(abs, weights)))
    rebuilt = sum(w * x for w, x in zip(weights, positions, strict=True))
    scale = sum(abs(w * x) for w, x in zip(weights, positions, strict=True))
    assert rebuilt == pytest.approx(value, abs=1e-9 * scale)
    if positions[0] <= value <= positions[-1]:
        linear = np.interp(value, positions, positions**2)
        mixed = sum(w * x**2 for w, x in zip(weights, positions, strict=True))
        assert mixed == pytest.approx(linear, rel=1e-9)


def test_other_families_are_widened() -> None:
    spec = load_model("qwen3-8b").spec.with_streams(4)
    baseline = law_baseline(spec, STACK, published_runs("stack"))
    (model,) = baseline.specs
    assert size_of(model) == pytest.approx(size_of(spec) * STACK.multiplier(4), rel=TOLERANCE)
    assert any("extrapolated" in sentence for sentence in baseline.warnings)
    with pytest.raises(InputError, match="samples of a law"):
        sized_baseline(spec, np.array([1e9, 2e9]))
    odd = ModelSpec(1536, 8320, 12)
    assert len(law_baseline(odd.with_streams(2), STACK).specs) == 1


def test_what_a_drop_of_the_loss_is_worth() -> None:
    before, after = STACK.loss(1.6e9, 1), STACK.loss(1.6e9, 8)
    assert size_multiple(STACK, before, after) == pytest.approx(STACK.multiplier(8))
    assert size_multiple(STACK, before, before) == pytest.approx(1)
    with pytest.raises(InputError, match="the losses rise"):
        size_multiple(STACK, after, before)
    with pytest.raises(InputError, match="no model of any size"):
        size_multiple(STACK, 1.0, 0.6)
