"""Configurations that a plan chooses among."""

from __future__ import annotations

import math

import pytest

from cost_analysis import InputError, Precision, load_engine, load_hardware
from cost_analysis.inputs.system import System
from cost_analysis.law.family import family
from cost_analysis.law.scaling_law import ScalingLaw
from cost_analysis.search.candidates import Space, boards, setups

LAW = ScalingLaw(0.6912, 11.3e6, 0.1894, 0.3935)

DEVICES = [
    System(load_hardware(name), load_engine(engine))
    for name, engine in (("h100-sxm-80gb", "graphs"), ("jetson-agx-orin-64gb", "ideal"))
]


def test_more_setups_than_are_worth_waiting_for() -> None:
    many = setups(boards(DEVICES), [Precision()], tuple(range(1, 402)))
    with pytest.raises(InputError, match="802 combinations"):
        Space(family()[3], (1,), many, LAW)


def test_setups_are_all_combinations_with_power_and_price() -> None:
    formats = [Precision(), Precision("int8")]
    chosen = boards(DEVICES, power=(None, 40.0), prices=(3.0, 0.5))
    found = setups(chosen, formats, (1, 8))
    assert len(found) == 2 * 2 * 2
    for setup in found:
        hardware = setup.system.hardware
        (place,) = (i for i, system in enumerate(DEVICES) if system.hardware == hardware)
        assert setup.system.engine == DEVICES[place].engine
        assert setup.power == (hardware.tdp, 40.0)[place]
        assert (setup.price_per_hour, setup.memory_limit) == ((3.0, 0.5)[place], hardware.memory)
    assert {setup.batch_size for setup in setups(chosen, formats, None)} == {None}


def test_a_memory_limit_is_that_of_the_smaller_devices() -> None:
    limit = 20e9
    devices = [*DEVICES, System(load_hardware("t4"), DEVICES[0].engine)]
    found = setups(boards(devices), [Precision()], (1,), memory_limit=limit)
    assert [setup.memory_limit for setup in found] == [
        min(setup.system.hardware.memory, limit) for setup in found
    ]
    assert math.inf not in [setup.memory_limit for setup in found]


def test_penalties_go_to_their_formats() -> None:
    chosen = boards(DEVICES)
    found = setups(chosen, [Precision(), Precision("int8")], (1,), penalties={"int8": 0.1})
    assert {(setup.system.precision.weights, setup.penalty) for setup in found} == {
        ("bf16", 0.0), ("int8", 0.1),
    }  # fmt: skip
    with pytest.raises(InputError, match="not among the weight formats allowed: bf16"):
        setups(chosen, [Precision()], (1,), penalties={"int8": 0.1})
