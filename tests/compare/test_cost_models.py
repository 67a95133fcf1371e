"""What a request costs by either cost model, and means over requests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cost_analysis import (
    InputError,
    Precision,
    Workload,
    estimate,
    load_engine,
    load_hardware,
    load_model,
    published_cost,
)
from cost_analysis.compare.cost_models import COST_MODELS, Setting, mean_cost, request_cost
from cost_analysis.inputs.system import System

SPEC = load_model("1.6b").spec.with_streams(4)
SYSTEM = System(load_hardware("a100"), load_engine("graphs"), Precision("int8", "bf16", "fp8"))
WORK = Workload(3, 100, 20)


def test_our_own_cost_model_is_an_estimate() -> None:
    cost = estimate(SPEC, WORK, SYSTEM.hardware, SYSTEM.engine, SYSTEM.precision)
    assert request_cost("operators", SPEC, WORK, SYSTEM) == (cost.memory.total, cost.total)


@pytest.mark.parametrize("shares", [(None, None), (0.5, 0.25)])
def test_the_published_one_knows_neither_engines_nor_formats(
    shares: tuple[float | None, float | None],
) -> None:
    paper = published_cost(SPEC, WORK, SYSTEM.hardware, *shares)
    other = replace(
        SYSTEM, engine=load_engine("eager"), precision=Precision(),
        flops_efficiency=shares[0], bandwidth_efficiency=shares[1],
    )  # fmt: skip
    found = request_cost("published", SPEC, WORK, other)
    assert found == (paper.total_memory, paper.total_latency)


def test_requests_of_a_setting_are_all_pairs_of_batch_and_lengths() -> None:
    work = Setting((1, 8), (64, 512), (10, 20)).workload
    rows = np.transpose([work.batch_size, work.input_length, work.output_length])
    assert list(map(tuple, rows)) == [(1, 64, 10), (1, 512, 20), (8, 64, 10), (8, 512, 20)]


def test_a_single_length_goes_with_each_of_the_others() -> None:
    assert Setting((1,), (64,), (1, 2, 3)).input_lengths == (64, 64, 64)
    assert Setting((1,), (1, 2), (9,)).output_lengths == (9, 9)
    for lengths in (((1, 2), (1, 2, 3)), ((1, 2, 3), ()), ((), (1, 2))):
        with pytest.raises(InputError, match="cannot be paired"):
            Setting((1,), *lengths)


@pytest.mark.parametrize("model", COST_MODELS)
def test_a_mean_is_over_single_requests(model: str) -> None:
    setting = Setting((1, 4), (64, 300), (128, 7))
    single = [
        request_cost(model, SPEC, Workload(batch, prompt, output), SYSTEM)
        for batch in (1, 4)
        for prompt, output in ((64, 128), (300, 7))
    ]
    memory, latency = np.mean(np.array(single), axis=0)
    found = mean_cost(model, SPEC, setting, SYSTEM)
    assert found.memory == pytest.approx(memory)
    assert found.latency == pytest.approx(latency)
