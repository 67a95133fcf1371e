"""Short benchmarks of this machine: matrix products, attention, elementwise kernels, floors.

Configurations of one benchmark are run in turn, so that a slow moment affects all of them, and
every figure keeps its samples. Layers are stock transformers layers, and each benchmark measures
what the cost model has a term for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from cost_analysis.common.arrays import single
from cost_analysis.cost.forward_pass import forward_pass
from cost_analysis.inputs.dtypes import Precision
from cost_analysis.inputs.spec import ModelSpec
from cost_analysis.measure.parallel_model import DTYPES, ParallelModel, build

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
        """How it was measured, for a profile."""
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
    """The time of a product of some rows: a constant, and its weights over a rate.

    Attributes:
        rate: Weights that go through it [B/s].
        start: The constant: its time for the smallest weights [s].
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
    # In a disturbed sample the small product can take longer than the large one.
    start = np.clip(small - slope * size["small"], 0.0, 0.9 * np.minimum(small, large))
    rate = size["large"] / (large - start)
    return Product(figure(rate.tolist()), figure(start.tolist()))


def _stream(inputs: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]) -> None:
    for place, weight in enumerate(weights):
        nn.functional.linear(inputs[place % 2], weight)


SHORT_REPEATS = 101
"""Repeats of what takes a few milliseconds: a short disturbance does not move their median."""

LAYERS = (2, 18)
"""Depths of the tiny models whose difference gives the time of a layer."""

STREAMING_LAYERS = 12
"""Layers of the model whose weights, 0.7 GB, stream through the caches of a CPU."""

CONTEXTS = (256, 4096)
"""Tokens in the cache whose difference gives the time that the context takes."""


def linears_of_a_layer() -> float:
    """Products that a stock layer runs for each one that the core counts: q, k and v are one."""
    spec = ModelSpec(64, 128, 1, 4, 2, vocab_size=64)
    layer = build(spec, device="meta").model.get_decoder().layers[0]
    run = sum(isinstance(module, nn.Linear) for module in layer.modules())
    counted = [op for op in forward_pass(spec, 1, 1, 0) if op.kind == "product" and op.part in
               ("attention", "mlp")]  # fmt: skip
    return run / sum(float(operator.kernels) for operator in counted)


@torch.inference_mode()
def layer_floor(device: str) -> Figure:
    """What a layer of one row takes beside its products [s].

    On a CPU a step of a stock model, less its products alone: weights that stream through the
    caches leave cold ones to the kernels between them. On a GPU the time in which the host
    launches a tiny layer, from two depths.
    """
    if device == "cpu":
        model = build(ModelSpec(1024, 4096, STREAMING_LAYERS, 8, 2, vocab_size=64))
        linears = [module for module in model.modules() if isinstance(module, nn.Linear)]
        rows = {size: torch.ones(1, size) for size in {linear.in_features for linear in linears}}
        works: dict[str, Callable[[], object]] = {
            "step": _step(model, context=64),
            "products": lambda: [linear(rows[linear.in_features]) for linear in linears],
        }
        times = in_turn(device, works, SHORT_REPEATS // 4)
        pairs = zip(times["products"], times["step"], strict=True)
        return _per_layer(pairs, STREAMING_LAYERS)
    specs = {layers: ModelSpec(64, 128, layers, 4, 2, vocab_size=64) for layers in LAYERS}
    steps = {layers: _step(build(spec, device=device)) for layers, spec in specs.items()}
    taken = in_turn(device, steps, SHORT_REPEATS)
    pairs = zip(taken[LAYERS[0]], taken[LAYERS[1]], strict=True)
    return _per_layer(pairs, LAYERS[1] - LAYERS[0])


def _per_layer(pairs: Iterable[tuple[float, float]], layers: int) -> Figure:
    return figure([max(more - less, 0.0) / layers for less, more in pairs])


def kernels_of_a_layer() -> float:
    """Kernels that the core counts in a layer."""

    def count(layers: int) -> float:
        operators = forward_pass(ModelSpec(64, 128, layers, 4, 2, vocab_size=64), 1, 1, 0)
        return float(sum(operator.kernels for operator in operators))

    return count(2) - count(1)


def _step(model: ParallelModel, batch: int = 1, context: int = 0) -> Callable[[], object]:
    """A pass of one token a sequence over a cache of a context, which it does not keep."""
    token = torch.zeros((batch, 1), dtype=torch.long, device=model.device)
    cache = model.new_cache(batch)
    if context:
        layers = model.config.num_hidden_layers
        shape = (batch, model.config.num_key_value_heads, context, model.config.head_dim)
        for layer in range(layers):
            held = torch.zeros(shape, dtype=model.dtype, device=model.device)
            cache.update(held, held.clone(), layer)

    def run() -> None:
        model(token, cache)
        cache.crop(-1)

    return run


@torch.inference_mode()
def attention_times(device: str, dtype: str) -> dict[str, Figure]:
    """Time that a cached byte takes in a decode step [s/B], "read" and "copied".

    Copied is what grouped heads and a growing cache add for each byte of keys and values as all
    query heads see them: the difference of a model with a KV head for every query head and one with
    one for eight.
    """
    found: dict[int, list[float]] = {}
    for kv_heads in (16, 2):
        layers = 64 // kv_heads  # as many cached bytes: more than a cache of the processor holds
        spec = ModelSpec(256, 128, layers, 16, kv_heads, head_dim=128, vocab_size=64)
        model = build(spec, device=device, dtype=dtype)
        batch = sizes_of(device).sequences
        times = in_turn(device, {n: _step(model, batch, n) for n in CONTEXTS})
        added = batch * (CONTEXTS[1] - CONTEXTS[0]) * 2 * 64 * 128 * DTYPES[dtype].itemsize
        pairs = zip(times[CONTEXTS[0]], times[CONTEXTS[1]], strict=True)
        found[kv_heads] = [max(long - short, 0.0) / added for short, long in pairs]
    # A cached byte takes read + copied with 16 heads, and read + 8 · copied with 2.
    pairs = zip(found[16], found[2], strict=True)
    copied = [max(two - sixteen, 0.0) / 7 for sixteen, two in pairs]
    read = [max(sixteen - each, 1e-15) for sixteen, each in zip(found[16], copied, strict=True)]
    return {"read": figure(read), "copied": figure(copied)}


@torch.inference_mode()
def elementwise_rate(device: str, dtype: str, floor: float) -> Figure:
    """Bytes that norms, activations and sums move [B/s], by the core's count of them.

    Layers whose products are taken out, run on many rows and on few.

    Args:
        device: "cpu" or a CUDA device.
        dtype: One of `DTYPES`.
        floor: Of a kernel [s].
    """
    spec = ModelSpec(2048, 8192, 4, 16, 2, head_dim=128, vocab_size=64)
    rows = sizes_of(device).rows
    model = build(spec, device=device, dtype=dtype)
    _replace_products(model, rows)
    times = in_turn(device, {"step": _step(model, batch=rows)})["step"]
    kinds = Precision(dtype, dtype, dtype)
    operators = [op for op in forward_pass(spec, rows, 1, 0, kinds) if op.kind != "product"]
    moved = float(sum(op.bytes for op in operators))
    floors = single(spec.num_hidden_layers) * kernels_of_a_layer() * floor
    return figure([moved / max(seconds - floors, 0.1 * seconds) for seconds in times])


class _ConstantOutput(nn.Module):
    """In place of a linear layer: returns one buffer instead of a product."""

    def __init__(self, linear: nn.Linear, rows: int) -> None:
        super().__init__()
        weight = linear.weight
        shape = (rows, 1, linear.out_features)
        self.buffer = torch.zeros(shape, dtype=weight.dtype, device=weight.device)

    def forward(self, _rows: torch.Tensor) -> torch.Tensor:
        return self.buffer


def _replace_products(model: nn.Module, rows: int) -> None:
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear):
            model.set_submodule(name, _ConstantOutput(module, rows))


@torch.inference_mode()
def prefill_attention_rate(device: str, dtype: str) -> Figure:
    """FLOP/s of the scores and values of a prompt, by the core's count of a causal kernel."""
    tokens, heads, width = 1024, 16, 128
    shape = (1, heads, tokens, width)
    query, key, value = (torch.ones(shape, dtype=DTYPES[dtype], device=device) for _ in range(3))
    attend = partial(nn.functional.scaled_dot_product_attention, query, key, value, is_causal=True)
    (operator,) = (
        op
        for op in forward_pass(ModelSpec(heads * width, 64, 1, heads, vocab_size=64), 1, tokens, 0)
        if op.kind == "attention"
    )
    times = in_turn(device, {"attention": attend})["attention"]
    return figure([float(operator.kernel_flops) / seconds for seconds in times])
