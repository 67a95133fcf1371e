"""Models of random weights to measure: of our sizes, or of any configuration of transformers."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    MistralConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
)
from transformers.initialization import no_init_weights

from cost_analysis.errors import InputError
from cost_analysis.spec import ModelSpec
from cost_analysis.torch_model import DTYPES, SMOOTHING, ParallelModel


def build(
    spec: ModelSpec,
    *,
    device: str = "cpu",
    dtype: str = "fp32",
    attention: str = "sdpa",
    seed: int = 0,
    smoothing: float = SMOOTHING,
) -> ParallelModel:
    """A model of random weights: cost does not depend on their values.

    Weights are made on the device in their type, without a copy in another.

    Args:
        spec: The architecture, with its streams.
        device: "cpu", "cuda", "cuda:1" or "meta".
        dtype: Type of weights and activations, one of `DTYPES`.
        attention: transformers' attention implementation: "sdpa" or "eager".
        seed: Of the weights.
        smoothing: Of the aggregation.

    Raises:
        InputError: An architecture or a type that this module cannot build.
    """
    return build_stock(
        config_of(spec),
        spec.streams,
        spec.prefix_tokens,
        device=device,
        dtype=dtype,
        attention=attention,
        seed=seed,
        smoothing=smoothing,
    )


def build_stock(
    config: PretrainedConfig,
    streams: int = 1,
    prefix_tokens: int = 48,
    *,
    device: str = "cpu",
    dtype: str = "fp32",
    attention: str = "sdpa",
    seed: int = 0,
    smoothing: float = SMOOTHING,
) -> ParallelModel:
    """A model of random weights, of any architecture of transformers that caches keys and values.

    Args:
        config: The stock configuration.
        streams: Parallel streams, P.
        prefix_tokens: Learned positions per layer and stream.
        device: As for `build`.
        dtype: As for `build`.
        attention: As for `build`.
        seed: Of the weights.
        smoothing: Of the aggregation.

    Raises:
        InputError: An architecture or a type that this module cannot build.
    """
    if dtype not in DTYPES:
        raise InputError(f"a model can be run in {', '.join(DTYPES)}, not in {dtype}")
    kind = DTYPES[dtype]
    torch.manual_seed(seed)
    with torch.device(device), no_init_weights():
        model = AutoModelForCausalLM.from_config(config, attn_implementation=attention, dtype=kind)
    model.tie_weights()
    wrapped = ParallelModel(model, streams, prefix_tokens, smoothing)
    if device != "meta":
        _fill(wrapped)
    return wrapped


def config_of(spec: ModelSpec) -> PretrainedConfig:
    """The stock configuration of an architecture.

    Raises:
        InputError: transformers' Qwen2 and Qwen3 have no such layers.
    """
    if not spec.is_plain:
        raise InputError("only models of Qwen2's layers can be built from their sizes")
    if not spec.gated_mlp or (spec.qk_norm and spec.qkv_bias):
        raise InputError("only gated MLPs, with q/k/v biases or q/k norms but not both, can be run")
    # Mistral is Llama with a head size of its own, when it has no window.
    kind: Any = Qwen2Config if spec.qkv_bias else Qwen3Config if spec.qk_norm else MistralConfig
    config: PretrainedConfig = kind(
        hidden_size=spec.hidden_size,
        intermediate_size=spec.intermediate_size,
        num_hidden_layers=spec.num_hidden_layers,
        num_attention_heads=spec.num_attention_heads,
        num_key_value_heads=spec.num_key_value_heads,
        head_dim=spec.head_dim,
        vocab_size=spec.vocab_size,
        max_position_embeddings=spec.max_position_embeddings,
        tie_word_embeddings=spec.tie_word_embeddings,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
        sliding_window=None,
    )
    return config


@torch.no_grad()
def _fill(model: nn.Module) -> None:
    """Small random weights: cheap to make, and no operation on them is slow or overflows."""
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.fill_(1.0)
        elif name.endswith("bias"):
            parameter.zero_()
        else:
            parameter.uniform_(-0.03, 0.03)
