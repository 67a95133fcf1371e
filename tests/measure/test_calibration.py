"""What calibration writes is read again as what it found, whatever the device is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from cost_analysis import load_engine, load_hardware
from cost_analysis.measure.benchmarks import Figure, Product
from cost_analysis.measure.calibration import Calibration, Kernels, device_toml, engine_toml


def figure(value: float) -> Figure:
    return Figure(value, (0.9 * value, value, 1.1 * value))


def kernels(scale: float) -> Kernels:
    rates = {1: 2e10, 8: 1.5e10, 64: 1e10}
    return Kernels(
        {rows: Product(figure(rate * scale), figure(0.0 if rows == 8 else 1e-6))
         for rows, rate in rates.items()},
        {"read": figure(1e-10), "copied": figure(3e-12)},
        figure(1e11 * scale),
        figure(5e9 * scale),
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
@pytest.mark.parametrize("name", ["AMD EPYC 9654", 'a "fast" \\ one', "é\n\x1b[1m µ 中文"])
def test_profiles_are_read_as_they_were_written(name: str, kind: str, tmp_path: Path) -> None:
    found = Calibration(
        name, kind, 2.5e10, {"fp32": kernels(1.0), "bf16": kernels(2.0)}, figure(2e-5)
    )
    (tmp_path / "here.toml").write_text(device_toml(found))
    (tmp_path / "here.engine.toml").write_text(engine_toml(found))
    device = load_hardware(str(tmp_path / "here.toml"))
    engine = load_engine(str(tmp_path / "here.engine.toml"))
    shown = "".join(letter for letter in name if letter.isprintable())
    assert device.description == f"{shown}, calibrated"
    assert engine.description == f"eager PyTorch in fp32 on {shown}, calibrated"
    assert device.kind == kind
    assert device.bandwidth == pytest.approx(4e10)
    assert device.product_rates["bf16"].rows == (1, 8, 64)
    assert device.product_rates["fp32"].rates == pytest.approx((2e10, 1.5e10, 1e10))
    assert device.product_rates["fp32"].starts[1] == 0
    assert "median of 3" in device.sources["peak"]
    assert engine.attention.flops_share == pytest.approx(1e11 / (1e10 * 2 * 64 / 4), rel=1e-3)
    assert engine.elementwise_share == pytest.approx(5e9 / 4e10, rel=1e-3)
    assert (engine.kernel_floor > 0) == (kind == "cpu")
    assert (engine.layer_host_time > 0) == (kind == "gpu")
