"""Bytes of weights against the published sizes of quantised checkpoints.

What a checkpoint holds beyond what is counted is added here, term by term; docs/precision.md says
it in words. Files begin with a header that lists their tensors.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from cost_analysis import ModelSpec, Precision, Workload, load_model, memory
from cost_analysis.layers import Attention, LayerGroup

pytestmark = pytest.mark.golden

DATA = Path(__file__).parents[1] / "data" / "checkpoint_bytes.csv"
with DATA.open(newline="") as lines:
    ROWS = {row["checkpoint"]: row for row in csv.DictReader(lines)}
GPTQ = [name for name in ROWS if name.endswith("GPTQ")]


def counted(name: str) -> tuple[int, ModelSpec, Precision]:
    """Published bytes, the model, and its formats."""
    row = ROWS[name]
    spec = load_model(row["model"]).spec
    return int(row["bytes"]), spec, Precision(row["weight_dtype"])


def weights(spec: ModelSpec, precision: Precision) -> float:
    return float(memory(spec, Workload(), precision).weights)


def header_is_plausible(left: float, tensors: int) -> bool:
    """What is left is the list of tensors: name, type, shape and two offsets of each."""
    return 90 * tensors < left < 150 * tensors


def narrow(group: LayerGroup) -> LayerGroup:
    """The layers with an attention that is stored as the MLP is."""
    assert isinstance(group.attention, Attention)
    return replace(group, attention=replace(group.attention, wide=False))


@pytest.mark.parametrize("name", [name for name in ROWS if name.startswith("openai")])
def test_gpt_oss_is_counted_to_the_byte(name: str) -> None:
    published, spec, precision = counted(name)
    assert weights(spec, precision) == published
    # Without its 16-bit attention it would be 2 to 7 % smaller.
    assert (
        0.93
        < weights(replace(spec, layers=tuple(map(narrow, spec.layers))), precision) / published
        < 0.98
    )


def test_deepseek_v3_has_a_layer_that_is_not_counted() -> None:
    published, spec, precision = counted("deepseek-ai/DeepSeek-V3")
    deeper = replace(spec, num_hidden_layers=spec.num_hidden_layers + 1)
    hidden, vocab = spec.hidden_size, spec.vocab_size
    layer = (
        memory(deeper, Workload(), precision).layers - memory(spec, Workload(), precision).layers
    )
    # The layer that predicts a second token: a projection of two inputs, three norms, and its own
    # copies of the embedding and of the head.
    second = layer + 2 * (2 * hidden * hidden + 3 * hidden + 2 * vocab * hidden)
    experts = 256
    router_biases = 59 * experts * 2  # float32, counted as 16 bits
    left = published - weights(spec, precision) - second - router_biases
    # Each matrix is two tensors; 3 layers are dense, 58 and the one that is not counted are not.
    attention, dense, routed = 5 * 2 + 4, 3 * 2, (experts + 1) * 3 * 2 + 2
    tensors = 3 * (attention + dense) + 59 * (attention + routed) + 3 + 6
    assert header_is_plausible(left, tensors)


@pytest.mark.parametrize("name", GPTQ)
def test_gptq_stores_an_order_of_inputs_and_empty_biases(name: str) -> None:
    published, spec, precision = counted(name)
    hidden, inner, layers = spec.hidden_size, spec.intermediate_size, spec.num_hidden_layers
    query, key_value = spec.query_size, spec.key_value_size
    order = 4 * (5 * hidden + query + inner)  # q, k, v, gate and up read the hidden size
    biases = 2 * (query + 2 * key_value + 2 * hidden + 2 * inner)
    left = published - weights(spec, precision) - layers * (order + biases)
    assert header_is_plausible(left, layers * (7 * 5 + 2) + 3)


@pytest.mark.parametrize("other", ["int4-g128-zp", "int4-g32", "int8-g128", "int8-zp"])
def test_the_tests_above_can_fail(other: str) -> None:
    """A format without zero points, or with other groups, is off by more than all the rest."""
    name = "TheBloke/Mythalion-13B-GPTQ" if "int4" in other else "TheBloke/Pygmalion-2-7B-GPTQ"
    published, spec, precision = counted(name)
    rest = published - weights(spec, precision)
    assert (
        abs(weights(spec, replace(precision, weights=other)) - weights(spec, precision)) > 3 * rest
    )
