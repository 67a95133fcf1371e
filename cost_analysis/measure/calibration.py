"""This machine as profiles: short benchmarks, written as a device and an engine.

The device carries the times of its matrix products themselves, by data type and rows; the engine
what its kernels take beside them. Every figure keeps its samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import tomlkit
import torch
from tomlkit.items import Item

from cost_analysis.inputs.dtypes import DTYPES
from cost_analysis.measure.benchmarks import (
    CONTEXTS,
    SIDE_RATIO,
    Figure,
    Product,
    attention_times,
    elementwise_rate,
    kernels_of_a_layer,
    layer_floor,
    linears_of_a_layer,
    prefill_attention_rate,
    products,
    sizes_of,
)
from cost_analysis.telemetry.machine import read_machine


@dataclass(frozen=True, slots=True)
class Kernels:
    """What the kernels of one data type reach.

    Attributes:
        products: By their rows.
        attention: Time of a cached byte, "read" and "copied" [s/B].
        prefill_attention: Of a prompt's scores and values [FLOP/s].
        elementwise: What norms, activations and sums move [B/s].
    """

    products: Mapping[int, Product]
    attention: Mapping[str, Figure]
    prefill_attention: Figure
    elementwise: Figure

    @property
    def bandwidth(self) -> Figure:
        """What a product of one row reads [B/s]."""
        return self.products[min(self.products)].rate

    def peak(self, dtype: str) -> Figure:
        """What a product of the most rows computes [FLOP/s]."""
        rows = max(self.products)
        factor = 2.0 * rows / DTYPES[dtype].bytes
        rate = self.products[rows].rate
        return Figure(rate.value * factor, tuple(sample * factor for sample in rate.samples))


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the benchmarks found.

    Attributes:
        name: Of the device.
        kind: "cpu" or "gpu".
        memory: Of the device [B].
        kernels: By data type, the one that an engine is written for first.
        layer_floor: Time of a layer, however small [s]: on a CPU that of its kernels, on a GPU that
            of the host, which launches while the device computes.
    """

    name: str
    kind: str
    memory: float
    kernels: Mapping[str, Kernels]
    layer_floor: Figure

    @property
    def kernel_floor(self) -> float:
        """Time of a kernel, however small [s]; 0 on a GPU, where the host hides it."""
        return 0.0 if self.kind == "gpu" else self.layer_floor.value / kernels_of_a_layer()


def calibrate(device: str, dtypes: tuple[str, ...]) -> Calibration:
    """Benchmark a device: about a minute for each data type on a laptop.

    Args:
        device: "cpu" or a CUDA device.
        dtypes: Types to benchmark; the first is the one that the engine is for.
    """
    cuda = device != "cpu"
    machine = read_machine()
    found = Calibration(
        name=torch.cuda.get_device_name(device) if cuda else machine.cpu or "CPU",
        kind="gpu" if cuda else "cpu",
        memory=torch.cuda.mem_get_info(device)[1] if cuda else machine.memory or 0.0,
        kernels={},
        layer_floor=layer_floor(device),
    )
    kernels = {dtype: _kernels(device, dtype, found.kernel_floor) for dtype in dtypes}
    return replace(found, kernels=kernels)


def _kernels(device: str, dtype: str, floor: float) -> Kernels:
    return Kernels(
        products(device, dtype),
        attention_times(device, dtype),
        prefill_attention_rate(device, dtype),
        elementwise_rate(device, dtype, floor),
    )


def device_toml(found: Calibration) -> str:
    """The device profile: its bandwidth is that of the fastest type."""
    best = max(found.kernels, key=lambda dtype: found.kernels[dtype].bandwidth.value)
    bandwidth = found.kernels[best].bandwidth
    profile = tomlkit.document()
    profile["description"] = f"{_printable(found.name)}, calibrated"
    profile["kind"] = found.kind
    profile["memory"] = f"{found.memory / 2**30:.4g} GiB"
    profile["bandwidth"] = f"{bandwidth.value / 1e9:.4g} GB/s"
    peaks = {dtype: kernels.peak(dtype) for dtype, kernels in found.kernels.items()}
    rates = tomlkit.table(is_super_table=True)
    for dtype, kernels in found.kernels.items():
        rates[dtype] = _product_rates(kernels)
    for name, table in (
        ("peak", {dtype: f"{peak.value / 1e9:.4g} GFLOP/s" for dtype, peak in peaks.items()}),
        ("product_rates", rates),
        ("sources", _device_sources(found, best, peaks)),
    ):
        profile.add(tomlkit.nl())
        profile[name] = table
    return tomlkit.dumps(profile)


def _product_rates(kernels: Kernels) -> dict[str, list[Any]]:
    """The products of one data type: their rows, rates and starts."""
    linears, measured = linears_of_a_layer(), kernels.products.values()
    return {
        "rows": list(kernels.products),
        "rates": [f"{product.rate.value / 1e9:.4g} GB/s" for product in measured],
        "starts": [_time(product.start.value * linears) for product in measured],
    }


def _device_sources(found: Calibration, best: str, peaks: Mapping[str, Figure]) -> dict[str, str]:
    """How each figure of the device was found; `best` is the type of its bandwidth."""
    sizes = sizes_of("cpu" if found.kind == "cpu" else "cuda")
    shapes = " and ".join(f"{inputs} × {outputs}" for inputs, outputs in sizes.shapes)
    bandwidth = found.kernels[best].bandwidth
    sources = {
        "memory": "as the system reports it",
        "bandwidth": bandwidth.source(f"products of one row in {best}, matrices of {shapes}"),
        "peak": "; ".join(
            f"{d}: {p.source('products of the most rows')}" for d, p in peaks.items()
        ),
    }
    for dtype, kernels in found.kernels.items():
        samples = (f"{rows} rows: {_spread(product)}" for rows, product in kernels.products.items())
        sources[f"product_rates_{dtype}"] = (
            f"calibrated here: matrices of {shapes}, and of a {SIDE_RATIO}th of their sides; "
            f"lowest to highest GB/s and start of a product, of which a stock layer runs "
            f"{linears_of_a_layer():.3g} for each that is counted; {'; '.join(samples)}"
        )
    return sources


def _spread(product: Product) -> str:
    rates, starts = product.rate.samples, product.start.samples
    return (
        f"{min(rates) / 1e9:.4g} to {max(rates) / 1e9:.4g}, "
        f"{min(starts) * 1e6:.4g} to {max(starts) * 1e6:.4g} us"
    )


def _time(seconds: float) -> str | int:
    """A time as a profile states it: 0, or microseconds."""
    return f"{seconds * 1e6:.4g} us" if seconds > 0 else 0


def engine_toml(found: Calibration) -> str:
    """The engine profile that goes with it, for the first data type."""
    dtype, kernels = next(iter(found.kernels.items()))
    bandwidth = max(k.bandwidth.value for k in found.kernels.values())
    floor, seconds = "kernel_floor", found.kernel_floor
    if found.kind == "gpu":
        floor, seconds = "layer_host_time", found.layer_floor.value
    read, copied = kernels.attention["read"], kernels.attention["copied"]
    flops = kernels.prefill_attention.value / kernels.peak(dtype).value
    profile = tomlkit.document()
    profile["description"] = f"eager PyTorch in {dtype} on {_printable(found.name)}, calibrated"
    profile["flops_efficiency"] = 1.0
    profile["bandwidth_efficiency"] = 1.0
    profile[floor] = f"{max(seconds * 1e6, 1e-6):.4g} us"
    profile["elementwise_share"] = _digits(kernels.elementwise.value / bandwidth)
    profile["source"] = _engine_source(found, kernels)
    profile.add(tomlkit.nl())
    profile["attention"] = {
        "flops_share": _digits(flops),
        "bandwidth_share": _digits(1 / (read.value * bandwidth)),
        "cache_copies": _digits(copied.value * bandwidth),
    }
    return tomlkit.dumps(profile)


def _engine_source(found: Calibration, kernels: Kernels) -> str:
    """How each figure of the engine was found."""
    read, copied = kernels.attention["read"], kernels.attention["copied"]
    sources = (
        found.layer_floor.source("a layer [s], beside its products"),
        kernels.elementwise.source("elementwise [B/s], layers without their products"),
        read.source(f"cached byte read [s/B], contexts of {CONTEXTS[0]} and {CONTEXTS[1]}"),
        copied.source("cached byte copied [s/B], likewise"),
        kernels.prefill_attention.source("attention of a prompt [FLOP/s]"),
    )
    return "; ".join(sources)


def _digits(value: float) -> Item:
    """A number to four digits."""
    return tomlkit.value(f"{value:.4g}")


def _printable(name: str) -> str:
    return "".join(letter for letter in name if letter.isprintable())
