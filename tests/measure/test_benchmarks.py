"""Figures of samples, works in turn, and what a layer of the models that are timed consists of.

`tests/cli/test_measure.py` runs the benchmarks themselves.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from cost_analysis.measure import benchmarks
from cost_analysis.measure.benchmarks import (
    CPU_SIZES,
    GPU_SIZES,
    figure,
    in_turn,
    kernels_of_a_layer,
    linears_of_a_layer,
    prefill_attention_rate,
    seconds_of,
    sizes_of,
)

pytestmark = pytest.mark.torch


def test_a_figure_is_the_median_of_its_samples() -> None:
    found = figure([3.0, 1.0, 2.0])
    assert (found.value, found.samples) == (2.0, (3.0, 1.0, 2.0))
    assert found.source("in turn") == "calibrated here: in turn; median of 3, 1 to 3"


def test_works_are_run_in_turn_after_a_warm_up() -> None:
    calls: list[str] = []
    works = {name: partial(calls.append, name) for name in "ab"}
    times = in_turn("cpu", works, repeats=3)
    assert calls == ["a", "b"] * (2 + 3)
    assert {name: len(taken) for name, taken in times.items()} == {"a": 3, "b": 3}
    assert all(second >= 0 for taken in times.values() for second in taken)


def test_time_of_work_on_a_processor() -> None:
    assert 0 <= seconds_of("cpu", lambda: None) < 0.1


def test_a_gpu_is_given_more_at_once() -> None:
    assert (sizes_of("cpu"), sizes_of("cuda:1")) == (CPU_SIZES, GPU_SIZES)


def test_rate_and_start_of_two_sizes_of_product() -> None:
    """1 us, and 2 us for each of a million bytes: 5e11 B/s, from 8 and 1 of them."""
    size = {"large": 8_000_000, "small": 1_000_000}
    times = [1e-6 + 2e-6 * (size[name] / 1e6) for name in ("large", "small")]
    found = benchmarks._split(np.array([times[0]] * 3), np.array([times[1]] * 3), size)
    assert found.rate.value == pytest.approx(5e11)
    assert found.start.value == pytest.approx(1e-6)


def test_a_product_that_is_no_slower_for_more_weights_has_a_finite_rate() -> None:
    size = {"large": 16, "small": 1}
    found = benchmarks._split(np.array([1.0, 1.0]), np.array([1.0, 2.0]), size)
    assert all(0 < rate < np.inf for rate in found.rate.samples)
    assert all(start >= 0 for start in found.start.samples)


def test_a_stock_layer_has_seven_linear_layers_for_four_products() -> None:
    """q, k and v are one product of the cost model, and so are gate and up."""
    assert linears_of_a_layer() == 7 / 4


def test_kernels_of_a_layer_are_those_of_the_cost_model() -> None:
    found = kernels_of_a_layer()
    assert found == int(found)
    assert found > 4  # products, attention, norms and activations


def test_differences_of_depths_are_shared_among_layers_and_never_negative() -> None:
    found = benchmarks._per_layer([(1.0, 9.0), (1.0, 5.0), (4.0, 1.0)], 4)
    assert found.samples == (2.0, 1.0, 0.0)


def test_products_are_replaced_by_buffers() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 2))
    benchmarks._replace_products(model, rows=3)
    assert not any(isinstance(module, torch.nn.Linear) for module in model.modules())
    output = model(torch.ones(3, 1, 4))
    assert output.shape == (3, 1, 2)
    assert not output.any()


@pytest.mark.parametrize("dtype", ["fp32"])
def test_attention_of_a_prompt_has_a_rate(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks, "in_turn", lambda *_: {"attention": [0.5, 0.25]})
    fast, slow = sorted(prefill_attention_rate("cpu", dtype).samples, reverse=True)
    # The lower triangle of 1024 x 1024 scores, 2 products of 2 FLOPs a value of 2048.
    assert slow == pytest.approx(4 * 2048 * 1024 * 1025 / 2 / 0.5)
    assert fast == 2 * slow
