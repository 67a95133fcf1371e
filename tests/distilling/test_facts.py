"""Facts of chips and of their tables."""

from __future__ import annotations

from cost_analysis import load_hardware
from cost_analysis.distilling.facts import CHIPS, ENGINES, FORMATS_OF, LENDERS, OLD_ROUTERS, UNTUNED
from cost_analysis.inputs.dtypes import dtype_named
from cost_analysis.kernels.curves import FAMILIES
from cost_analysis.kernels.library import DEVICES

WIDE = dtype_named("bf16")


def test_each_device_with_tables_has_a_chip() -> None:
    assert set(CHIPS) == set(DEVICES)
    for name, (multiprocessors, cache) in CHIPS.items():
        device = load_hardware(name)
        assert device.kernels == device.name == name
        # Products that a multiprocessor computes in a second, and its share of the cache.
        assert 2e11 < float(device.matmul_peak(WIDE)) / multiprocessors < 3e13
        assert 1e5 < cache / multiprocessors < 2e6


def test_names_are_those_of_families_engines_and_devices() -> None:
    assert set(FORMATS_OF) == set(FAMILIES)
    assert set(LENDERS) == set(ENGINES)
    assert set(OLD_ROUTERS) <= set(CHIPS)
    for device, engine, family, name in UNTUNED:
        assert device in CHIPS
        assert engine in ENGINES
        assert name in FORMATS_OF[family]
