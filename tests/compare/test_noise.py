"""Noise of timings: what it leaves of a ratio, and where streams are free."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_analysis import Precision, Workload, load_model
from cost_analysis.compare import noise
from cost_analysis.compare.noise import (
    EIGHTY_OVER_MEDIAN,
    NOISE,
    Added,
    kernel_noise,
    noise_seconds,
    ratio_noise,
)
from cost_analysis.cost.estimate import estimate_on
from cost_analysis.kernels.curves import FittedCurve
from cost_analysis.kernels.shapes import Attention, Product
from tests.helpers.gpu_claims import fitted, use_plain_kernels

SPEC = load_model("0.5B").spec

seconds = st.floats(1e-3, 1e3)
shares = st.floats(-0.5, 5.0)


@given(seconds, shares, shares, st.floats(1e-3, 0.5))
def test_a_ratio_lies_in_its_interval(
    base: float, wider: float, streams: float, share: float
) -> None:
    added = Added(base, abs(wider) * base, streams * base, share * base)
    assert added.low <= added.high or math.isnan(added.high)
    if not added.is_free:
        assert added.low <= added.ratio <= added.high
    assert added.at_most >= share * (1 - 1e-12)
    # A bound, not an exploding ratio: streams that add nothing are as cheap as the noise allows.
    assert added.low <= abs(wider) / share * (1 + 1e-9) or math.isnan(added.low)


def test_free_is_what_is_within_the_noise() -> None:
    assert Added(1.0, 0.5, 0.02, 0.03).is_free
    assert Added(1.0, 0.5, -0.2, 0.03).is_free
    assert not Added(1.0, 0.5, 0.04, 0.03).is_free
    assert not Added(1.0, 0.5, 0.04, 0.0).is_free
    assert not Added(1.0, 0.5, 0.0, 0.0).is_free  # without timings there is no noise to hide in
    free = Added(1.0, 0.5, -0.2, 0.025)
    assert (free.at_most, free.low, free.high) == (0.025, 20.0, math.inf)
    assert Added(1.0, 0.5, 0.1, 0.05).low == pytest.approx(0.5 / 0.15)
    assert Added(1.0, 0.5, 0.1, 0.05).high == pytest.approx(10.0)


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, float]]:
    """What curves of products and of decode steps state, of every device and engine."""
    curve: Any = None  # its times are not asked for
    found: dict[str, dict[str, float]] = {"product": {}, "decode": {}, "prompt": {}}
    curves = {(family, "bf16"): FittedCurve(curve, "", own) for family, own in found.items()}
    monkeypatch.setattr(noise, "load_curves", lambda *_: curves)
    return found


def test_the_share_is_that_of_the_curves(errors: dict[str, dict[str, float]]) -> None:
    system = fitted("h100", "vllm")
    assert ratio_noise(system) == ratio_noise(system, "decode") == NOISE
    errors["product"].update(noise=0.02, eight=0.03)
    assert ratio_noise(system) == pytest.approx(EIGHTY_OVER_MEDIAN * 0.03)
    assert ratio_noise(system, "decode") == 0.02
    errors["product"]["noise"] = 0.07
    errors["decode"]["eight"] = 0.05
    assert ratio_noise(system) == 0.07
    assert ratio_noise(system, "decode") == pytest.approx(EIGHTY_OVER_MEDIAN * 0.05)
    assert ratio_noise(replace(system, precision=Precision("int4"))) == NOISE


def test_with_many_rows_times_themselves_err(errors: dict[str, dict[str, float]]) -> None:
    system = fitted("h100", "vllm")
    errors["product"].update(noise=0.02, eight=0.01, median=0.04, ninety=0.12)
    rows = np.array([1.0, 17.0, 18.0, 512.0])
    share = kernel_noise(system, Product(rows, 2048.0, 2048.0, "bf16"))
    assert share == pytest.approx(np.array([0.02, 0.02, 0.08, 0.08]))
    assert kernel_noise(system, Product(8.0, 2048.0, 2048.0, "bf16")) == 0.02
    errors["decode"].update(eight=0.03, median=0.05, ninety=0.15)
    step = Attention(rows, 1.0, 500.0, 16.0, 2.0, 128.0, 0.0, "bf16", decodes=True)
    few = EIGHTY_OVER_MEDIAN * 0.03
    assert kernel_noise(system, step) == pytest.approx(np.array([few, few, 0.1, 0.1]))
    errors["prompt"].update(median=0.03, ninety=0.09)
    assert kernel_noise(system, step._replace(decodes=False)) == pytest.approx(0.06)
    errors["product"].update(median=0.001, ninety=0.002)  # never below that of few rows
    assert kernel_noise(system, Product(512.0, 2048.0, 2048.0, "bf16")) == 0.02


def test_the_spread_is_that_of_measured_kernels_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    system, work = fitted("h100", "vllm"), Workload(np.array([1.0, 4.0]), 100, 30)
    use_plain_kernels(monkeypatch)
    cost = estimate_on(SPEC, work, system)
    times = (*cost.prefill.times, *cost.decode.times)
    own = [time.total_seconds for time in times if time.origin == "fitted"]
    assert 4 < len(own) < len(times)
    monkeypatch.setattr(noise, "load_curves", lambda *_: {})
    squares = sum(np.square(NOISE * each) for each in own)
    assert noise_seconds(cost) == pytest.approx(np.sqrt(squares))
    assert (noise_seconds(cost) < NOISE * cost.total).all()
    by_roofs = replace(system, kernels="modelled")
    assert noise_seconds(estimate_on(SPEC, work, by_roofs)) == pytest.approx(0.0)
