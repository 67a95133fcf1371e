"""What a configuration of each architecture is read as, and the sentence that refuses a bad one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cost_analysis import InputError
from cost_analysis.layers import Experts, LatentAttention, Mlp
from cost_analysis.model_configs import ARCHITECTURES, model_of
from tests.helpers.cases import configuration, configured

LLAMA = configuration("llama-3.2-1b")
MIXTRAL = configuration("mixtral-8x7b")
GEMMA = configuration("gemma-2-2b")
DEEPSEEK = configuration("deepseek-v3")
OPT = configuration("opt-125m")


def make(folder: Path, content: bytes) -> Path:
    folder.mkdir()
    (folder / "config.json").write_bytes(content)
    return folder


def test_kinds_of_layers() -> None:
    gemma, oss = configured("gemma-3-1b"), configured("gpt-oss-20b")
    assert [(group.count, group.attention.window) for group in gemma.groups] == [
        (22, 512),
        (4, None),
    ]
    assert [group.count for group in oss.groups] == [12, 12]
    dense, sparse = configured("deepseek-v3").groups
    assert (dense.count, sparse.count) == (3, 58)
    assert isinstance(dense.attention, LatentAttention)
    assert isinstance(dense.mlp, Mlp)
    assert sparse.mlp == Experts(256, 8, width=2048, shared_width=2048)


def changed(base: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A configuration with other fields; those that are `...` are left out."""
    return {name: value for name, value in (base | fields).items() if value is not ...}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (changed(LLAMA, model_type=...), "model_type is missing"),
        (changed(LLAMA, model_type="mamba2"), "unknown architecture 'mamba2'"),
        (changed(LLAMA, model_type="lama"), "did you mean llama"),
        (changed(LLAMA, model_type=["llama"]), "unknown architecture"),
        (changed(LLAMA, architectures=["LlamaForSequenceClassification"]), "architectures is"),
        (changed(LLAMA, architectures="LlamaForCausalLM"), "architectures is"),
        (changed(LLAMA, hidden_size=...), "hidden_size is missing"),
        (changed(LLAMA, vocab_size=...), "vocab_size is missing"),
        (changed(LLAMA, intermediate_size=None), "intermediate_size is missing"),
        (changed(LLAMA, hidden_size=-5), "hidden_size is -5; it must be a whole number"),
        (changed(LLAMA, hidden_size=0), "hidden_size is 0; it must be a whole number"),
        (changed(LLAMA, hidden_size=10**30), "hidden_size is far too large"),
        (changed(LLAMA, hidden_size=1e300), "hidden_size is far too large"),
        (changed(LLAMA, hidden_size=2048.5), "hidden_size is 2048.5"),
        (changed(LLAMA, hidden_size="2048"), "hidden_size is '2048'"),
        (changed(LLAMA, hidden_size=True), "hidden_size is True"),
        (changed(LLAMA, hidden_size=[2048]), "hidden_size is [2048]"),
        (changed(LLAMA, num_hidden_layers=2**31 - 1), "it must be at most 10000"),
        (changed(LLAMA, tie_word_embeddings="yes"), "tie_word_embeddings is 'yes'"),
        (changed(LLAMA, num_key_value_heads=7), "num_attention_heads must be divisible by"),
        (changed(LLAMA, num_attention_heads=31, head_dim=...), "is not divisible by 31"),
        (changed(LLAMA, sliding_window=4096), "sliding_window is 4096, which is not supported"),
        (changed(GEMMA, layer_types=["full_attention"]), "layer_types names 1 layers"),
        (changed(GEMMA, layer_types=["mamba"] * 26), "layer_types holds 'mamba'"),
        (changed(GEMMA, layer_types="sliding"), "layer_types is 'sliding'; it must be a list"),
        (changed(GEMMA, sliding_window=None), "sliding_window is missing"),
        (changed(GEMMA, sliding_window=1), "sliding_window is 1; it must be"),
        (changed(MIXTRAL, num_experts_per_tok=9), "9 experts for each token"),
        (changed(MIXTRAL, num_local_experts=...), "num_local_experts is missing"),
        (changed(DEEPSEEK, num_key_value_heads=8), "num_key_value_heads is 8, but latent"),
        (changed(DEEPSEEK, moe_layer_freq=2), "moe_layer_freq is 2, which is not supported"),
        (changed(OPT, word_embed_proj_dim=512), "word_embed_proj_dim is 512"),
        (changed(OPT, do_layer_norm_before=False), "do_layer_norm_before is False"),
        ({"model_type": "gemma3"}, "text_config is None; it must be an object"),
    ],
)
def test_refusals(content: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as error:
        model_of(content, "the configuration")
    message = str(error.value)
    assert sentence in message
    assert message.startswith("the configuration")
    assert len(message) < 500
    assert "\n" not in message


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_an_empty_configuration_lacks_something(kind: str) -> None:
    with pytest.raises(InputError, match="is missing"):
        model_of({"model_type": kind}, "the configuration")


def test_what_a_configuration_leaves_out_is_said(
    tmp_path: Path, record: Callable[..., Any], answer: Callable[..., str]
) -> None:
    left_out = changed(GEMMA, head_dim=..., num_key_value_heads=...)
    folder = make(tmp_path / "left-out", json.dumps(left_out).encode())
    assumed = record("--model", str(folder), "--num_key_value_heads", "8")["assumed"]
    assert assumed == {"head_dim": 256, "engine": "graphs"}
    assert "assumed: num_key_value_heads = 4" in answer("--model", str(folder))
