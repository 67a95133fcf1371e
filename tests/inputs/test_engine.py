"""Efficiencies and overheads of engines, and the spread of measured times."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

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


def test_an_interval_is_wider_on_devices_that_were_not_measured() -> None:
    spread = Spread(0.9, 1.2, 0.5, 2.0, ("a100",))
    assert spread.interval(10.0, "a100") == (9.0, 12.0)
    assert spread.interval(10.0, "h100") == (5.0, 20.0)
    with pytest.raises(InputError, match="low end"):
        Spread(1.2, 0.9)


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
        assert again.spread.devices == engine.spread.devices
        assert again.spread.low == pytest.approx(engine.spread.low, rel=5e-3)


def test_standard_errors_are_comments_of_their_coefficients() -> None:
    errors = {"kernel_floor": 0.123, "attention.floor": 0.5}
    lines = engine_text(Engine("e", kernel_floor=2e-6), errors).splitlines()
    assert 'kernel_floor = "2 us"  # ±12%' in lines
    assert "floor = 0  # ±50%" in lines
