"""Every way to lay a model out over devices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cost_analysis import InputError
from cost_analysis.cost.estimate import estimate_on
from cost_analysis.inputs.layout import Layout
from cost_analysis.inputs.request import Request, make_request, model_asked
from cost_analysis.inputs.spec import Workload
from cost_analysis.inputs.system import named_system
from cost_analysis.search.layouts import GOALS, MOST_DEVICES, laid_out, layouts_of


def asked(model: str = "1.6b", streams: int = 8, device: str = "h100", **workload: Any) -> Request:
    asked_for = model_asked(model, {"streams": streams})
    return make_request(asked_for, Workload(**workload), named_system(device))


def divisors(number: int) -> list[int]:
    return [each for each in range(1, number + 1) if number % each == 0]


@pytest.mark.property
@pytest.mark.parametrize(("model", "streams"), [("1.6b", 8), ("mixtral-8x7b", 4)])
@pytest.mark.parametrize("devices", [1, 2, 6, 8, 16])
def test_layouts_are_all_that_the_model_can_be_divided_by(
    model: str, streams: int, devices: int
) -> None:
    """Against all products of four numbers."""
    request = asked(model, streams)
    expected = set()
    for tensor in divisors(devices):
        for pipeline in divisors(devices):
            for expert in divisors(devices):
                for apart in divisors(devices):
                    layout = Layout(tensor, pipeline, expert, apart)
                    if layout.devices == devices:
                        try:
                            layout.check(request.spec)
                        except InputError:
                            continue
                        expected.add((tensor, pipeline, expert, apart))
    found = [
        (each.tensor_parallel, each.pipeline_parallel, each.expert_parallel, each.stream_parallel)
        for each in layouts_of(request, devices)
    ]
    assert len(found) == len(set(found))
    assert set(found) == expected


@pytest.mark.parametrize("goal", GOALS)
def test_those_that_fit_come_first_and_the_best_in_front(goal: str) -> None:
    request = asked("mixtral-8x7b", 1, "a100-sxm-40gb", batch_size=64)
    two, four = laid_out(request, [2, 4], goal)
    assert {each.layout.devices for each in two} == {2}
    for found in (two, four):
        keys = [(not each.fits, each.value) for each in found]
        assert keys == sorted(keys)
    assert not any(each.fits for each in two)
    assert any(each.fits for each in four)
    best = four[0]
    cost = estimate_on(request.spec, request.workload, replace(request.system, layout=best.layout))
    values = {"tpot": cost.tpot, "ttft": cost.ttft, "latency": cost.total,
              "memory": cost.memory.total}  # fmt: skip
    assert best.value == pytest.approx(float(values[goal]))
    assert best.fits == (cost.memory.total <= request.system.hardware.memory)


@pytest.mark.parametrize(
    ("workload", "devices", "goal", "sentence"),
    [
        ({}, [0], "tpot", f"devices is 0; it must be from 1 to {MOST_DEVICES}"),
        ({}, [2, MOST_DEVICES + 1], "tpot", "devices is 4097"),
        ({}, [97], "tpot", "no way divides .* among 97 devices"),
        ({"output_length": 1}, [2], "tpot", "no time per output token; minimize ttft"),
    ],
)
def test_what_cannot_be_laid_out(
    workload: dict[str, Any], devices: list[int], goal: str, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        laid_out(asked(**workload), devices, goal)
