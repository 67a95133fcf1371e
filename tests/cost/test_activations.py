"""Live activations of small models by hand, and which moment is the peak.

`test_estimate_torch.py` compares the peak with the live tensors of real passes.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_analysis import Layout, ModelSpec, Precision
from cost_analysis.cost.activations import activation_bytes, activation_moments, live_bytes
from cost_analysis.inputs.layers import Experts, LayerGroup
from cost_analysis.inputs.layout import Share
from cost_analysis.inputs.spec import BF16
from tests.helpers.strategies import precisions, specs

SPEC = ModelSpec(64, 128, 2, 4, 2, vocab_size=500)
"""Heads of 16 values: a query of 64, keys and values of 32 each."""


def test_moments_of_one_stream_by_hand() -> None:
    """Three prompts of five tokens in bf16."""
    kept = 5 * 2 * 16 * 2 + 15 * 2 * 64 * 2  # rotary tables; embeddings and the layer's input
    assert activation_moments(Share(SPEC), 3, 5, BF16, "last") == {
        "norm": kept + 15 * 64 * (2 + 2 * 4),  # two float32 copies
        "rotary": kept + 15 * (64 + 4 * 64 + 2 * 32) * 2,
        "mlp": kept + 15 * (2 * 64 + 3 * 128) * 2,  # gate, up and their product
        "aggregation": 0,
        "logits": 15 * 64 * 2 + 3 * 500 * 2,
    }
    assert activation_bytes(SPEC, 3, 5) == kept + 15 * (2 * 64 + 3 * 128) * 2


def test_streams_repeat_the_rows_and_are_gathered_for_the_aggregation() -> None:
    found = activation_moments(Share(SPEC.with_streams(2)), 3, 5, BF16, "last")
    kept = 5 * 2 * 16 * 2 + 30 * 2 * 64 * 2
    assert found["mlp"] == kept + 30 * (2 * 64 + 3 * 128) * 2
    assert found["aggregation"] == 15 * (2 * 64 + 64) * (2 + 4)  # and in float32
    assert found["logits"] == 15 * 64 * 2 + 3 * 500 * 2  # of the aggregated stream


def test_all_logits_are_kept_or_the_last_of_each_sequence() -> None:
    wide = replace(SPEC, vocab_size=100_000)
    assert activation_bytes(wide, 3, 5, logits="last") == 15 * 64 * 2 + 3 * 200_000
    assert activation_bytes(wide, 3, 5, logits="all") == 15 * 64 * 2 + 15 * 200_000
    # A device without the head has no logits: its peak is that of the layers.
    assert activation_bytes(wide, 3, 5, has_head=0.0) == activation_bytes(SPEC, 3, 5)


def test_a_divided_vocabulary_is_gathered() -> None:
    """Each of two devices has its own half, and then the whole."""
    found = live_bytes(Share(SPEC, Layout(tensor_parallel=2)), BF16)
    assert found.logits == (500 + 250) * 2


def test_experts_work_on_copies_of_their_inputs() -> None:
    """Two experts of width 40, each with its input of 64 values, against shared ones of 24."""
    experts = Experts(8, 2, width=40, shared_width=24)
    found = live_bytes(Share(replace(SPEC, layers=(LayerGroup(mlp=experts),))), BF16)
    assert found.mlp == (2 * 64 + 2 * (3 * 40 + 64)) * 2
    shared = replace(experts, shared_width=1000)
    found = live_bytes(Share(replace(SPEC, layers=(LayerGroup(mlp=shared),))), BF16)
    assert found.mlp == (2 * 64 + 3 * 1000) * 2


def test_products_of_8_bit_values_have_16_bit_results() -> None:
    int8 = Precision(activations="int8")
    wide, narrow = (live_bytes(Share(SPEC), precision) for precision in (BF16, int8))
    assert wide.mlp - narrow.mlp == pytest.approx(64 * (2 - int8.formats.activation.bytes))
    assert narrow._replace(mlp=wide.mlp) == wide


@pytest.mark.property
@given(specs(), st.integers(1, 64), st.integers(1, 5000), precisions)
def test_the_peak_is_the_largest_moment_and_grows_with_the_batch(
    spec: ModelSpec, batch: int, queries: int, precision: Precision
) -> None:
    moments = activation_moments(Share(spec), batch, queries, precision, "last")
    peak = activation_bytes(spec, batch, queries, precision)
    assert peak == max(float(value) for value in moments.values())
    assert peak < activation_bytes(spec, batch + 1, queries, precision)
    assert peak <= activation_bytes(spec, batch, queries, precision, logits="all")
