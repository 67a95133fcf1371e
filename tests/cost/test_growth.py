"""Attention that grows: sums in closed form, and by measured kernels against sums of steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_analysis import Workload, estimate, load_engine, load_hardware, load_model
from cost_analysis.common.arrays import as_float, single
from cost_analysis.cost.forward_pass import context_growth, forward_pass
from cost_analysis.cost.growth import sum_of_maxima, waiting_beyond
from cost_analysis.cost.latency import Launched, decode_phase, prefill_phase
from cost_analysis.cost.roofline import speeds_of
from cost_analysis.inputs.system import System

numbers = st.floats(-1e3, 1e3).map(lambda value: round(value, 3))


@pytest.mark.property
@given(numbers, numbers, numbers, numbers, st.integers(0, 200))
def test_sum_of_maxima(a: float, slope_a: float, b: float, slope_b: float, count: int) -> None:
    terms = [max(a + j * slope_a, b + j * slope_b) for j in range(count)]
    scale = sum(abs(a) + abs(b) + j * (abs(slope_a) + abs(slope_b)) for j in range(count))
    starts = (np.float64(value) for value in (a, slope_a, b, slope_b, count))
    closed: Any = sum_of_maxima(*starts)
    assert closed == pytest.approx(sum(terms), abs=1e-11 * scale + 1e-12)


@pytest.mark.parametrize("model", ["1.6B", "gemma-3-1b", "deepseek-v2-lite"])
@pytest.mark.parametrize("steps", [1, 7, 300, 3000])
def test_measured_attention_is_the_sum_of_its_steps(model: str, steps: int) -> None:
    """Integrals of fitted kernels, windows that fill on the way included, within 1 %."""
    spec, prompt, batch = load_model(model).spec.with_streams(4), 300, 3
    speeds = speeds_of(System(load_hardware("h100"), load_engine("vllm")))
    launched = Launched(as_float(spec.num_hidden_layers), as_float(batch))
    past = as_float(spec.prefix) + prompt
    sampled = np.unique(np.linspace(0, steps - 1, min(steps, 100)).round())
    each = [
        prefill_phase(forward_pass(spec, batch, 1, past + step), launched, speeds).seconds
        for step in sampled.tolist()
    ]
    looped = float(np.mean(each)) * steps
    growth = context_growth(spec, batch, past=past)
    first = forward_pass(spec, batch, 1, past)
    closed = decode_phase(first, growth, as_float(steps), launched, speeds)
    assert single(closed.seconds) == pytest.approx(looped, rel=0.01)
    assert {t.origin for t in closed.times if t.operator.kind == "attention"} == {"fitted"}


def test_host_and_device_hide_each_other_in_part_where_roofs_are_soft() -> None:
    soft, hard = load_engine("eager"), load_engine("ideal")
    assert waiting_beyond(3e-3, 4e-3, soft) == pytest.approx(1e-3)
    assert waiting_beyond(3e-3, 4e-3, hard) == 0.0
    assert waiting_beyond(5e-3, 4e-3, hard) == pytest.approx(1e-3)
    assert waiting_beyond(0.0, 4e-3, soft) == 0.0


def test_the_host_takes_time_for_each_sequence() -> None:
    engine = replace(load_engine("ideal"), step_host_time=1e-3, sequence_host_time=1e-5)
    spec, device = load_model("1.6B").spec, load_hardware("h100")
    plain = estimate(spec, Workload(8, 16, 11), device, load_engine("ideal"))
    slow = estimate(spec, Workload(8, 16, 11), device, engine)
    assert single(slow.ttft - plain.ttft) == pytest.approx(1e-3 + 8e-5)
    assert single(slow.decode.seconds - plain.decode.seconds) == pytest.approx(10 * (1e-3 + 8e-5))
    # Streams are one sequence to the scheduler.
    many = estimate(spec.with_streams(4), Workload(8, 16, 11), device, engine)
    (host,) = [time for time in many.prefill.times if time.operator.name == "host"]
    assert single(host.seconds) == pytest.approx(1e-3 + 8e-5)
