"""Each way of spending compute against its formula, worked by hand on a small model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cost_analysis import Engine, Hardware, InputError, ModelSpec, Workload, estimate, load_model
from cost_analysis.compare.methods import (
    METHODS,
    MethodCost,
    Spending,
    base,
    best_of_n,
    longer,
    loop,
    method_cost,
    mixture,
    parscale,
    phd,
    plt,
)
from cost_analysis.inputs.layout import Layout
from cost_analysis.inputs.system import System

SPEC = ModelSpec(64, 128, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
                 vocab_size=100, qkv_bias=False)  # fmt: skip
WORK = Workload(batch_size=2, input_length=10, output_length=5)
ENTRY = 3 * 2 * 2 * 16 * 2
"""Bytes of a token in the cache: layers, keys and values, heads, width, bf16."""
LAYER = 2 * (64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 128)
"""FLOPs of the matrix products of a layer for one token."""
PAIR = 4 * 64
"""FLOPs of a query with a key in a layer."""
HEAD = 2 * 64 * 100


def cost(spending: Spending, device: Hardware, work: Workload = WORK) -> MethodCost:
    return method_cost(spending, work, System(device, Engine("ideal")))


@pytest.mark.parametrize("streams", [1, 4])
@pytest.mark.parametrize("name", ["llama-3.1-8b", "gemma-2-9b", "mixtral-8x7b", "1.6b"])
def test_the_base_and_streams_cost_what_they_are_estimated_to(
    name: str, streams: int, a100: Hardware, graphs: Engine
) -> None:
    spec = load_model(name).spec
    way = parscale(spec, streams) if streams > 1 else base(spec)
    ours = method_cost(way, WORK, System(a100, graphs))
    expected = estimate(spec.with_streams(streams), WORK, a100, graphs)
    assert ours.latency == expected.total
    assert ours.ttft == expected.ttft
    assert ours.flops == expected.flops
    assert ours.memory == expected.memory.total
    assert ours.parameters == expected.parameters.total


def test_the_base_by_hand(a100: Hardware) -> None:
    found = cost(base(SPEC), a100)
    assert found.kv_cache == 2 * 14 * ENTRY
    prompt = 10 * LAYER + PAIR * 10 * 10
    steps = 4 * LAYER + PAIR * (11 + 12 + 13 + 14)
    assert found.flops == 2 * (3 * (prompt + steps) + 5 * HEAD)


def test_samples_share_the_prompt_and_its_cache(a100: Hardware) -> None:
    alone, found = cost(base(SPEC), a100), cost(best_of_n(SPEC, 6), a100)
    assert found.kv_cache == 2 * (10 + 6 * 4) * ENTRY
    assert found.ttft == alone.ttft
    prompt = 10 * LAYER + PAIR * 10 * 10
    steps = 4 * LAYER + PAIR * (11 + 12 + 13 + 14)
    assert found.flops == 2 * (3 * (prompt + 6 * steps) + (1 + 6 * 4) * HEAD)
    apart = cost(replace(best_of_n(SPEC, 6), prompt_shared=False), a100)
    assert apart.kv_cache == 2 * 6 * 14 * ENTRY
    assert apart.flops == 6 * alone.flops


def test_a_longer_chain_takes_more_steps(a100: Hardware) -> None:
    found = cost(longer(SPEC, 3), a100)
    assert found.steps == 14
    assert found.kv_cache == 2 * (10 + 14) * ENTRY
    assert found.flops == cost(base(SPEC), a100, replace(WORK, output_length=15)).flops


def test_a_loop_repeats_layers_and_their_cache_but_not_their_weights(a100: Hardware) -> None:
    alone, found = cost(base(SPEC), a100), cost(loop(SPEC, 4), a100)
    assert found.weights == alone.weights
    assert found.kv_cache == 4 * alone.kv_cache
    heads = 2 * 5 * HEAD
    assert found.flops - heads == 4 * (alone.flops - heads)
    deep = estimate(replace(SPEC, num_hidden_layers=12), WORK, a100, Engine("ideal"))
    assert found.latency == deep.total


def test_parallel_loops_share_a_cache_but_for_a_window(a100: Hardware) -> None:
    alone, found = cost(base(SPEC), a100), cost(plt(SPEC, 3, window=7), a100)
    assert found.weights == alone.weights
    assert found.kv_cache == 2 * (14 + 2 * 7) * ENTRY
    prompt = 3 * (10 * LAYER + PAIR * 10 * 10)
    # Three token-streams a step, of which each is multiplied with the past and the three.
    steps = 3 * (4 * LAYER + PAIR * (13 + 14 + 15 + 16))
    assert found.flops == 2 * (3 * (prompt + steps) + 5 * HEAD)
    assert found.decode < 0.6 * cost(loop(SPEC, 3), a100).decode  # one pass over the weights


def test_repeated_tokens_leave_one_entry_and_spare_the_prompt(a100: Hardware) -> None:
    alone, found = cost(base(SPEC), a100), cost(phd(SPEC, 3, window=7), a100)
    assert found.kv_cache == 2 * (14 + 2 * 7) * ENTRY
    assert found.ttft == alone.ttft
    prompt = 10 * LAYER + PAIR * 10 * 10
    steps = 3 * (4 * LAYER + PAIR * (13 + 14 + 15 + 16))
    assert found.flops == 2 * (3 * (prompt + steps) + 5 * HEAD)


def test_experts_add_parameters_and_a_router(a100: Hardware) -> None:
    alone, found = cost(base(SPEC), a100), cost(mixture(SPEC, 5), a100)
    assert found.parameters - alone.parameters == 3 * (4 * 3 * 64 * 128 + 64 * 5)
    assert found.kv_cache == alone.kv_cache
    assert found.flops - alone.flops == 2 * (10 + 4) * 3 * 2 * 64 * 5  # the router
    with pytest.raises(InputError, match="are not plain"):
        mixture(load_model("gemma-2-9b").spec, 4)


def test_amounts_grow_costs(a100: Hardware) -> None:
    for make in METHODS.values():
        small, large = (cost(make(SPEC, amount), a100) for amount in (2, 9))
        assert large.latency >= small.latency
        assert large.memory >= small.memory
        assert make(SPEC, 2).source


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"passes": 0}, "passes is 0"),
        ({"tokens": 0.0}, "tokens is 0.0; it must be from"),
        ({"tokens": float("nan")}, "tokens is nan"),
        ({"prompt_shared": 1}, "prompt_shared is 1; it must be true or false"),
    ],
)
def test_amounts_that_make_no_sense(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        replace(base(SPEC), **changes)


def test_methods_know_no_pipelines(a100: Hardware) -> None:
    with pytest.raises(InputError, match="methods are compared without pipelines"):
        method_cost(base(SPEC), WORK, System(a100, Engine("e"), layout=Layout(pipeline_parallel=2)))


def test_methods_on_several_devices_divide_their_cache(a100: Hardware) -> None:
    alone, two = (
        method_cost(loop(SPEC, 2), WORK, System(a100, Engine("e"), layout=Layout(count)))
        for count in (1, 2)
    )
    assert alone.kv_cache == 2 * two.kv_cache
    assert alone.flops == two.flops
