"""From a `config.json` to a `ModelSpec`: architectures with mixtures of experts.

Defaults are those of transformers' config classes, as in `dense_configs`.
"""

from __future__ import annotations

from typing import Any

from cost_analysis.config_fields import Config
from cost_analysis.dense_configs import (
    FULL,
    SLIDING,
    attention_kinds,
    groups,
    sizes,
    window_of,
)
from cost_analysis.layers import Attention, Experts, LatentAttention, LayerGroup, Mlp
from cost_analysis.spec import ModelSpec


def mixtral(config: Config) -> ModelSpec:
    """Mixtral: experts in all layers, no biases."""
    config.expect("layer_types", None)
    experts = _experts(config, _number(config))
    attention = Attention(window_of(config, None))
    return ModelSpec(
        **sizes(config, kv_heads=8, max_positions=4096 * 32),
        intermediate_size=config.size("intermediate_size"),
        qkv_bias=False,
        layers=groups([(attention, experts)]),
    )


def qwen3_moe(config: Config) -> ModelSpec:
    """Qwen3-MoE: Qwen3's attention; experts in all layers, or in some."""
    config.expect("layer_types", None)
    found = sizes(config, kv_heads=4, max_positions=32768)
    layers, biased = found["num_hidden_layers"], config.switch("attention_bias", False)
    window = window_of(config, 4096) if config.switch("use_sliding_window", False) else None
    dense, every = config.places("mlp_only_layers", layers), config.size("decoder_sparse_step", 1)
    config.assumed.pop("decoder_sparse_step", None)
    experts = [place not in dense and (place + 1) % every == 0 for place in range(layers)]
    width = config.size("moe_intermediate_size")
    kind = _experts(config, _number(config, "num_experts"), width=None if all(experts) else width)
    attention = Attention(window, output_bias=biased)
    return ModelSpec(
        **found,
        intermediate_size=width if all(experts) else config.size("intermediate_size"),
        qkv_bias=biased,
        qk_norm=True,
        layers=groups((attention, kind if sparse else Mlp()) for sparse in experts),
    )


def gpt_oss(config: Config) -> ModelSpec:
    """gpt-oss: sinks, biases everywhere, a window in every other layer, experts in all."""
    found = sizes(config, kv_heads=8, head_dim=64, max_positions=131_072)
    layers, biased = found["num_hidden_layers"], config.switch("attention_bias", True)
    pattern = [SLIDING if place % 2 == 0 else FULL for place in range(layers)]
    switches = {"output_bias": biased, "sinks": True, "wide": True}
    kinds = attention_kinds(config, layers, window_of(config, 128), pattern, **switches)
    experts = _experts(config, _number(config), bias=True, router_bias=True)
    return ModelSpec(
        **found,
        intermediate_size=config.size("intermediate_size"),
        qkv_bias=biased,
        layers=groups((kind, experts) for kind in kinds),
    )


def deepseek_v2(config: Config) -> ModelSpec:
    """DeepSeek-V2: latent attention, dense layers first, then routed and shared experts."""
    config.expect("mlp_bias", False)
    return _deepseek(config, dense=0, heads=None, max_positions=2048)


def deepseek_v3(config: Config) -> ModelSpec:
    """DeepSeek-V3 and R1: as V2; the layer that predicts a second token is not counted."""
    return _deepseek(config, dense=3, heads=128, max_positions=4096)


def _deepseek(config: Config, *, dense: int, heads: int | None, max_positions: int) -> ModelSpec:
    config.expect("moe_layer_freq", 1)
    attention = LatentAttention(
        kv_rank=config.size("kv_lora_rank"),
        rope_dim=config.size("qk_rope_head_dim"),
        plain_dim=config.size("qk_nope_head_dim"),
        value_dim=config.size("v_head_dim"),
        q_rank=config.size("q_lora_rank", 1536, null=True),
        bias=config.switch("attention_bias", False),
    )
    width, shared = config.size("moe_intermediate_size"), config.size("n_shared_experts")
    experts = _experts(
        config, _number(config, "n_routed_experts"), width=width, shared_width=shared * width
    )
    first = config.size("first_k_dense_replace", dense, lowest=0)
    # The head of a query and key; transformers' head_dim is the rotated part of it.
    found = _with_head(config, attention.key_dim, heads, max_positions)
    layers = found["num_hidden_layers"]
    kinds = [LayerGroup(attention, Mlp(), min(first, layers))] if first else []
    if first < layers:
        kinds.append(LayerGroup(attention, experts))
    return ModelSpec(
        **found,
        intermediate_size=config.size("intermediate_size"),
        qkv_bias=False,
        layers=tuple(kinds),
    )


def _with_head(
    config: Config, head_dim: int, kv_heads: int | None, max_positions: int
) -> dict[str, Any]:
    found = sizes(config, kv_heads=kv_heads, head_dim=head_dim, max_positions=max_positions)
    heads = found["num_attention_heads"]
    if found["num_key_value_heads"] != heads:
        config.refuse(
            f"num_key_value_heads is {found['num_key_value_heads']}, but latent attention has as "
            f"many as num_attention_heads, {heads}"
        )
    config.assumed.pop("head_dim", None)
    return found | {"head_dim": head_dim}


def _number(config: Config, name: str = "num_local_experts") -> int:
    """Routed experts, under the architecture's name or the one that transformers also takes."""
    return int(config.size("num_local_experts" if name not in config.content else name))


def _experts(config: Config, number: int, **fields: Any) -> Experts:
    return Experts(number, config.size("num_experts_per_tok"), **fields)
