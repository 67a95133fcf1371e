"""Short benchmarks of layers on this machine: attention, elementwise kernels, and the least time.

Each measures one term of the cost model, with stock transformers layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import nn

from cost_analysis.microbenchmarks import Figure, figure, in_turn, sizes_of
from cost_analysis.operators import forward_pass
from cost_analysis.spec import ModelSpec, Precision
from cost_analysis.stock_models import build
from cost_analysis.torch_model import DTYPES, ParallelModel

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
    floors = spec.num_hidden_layers * kernels_of_a_layer() * floor
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
