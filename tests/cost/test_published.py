"""The published cost model against 240 recorded runs of the published script."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cost_analysis import Hardware, InputError, ModelSpec, Workload, load_model, published_cost
from cost_analysis.common.units import GIB
from cost_analysis.cost.published import SCRIPT_ROOFS, roofs_of
from cost_analysis.inputs.layers import LatentAttention, LayerGroup
from tests.helpers.arrays import several
from tests.helpers.cases import MIXTURE, SMALL
from tests.helpers.data import read_rows

pytestmark = pytest.mark.golden

ROWS = read_rows("published_cost_model.csv")
OUTPUTS = {
    "total_memory_bytes": "total_memory",
    "total_latency_s": "total_latency",
    "weight_memory_bytes": "weight_memory",
    "kv_cache_memory_bytes": "kv_cache_memory",
    "prefill_activation_memory_bytes": "prefill_activation_memory",
    "aggregate_memory_bytes": "aggregate_memory",
    "prefill_latency_s": "prefill_latency",
    "decode_latency_per_token_s": "decode_latency_per_token",
    "aggregate_latency_s": "aggregate_latency",
}


def column(name: str, kind: type = int) -> np.ndarray:
    return np.array([kind(row[name]) for row in ROWS])


def all_inputs() -> tuple[ModelSpec, Workload]:
    spec = ModelSpec(
        hidden_size=column("hidden_size"),
        intermediate_size=column("intermediate_size"),
        num_hidden_layers=column("num_hidden_layers"),
        num_attention_heads=column("num_attention_heads"),
        num_key_value_heads=column("num_key_value_heads"),
        vocab_size=column("vocab_size"),
        streams=column("P"),
        prefix_tokens=column("parscale_prefix_tokens"),
    )
    return spec, Workload(
        batch_size=column("batch_size"),
        input_length=column("input_length"),
        output_length=column("output_length"),
    )


def test_recorded_data_is_complete() -> None:
    assert len(ROWS) == 240
    assert set(OUTPUTS) < set(ROWS[0])


@pytest.mark.parametrize("name", OUTPUTS)
def test_recorded_runs(name: str, a100: Hardware) -> None:
    cost = published_cost(*all_inputs(), a100)
    np.testing.assert_allclose(getattr(cost, OUTPUTS[name]), column(name, float), rtol=1e-9)


def test_seed_command(a100: Hardware) -> None:
    # README of QwenLM/ParScale: hidden 2560, MLP 13824, P = 2, batch 2.
    cost = published_cost(ModelSpec(2560, 13824, streams=2), Workload(2), a100)
    assert f"{cost.total_memory / GIB:.3f}" == "8.951"
    assert f"{cost.total_latency:.3f}" == "0.354"


def test_figure_4(a100: Hardware) -> None:
    lengths = np.array([64.0, 128.0, 256.0, 512.0])
    for row in read_rows("figure4.csv"):
        spec = load_model(row["size"]).spec.with_streams(int(row["P"]))
        cost = published_cost(spec, Workload(int(row["batch_size"]), lengths, lengths), a100)
        memory, latency = several(cost.total_memory), several(cost.total_latency)
        np.testing.assert_allclose(memory.mean(), float(row["mean_memory_bytes"]))
        np.testing.assert_allclose(latency.mean(), float(row["mean_latency_s"]))


def test_script_constants_are_the_a100_profile(a100: Hardware) -> None:
    assert roofs_of(a100, None, None) == SCRIPT_ROOFS


def test_models_that_it_does_not_cover(a100: Hardware) -> None:
    latent = replace(SMALL, layers=(LayerGroup(LatentAttention(512, 64, 128, 128)),))
    for spec in (MIXTURE, latent):
        with pytest.raises(InputError, match="covers dense layers only; this model has 4 x"):
            published_cost(spec, Workload(), a100)
