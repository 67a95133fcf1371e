"""Each gap of the published cost model against its own calculation, term by term."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cost_analysis import ModelSpec, Workload, load_model, parameters
from cost_analysis.common.arrays import holds
from cost_analysis.cost import published
from cost_analysis.cost.published import SCRIPT_ROOFS, Roofs, cost_on
from cost_analysis.cost.published_gaps import Gap, gaps

SPEC = ModelSpec(2048, 11008, num_hidden_layers=36, streams=4)
WORK = Workload(2, 100, 20)
WIDTH = 2.0
"""Bytes of a value: the script has 16 bits only."""


def gap(
    words: str, spec: ModelSpec = SPEC, work: Workload = WORK, roofs: Roofs = SCRIPT_ROOFS
) -> Gap:
    (one,) = (each for each in gaps(spec, work, roofs) if words in each.what)
    return one


def test_flags_that_are_ignored_cost_what_they_would_have_changed() -> None:
    assert gap("flags are parsed and ignored").latency == 0
    half = Roofs(SCRIPT_ROOFS.flops / 2, SCRIPT_ROOFS.bandwidth / 2)
    slower = gap("flags are parsed and ignored", roofs=half)
    # Both roofs at half: all times are twice as long, and the script reports half of them.
    assert slower.latency == pytest.approx(-cost_on(SPEC, WORK, SCRIPT_ROOFS).total_latency)


def test_the_cache_is_charged_twice_at_its_final_length() -> None:
    """Step by step: the charge of the script, less one read of the cache and one write."""
    streams, prompt = 4 * 2, 100 + 48
    position = 2 * 2 * 128 * streams * 36 * WIDTH  # keys and values of two heads of 128
    final = prompt + 20
    surplus = sum(2 * final - (prompt + step) - 1 for step in range(1, 21))
    spec = replace(SPEC, num_attention_heads=16, num_key_value_heads=2)
    found = gap("KV cache is charged twice", spec)
    assert found.latency == pytest.approx(position * surplus / SCRIPT_ROOFS.bandwidth)


def test_flops_of_the_context_are_left_out() -> None:
    pairs = sum(100 + 48 + step for step in range(20))
    flops = 4.0 * (4 * 2) * pairs * 2048 * 36
    found = gap("do not depend on the context")
    assert found.latency == pytest.approx(-flops / SCRIPT_ROOFS.flops)


def test_one_step_and_one_position_too_many() -> None:
    fewer, all_steps = (cost_on(SPEC, Workload(2, 100, count), SCRIPT_ROOFS) for count in (19, 20))
    found = gap("n tokens take n decode steps")
    held = all_steps.kv_cache_memory - fewer.kv_cache_memory
    assert found.memory == pytest.approx(held)
    assert found.latency == all_steps.decode_latency_per_token


def test_parameters_missing_from_the_weights() -> None:
    found = gap("are not in the weights")
    cost = cost_on(SPEC, WORK, SCRIPT_ROOFS)
    charged = cost.weight_memory + cost.aggregate_memory
    assert found.memory == pytest.approx(charged - parameters(SPEC).total * WIDTH)
    assert found.memory is not None
    assert holds(found.memory < 0)


def test_units_of_the_printed_memory() -> None:
    found = gap("GiB are printed as GB")
    assert found.memory == pytest.approx(
        cost_on(SPEC, WORK, SCRIPT_ROOFS).total_memory * (1e9 / 2**30 - 1)
    )


def test_one_stream_has_no_prefix_to_charge() -> None:
    plain = SPEC.with_streams(1)
    assert gap("prefix tokens go through", plain).latency == 0
    prefix = gap("prefix positions stay in the logits", plain)
    assert (prefix.memory, prefix.latency) == (0, 0)
    assert gap("the aggregator is charged once", plain).latency == 0
    charged = gap("prefix tokens go through").latency
    assert charged is not None
    assert holds(charged > 0)


def test_a_prefix_is_charged_as_a_longer_prompt() -> None:
    """The same as the difference between prompts of 148 and 100 tokens, both without a prefix."""
    bare = replace(SPEC, prefix_tokens=0)
    long, short = (
        published.cost_on(bare, Workload(2, length, 20), SCRIPT_ROOFS).prefill_latency
        for length in (148, 100)
    )
    assert gap("prefix tokens go through").latency == pytest.approx(long - short)


@pytest.mark.parametrize(("gated", "kept"), [(True, "three"), (False, "two")])
def test_the_mlp_keeps_more_than_one_tensor(gated: bool, kept: str) -> None:
    found = gap(f"its MLP keeps {kept} of its width", replace(SPEC, gated_mlp=gated))
    assert found.latency is None
    assert found.memory is not None


def test_every_gap_has_a_size_and_takes_arrays() -> None:
    spec = load_model("1.6b").spec
    rows = gaps(spec.with_streams(np.array([1.0, 8.0])), WORK, SCRIPT_ROOFS)
    single = gaps(spec.with_streams(8), WORK, SCRIPT_ROOFS)
    assert len(rows) == len(single) == 13
    for row, one in zip(rows, single, strict=True):
        assert row.what == one.what
        assert one.memory is not None or one.latency is not None
        for ours, theirs in ((row.memory, one.memory), (row.latency, one.latency)):
            if theirs is not None:
                assert ours is not None
                assert np.broadcast_to(ours, 2)[1] == theirs
