"""Models of one stream that reach the loss of streams."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_analysis import InputError, ModelSpec, load_model
from cost_analysis.common.arrays import single
from cost_analysis.law.equal_loss import (
    chosen_baseline,
    interpolation_weights,
    law_baseline,
    measured_baseline,
    model_baseline,
    size_multiple,
    sized_baseline,
)
from cost_analysis.law.family import TOLERANCE, size_of
from cost_analysis.law.runs import published_runs
from cost_analysis.law.scaling_law import ScalingLaw, fit

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
    together = np.asarray(law_baseline(STREAMED, many).cost(size_of))
    for index, k in enumerate((0.3, 0.4, 0.5)):
        alone = law_baseline(STREAMED, ScalingLaw(0.69, 1.1e7, 0.19, k))
        assert together[index] == pytest.approx(alone.cost(size_of), rel=1e-12)


def test_a_loss_that_no_measured_model_reaches() -> None:
    with pytest.raises(InputError, match=r"no measured P = 1 model reaches the loss 0\.9794"):
        measured_baseline(load_model("4.4b").spec.with_streams(8), published_runs("stack"))
    with pytest.raises(InputError, match="no published run"):
        measured_baseline(load_model("1.6b").spec.with_streams(3), published_runs("stack"))


@pytest.mark.property
@given(st.lists(st.floats(0.1, 100), min_size=2, max_size=6, unique=True), st.floats(-50, 200))
def test_interpolation_weights(nodes: list[float], value: float) -> None:
    positions = np.sort(np.array(nodes))
    if np.diff(positions).min() < 1e-6:
        return
    weights = np.array(interpolation_weights(value, positions))
    assert sum(weights) == pytest.approx(1, abs=1e-9 * abs(weights).max())
    rebuilt, scale = weights @ positions, abs(weights * positions).sum()
    assert rebuilt == pytest.approx(value, abs=1e-9 * scale)
    if positions[0] <= value <= positions[-1]:
        linear = np.interp(value, positions, positions**2)
        assert weights @ positions**2 == pytest.approx(linear, rel=1e-9)


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
    before, after = (single(STACK.loss(1.6e9, streams)) for streams in (1, 8))
    assert size_multiple(STACK, before, after) == pytest.approx(STACK.multiplier(8))
    assert size_multiple(STACK, before, before) == pytest.approx(1)
    with pytest.raises(InputError, match="the losses rise"):
        size_multiple(STACK, after, before)
    with pytest.raises(InputError, match="no model of any size"):
        size_multiple(STACK, 1.0, 0.6)


def test_a_baseline_by_its_name() -> None:
    fitted = fit(published_runs("stack"))
    law, measured = (chosen_baseline(STREAMED, name, fitted) for name in ("law", "measured"))
    assert law.cost(size_of) == law_baseline(STREAMED, fitted.law).cost(size_of)
    assert measured.cost(size_of) == measured_baseline(STREAMED, fitted.runs).cost(size_of)
    named = chosen_baseline(STREAMED, "4.4B", fitted)
    assert named == model_baseline(load_model("4.4b").spec)
    assert (named.method, named.parameters) == ("model", size_of(load_model("4.4b").spec))
    assert named.description.startswith("4.4B: 4.35B parameters without embeddings, hidden ")
    with pytest.raises(InputError, match="unknown model 'best'"):
        chosen_baseline(STREAMED, "best", fitted)
