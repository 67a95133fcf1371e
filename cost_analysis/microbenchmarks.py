"""Short benchmarks of this machine: how they are timed, and those of matrix products.

Configurations of one benchmark are run in turn, so that a short disturbance slows all of them, and
every figure keeps its samples.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from cost_analysis.torch_model import DTYPES

REPEATS = 7
STREAMED_BYTES = 5.0e8
"""Weights that a benchmark of products goes through [B]: beyond any cache."""

MINIMUM_STREAMED_BYTES = 1.0e8
"""The same where many rows make a pass long [B]."""

MAXIMUM_PASS_TIME = 1.0
"""Time of a pass from which on fewer weights are streamed [s]."""

ROWS = (1, 2, 3, 4, 6, 8, 16, 32, 64, 128, 256, 512)
"""Rows of the products: a decode step's, with streams and batch, up to a prompt's."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much a benchmark does at once: a GPU must be busy for longer than its host launches.

    Attributes:
        shapes: Inputs and outputs of the matrices, in turn: wide as an MLP's first, deep as its
            second.
        sequences: Sequences whose cache is read.
        rows: Rows that norms and activations are run on.
    """

    shapes: tuple[tuple[int, int], tuple[int, int]]
    sequences: int
    rows: int


CPU_SIZES = Sizes(((2048, 8192), (8192, 2048)), 1, 256)
GPU_SIZES = Sizes(((4096, 16384), (16384, 4096)), 32, 16384)


def sizes_of(device: str) -> Sizes:
    """What the benchmarks of a device do at once."""
    return CPU_SIZES if device == "cpu" else GPU_SIZES


SIDE_RATIO = 4
"""Sides of a large matrix over those of a small one."""

K = TypeVar("K")
Samples = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured figure and the samples behind it.

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


def figure(samples: Sequence[float]) -> Figure:
    """A figure of samples."""
    return Figure(float(np.median(samples)), tuple(samples))


def seconds_of(device: str, work: Callable[[], object]) -> float:
    """Time of some work, with the device idle before and after [s]."""
    if device != "cpu":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    if device != "cpu":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def in_turn(
    device: str, works: Mapping[K, Callable[[], object]], repeats: int = REPEATS
) -> dict[K, list[float]]:
    """Times of several works, run one after another again and again, after a warm-up [s]."""
    times: dict[K, list[float]] = {key: [] for key in works}
    for count in range(-2, repeats):
        for key, work in works.items():
            seconds = seconds_of(device, work)
            if count >= 0:
                times[key].append(seconds)
    return times


@dataclass(frozen=True, slots=True)
class Product:
    """A product of some rows: a start, and its weights at a rate.

    Attributes:
        rate: Weights that go through it [B/s].
        start: Time that it takes however small its weights are [s].
    """

    rate: Figure
    start: Figure


@torch.inference_mode()
def products(device: str, dtype: str) -> dict[int, Product]:
    """Products by their rows, from large matrices and small ones.

    Args:
        device: "cpu" or a CUDA device.
        dtype: One of `DTYPES`.
    """
    kind, shapes = DTYPES[dtype], sizes_of(device).shapes
    sizes = {"large": shapes, "small": tuple((a // SIDE_RATIO, b // SIDE_RATIO) for a, b in shapes)}
    each = {name: pair[0][0] * pair[0][1] * kind.itemsize for name, pair in sizes.items()}
    weights = {
        name: _matrices(pair, kind, device, max(round(STREAMED_BYTES / each[name]), 4))
        for name, pair in sizes.items()
    }
    works, counts = {}, {}
    for rows, name in product(ROWS, sizes):
        inputs = [torch.ones(rows, size[0], dtype=kind, device=device) for size in sizes[name]]
        least = weights[name][: max(round(MINIMUM_STREAMED_BYTES / each[name]), 4)]
        seconds = seconds_of(device, partial(_stream, inputs, least)) / len(least)
        used = least if seconds * len(weights[name]) > MAXIMUM_PASS_TIME else weights[name]
        works[rows, name], counts[rows, name] = partial(_stream, inputs, used), len(used)
    times = in_turn(device, works)
    each_time = {key: np.array(taken) / counts[key] for key, taken in times.items()}
    return {rows: _split(each_time[rows, "large"], each_time[rows, "small"], each) for rows in ROWS}


def _matrices(
    shapes: Sequence[tuple[int, int]], kind: torch.dtype, device: str, count: int
) -> list[torch.Tensor]:
    """Weights of linear layers, of the shapes in turn."""
    return [
        torch.empty(*shapes[place % 2][::-1], dtype=kind, device=device).uniform_(-0.1, 0.1)
        for place in range(count)
    ]


def _split(large: Samples, small: Samples, size: Mapping[str, int]) -> Product:
    """Rate and start from the times of a large and of a small product."""
    slope = np.maximum(large - small, 0.1 * large) / (size["large"] - size["small"])
    start = np.clip(small - slope * size["small"], 0.0, 0.9 * small)
    rate = size["large"] / (large - start)
    return Product(figure(rate.tolist()), figure(start.tolist()))


def _stream(inputs: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]) -> None:
    for place, weight in enumerate(weights):
        nn.functional.linear(inputs[place % 2], weight)
