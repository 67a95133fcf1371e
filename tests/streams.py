"""Parallel streams around a stock transformers model, for checking counts: not for users.

Hooks on the decoder copy the embeddings P times and aggregate the last hidden states, so that the
stock LM head runs once on the aggregate; prefixes are put into the cache before the first pass.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    Cache,
    DynamicCache,
    Qwen2Config,
    Qwen3Config,
    StaticCache,
)

from cost_analysis import ModelSpec

C = TypeVar("C", bound=Cache)


class Aggregator(nn.Module):
    """Weights the streams of each token: (P·B, S, h) -> (B, S, h)."""

    def __init__(self, hidden: int, streams: int) -> None:
        super().__init__()
        self.streams = streams
        self.mix = nn.Linear(streams * hidden, hidden)
        self.score = nn.Linear(hidden, streams)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        split = states.reshape(self.streams, -1, *states.shape[1:])
        joined = split.permute(1, 2, 3, 0).flatten(2)
        weights = self.score(nn.functional.silu(self.mix(joined))).float().softmax(-1)
        weighted = split.permute(1, 2, 0, 3) * weights.unsqueeze(-1)
        aggregate: torch.Tensor = weighted.sum(2).to(states.dtype)
        return aggregate


class StreamedModel:
    """A stock causal LM with the architecture of a ModelSpec, run with P streams."""

    def __init__(
        self,
        spec: ModelSpec,
        *,
        attention: str = "eager",
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.spec = spec
        config_class: Any = Qwen3Config if spec.qk_norm else Qwen2Config
        self.config = config_class(
            hidden_size=spec.hidden_size,
            intermediate_size=spec.intermediate_size,
            num_hidden_layers=spec.num_hidden_layers,
            num_attention_heads=spec.num_attention_heads,
            num_key_value_heads=spec.num_key_value_heads,
            head_dim=spec.head_dim,
            vocab_size=spec.vocab_size,
            max_position_embeddings=spec.max_position_embeddings,
            tie_word_embeddings=spec.tie_word_embeddings,
        )
        self.dtype, self.device = dtype, device
        with torch.device(device):
            build: Any = AutoModelForCausalLM.from_config
            self.model = build(self.config, attn_implementation=attention, dtype=dtype).eval()
            self.aggregator = (
                Aggregator(spec.hidden_size, spec.streams).to(dtype) if spec.streams > 1 else None
            )
        if not spec.qkv_bias:
            for layer in self.model.model.layers:
                for name in ("q_proj", "k_proj", "v_proj"):
                    getattr(layer.self_attn, name).bias = None
        if self.aggregator is not None:
            self.model.model.register_forward_pre_hook(self._copy, with_kwargs=True)
            self.model.model.register_forward_hook(self._aggregate)

    def new_cache(self, batch_size: int) -> DynamicCache:
        """A cache that holds the prefixes of every stream and sequence."""
        return self._with_prefixes(DynamicCache(config=self.config), batch_size)

    def static_cache(self, batch_size: int, length: int) -> StaticCache:
        """A cache allocated for `length` tokens, filled with the prefixes."""
        spec = self.spec
        cache = StaticCache(config=self.config, max_cache_len=spec.prefix + length)
        rows = spec.streams * batch_size
        cache.early_initialization(
            rows, spec.num_key_value_heads, spec.head_dim, self.dtype, torch.device(self.device)
        )
        return self._with_prefixes(cache, batch_size)

    def _with_prefixes(self, cache: C, batch_size: int) -> C:
        spec = self.spec
        if spec.prefix:
            shape = (
                spec.streams * batch_size,
                spec.num_key_value_heads,
                spec.prefix,
                spec.head_dim,
            )
            for layer in range(spec.num_hidden_layers):
                prefix = torch.zeros(shape, dtype=self.dtype, device=self.device)
                cache.update(prefix, prefix.clone(), layer)
        return cache

    def run(self, tokens: torch.Tensor, cache: Cache, keep: int) -> torch.Tensor:
        """Logits of the last `keep` positions (0: of all)."""
        past = int(cache.get_seq_length()) - self.spec.prefix
        positions = torch.arange(past, past + tokens.shape[1], device=tokens.device)[None]
        with torch.no_grad():
            output = self.model(
                tokens, position_ids=positions, past_key_values=cache, logits_to_keep=keep
            )
        logits: torch.Tensor = output.logits
        return logits

    def parameter_count(self) -> int:
        """Parameters of the module, a tied matrix once, and the prefixes that it is run with."""
        spec = self.spec
        modules = [self.model] + ([self.aggregator] if self.aggregator else [])
        unique = {id(p): p.numel() for module in modules for p in module.parameters()}
        prefix = 2 * spec.num_hidden_layers * spec.streams * spec.key_value_size * spec.prefix
        return int(sum(unique.values()) + prefix)

    def _copy(self, module: Any, args: Any, kwargs: Any) -> Any:
        embeddings = module.embed_tokens(kwargs.pop("input_ids"))
        kwargs["inputs_embeds"] = embeddings.repeat(self.spec.streams, 1, 1)
        return args, kwargs

    def _aggregate(self, _module: nn.Module, _args: Any, output: Any) -> Any:
        assert self.aggregator is not None
        output.last_hidden_state = self.aggregator(output.last_hidden_state)
        return output
