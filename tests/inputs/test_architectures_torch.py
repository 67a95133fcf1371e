"""Every architecture compared with the model that transformers builds of its configuration.

Parameters, FLOPs of the prefill and of every decode step, and the bytes of the cache: tiny models
that run, and published configurations on the meta device.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, Cache, PretrainedConfig

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
from cost_analysis.inputs.configurations import ARCHITECTURES, model_of
from cost_analysis.inputs.layers import LatentAttention
from cost_analysis.measure.parallel_model import ParallelModel, build_stock
from tests.helpers.cases import CONFIGS
from tests.helpers.data import read_rows

pytestmark = [pytest.mark.crosscheck, pytest.mark.torch]

PUBLISHED = read_rows("config_parameter_counts.csv")
STREAMS, PREFIX = 4, 5

_SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 211,
    "max_position_embeddings": 128,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
_MHA = {name: size for name, size in _SIZES.items() if name != "num_key_value_heads"}
_LATENT = {
    "num_key_value_heads": 4,
    "kv_lora_rank": 24,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 20,
    "n_routed_experts": 8,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 40,
}
_GPT2 = {"n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 100, "vocab_size": 211}
_NO_TOKENS = dict.fromkeys(("bos_token_id", "eos_token_id"))

TINY: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", _SIZES),
    "llama, biases, tied": (
        "llama",
        _SIZES | {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    ),
    "mistral, window": ("mistral", _SIZES | {"sliding_window": 7, "head_dim": 24}),
    "mistral": ("mistral", _SIZES | {"sliding_window": None}),
    "qwen2": ("qwen2", _SIZES),
    "qwen2, windows": (
        "qwen2",
        _SIZES | {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
    ),
    "qwen3": ("qwen3", _SIZES | {"head_dim": 24}),
    "gemma2": ("gemma2", _SIZES | {"head_dim": 24, "sliding_window": 6}),
    "gemma3": ("gemma3_text", _SIZES | {"num_hidden_layers": 7, "sliding_window": 3}),
    "phi3": ("phi3", _SIZES | {"partial_rotary_factor": 0.5, "sliding_window": 11}),
    "gpt2": ("gpt2", _GPT2 | _NO_TOKENS),
    "gpt2, inner": ("gpt2", _GPT2 | _NO_TOKENS | {"n_inner": 80, "tie_word_embeddings": False}),
    "opt": ("opt", _MHA | {"ffn_dim": 96, "pad_token_id": 1}),
    "opt, no biases": ("opt", _MHA | {"ffn_dim": 96, "pad_token_id": 1, "enable_bias": False}),
    "gpt_neox": ("gpt_neox", _MHA),
    "mixtral": ("mixtral", _SIZES | {"num_local_experts": 5, "num_experts_per_tok": 2}),
    "qwen3_moe": (
        "qwen3_moe",
        _SIZES | {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 40},
    ),
    "qwen3_moe, some dense": (
        "qwen3_moe",
        _SIZES
        | {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 40}
        | {"mlp_only_layers": [1], "decoder_sparse_step": 2, "head_dim": 24},
    ),
    "gpt_oss": (
        "gpt_oss",
        _SIZES | {"num_local_experts": 5, "num_experts_per_tok": 2, "sliding_window": 6}
        | {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}},
    ),
    "deepseek_v2": (
        "deepseek_v2",
        _SIZES | _LATENT | {"q_lora_rank": None, "n_shared_experts": 2, "first_k_dense_replace": 1},
    ),
    "deepseek_v3": (
        "deepseek_v3",
        _SIZES | _LATENT | {"q_lora_rank": 32, "n_shared_experts": 1, "first_k_dense_replace": 2}
        | {"n_group": 2, "topk_group": 2, "attention_bias": True},
    ),
}  # fmt: skip
"""Kinds of configurations; `expected` drops fields that only transformers needs."""


def read(kind: str, content: dict[str, Any]) -> ModelSpec:
    return model_of({"model_type": kind, **content}, "a test").spec


def as_transformers(spec: ModelSpec) -> ModelSpec:
    """The model as transformers runs it, whose latent attention expands its whole context."""

    def expanded(kind: Any) -> Any:
        return replace(kind, absorbed=False) if isinstance(kind, LatentAttention) else kind

    groups = (replace(group, attention=expanded(group.attention)) for group in spec.layers)
    return replace(spec, layers=tuple(groups))


def tokens(model: ParallelModel, batch: int, length: int) -> torch.Tensor:
    vocabulary = model.config.vocab_size
    if model.device.type == "meta":
        return torch.zeros((batch, length), dtype=torch.long, device="meta")
    return torch.randint(2, vocabulary, (batch, length))


def flops(model: ParallelModel, new: torch.Tensor, cache: Cache, keep: int = 1) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(new, cache, logits_to_keep=keep)
    return int(counter.get_total_flops())


def held_bytes(cache: Any) -> int:
    return sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)


@pytest.mark.parametrize("streams", [1, STREAMS])
@pytest.mark.parametrize("name", TINY)
def test_tiny_models(name: str, streams: int, a100: Hardware, ideal: Engine) -> None:
    kind, content = TINY[name]
    config = AutoConfig.for_model(kind, **content)
    config._experts_implementation = "eager"
    spec = replace(as_transformers(read(kind, content)), streams=streams, prefix_tokens=PREFIX)
    model = build_stock(config, streams, PREFIX, attention="eager")
    batch, length, steps = 2, 9, 5
    cost = estimate(spec, Workload(batch, length, steps + 1), a100, ideal)
    cache = model.new_cache(batch)
    assert cost.parameters.total == model.parameter_count()
    assert cost.prefill.flops == flops(model, tokens(model, batch, length), cache)
    counted = [flops(model, tokens(model, batch, 1), cache) for _ in range(steps)]
    assert cost.decode_step_flops == counted[0]
    assert cost.decode.flops == sum(counted)
    fp32 = Precision("fp32", "fp32", "fp32")
    assert kv_cache_bytes(spec, batch, length + steps, fp32) == held_bytes(cache)


def test_every_architecture_is_among_the_tiny_models() -> None:
    own = {kind for kind, _ in TINY.values()}
    assert own == ARCHITECTURES.keys() - {"qwen2_parscale"}  # its layers are Qwen2's


def stock_config(path: Path) -> PretrainedConfig:
    """The configuration of transformers for a published configuration's text model."""
    content = json.loads(path.read_text())
    kind = content.pop("model_type")
    if kind == "gemma3":
        content = content["text_config"]
        kind = content.pop("model_type")
    config: PretrainedConfig = AutoConfig.for_model(kind.removesuffix("_parscale"), **content)
    # The rows of each token with the matrices of its experts: without looping over data.
    config._experts_implementation = "batched_mm"
    return config


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row["config"])
def test_published_parameter_counts(row: dict[str, str]) -> None:
    path = CONFIGS / f"{row['config']}.json"
    spec = load_model(str(path)).spec
    model = build_stock(
        stock_config(path),
        single_count(spec.streams),
        single_count(spec.prefix_tokens),
        device="meta",
        attention="eager",
    )
    assert parameters(spec).total == int(row["parameters"]) == model.parameter_count()


def test_every_configuration_has_a_count() -> None:
    assert {row["config"] for row in PUBLISHED} == {path.stem for path in CONFIGS.glob("*.json")}
    kinds = {json.loads(path.read_text())["model_type"] for path in CONFIGS.glob("*.json")}
    assert kinds == (ARCHITECTURES.keys() | {"gemma3"})


@pytest.mark.parametrize(
    ("name", "length"),
    [
        ("llama-3.2-1b", 32),
        ("mistral-7b-v0.1", 4100),
        ("qwen2-0.5b", 32),
        ("parscale-1.8b-p8", 32),
        ("qwen3-8b", 32),
        ("gemma-2-2b", 4100),
        ("gemma-3-1b", 600),
        ("gemma-3-12b", 32),
        ("phi-3-mini-4k", 2050),
        ("gpt2", 32),
        ("opt-6.7b", 32),
        ("pythia-6.9b", 32),
        ("mixtral-8x7b", 32),
        ("qwen3-30b-a3b", 32),
        ("gpt-oss-20b", 200),
        ("deepseek-v2-lite", 32),
        ("deepseek-v3", 32),
    ],
)
def test_published_sizes_on_the_meta_device(
    name: str, length: int, a100: Hardware, ideal: Engine
) -> None:
    path = CONFIGS / f"{name}.json"
    spec = as_transformers(load_model(str(path)).spec.with_streams(STREAMS))
    model = build_stock(stock_config(path), STREAMS, device="meta", dtype="bf16", attention="eager")
    cache = model.new_cache(1)
    cost = estimate(spec, Workload(1, length, 2), a100, ideal)
    assert cost.parameters.total == model.parameter_count()
    assert cost.prefill.flops == flops(model, tokens(model, 1, length), cache)
    assert cost.decode_step_flops == flops(model, tokens(model, 1, 1), cache)
    assert cost.memory.kv_cache == held_bytes(cache)


STATED = {
    "gpt2": {"n_embd", "n_layer", "n_head", "n_positions", "vocab_size"},
    "opt": {"hidden_size", "ffn_dim", "num_hidden_layers", "num_attention_heads", "vocab_size",
            "max_position_embeddings"},
    "gemma3_text": {"hidden_size", "intermediate_size", "num_hidden_layers"},
}  # fmt: skip
"""Required fields of configurations for which they are not `SIZES` and `EXPERTS`."""

SIZES = {"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
         "vocab_size"}  # fmt: skip
EXPERTS = {"num_local_experts", "num_experts", "num_experts_per_tok", "moe_intermediate_size",
           "kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim",
           "n_routed_experts", "n_shared_experts"}  # fmt: skip


@pytest.mark.parametrize("name", TINY)
def test_defaults_are_those_of_transformers(name: str, a100: Hardware, ideal: Engine) -> None:
    """Both make the same model of a configuration that has only its required fields."""
    kind, content = TINY[name]
    stated = STATED.get(kind, SIZES) | (EXPERTS if kind not in STATED else set())
    # With a head size of its own and no window that a short text could fill.
    least = {field: size for field, size in content.items() if field in stated}
    least["hidden_size" if kind != "gpt2" else "n_embd"] = 128
    if kind in ("qwen2", "qwen3"):  # whose default is 32 KV heads
        least["num_attention_heads"] = 32
    least |= {"num_attention_heads": 8} if kind in ("mistral", "mixtral", "gpt_oss") else {}
    if kind == "deepseek_v3":  # whose experts are in groups of two or more
        least |= {"num_attention_heads": 128, "n_routed_experts": 16}
    least |= {"vocab_size": 32064} if kind == "phi3" else {}  # which has room for its padding
    config = AutoConfig.for_model(kind, **least)
    config._experts_implementation = "batched_mm"
    spec = as_transformers(read(kind, least))
    model = build_stock(config, device="meta", dtype="bf16", attention="eager")
    cache = model.new_cache(1)
    length = min(4100, single_count(spec.max_position_embeddings))
    cost = estimate(spec, Workload(1, length, 2), a100, ideal)
    assert cost.parameters.total == model.parameter_count()
    assert spec.max_position_embeddings == config.max_position_embeddings
    assert cost.prefill.flops == flops(model, tokens(model, 1, length), cache)
    assert cost.decode_step_flops == flops(model, tokens(model, 1, 1), cache)
    assert cost.memory.kv_cache == held_bytes(cache)


def test_absorbed_latent_attention(a100: Hardware, ideal: Engine) -> None:
    """FLOPs of a decode step that attends to the latents, as written in DeepSeek-V2's paper."""
    kind, content = TINY["deepseek_v3"]
    spec = read(kind, content)
    attention = spec.groups[0].attention
    assert isinstance(attention, LatentAttention)
    batch, past, heads = 2, 9, single_count(spec.num_attention_heads)
    rank, rope, key, value = map(
        single_count,
        (attention.kv_rank, attention.rope_dim, attention.plain_dim, attention.value_dim),
    )
    width = single_count(spec.hidden_size)
    latents = torch.zeros(batch, past + 1, rank)
    rotary = torch.zeros(batch, past + 1, rope)
    up = torch.zeros(heads, key + value, rank)
    hidden, query_latent = torch.zeros(batch, width), torch.zeros(batch, 32)
    with FlopCounterMode(display=False) as counter:
        hidden @ torch.zeros(width, 32)
        query = (query_latent @ torch.zeros(32, heads * (key + rope))).view(batch, heads, -1)
        hidden @ torch.zeros(width, rank + rope)
        plain, rotated = query.split([key, rope], dim=-1)
        wide = plain.transpose(0, 1) @ up[:, :key]  # (heads, B, kv_rank)
        scores = wide.transpose(0, 1) @ latents.mT + rotated @ rotary.mT
        seen = scores.softmax(-1) @ latents
        values = seen.transpose(0, 1) @ up[:, key:].mT
        values.transpose(0, 1).flatten(1) @ torch.zeros(heads * value, 64)
    cost = estimate(spec, Workload(batch, past, 2), a100, ideal)
    of_attention = [op.flops for op in cost.first_step if op.part == "attention"]
    assert sum(of_attention) == spec.num_hidden_layers * counter.get_total_flops()
