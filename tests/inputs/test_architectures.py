"""The models of configurations of each architecture, and errors of those that are not valid."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cost_analysis import InputError, parameters
from cost_analysis.inputs.configurations import model_of
from cost_analysis.inputs.layers import Attention, Experts, LatentAttention, Mlp
from tests.helpers.cases import configuration, configured
from tests.helpers.data import read_rows

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
        (changed(LLAMA, num_attention_heads=31, head_dim=...), "or head_dim be given: 2048 / 31"),
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


def test_defaults_of_a_configuration_are_listed(
    tmp_path: Path, record: Callable[..., Any], answer: Callable[..., str]
) -> None:
    left_out = changed(GEMMA, head_dim=..., num_key_value_heads=...)
    folder = make(tmp_path / "left-out", json.dumps(left_out).encode())
    assumed = record("--model", str(folder), "--num_key_value_heads", "8")["assumed"]
    assert assumed == {"head_dim": 256, "engine": "graphs"}
    assert "assumed: num_key_value_heads = 4" in answer("--model", str(folder))


@pytest.mark.golden
@pytest.mark.parametrize(
    "row", read_rows("config_parameter_counts.csv"), ids=lambda row: str(row["config"])
)
def test_parameters_of_published_configurations(row: dict[str, str]) -> None:
    assert parameters(configured(row["config"])).total == int(row["parameters"])


def test_windows_of_qwen2_are_those_of_its_last_layers() -> None:
    windows = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 20}
    spec = model_of(configuration("qwen2-0.5b") | windows, "a test").spec
    kinds = [(group.count, group.attention.window) for group in spec.groups]
    assert kinds == [(20, None), (4, 8)]


def test_norms_and_biases_of_qwen3() -> None:
    spec = configured("qwen3-8b")
    assert (spec.qk_norm, spec.qkv_bias, spec.head_dim) == (True, False, 128)
    biased = model_of(configuration("qwen3-8b") | {"attention_bias": True}, "a test").spec
    assert biased.qkv_bias
    assert all(
        isinstance(group.attention, Attention) and group.attention.output_bias
        for group in biased.groups
    )


@pytest.mark.parametrize(("first", "counts"), [(0, [61]), (3, [3, 58]), (61, [61]), (99, [61])])
def test_the_first_layers_of_deepseek_are_dense(first: int, counts: list[int]) -> None:
    spec = model_of(DEEPSEEK | {"first_k_dense_replace": first}, "a test").spec
    assert [group.count for group in spec.groups] == counts
    assert all(isinstance(group.attention, LatentAttention) for group in spec.groups)
    dense = [isinstance(group.mlp, Mlp) for group in spec.groups]
    assert dense == [place == 0 and first > 0 for place in range(len(counts))]


def test_dense_layers_among_experts_are_named_by_their_places() -> None:
    qwen = configuration("qwen3-30b-a3b")
    spec = model_of(qwen | {"mlp_only_layers": [0, 5, 5]}, "a test").spec
    dense = [group for group in spec.groups if isinstance(group.mlp, Mlp)]
    experts = [group for group in spec.groups if isinstance(group.mlp, Experts)]
    assert sum(int(group.count or 0) for group in dense) == 2
    assert sum(int(group.count or 0) for group in experts) == 46
    for places, sentence in (
        (5, "mlp_only_layers is 5; it must be a list"),
        ([48], "mlp_only_layers holds 48; each must be from 0 to 47"),
        ([-1], "holds -1"),
        ([True], "holds True"),
        (["0"], "holds '0'"),
    ):
        with pytest.raises(InputError) as error:
            model_of(qwen | {"mlp_only_layers": places}, "a test")
        assert sentence in str(error.value)
