"""The measured model against stock models, and its parts by hand."""

from __future__ import annotations

from inspect import signature
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    DynamicCache,
    Gemma2Config,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
    Qwen3MoeConfig,
)

from cost_analysis import InputError, ModelSpec, parameters
from cost_analysis.measure.parallel_model import Aggregator, ParallelModel, build
from tests.helpers.data import DATA

pytestmark = [pytest.mark.crosscheck, pytest.mark.torch]

PARITY = DATA / "parity"
SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 97,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}

ARCHITECTURES: dict[str, PretrainedConfig] = {
    "llama": LlamaConfig(**SIZES),
    "qwen2": Qwen2Config(**SIZES),
    "qwen3": Qwen3Config(**SIZES, head_dim=24),
    "mistral": MistralConfig(**SIZES, sliding_window=None),
    "gemma2": Gemma2Config(**SIZES, head_dim=16, sliding_window=512),
    "qwen3-moe": Qwen3MoeConfig(
        **SIZES, moe_intermediate_size=32, num_experts=4, num_experts_per_tok=2
    ),
}


def stock_model(name: str) -> Any:
    build_stock: Any = AutoModelForCausalLM.from_config
    return build_stock(ARCHITECTURES[name], attn_implementation="eager").eval()


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("static", [False, True], ids=["dynamic", "static"])
@torch.no_grad()
def test_a_stream_is_the_stock_model_after_its_prefix(name: str, static: bool) -> None:
    """An oracle without published code: prefixes that real tokens leave at positions before 0.

    Stream p of the wrapped model must then be the stock model over prefix and prompt. Each
    stream is read out by itself: an aggregator of zeros with smoothing 1 would mix them.
    """
    torch.manual_seed(0)
    streams, prefix, batch, length = 3, 5, 2, 6
    stock = stock_model(name)
    prompt = torch.randint(0, 97, (batch, length))
    leads = torch.randint(0, 97, (streams, prefix))
    wrapped = ParallelModel(stock, streams, prefix)
    seen: list[torch.Tensor] = []
    assert wrapped.aggregator is not None
    wrapped.aggregator.register_forward_pre_hook(lambda _m, args: seen.append(args[0]))

    plain = stock_model(name)
    plain.load_state_dict(stock.state_dict())
    before = torch.arange(-prefix, 0)[None]
    expected = []
    for stream in range(streams):
        cache: Any = DynamicCache(config=plain.config)
        # transformers 5.24 renamed the argument.
        argument = "cache" if "cache" in signature(plain.forward).parameters else "past_key_values"
        plain(leads[stream : stream + 1], position_ids=before, **{argument: cache})
        for layer, cached in enumerate(cache.layers):
            wrapped.prefix_keys[layer][stream] = cached.keys[0]
            wrapped.prefix_values[layer][stream] = cached.values[0]
        whole = torch.cat([leads[stream].expand(batch, -1), prompt], dim=1)
        positions = torch.arange(-prefix, length)[None]
        states = plain.model(whole, position_ids=positions).last_hidden_state
        expected.append(states[:, prefix:])
    wrapped(prompt, wrapped.new_cache(batch, length if static else None))
    torch.testing.assert_close(seen[0], torch.cat(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("streams", [1, 2, 8])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_built_models(streams: int, dtype: str) -> None:
    spec = ModelSpec(64, 96, 2, 4, 2, vocab_size=97, streams=streams)
    model = build(spec, dtype=dtype)
    assert model.parameter_count() == parameters(spec).total
    assert {p.dtype for p in model.parameters()} == {model.dtype}
    assert all(bool(p.isfinite().all()) for p in model.parameters())
    cache = model.new_cache(3)
    with torch.no_grad():
        logits = model(torch.randint(0, 97, (3, 5)), cache)
    assert logits.shape == (3, 1, 97)
    assert logits.isfinite().all()
    assert cache.get_seq_length() == spec.prefix + 5


def test_tied_models_hold_one_table() -> None:
    sizes: dict[str, Any] = {"num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 5000}
    tied = build(ModelSpec(64, 96, tie_word_embeddings=True, **sizes))
    untied = build(ModelSpec(64, 96, tie_word_embeddings=False, **sizes))
    assert untied.parameter_count() - tied.parameter_count() == 5000 * 64


def test_what_cannot_be_built() -> None:
    with pytest.raises(InputError, match="only gated MLPs"):
        build(ModelSpec(64, 96, gated_mlp=False))
    with pytest.raises(InputError, match="fp32, bf16, fp16, not in int8"):
        build(ModelSpec(64, 96), dtype="int8")


def test_aggregation_by_hand() -> None:
    """Two streams with equal scores are averaged; smoothing 1 averages whatever the scores."""
    layer: Any = Aggregator(4, 2, smoothing=0.0)
    for parameter in layer.parameters():
        torch.nn.init.zeros_(parameter)
    states = torch.stack([torch.ones(1, 3, 4), 3 * torch.ones(1, 3, 4)]).flatten(0, 1)
    with torch.no_grad():
        torch.testing.assert_close(layer(states), 2 * torch.ones(1, 3, 4))
        layer.aggregate_layer[2].bias.copy_(torch.tensor([50.0, 0.0]))
        torch.testing.assert_close(layer(states), torch.ones(1, 3, 4))
        layer.smoothing = 1.0
        torch.testing.assert_close(layer(states), 2 * torch.ones(1, 3, 4))
