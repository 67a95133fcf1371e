"""Which measured kernels an engine has on a device."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cost_analysis import load_engine, load_hardware
from cost_analysis.common.errors import InputError
from cost_analysis.inputs.system import named_system
from cost_analysis.kernels.shapes import AllReduce, Product
from cost_analysis.kernels.sources import kernel_times

PRODUCT = Product(1.0, 4096.0, 4096.0, "bf16")


def test_curves_where_device_and_engine_have_them() -> None:
    h100, vllm = load_hardware("h100"), load_engine("vllm")
    found = kernel_times(h100, vllm, "fitted")
    assert found is not None
    assert found.time(PRODUCT) is not None
    assert kernel_times(h100, vllm, "modelled") is None
    assert kernel_times(h100, load_engine("ideal"), "fitted") is None
    assert kernel_times(load_hardware("t4"), vllm, "fitted") is None


def test_a_relative_scales_them_and_has_its_own_link() -> None:
    vllm, sum_ = load_engine("vllm"), AllReduce(1e6, 2.0)
    own = kernel_times(load_hardware("a100-sxm-80gb"), vllm, "fitted")
    relative = kernel_times(load_hardware("a100-pcie-40gb"), vllm, "fitted")
    assert own is not None
    assert relative is not None
    faster, slower = own.time(PRODUCT), relative.time(PRODUCT)
    assert faster is not None
    assert slower is not None
    assert slower.seconds > 1.1 * faster.seconds
    assert own.time(sum_) is not None
    other = kernel_times(replace(load_hardware("h100-nvl")), vllm, "fitted")
    assert other is not None
    assert other.time(sum_) is None


def test_tables_must_be_asked_for_where_they_are() -> None:
    for device, engine, message in (
        ("t4", "vllm", "device t4 has no measured kernels"),
        ("h100", "ideal", "engine ideal has no measured kernels"),
    ):
        with pytest.raises(InputError, match=message):
            named_system(device, engine, kernels="measured")
    with pytest.raises(InputError, match="leave the efficiencies out"):
        named_system("h100", "vllm", 0.5, kernels="fitted")
    with pytest.raises(InputError, match="kernel times 'mesured'"):
        named_system("h100", "vllm", kernels="mesured")
    assert named_system("h100", "vllm", 0.5).kernels == "modelled"
