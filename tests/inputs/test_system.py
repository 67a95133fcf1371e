"""A system costs the same as its device, engine, formats and layout given separately."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cost_analysis import (
    InputError,
    Layout,
    ModelSpec,
    Precision,
    Workload,
    estimate,
    load_engine,
    load_hardware,
    published_cost,
)
from cost_analysis.cost.estimate import estimate_on
from cost_analysis.cost.published import published_on
from cost_analysis.inputs.request import make_request, model_asked
from cost_analysis.inputs.system import System, named_system
from tests.helpers.cases import MIXTURE, SMALL

SPEC = ModelSpec(2560, 13824, streams=4)
WORK = Workload(2, 100, 20)
PARTS = (load_hardware("h100"), load_engine("eager"), Precision("int8"), Layout(2, 1, 1, 4))


def test_a_system_costs_what_its_parts_do() -> None:
    ours, parts = estimate_on(SPEC, WORK, System(*PARTS)), estimate(SPEC, WORK, *PARTS)
    assert ours == parts
    assert (ours.hardware, ours.engine, ours.precision, ours.layout) == PARTS


def test_the_published_cost_takes_the_users_own_efficiencies() -> None:
    system = named_system("h100", None, 0.4, 0.5)
    paper = published_cost(SPEC, WORK, load_hardware("h100"), 0.4, 0.5)
    assert published_on(SPEC, WORK, system) == paper
    assert (system.engine.flops_efficiency, system.engine.bandwidth_efficiency) == (0.4, 0.5)
    # A share that the user gives is one of the datasheet.
    assert system.hardware.reached_flops == system.hardware.reached_bandwidth == 1


@pytest.mark.parametrize(
    ("device", "engine"),
    [("a100", "graphs"), ("xeon-8480", "cpu"), ("jetson-agx-orin-64gb", "ideal")],
)
def test_each_kind_of_device_has_its_engine(device: str, engine: str) -> None:
    system = named_system(device)
    assert system.engine == load_engine(engine)
    assert system.precision == Precision()
    assert system.layout.is_single


def test_few_streams_have_few_groups() -> None:
    system = System(*PARTS)
    assert system.of_streams(4).layout == system.layout
    assert system.of_streams(1).layout == Layout(2)
    plain = replace(system, layout=Layout(2))
    assert plain.of_streams(1) is plain


def test_a_request_lists_what_was_assumed() -> None:
    system = named_system()
    asked = make_request(model_asked(None, {"hidden_size": 2560}), WORK, system)
    assert asked.assumed == {"intermediate_size": 13824}
    asked = make_request(model_asked("1.6B", {}), WORK, system, engine_assumed=True)
    assert asked.assumed == {"engine": "graphs"}
    assert asked.system is system
    with pytest.raises(InputError, match="no model given"):
        model_asked(None, {})


def test_an_interval_is_that_of_the_request() -> None:
    """By device, weights and kind of model: what is new multiplies the logarithms of the ends."""
    system = named_system("a100", "vllm-2024")
    spread = system.engine.spread
    assert spread is not None
    assert system.interval(2.0, SMALL) == (2 * spread.low, 2 * spread.high)
    assert system.widened(SMALL) == ""
    narrow = replace(system, precision=Precision("int4"))
    assert narrow.interval(1.0, SMALL) == spread.interval(1.0, "a100-sxm-80gb", narrow=True)
    assert narrow.widened(MIXTURE) == "wider for weights below 16 bits, experts"
    elsewhere = named_system("t4", "graphs")
    assert elsewhere.widened(SMALL) == "wider for a new engine, a new device"
    widest = elsewhere.interval(1.0, MIXTURE)
    assert widest is not None
    assert widest[0] < spread.low < spread.high < widest[1]


def test_what_was_not_measured_has_no_interval() -> None:
    system = named_system("a100", "ideal")
    assert system.interval(1.0, SMALL) is None
    assert system.widened(SMALL) == ""
