"""What matrix products reach on a device, from timings of single operators.

The columns are those of Vidur's profiles (microsoft/vidur, data/profiling/compute): per device,
model, tensor parallelism and number of tokens, the median time of each operator of a layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cost_analysis.common.files import CsvTable, read_table
from cost_analysis.fitting.predictions import Floats
from cost_analysis.inputs.dtypes import dtype_named
from cost_analysis.inputs.profiles import load_hardware

PRODUCTS = ("attn_pre_proj", "attn_post_proj", "mlp_up_proj", "mlp_down_proj")
BYTES = 2.0
"""Width of a value of the timings: 16 bits [B]."""


@dataclass(frozen=True, slots=True)
class DeviceFit:
    """What the matrix products of a device reach.

    Attributes:
        device: Name of its profile.
        rows: Timings that were fitted.
        floor: Time of a product, however small [s].
        flops: Share of the datasheet's 16-bit peak that a large product reaches.
        bandwidth: Share of the datasheet's bandwidth that a large read reaches.
        errors: Predicted / measured - 1 of each timing, (rows,).
    """

    device: str
    rows: int
    floor: float
    flops: float
    bandwidth: float
    errors: Floats


def fit_operators(path: Path) -> list[DeviceFit]:
    """Fit floor and shares of each device: floor + root of the sum of both roofs' squares.

    Raises:
        InputError: A file that cannot be read, or a missing column.
    """
    table = read_table(path)
    devices = np.array(table.texts(table.column("hardware")))
    shapes, seconds = _products(table)
    return [
        _fitted(name, shapes[:, :, devices == name], seconds[:, devices == name])
        for name in sorted(set(devices.tolist()))
    ]


def _products(table: CsvTable) -> tuple[Floats, Floats]:
    """Rows, inputs and outputs of each product, (3, products, rows), and seconds."""
    names = ("tp", "num_tokens", "hidden", "ffn", "n_head", "n_kv_head")
    columns = {name: np.array(table.positive_numbers(table.column(name))) for name in names}
    gated = np.array([cell == "True" for cell in table.texts(table.column("gated"))])
    split, tokens, hidden = columns["tp"], columns["num_tokens"], columns["hidden"]
    inner, query = columns["ffn"] / split, hidden / split
    heads = np.maximum(columns["n_kv_head"] / split, 1.0)
    qkv = query + 2.0 * heads * hidden / columns["n_head"]
    inputs = np.stack([hidden, query, hidden, inner])
    outputs = np.stack([qkv, hidden, np.where(gated, 2.0, 1.0) * inner, hidden])
    medians = [table.positive_numbers(table.column(f"{name}_median_ms")) for name in PRODUCTS]
    shapes = np.stack([np.broadcast_to(tokens, inputs.shape), inputs, outputs])
    return shapes, np.array(medians) / 1e3


def _fitted(device: str, shapes: Floats, seconds: Floats) -> DeviceFit:
    from scipy.optimize import least_squares

    hardware = load_hardware(device)
    rows, inputs, outputs = shapes
    moved = BYTES * (inputs * outputs + rows * (inputs + outputs)) / hardware.bandwidth
    computed = 2.0 * rows * inputs * outputs / hardware.matmul_peak(dtype_named("fp16"))

    def predicted(logs: Any) -> Floats:
        floor, flops, bandwidth = np.exp(logs)
        times: Floats = floor + np.hypot(computed / flops, moved / bandwidth)
        return times

    def residuals(logs: Any) -> Floats:
        ratios: Floats = np.log(predicted(logs) / seconds).ravel()
        return ratios

    result = least_squares(
        residuals,
        np.log([4e-6, 0.7, 0.8]),
        loss="soft_l1",
        f_scale=0.1,
    )
    floor, flops, bandwidth = map(float, np.exp(result.x))
    errors = predicted(result.x) / seconds - 1.0
    return DeviceFit(device, seconds.size, floor, flops, bandwidth, errors.ravel())
