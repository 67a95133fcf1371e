"""Sizes of a model and of a workload, and the checks of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cost_analysis import InputError, ModelSpec, Workload, parameters
from cost_analysis.inputs.layers import Attention, Experts, LayerGroup
from tests.helpers.arrays import several
from tests.helpers.cases import MIXTURE, SMALL, configured


def make(**changes: Any) -> ModelSpec:
    return ModelSpec(**({"hidden_size": 64, "intermediate_size": 128} | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 0}, "hidden_size is 0; it must be a whole number from 1 to"),
        ({"hidden_size": -64}, "hidden_size is -64"),
        ({"hidden_size": 64.5}, "hidden_size is 64.5"),
        ({"hidden_size": "64"}, "hidden_size is '64'"),
        ({"hidden_size": True}, "hidden_size is True"),
        ({"hidden_size": None}, "hidden_size is None"),
        ({"hidden_size": float("nan")}, "hidden_size is nan"),
        ({"hidden_size": 10**30}, "hidden_size is far too large"),
        ({"hidden_size": 10**5000}, "hidden_size is far too large"),
        ({"hidden_size": np.array([64, 0])}, "hidden_size holds 0; each must be"),
        ({"hidden_size": np.array([64.0, np.nan])}, "hidden_size holds nan"),
        ({"hidden_size": np.array(["a"])}, "hidden_size is an array of <U1"),
        ({"prefix_tokens": -1}, "parscale_prefix_tokens is -1; it must be a whole number from 0"),
        ({"num_attention_heads": 12}, "hidden_size must be divisible .*64 / 12 leaves 4"),
        ({"num_key_value_heads": 3}, "num_attention_heads must be divisible .*16 / 3 leaves 1"),
        ({"num_key_value_heads": np.array([2, 3])}, "in at least one row"),
        ({"gated_mlp": 1}, "gated_mlp is 1; it must be true or false"),
    ],
)
def test_invalid_models_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(**changes)


def test_model_fills_in_head_dim() -> None:
    assert make().head_dim == 4
    assert make(hidden_size=100, head_dim=7).query_size == 16 * 7


def test_prefix_exists_with_streams_only() -> None:
    assert make().prefix == 0
    assert make(streams=2).prefix == 48
    assert several(make(streams=np.array([1, 2])).prefix).tolist() == [0, 48]


def test_arrays_become_float64() -> None:
    spec = make(hidden_size=np.array([64, 128], dtype=np.int16))
    assert several(spec.hidden_size).dtype == np.float64
    assert isinstance(make().hidden_size, int)
    assert isinstance(make(hidden_size=np.int64(64)).hidden_size, int)


def test_workload() -> None:
    work = Workload(2, 10, 5)
    assert work.decode_steps == 4
    assert work.cached_tokens == 14
    for name in ("batch_size", "input_length", "output_length"):
        bad: dict[str, Any] = {name: 0}
        with pytest.raises(InputError, match=f"{name} is 0"):
            Workload(**bad)
    with pytest.raises(InputError, match="'last' or 'all'"):
        Workload(logits="some")


def test_sizes_that_a_flag_changes_reach_every_layer() -> None:
    spec = replace(configured("deepseek-v3"), num_hidden_layers=10)
    assert [group.count for group in spec.groups] == [3, 7]
    wider = replace(configured("mixtral-8x7b"), intermediate_size=2 * 14336)
    assert parameters(wider).mlp == 2 * parameters(configured("mixtral-8x7b")).mlp
    with pytest.raises(InputError, match="num_hidden_layers is 30, but its 2 kinds"):
        replace(configured("gemma-2-2b"), num_hidden_layers=30)
    with pytest.raises(InputError, match="num_hidden_layers is 3, but"):
        replace(configured("deepseek-v3"), num_hidden_layers=3)


def test_only_one_kind_may_leave_its_count_out() -> None:
    with pytest.raises(InputError, match="kinds of layers"):
        ModelSpec(64, 64, 4, 4, layers=(LayerGroup(), LayerGroup(Attention(window=5))))


def test_a_mixture_of_experts_is_known_by_its_layers() -> None:
    assert MIXTURE.has_experts
    assert not SMALL.has_experts
    dense = LayerGroup(count=1)
    assert replace(SMALL, layers=(dense, LayerGroup(mlp=Experts(8, 2)))).has_experts
    assert not replace(SMALL, layers=(LayerGroup(),)).has_experts
