"""From a `config.json` to a `ModelSpec`: a reader for each family of architectures.

Defaults of fields that a configuration leaves out are those of transformers' config class of the
architecture (5.24, `models/*/configuration_*.py`); the tests compare them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from cost_analysis.common.arrays import single_count
from cost_analysis.inputs.config_json import Config
from cost_analysis.inputs.layers import Attention, Experts, Frame, LatentAttention, LayerGroup, Mlp
from cost_analysis.inputs.spec import ModelSpec

FULL, SLIDING = "full_attention", "sliding_attention"


def sizes(
    config: Config,
    *,
    kv_heads: int | None = None,
    head_dim: int | None = None,
    max_positions: int,
    tied: bool = False,
    **stated: int,
) -> dict[str, Any]:
    """The sizes that have the same names in all rotary architectures.

    Args:
        config: The configuration.
        kv_heads: Default of num_key_value_heads; None means the query heads.
        head_dim: Default of head_dim; None means hidden_size / num_attention_heads.
        max_positions: Default of max_position_embeddings.
        tied: Default of tie_word_embeddings.
        stated: Defaults of further fields, which are required without one.
    """
    hidden, heads = (_stated(config, name, stated) for name in ("hidden_size", _HEADS))
    return {
        "hidden_size": hidden,
        "num_hidden_layers": depth(config, "num_hidden_layers"),
        "num_attention_heads": heads,
        "num_key_value_heads": config.optional_size("num_key_value_heads", kv_heads) or heads,
        "head_dim": config.optional_size("head_dim", head_dim),
        "vocab_size": _stated(config, "vocab_size", stated),
        "max_position_embeddings": config.size("max_position_embeddings", max_positions),
        "tie_word_embeddings": config.switch("tie_word_embeddings", tied),
    }


_HEADS = "num_attention_heads"

LARGEST_DEPTH = 10_000
"""Layers that a model may have at most, ten times those of any published one."""


def _stated(config: Config, name: str, defaults: dict[str, int]) -> int:
    return config.size(name, defaults.get(name))


def depth(config: Config, name: str) -> int:
    """How many layers a model has."""
    layers = config.size(name)
    if layers > LARGEST_DEPTH:
        config.refuse(f"{name} is {layers}; it must be at most {LARGEST_DEPTH}")
    return layers


def window_of(config: Config, default: int | None) -> int | None:
    """The sliding window; `default` where it is left out."""
    return config.optional_size("sliding_window", default, lowest=2)


def attention_kinds(
    config: Config, layers: int, window: int | None, pattern: Sequence[str], **switches: bool
) -> list[Attention]:
    """The attention of each layer.

    Args:
        config: The configuration, whose `layer_types` take precedence over the pattern.
        layers: How many layers there are.
        window: The window of sliding attention.
        pattern: `FULL` or `SLIDING` for each layer, where `layer_types` are left out.
        switches: Other fields of every `Attention`.
    """
    types = config.names("layer_types", (FULL, SLIDING)) or pattern
    if len(types) != layers:
        config.refuse(f"layer_types names {len(types)} layers, num_hidden_layers is {layers}")
    if SLIDING in types and window is None:
        config.refuse("layer_types has sliding attention, but sliding_window is missing")
    return [Attention(window if kind == SLIDING else None, **switches) for kind in types]


def groups(kinds: Iterable[tuple[Attention, Mlp | Experts]]) -> tuple[LayerGroup, ...]:
    """The kinds of layers, counted; a single kind has as many layers as the model."""
    counted = Counter(kinds)
    found = tuple(
        LayerGroup(attention, mlp, None if len(counted) == 1 else count)
        for (attention, mlp), count in counted.items()
    )
    return () if found == (LayerGroup(),) else found


def llama(config: Config) -> ModelSpec:
    """Llama 1 to 3: biases where they are asked for, no window."""
    config.expect("sliding_window", None)
    config.expect("layer_types", None)
    found = sizes(config, max_positions=2048)
    biased = config.switch("attention_bias", False)
    kind = Attention(output_bias=biased), Mlp(bias=config.switch("mlp_bias", False))
    return ModelSpec(
        **found,
        intermediate_size=config.size("intermediate_size"),
        qkv_bias=biased,
        layers=groups([kind]),
    )


def mistral(config: Config) -> ModelSpec:
    """Mistral: one window in all layers, or none."""
    config.expect("layer_types", None)
    return _one_window(config, 4096, kv_heads=8, max_positions=4096 * 32)


def phi3(config: Config) -> ModelSpec:
    """Phi-3, Phi-3.5 and Phi-4: projections stored together, part of a head rotated."""
    config.expect("layer_types", None)
    return _one_window(config, None, max_positions=4096)


def _one_window(config: Config, window: int | None, **defaults: Any) -> ModelSpec:
    return ModelSpec(
        **sizes(config, **defaults),
        intermediate_size=config.size("intermediate_size"),
        qkv_bias=False,
        layers=groups([(Attention(window_of(config, window)), Mlp())]),
    )


def qwen2(config: Config) -> ModelSpec:
    """Qwen2 and Qwen2.5: biases on q, k and v."""
    return _qwen(config, sizes(config, kv_heads=32, max_positions=32768), qkv_bias=True)


def qwen3(config: Config) -> ModelSpec:
    """Qwen3: norms on q and k, a head width that is stated."""
    found = sizes(config, kv_heads=32, head_dim=128, max_positions=32768)
    biased = config.switch("attention_bias", False)
    return _qwen(config, found, qkv_bias=biased, qk_norm=True, output_bias=biased)


def qwen2_parscale(config: Config) -> ModelSpec:
    """ParScale checkpoints: Qwen2 with `parscale_n` streams (QwenLM/ParScale).

    `parscale_attn_smooth` changes the weights of the aggregation, not its cost.
    """
    return replace(
        qwen2(config),
        streams=config.size("parscale_n", 1),
        prefix_tokens=config.size("parscale_n_tokens", 48, lowest=0),
    )


def _qwen(
    config: Config,
    found: dict[str, Any],
    *,
    qkv_bias: bool,
    qk_norm: bool = False,
    output_bias: bool = False,
) -> ModelSpec:
    layers = found["num_hidden_layers"]
    window, full = None, layers
    if config.switch("use_sliding_window", False):
        window, full = window_of(config, 4096), config.size("max_window_layers", 28, lowest=0)
    slides = [window is not None and place >= full for place in range(layers)]
    pattern = [SLIDING if slide else FULL for slide in slides]
    kinds = attention_kinds(config, layers, window, pattern, output_bias=output_bias)
    return ModelSpec(
        **found,
        intermediate_size=config.size("intermediate_size"),
        qkv_bias=qkv_bias,
        qk_norm=qk_norm,
        layers=groups((kind, Mlp()) for kind in kinds),
    )


def gemma2(config: Config) -> ModelSpec:
    """Gemma 2: windows in every other layer, norms before and after, capped scores."""
    return _gemma(config, every=2, max_positions=8192)


def gemma3(config: Config) -> ModelSpec:
    """Gemma 3, its text model: windows in five of six layers, norms on q and k."""
    config.expect("use_bidirectional_attention", False, None)
    every = config.size("sliding_window_pattern", 6)
    config.assumed.pop("sliding_window_pattern", None)
    return _gemma(
        config,
        every=every,
        qk_norm=True,
        max_positions=131_072,
        num_attention_heads=8,
        vocab_size=262_208,
    )


def _gemma(config: Config, *, every: int, qk_norm: bool = False, **defaults: int) -> ModelSpec:
    found = sizes(config, kv_heads=4, head_dim=256, tied=True, **defaults)
    layers, biased = found["num_hidden_layers"], config.switch("attention_bias", False)
    pattern = [FULL if (place + 1) % every == 0 else SLIDING for place in range(layers)]
    kinds = attention_kinds(config, layers, window_of(config, 4096), pattern, output_bias=biased)
    return ModelSpec(
        **found,
        intermediate_size=config.size("intermediate_size"),
        qkv_bias=biased,
        qk_norm=qk_norm,
        layers=groups((kind, Mlp()) for kind in kinds),
        frame=Frame(post_norms=True),
    )


def gpt2(config: Config) -> ModelSpec:
    """GPT-2: learned positions, LayerNorms, biases everywhere, a plain MLP."""
    config.expect("add_cross_attention", False)
    hidden, heads = config.size("n_embd"), config.size("n_head")
    positions = config.size("n_positions")
    return ModelSpec(
        gated_mlp=False,
        hidden_size=hidden,
        intermediate_size=config.optional_size("n_inner", None) or 4 * hidden,
        num_hidden_layers=depth(config, "n_layer"),
        num_attention_heads=heads,
        num_key_value_heads=heads,
        vocab_size=config.size("vocab_size"),
        max_position_embeddings=positions,
        tie_word_embeddings=config.switch("tie_word_embeddings", True),
        layers=groups([(Attention(output_bias=True), Mlp(bias=True))]),
        frame=Frame(norm_bias=True, position_rows=positions),
    )


def opt(config: Config) -> ModelSpec:
    """OPT: as GPT-2, with two more rows of positions, once used for padding."""
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    config.expect("word_embed_proj_dim", hidden, None)
    config.expect("do_layer_norm_before", True)
    config.expect("_remove_final_layer_norm", False)
    config.expect("layer_norm_elementwise_affine", True)
    positions, biased = config.size("max_position_embeddings"), config.switch("enable_bias", True)
    return ModelSpec(
        gated_mlp=False,
        hidden_size=hidden,
        intermediate_size=config.size("ffn_dim"),
        num_hidden_layers=depth(config, "num_hidden_layers"),
        num_attention_heads=heads,
        num_key_value_heads=heads,
        vocab_size=config.size("vocab_size"),
        max_position_embeddings=positions,
        qkv_bias=biased,
        tie_word_embeddings=config.switch("tie_word_embeddings", True),
        layers=groups([(Attention(output_bias=biased), Mlp(bias=biased))]),
        frame=Frame(norm_bias=True, position_rows=positions + 2),
    )


def gpt_neox(config: Config) -> ModelSpec:
    """GPT-NeoX and Pythia: LayerNorms, biases, a plain MLP; rotary positions."""
    biased, heads = config.switch("attention_bias", True), config.size("num_attention_heads")
    return ModelSpec(
        gated_mlp=False,
        hidden_size=config.size("hidden_size"),
        intermediate_size=config.size("intermediate_size"),
        num_hidden_layers=depth(config, "num_hidden_layers"),
        num_attention_heads=heads,
        num_key_value_heads=heads,
        vocab_size=config.size("vocab_size"),
        max_position_embeddings=config.size("max_position_embeddings", 2048),
        qkv_bias=biased,
        tie_word_embeddings=config.switch("tie_word_embeddings", False),
        layers=groups([(Attention(output_bias=biased), Mlp(bias=True))]),
        frame=Frame(norm_bias=True),
    )


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
        q_rank=config.optional_size("q_lora_rank", 1536),
        bias=config.switch("attention_bias", False),
    )
    width, shared = config.size("moe_intermediate_size"), config.size("n_shared_experts")
    experts = _experts(
        config, _number(config, "n_routed_experts"), width=width, shared_width=shared * width
    )
    first = config.size("first_k_dense_replace", dense, lowest=0)
    # The head of a query and key; transformers' head_dim is the rotated part of it.
    found = _with_head(config, single_count(attention.key_dim), heads, max_positions)
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
    return config.size("num_local_experts" if name not in config.content else name)


def _experts(config: Config, number: int, **fields: Any) -> Experts:
    return Experts(number, config.size("num_experts_per_tok"), **fields)
