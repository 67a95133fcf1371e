"""Configurations that a plan chooses among."""

from __future__ import annotations

import pytest

from cost_analysis import (
    InputError,
    Precision,
    load_engine,
    load_hardware,
)
from cost_analysis.baselines import family
from cost_analysis.candidates import Space, setups
from cost_analysis.scaling_law import ScalingLaw

LAW = ScalingLaw(0.6912, 11.3e6, 0.1894, 0.3935)

DEVICES = [
    (load_hardware(name), load_engine(engine))
    for name, engine in (("h100-sxm-80gb", "graphs"), ("jetson-agx-orin-64gb", "ideal"))
]


def test_more_setups_than_are_worth_waiting_for() -> None:
    many = setups(DEVICES, [Precision()], tuple(range(1, 402)))
    with pytest.raises(InputError, match="802 combinations"):
        Space(family()[3], (1,), many, LAW)
