"""Configurations that a plan chooses among."""

from __future__ import annotations

import math

import pytest

from cost_analysis import InputError, Precision, load_engine, load_hardware
from cost_analysis.law.family import family
from cost_analysis.law.scaling_law import ScalingLaw
from cost_analysis.search.candidates import Space, boards, setups

LAW = ScalingLaw(0.6912, 11.3e6, 0.1894, 0.3935)

DEVICES = [
    (load_hardware(name), load_engine(engine))
    for name, engine in (("h100-sxm-80gb", "graphs"), ("jetson-agx-orin-64gb", "ideal"))
]


def test_more_setups_than_are_worth_waiting_for() -> None:
    many = setups(boards(DEVICES), [Precision()], tuple(range(1, 402)))
    with pytest.raises(InputError, match="802 combinations"):
        Space(family()[3], (1,), many, LAW)


def test_setups_are_all_combinations_with_power_and_price() -> None:
    formats = [Precision(), Precision("int8")]
    found = setups(DEVICES, formats, (1, 8), power=(None, 40.0), prices=(3.0, 0.5))
    assert len(found) == 2 * 2 * 2
    for setup in found:
        (place,) = (i for i, (device, _) in enumerate(DEVICES) if device == setup.hardware)
        assert setup.engine == DEVICES[place][1]
        assert setup.power == (setup.hardware.tdp, 40.0)[place]
        assert (setup.price_per_hour, setup.memory_limit) == (
            (3.0, 0.5)[place],
            setup.hardware.memory,
        )
    assert {setup.batch_size for setup in setups(DEVICES, formats, None)} == {None}


def test_a_memory_limit_is_that_of_the_smaller_devices() -> None:
    limit = 20e9
    found = setups([*DEVICES, (load_hardware("t4"), DEVICES[0][1])], [Precision()], (1,),
                   memory_limit=limit)  # fmt: skip
    assert [setup.memory_limit for setup in found] == [
        min(setup.hardware.memory, limit) for setup in found
    ]
    assert math.inf not in [setup.memory_limit for setup in found]


def test_penalties_go_to_their_formats() -> None:
    found = setups(DEVICES, [Precision(), Precision("int8")], (1,), penalties={"int8": 0.1})
    assert {(setup.precision.weights, setup.penalty) for setup in found} == {
        ("bf16", 0.0), ("int8", 0.1),
    }  # fmt: skip
    with pytest.raises(InputError, match="not among the weight formats allowed: bf16"):
        setups(DEVICES, [Precision()], (1,), penalties={"int8": 0.1})
