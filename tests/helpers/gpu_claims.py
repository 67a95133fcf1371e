"""Kernels with times by a plain formula, in the place of measured ones, and claims by them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from cost_analysis import load_model
from cost_analysis.common.arrays import Number, maximum
from cost_analysis.compare.claims_on_gpus import (
    ClaimsOnGpus,
    Question,
    claims_on_gpus,
    measured_systems,
)
from cost_analysis.compare.cost_models import Setting
from cost_analysis.inputs.device import Hardware
from cost_analysis.inputs.dtypes import Precision
from cost_analysis.inputs.engine import Engine, KernelSources
from cost_analysis.inputs.system import System, named_system
from cost_analysis.kernels.shapes import Attention, Product, Shape
from cost_analysis.kernels.times import KernelTime, KernelTimes

ROW = 0.002
"""Share of the time of one row that each further one adds to a product."""


@dataclass(frozen=True)
class PlainKernels:
    """Products wait for their weights, and take `row` more of that for each row; bf16 only."""

    bandwidth: float
    row: float = ROW

    def time(self, shape: Shape) -> KernelTime | None:
        """Products and attention of decode steps and prompts."""
        if isinstance(shape, Product) and shape.weights == "bf16":
            read = shape.inputs * shape.outputs * (2.0 / self.bandwidth)
            return _timed(read * maximum(1.0 + self.row * (shape.rows - 1.0), 0.0))
        if isinstance(shape, Attention):
            values = shape.sequences * shape.kv_heads * shape.head_dim * 2.0
            return _timed(values * shape.context * (2.0 / self.bandwidth))
        return None


def _timed(seconds: Number) -> KernelTime:
    return KernelTime(2e-6 + seconds, 2e-6, "fitted")


def use_plain_kernels(patch: pytest.MonkeyPatch, row: float = ROW) -> None:
    """Let every measured device have plain kernels, of the usual noise, under every engine."""

    def kernel_times(hardware: Hardware, engine: Engine, kernels: str) -> KernelTimes | None:
        if not hardware.kernels or engine.kernels == KernelSources() or kernels == "modelled":
            return None
        return PlainKernels(float(hardware.bandwidth), row)

    for module in ("cost.roofline", "compare.claims_on_gpus"):
        patch.setattr(f"cost_analysis.{module}.kernel_times", kernel_times)
    patch.setattr("cost_analysis.compare.noise.load_curves", lambda *_: {})


def fitted(device: str, engine: str | None = None) -> System:
    """A device and an engine by fitted kernels."""
    return named_system(device, engine, kernels="fitted")


SETTING = Setting((1, 8), (64, 128), (64, 128))


def plain_claims(
    patch: pytest.MonkeyPatch, row: float = ROW, device: str | None = None
) -> ClaimsOnGpus:
    """The claims by plain kernels: on one device, or on all that were measured."""
    use_plain_kernels(patch, row)
    systems = measured_systems(fitted, Precision(), device)
    return claims_on_gpus(Question(load_model("1.6B").spec, 8, SETTING), systems)
