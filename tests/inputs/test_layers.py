"""Kinds of layers: their checks, descriptions and derived widths."""

from __future__ import annotations

from typing import Any

import pytest

from cost_analysis import InputError
from cost_analysis.inputs.layers import (
    Attention,
    CountedLayers,
    Experts,
    Frame,
    LatentAttention,
    LayerGroup,
    Mlp,
)


def test_kinds_of_layers_are_checked() -> None:
    bad: dict[str, Any] = {"bias": 1}
    with pytest.raises(InputError, match="bias is 1; it must be true or false"):
        Mlp(**bad)
    with pytest.raises(InputError, match="window is 0; it must be a whole number"):
        Attention(window=0)


def test_description_and_widths_of_latent_attention() -> None:
    kind = LatentAttention(kv_rank=512, rope_dim=64, plain_dim=128, value_dim=100)
    assert str(kind) == "latent attention of rank 512"
    assert (kind.latent, kind.key_dim) == (512 + 64, 64 + 128)


@pytest.mark.parametrize("per_token", [0, 9])
def test_each_token_goes_to_one_expert_at_least_and_to_all_at_most(per_token: int) -> None:
    sentence = f"{per_token} experts for each token; there must be one to 8"
    with pytest.raises(InputError, match=sentence):
        Experts(8, per_token)
    assert str(Experts(8, 8)) == "8 of 8 experts"
    assert str(Experts(256, 8, shared_width=2048)) == "8 of 256 experts, one shared"


def test_layers_are_described_in_words() -> None:
    assert str(Attention()) == "attention"
    assert str(Attention(window=512, wide=True)) == "16-bit attention to the last 512"
    assert str(CountedLayers(Attention(), Mlp(), 3)) == "3 x attention + MLP"


def test_sizes_that_are_not_whole_numbers_are_refused() -> None:
    for count in (0, 1.5, True):
        with pytest.raises(InputError, match="layers of a kind is"):
            LayerGroup(count=count)
    with pytest.raises(InputError, match="position_rows is -1"):
        Frame(position_rows=-1)
    with pytest.raises(InputError, match="kv_rank is 0"):
        LatentAttention(0, 64, 128, 128)
    assert LayerGroup().count is None


def test_latent_attention_sees_all_positions_in_the_format_of_the_mlp() -> None:
    kind = LatentAttention(512, 64, 128, 128)
    assert kind.window is None
    assert not kind.wide
