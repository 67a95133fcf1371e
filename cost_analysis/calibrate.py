"""Short benchmarks of this machine, written as a device and an engine profile.

Bandwidth is what a matrix product with one row reaches over more weights than any cache holds, as a
decode step does; the peak is that of a large product; the floor of a kernel is what a layer of a
tiny model costs, over its kernels. Every figure keeps its samples.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from cost_analysis.host import host
from cost_analysis.operators import forward_pass
from cost_analysis.spec import ModelSpec
from cost_analysis.torch_model import DTYPES, build

REPEATS = 7
STREAMED = 1.0e9
"""Weights that a pass of the bandwidth benchmark reads [B]: beyond any cache."""

ROWS, INPUTS, OUTPUTS = 512, 2048, 8192
"""Shape of the product that the peak is taken from, and of each streamed matrix."""

LAYERS = (2, 18)
"""Depths of the tiny models whose difference gives the time of a layer."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A calibrated figure and the samples behind it.

    Attributes:
        value: Median, in SI units.
        samples: Every sample.
    """

    value: float
    samples: tuple[float, ...]

    def source(self, how: str) -> str:
        """How it was found, for a profile."""
        low, high = min(self.samples), max(self.samples)
        return f"calibrated here: {how}; median of {len(self.samples)}, {low:.4g} to {high:.4g}"


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the benchmarks found.

    Attributes:
        name: Of the device.
        kind: "cpu" or "gpu".
        memory: Of the device [B].
        bandwidth: B/s that a decode step reaches, by data type.
        peak: FLOP/s of a large product, by data type.
        kernel_floor: Time of a kernel, however small [s].
    """

    name: str
    kind: str
    memory: float
    bandwidth: dict[str, Figure]
    peak: dict[str, Figure]
    kernel_floor: Figure


def calibrate(device: str, dtypes: tuple[str, ...]) -> Calibration:
    """Benchmark a device: some 20 seconds for each data type on a laptop.

    Args:
        device: "cpu" or a CUDA device.
        dtypes: Types to benchmark, of `DTYPES`.
    """
    cuda = device.startswith("cuda")
    machine = host()
    return Calibration(
        name=torch.cuda.get_device_name(device) if cuda else machine.cpu or "CPU",
        kind="gpu" if cuda else "cpu",
        memory=torch.cuda.mem_get_info(device)[1] if cuda else machine.memory or 0.0,
        bandwidth={dtype: _bandwidth(device, dtype) for dtype in dtypes},
        peak={dtype: _peak(device, dtype) for dtype in dtypes},
        kernel_floor=_kernel_floor(device),
    )


def _samples(device: str, work: Callable[[], object], amount: float) -> Figure:
    """`amount` per second of some work, after a warm-up."""

    def seconds() -> float:
        if device != "cpu":
            torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    for _ in range(2):
        seconds()
    rates = tuple(amount / seconds() for _ in range(REPEATS))
    return Figure(float(np.median(rates)), rates)


@torch.inference_mode()
def _bandwidth(device: str, dtype: str) -> Figure:
    kind = DTYPES[dtype]
    each = INPUTS * OUTPUTS * kind.itemsize
    count = max(round(STREAMED / each), 2)
    weights = [
        torch.empty(OUTPUTS, INPUTS, dtype=kind, device=device).uniform_(-0.1, 0.1)
        for _ in range(count)
    ]
    row = torch.ones(1, INPUTS, dtype=kind, device=device)
    linear = torch.nn.functional.linear
    return _samples(device, lambda: [linear(row, weight) for weight in weights], count * each)


@torch.inference_mode()
def _peak(device: str, dtype: str) -> Figure:
    kind = DTYPES[dtype]
    weight = torch.empty(OUTPUTS, INPUTS, dtype=kind, device=device).uniform_(-0.1, 0.1)
    rows = torch.ones(ROWS, INPUTS, dtype=kind, device=device)
    flops = 2.0 * ROWS * INPUTS * OUTPUTS
    return _samples(device, lambda: torch.nn.functional.linear(rows, weight), flops)


@torch.inference_mode()
def _kernel_floor(device: str) -> Figure:
    """Time of a layer of a tiny model, from two depths, over the kernels that the core counts."""
    passes = []
    for layers in LAYERS:
        spec = ModelSpec(64, 128, layers, 4, 2, vocab_size=64)
        model = build(spec, device=device)
        cache = model.new_cache(1)
        token = torch.zeros((1, 1), dtype=torch.long, device=device)
        step = _samples(device, partial(model, token, cache), 1.0)
        passes.append(1 / np.array(step.samples))
    layer = (np.median(passes[1]) - np.median(passes[0])) / (LAYERS[1] - LAYERS[0])
    kernels = _kernels_of_a_layer()
    spread = tuple(float(t - np.median(passes[0])) / (LAYERS[1] - LAYERS[0]) / kernels
                   for t in passes[1])  # fmt: skip
    return Figure(float(max(layer, 0.0)) / kernels, spread)


def _kernels_of_a_layer() -> float:
    def count(layers: int) -> float:
        operators = forward_pass(ModelSpec(64, 128, layers, 4, 2, vocab_size=64), 1, 1, 0)
        return float(sum(operator.kernels for operator in operators))

    return count(2) - count(1)


def device_toml(found: Calibration) -> str:
    """The device profile: its bandwidth is that of the widest type, its peaks by type."""
    best = max(found.bandwidth, key=lambda dtype: found.bandwidth[dtype].value)
    peaks = "\n".join(f'{d} = "{f.value / 1e9:.4g} GFLOP/s"' for d, f in found.peak.items())
    how = f"one row times {OUTPUTS} × {INPUTS} matrices of {STREAMED / 1e9:.0f} GB in {best}"
    shape = f"{ROWS} × {INPUTS} × {OUTPUTS}"
    peak_sources = "; ".join(f"{d}: {f.source(shape)}" for d, f in found.peak.items())
    return (
        f'description = "{_plain(found.name)}, calibrated"\n'
        f'kind = "{found.kind}"\n'
        f'memory = "{found.memory / 2**30:.4g} GiB"\n'
        f'bandwidth = "{found.bandwidth[best].value / 1e9:.4g} GB/s"\n\n'
        f"[peak]\n{peaks}\n\n"
        "[sources]\n"
        'memory = "as the system reports it"\n'
        f'bandwidth = "{found.bandwidth[best].source(how)}"\n'
        f'peak = "{peak_sources}"\n'
    )


def engine_toml(found: Calibration) -> str:
    """The engine profile that goes with it: reached roofs are the calibrated ones."""
    source = found.kernel_floor.source(f"layers of a tiny model, {LAYERS[0]} and {LAYERS[1]} deep")
    return (
        f'description = "eager PyTorch on {_plain(found.name)}, calibrated"\n'
        "flops_efficiency = 1.0\n"
        "bandwidth_efficiency = 1.0\n"
        f'kernel_floor = "{max(found.kernel_floor.value * 1e6, 1e-6):.4g} us"\n'
        f'source = "{source}"\n'
    )


def _plain(name: str) -> str:
    return "".join(letter for letter in name if letter.isprintable() and letter not in '"\\')
