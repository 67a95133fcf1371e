"""Counts of the core equal those of PyTorch for running modules of stock transformers."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import Cache

from cost_analysis import (
    Engine,
    Hardware,
    ModelSpec,
    Precision,
    Workload,
    estimate,
    kv_cache_bytes,
    load_model,
    parameters,
)
from cost_analysis.common.arrays import single_count
from cost_analysis.cost.activations import activation_bytes
from cost_analysis.measure.parallel_model import ParallelModel, build
from tests.helpers.live_tensors import LiveTensors

pytestmark = [pytest.mark.crosscheck, pytest.mark.torch]

SIZES = {
    "mha": {"num_attention_heads": 4, "num_key_value_heads": 4},
    "gqa": {"num_attention_heads": 4, "num_key_value_heads": 2},
    "mqa, wide heads": {"num_attention_heads": 6, "num_key_value_heads": 1, "head_dim": 24},
}


def tiny(streams: int, **changes: object) -> ModelSpec:
    sizes: dict[str, object] = {
        "hidden_size": 64,
        "intermediate_size": 160,
        "num_hidden_layers": 3,
        "vocab_size": 199,
        "streams": streams,
    }
    return ModelSpec(**(sizes | changes))  # type: ignore[arg-type]


def counted_flops(model: ParallelModel, tokens: torch.Tensor, cache: Cache, keep: int) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(tokens, cache, logits_to_keep=keep)
    return int(counter.get_total_flops())


def cache_bytes(cache: Any) -> int:
    return sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)


def tokens(spec: ModelSpec, batch: int, length: int, device: str = "cpu") -> torch.Tensor:
    return torch.randint(0, single_count(spec.vocab_size), (batch, length), device=device)


@pytest.mark.parametrize("heads", SIZES)
@pytest.mark.parametrize("streams", [1, 2, 4, 8])
def test_flops_parameters_and_cache(
    streams: int, heads: str, a100: Hardware, ideal: Engine
) -> None:
    batch, length = 3, 9
    for tied, biased, logits in product((True, False), (True, False), ("last", "all")):
        spec = tiny(streams, tie_word_embeddings=tied, qkv_bias=biased, **SIZES[heads])
        model = build(spec, attention="eager")
        cache = model.new_cache(batch)
        cost = estimate(spec, Workload(batch, length, 2, logits=logits), a100, ideal)

        keep = 1 if logits == "last" else 0
        prefill = counted_flops(model, tokens(spec, batch, length), cache, keep)
        assert cost.prefill.flops == prefill
        step = counted_flops(model, tokens(spec, batch, 1), cache, 1)
        assert cost.decode_step_flops == step
        assert cost.flops == prefill + step
        assert cost.parameters.total == model.parameter_count()
        held = cache_bytes(cache)
        assert kv_cache_bytes(spec, batch, length + 1, Precision("fp32", "fp32", "fp32")) == held


def test_flops_of_every_decode_step(a100: Hardware, ideal: Engine) -> None:
    spec = tiny(2, **SIZES["gqa"])
    model, steps = build(spec, attention="eager"), 7
    cache = model.new_cache(2)
    counted_flops(model, tokens(spec, 2, 5), cache, 1)
    counted = sum(counted_flops(model, tokens(spec, 2, 1), cache, 1) for _ in range(steps))
    assert estimate(spec, Workload(2, 5, steps + 1), a100, ideal).decode.flops == counted


def test_a_wrong_flop_count_is_found(a100: Hardware, ideal: Engine) -> None:
    spec = tiny(2, **SIZES["gqa"])
    counted = counted_flops(
        model := build(spec, attention="eager"), tokens(spec, 2, 5), model.new_cache(2), 1
    )
    wrong = estimate(tiny(4, **SIZES["gqa"]), Workload(2, 5), a100, ideal)
    assert wrong.prefill.flops != counted


@pytest.mark.parametrize(
    ("name", "streams"),
    [("0.5b", 8), ("4.4b", 2), ("qwen3-0.6b", 1), ("qwen3-4b", 4), ("qwen2.5-7b", 1),
     ("llama-3.2-1b", 1), ("mistral-nemo-12b", 4)],
)  # fmt: skip
def test_real_sizes_on_the_meta_device(
    name: str, streams: int, a100: Hardware, ideal: Engine
) -> None:
    spec = load_model(name).spec.with_streams(streams)
    model = build(spec, device="meta", dtype="bf16", attention="eager")
    assert parameters(spec).total == model.parameter_count()
    cache = model.new_cache(1)
    cost = estimate(spec, Workload(1, 32, 2), a100, ideal)
    assert cost.prefill.flops == counted_flops(model, tokens(spec, 1, 32, "meta"), cache, 1)
    assert cost.decode_step_flops == counted_flops(model, tokens(spec, 1, 1, "meta"), cache, 1)
    held = cache_bytes(cache)
    assert cost.memory.kv_cache == held


@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
@pytest.mark.parametrize(
    ("spec", "batch", "length", "logits"),
    [
        (tiny(1, intermediate_size=400, **SIZES["gqa"]), 2, 50, "last"),
        (tiny(4, intermediate_size=400, **SIZES["gqa"]), 2, 50, "last"),
        (tiny(8, hidden_size=128, **SIZES["gqa"]), 2, 1, "last"),
        (tiny(2, vocab_size=9973, **SIZES["gqa"]), 1, 50, "all"),
        (tiny(2, intermediate_size=32, **SIZES["mqa, wide heads"]), 3, 40, "last"),
        (tiny(1, intermediate_size=24, **SIZES["mha"]), 1, 200, "last"),
    ],
    ids=["mlp", "mlp, streams", "one token", "logits", "rotary, wide heads", "rotary, mha"],
)
def test_live_activations(
    spec: ModelSpec, batch: int, length: int, logits: str, dtype: str
) -> None:
    model = build(spec, dtype=dtype)
    cache: Any = model.new_cache(batch, length)
    if spec.streams == 1:  # nothing has been put into the cache that would have allocated it
        cache.early_initialization(
            batch, spec.num_key_value_heads, spec.head_dim, model.dtype, model.device
        )
    with torch.no_grad(), LiveTensors() as live:
        model(tokens(spec, batch, length), cache, logits_to_keep=1 if logits == "last" else 0)
    precision = Precision(dtype, dtype, dtype)
    predicted = activation_bytes(spec, batch, length, precision, logits)
    # Not in the ledger: token ids, position ids, masks.
    assert predicted == pytest.approx(live.peak, rel=0.04)
