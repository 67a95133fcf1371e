"""Noise of timings: what it leaves of a ratio, and where streams are free."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_analysis import Workload, load_model
from cost_analysis.compare import noise
from cost_analysis.compare.noise import EIGHTY_OVER_MEDIAN, NOISE, Added, noise_seconds, ratio_noise
from cost_analysis.cost.estimate import estimate_on
from cost_analysis.kernels.curves import FittedCurve
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


def test_the_share_is_that_of_the_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    curve: Any = None  # its times are not asked for
    errors: dict[str, float] = {}
    curves = {("product", "bf16"): FittedCurve(curve, "", errors)}
    monkeypatch.setattr(noise, "load_curves", lambda *_: curves)
    by_curve = fitted("h100", "vllm")
    by_table = replace(by_curve, kernels="measured")
    assert ratio_noise(by_curve) == ratio_noise(by_table) == NOISE
    errors.update(noise=0.02, eight=0.03)
    assert ratio_noise(by_table) == 0.02
    assert ratio_noise(by_curve) == pytest.approx(EIGHTY_OVER_MEDIAN * 0.03)
    assert ratio_noise(by_curve, "decode") == 0.02  # no curve of attention
    errors["noise"] = 0.07
    assert ratio_noise(by_curve) == 0.07
    curves["decode", "bf16"] = FittedCurve(curve, "", {"eight": 0.05})
    assert ratio_noise(by_curve, "decode") == pytest.approx(EIGHTY_OVER_MEDIAN * 0.05)
    assert ratio_noise(by_table, "decode") == 0.07


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
