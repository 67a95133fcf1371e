"""Parallel streams around a stock transformers causal LM: the model that is measured.

The transformer is the stock one, of any rotary architecture, with random weights of our sizes or of
a configuration. Hooks on its decoder copy the input embeddings P times, stream-major
(row = stream · B + sequence), and aggregate the last hidden states, so that the stock LM head, with
its scale or cap, runs once on the aggregate; the learned prefix keys and values are put into the
cache before the first pass.

Source: QwenLM/ParScale `modeling_qwen2_parscale.py`; the logits agree with it (`checkpoints`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    Cache,
    DynamicCache,
    MistralConfig,
    PretrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
    StaticCache,
)
from transformers.initialization import no_init_weights

from cost_analysis.common.arrays import single_count
from cost_analysis.common.errors import InputError
from cost_analysis.inputs.spec import ModelSpec

SMOOTHING = 0.1
"""Share of the aggregation weights that is spread evenly; what published checkpoints state."""

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Types that weights and activations can be run in."""


class Aggregator(nn.Module):
    """Weighs the streams of each token: Linear(P·h → h), SiLU, Linear(h → P), softmax.

    The submodules carry the published names (`aggregate_layer.0`, `aggregate_layer.2`).
    """

    def __init__(self, hidden: int, streams: int, smoothing: float) -> None:
        """Make the two layers.

        Args:
            hidden: Width of the hidden states, h.
            streams: Parallel streams, P.
            smoothing: Share of the weights that is spread evenly over the streams.
        """
        super().__init__()
        self.streams, self.smoothing = streams, smoothing
        self.aggregate_layer = nn.Sequential(
            nn.Linear(streams * hidden, hidden), nn.SiLU(), nn.Linear(hidden, streams)
        )

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Hidden states of all streams, (P·B, S, h), to their weighted sums, (B, S, h)."""
        split = states.reshape(self.streams, -1, *states.shape[1:])  # (P, B, S, h)
        joined = split.permute(1, 2, 3, 0).flatten(2)  # (B, S, h·P): h major, stream minor
        weights = self.aggregate_layer(joined).float().softmax(-1)  # (B, S, P)
        if self.smoothing:
            weights = weights * (1 - self.smoothing) + self.smoothing / self.streams
        weighted = split.permute(1, 2, 0, 3) * weights.unsqueeze(-1)  # (B, S, P, h)
        aggregate: torch.Tensor = weighted.sum(2).to(states.dtype)
        return aggregate


class ParallelModel(nn.Module):
    """A stock causal LM run with P parallel streams; with P = 1 the stock model as it is."""

    def __init__(
        self,
        model: PreTrainedModel,
        streams: int = 1,
        prefix_tokens: int = 48,
        smoothing: float = SMOOTHING,
    ) -> None:
        """Wrap a model.

        Args:
            model: The stock model, on its device and in its type.
            streams: Parallel streams, P.
            prefix_tokens: Learned positions per layer and stream.
            smoothing: Of the aggregation.

        Raises:
            InputError: An architecture that cannot take a prefix this way.
        """
        super().__init__()
        self.model, self.streams = model.eval(), streams
        self.prefix_tokens = prefix_tokens if streams > 1 else 0
        self.aggregator: Aggregator | None = None
        # (P, KV heads, T, width) each; a latent attention has a latent for keys, its rotary key for
        # values.
        self.prefix_keys, self.prefix_values = nn.ParameterList(), nn.ParameterList()
        # transformers 5.24 renamed the argument.
        known = signature(model.forward).parameters
        self._cache_argument = "cache" if "cache" in known else "past_key_values"
        if streams > 1:
            self._add_streams(smoothing)

    @property
    def config(self) -> PretrainedConfig:
        """The stock model's configuration."""
        config: PretrainedConfig = self.model.config
        return config

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self.model.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """Type of weights and activations."""
        dtype: torch.dtype = self.model.dtype
        return dtype

    def new_cache(self, batch_size: int, max_tokens: int | None = None) -> Cache:
        """An empty cache that holds the prefixes of every stream and sequence.

        Args:
            batch_size: Sequences, B.
            max_tokens: Real tokens that a static cache is allocated for; None means a cache that
                grows.
        """
        if max_tokens is None:
            cache: Cache = DynamicCache(config=self.config)
        else:
            cache = StaticCache(config=self.config, max_cache_len=self.prefix_tokens + max_tokens)
        self._fill_prefixes(cache, batch_size)
        return cache

    def renew(self, cache: Cache, batch_size: int) -> None:
        """Empty a static cache but for the prefixes; its tensors stay where they are.

        A CUDA graph is bound to the addresses that it was recorded with.

        Args:
            cache: From `new_cache`, with `max_tokens`.
            batch_size: Sequences, B, as it was made for.
        """
        cache.reset()
        self._fill_prefixes(cache, batch_size)

    def _fill_prefixes(self, cache: Cache, batch_size: int) -> None:
        for layer, pair in enumerate(zip(self.prefix_keys, self.prefix_values, strict=True)):
            keys, values = (_for_batch(prefix, batch_size) for prefix in pair)
            cache.update(keys, values, layer)

    def forward(
        self,
        tokens: torch.Tensor,
        cache: Cache,
        attention_mask: torch.Tensor | None = None,
        logits_to_keep: int = 1,
        positions: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """One pass of new tokens over a cache.

        Args:
            tokens: New tokens, (B, S).
            cache: From `new_cache`; it gains the tokens.
            attention_mask: (B, past + S) with 0 for padding on the left, as transformers takes
                it; the prefix is not part of it. None means no padding.
            logits_to_keep: Last positions whose logits are computed; 0 means all.
            positions: Of the new tokens, (1, S), counted from 0 without the prefix; None asks the
                cache, which a compiled step must not.

        Returns:
            Logits, (B, kept positions, vocabulary).
        """
        if positions is None:
            past = int(cache.get_seq_length()) - self.prefix_tokens
            positions = torch.arange(past, past + tokens.shape[1], device=tokens.device)[None]
        mask = None
        if attention_mask is not None:
            past = attention_mask.shape[1] - tokens.shape[1]
            positions = (attention_mask.cumsum(-1) - 1).clamp(min=0)[:, past:]
            positions = positions.repeat(self.streams, 1)
            mask = nn.functional.pad(attention_mask, (self.prefix_tokens, 0), value=1)
            mask = mask.repeat(self.streams, 1)
        output = self.model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=positions,
            logits_to_keep=logits_to_keep,
            **{self._cache_argument: cache},
        )
        logits: torch.Tensor = output.logits
        return logits

    @torch.no_grad()
    def greedy(self, tokens: torch.Tensor, new_tokens: int) -> torch.Tensor:
        """Tokens continued by the most likely ones, (B, S + new_tokens)."""
        cache = self.new_cache(tokens.shape[0])
        step = tokens
        for _ in range(new_tokens):
            step = self(step, cache)[:, -1:].argmax(-1)
            tokens = torch.cat([tokens, step], dim=1)
        return tokens

    def parameter_count(self) -> int:
        """Parameters, a tied matrix once."""
        return sum({id(p): p.numel() for p in self.parameters()}.values())

    def _add_streams(self, smoothing: float) -> None:
        hidden = self.model.config.get_text_config().hidden_size
        like = {"device": self.model.device, "dtype": self.model.dtype}
        for pair in self._probe():
            for probed, prefixes in zip(pair, (self.prefix_keys, self.prefix_values), strict=True):
                shape = (self.streams, probed.shape[1], self.prefix_tokens, probed.shape[3])
                random = torch.randn(shape, **like) * 0.02
                prefixes.append(nn.Parameter(random, requires_grad=False))
        with torch.device(self.model.device), _default_dtype(self.model.dtype):
            self.aggregator = Aggregator(hidden, self.streams, smoothing)
        decoder = self.model.get_decoder()
        decoder.register_forward_pre_hook(self._copy, with_kwargs=True)
        decoder.register_forward_hook(self._aggregate)

    @torch.no_grad()
    def _probe(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Cached keys and values of one token, layer by layer: a prefix has their shapes.

        Raises:
            InputError: Not every layer caches keys and values.
        """
        cache: Any = DynamicCache(config=self.config)
        token = torch.zeros((1, 1), dtype=torch.long, device=self.device)
        self.model(token, **{self._cache_argument: cache})
        found = []
        for layer in cache.layers:
            keys, values = getattr(layer, "keys", None), getattr(layer, "values", None)
            if keys is None or values is None or keys.ndim != 4 or values.ndim != 4:
                raise InputError(
                    f"{self.config.model_type} does not cache keys and values in every layer; "
                    "parallel streams cannot be put around it"
                )
            found.append((keys, values))
        return found

    def _copy(self, decoder: Any, args: Any, kwargs: Any) -> Any:
        """Copy the embeddings P times, stream-major."""
        # Some stock models hand over the tokens by place.
        tokens, args = (kwargs.pop("input_ids"), args) if not args else (args[0], (None, *args[1:]))
        embeddings = decoder.get_input_embeddings()(tokens)
        kwargs["inputs_embeds"] = embeddings.repeat(self.streams, 1, 1)
        return args, kwargs

    def _aggregate(self, _decoder: Any, _args: Any, output: Any) -> Any:
        assert self.aggregator is not None
        output.last_hidden_state = self.aggregator(output.last_hidden_state)
        return output


def _for_batch(prefix: torch.Tensor, batch_size: int) -> torch.Tensor:
    """(P, heads, T, d) to (P·B, heads, T, d), each stream's prefix repeated B times."""
    return prefix.repeat_interleave(batch_size, dim=0)


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """New parameters are made in a type at once, without a float32 copy."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def build(
    spec: ModelSpec,
    *,
    device: str = "cpu",
    dtype: str = "fp32",
    attention: str = "sdpa",
) -> ParallelModel:
    """A model of random weights: cost does not depend on their values.

    Weights are made on the device in their type, without a copy in another.

    Args:
        spec: The architecture, with its streams.
        device: "cpu", "cuda", "cuda:1" or "meta".
        dtype: Type of weights and activations, one of `DTYPES`.
        attention: transformers' attention implementation: "sdpa" or "eager".

    Raises:
        InputError: An architecture or a type that this module cannot build.
    """
    return build_stock(
        config_of(spec),
        single_count(spec.streams),
        single_count(spec.prefix_tokens),
        device=device,
        dtype=dtype,
        attention=attention,
    )


def build_stock(
    config: PretrainedConfig,
    streams: int = 1,
    prefix_tokens: int = 48,
    *,
    device: str = "cpu",
    dtype: str = "fp32",
    attention: str = "sdpa",
) -> ParallelModel:
    """A model of random weights, of any architecture of transformers that caches keys and values.

    Args:
        config: The stock configuration.
        streams: Parallel streams, P.
        prefix_tokens: Learned positions per layer and stream.
        device: As for `build`.
        dtype: As for `build`.
        attention: As for `build`.

    Raises:
        InputError: An architecture or a type that this module cannot build.
    """
    if dtype not in DTYPES:
        raise InputError(f"a model can be run in {', '.join(DTYPES)}, not in {dtype}")
    kind = DTYPES[dtype]
    torch.manual_seed(0)
    with torch.device(device), no_init_weights():
        model = AutoModelForCausalLM.from_config(config, attn_implementation=attention, dtype=kind)
    model.tie_weights()
    wrapped = ParallelModel(model, streams, prefix_tokens)
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
