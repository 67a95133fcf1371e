"""Efficiencies and overheads of engines, and the spread of measured times."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cost_analysis import Engine, InputError, load_engine
from cost_analysis.inputs.engine import ENGINE_SHARES, ENGINE_TIMES, AttentionKernels, Spread
from cost_analysis.inputs.profiles import engine_text, profile_names


@pytest.mark.parametrize(
    "changes",
    [{"flops_efficiency": 0.0}, {"flops_efficiency": 1.01}, {"bandwidth_efficiency": -0.5},
     {"bandwidth_efficiency": float("nan")}, {"kernel_floor": -1e-6}, {"step_host_time": "1"},
     {"layer_host_time": float("inf")}],
)  # fmt: skip
def test_invalid_engines_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Engine("e", **changes)


def test_engine_takes_the_users_efficiency() -> None:
    engine = Engine("e", flops_efficiency=0.5, bandwidth_efficiency=0.6, kernel_floor=1e-6)
    assert engine.with_efficiency(None, None) == engine
    changed = engine.with_efficiency(0.9, None)
    assert (changed.flops_efficiency, changed.bandwidth_efficiency) == (0.9, 0.6)
    assert changed.kernel_floor == engine.kernel_floor


@pytest.mark.parametrize(
    "changes",
    [{"elementwise_share": 0.0}, {"link_share": -1.0}, {"link_latency": -1e-6},
     {"quantised_flops_share": float("nan")}, {"link_latency": float("inf")}],
)  # fmt: skip
def test_measured_terms_out_of_range(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(changes))):
        Engine("e", **changes)


@pytest.mark.parametrize(
    "changes", [{"flops_share": 0.0}, {"floor": -1.0}, {"score_bytes": -1.0}, {"cache_copies": -2}]
)
def test_attention_kernels_out_of_range(changes: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(changes))):
        AttentionKernels(**changes)


def test_an_interval_is_wider_for_what_is_new() -> None:
    """Widenings are factors of the logarithms of the ends, and multiply."""
    spread = Spread(0.9, 1.2, new_device=2.0, narrow=1.5, experts=3.0, devices=("a100",))
    assert spread.interval(10.0, "a100") == (9.0, 12.0)
    assert spread.interval(10.0, "h100") == (10 * 0.9**2, 10 * 1.2**2)
    wide = spread.interval(10.0, "h100", narrow=True, experts=True)
    assert wide == (10 * 0.9**9, 10 * 1.2**9)
    low, high = spread.interval(np.array([1.0, 10.0]), "a100", experts=True)
    np.testing.assert_array_equal(low, [0.9**3.0, 10 * 0.9**3.0])
    np.testing.assert_array_equal(high, [1.2**3.0, 10 * 1.2**3.0])


def test_reasons_are_those_that_widen() -> None:
    spread = Spread(0.9, 1.2, new_device=2.0, narrow=1.5, devices=("a100",))
    assert spread.reasons("a100") == []
    assert spread.reasons("a100", experts=True) == []  # a factor of one
    assert spread.reasons("t4", narrow=True) == ["a new device", "weights below 16 bits"]
    of_class = replace(spread, of_class=True, experts=1.1)
    assert of_class.reasons("a100", experts=True) == ["a new engine", "experts"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"low": 1.2}, "low end must not be above 1"),
        ({"high": 0.9}, "nor its high end below 1"),
        ({"low": 0.0}, "spread low"),
        ({"narrow": 0.9}, "spread narrow must be at least 1"),
        ({"new_device": float("nan")}, "spread new_device"),
    ],
)
def test_spreads_out_of_range(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Spread(**changes)


def test_a_share_of_the_bandwidth_alone_is_changed() -> None:
    engine = Engine("e", flops_efficiency=0.5, bandwidth_efficiency=0.6)
    changed = engine.with_efficiency(None, 0.9)
    assert (changed.flops_efficiency, changed.bandwidth_efficiency) == (0.5, 0.9)


@pytest.mark.parametrize("name", profile_names("engines"))
def test_a_written_engine_can_be_read_again(name: str, tmp_path: Path) -> None:
    """Apart from the digits that a profile leaves out."""
    engine, file = load_engine(name), tmp_path / f"{name}.toml"
    file.write_text(engine_text(engine, {}))
    again = load_engine(str(file))
    for field in ("description", "engine_class", "words", "device_shares", "soft_roofs", "source"):
        assert getattr(again, field) == getattr(engine, field)
    for field in (*ENGINE_SHARES, *ENGINE_TIMES):
        assert getattr(again, field) == pytest.approx(getattr(engine, field), rel=5e-3), field
    for item in fields(AttentionKernels):
        ours, theirs = (getattr(each.attention, item.name) for each in (again, engine))
        assert ours == pytest.approx(theirs, rel=5e-3), item.name
    assert (again.spread is None) == (engine.spread is None)
    if again.spread is not None and engine.spread is not None:
        assert again.spread == engine.spread


def test_standard_errors_are_comments_of_their_coefficients() -> None:
    errors = {"kernel_floor": 0.123, "attention.floor": 0.5}
    lines = engine_text(Engine("e", kernel_floor=2e-6), errors).splitlines()
    assert 'kernel_floor = "2 us"  # ±12%' in lines
    assert "floor = 0  # ±50%" in lines
