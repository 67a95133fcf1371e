"""Parameter counts equal those of published runs and published models."""

from __future__ import annotations

import numpy as np
import pytest

from cost_analysis import ModelSpec, load_model, parameters
from cost_analysis.common.arrays import Array, single, single_count
from cost_analysis.inputs.profiles import profile_names
from cost_analysis.inputs.spec import family_intermediate_size
from cost_analysis.inputs.weights import active_parameters
from tests.helpers.arrays import several
from tests.helpers.cases import configured
from tests.helpers.data import read_rows

RUNS = read_rows("training_runs.csv")
COUNTS = read_rows("model_parameter_counts.csv")


def spec_of(run: dict[str, str]) -> ModelSpec:
    return ModelSpec(
        hidden_size=int(run["hidden_size"]),
        intermediate_size=int(run["intermediate_size"]),
        num_hidden_layers=int(run["num_hidden_layers"]),
        num_attention_heads=int(run["num_attention_heads"]),
        num_key_value_heads=int(run["num_key_value_heads"]),
        streams=int(run["P"]),
        prefix_tokens=int(run["parscale_prefix_tokens"]),
    )


@pytest.mark.golden
@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run['size']}-P{run['P']}")
def test_published_runs(run: dict[str, str]) -> None:
    counted = parameters(spec_of(run)).non_embedding
    assert isinstance(counted, int)
    assert counted == int(run["non_embedding_parameters"])


@pytest.mark.golden
def test_published_runs_in_one_call() -> None:
    def column(name: str) -> Array:
        return np.array([float(run[name]) for run in RUNS])

    spec = ModelSpec(column("hidden_size"), column("intermediate_size"), streams=column("P"))
    counted = several(parameters(spec).non_embedding)
    assert (counted == column("non_embedding_parameters")).all()


@pytest.mark.golden
@pytest.mark.parametrize("row", COUNTS, ids=lambda row: row["model"])
def test_model_profiles(row: dict[str, str]) -> None:
    counted = parameters(load_model(row["model"]).spec).total
    assert counted == int(row["parameters"])
    assert rounded_as(row["published"], single_count(counted)) == float(row["published"])


def rounded_as(published: str, counted: int) -> float:
    """A count with as many digits as a published one, which may be given as 46.7B."""
    digits = len(published.split("e")[0].replace(".", ""))
    return float(f"{counted:.{digits - 1}e}")


@pytest.mark.golden
def test_every_model_profile_has_a_published_count() -> None:
    assert {row["model"] for row in COUNTS} == set(profile_names("models"))


@pytest.mark.golden
def test_family_rule_gives_the_published_widths() -> None:
    for run in RUNS:
        assert family_intermediate_size(int(run["hidden_size"])) == int(run["intermediate_size"])


@pytest.mark.golden
@pytest.mark.parametrize(
    ("name", "checkpoint"),
    [("0.5b", "0.7B"), ("0.7b", "0.9B"), ("1.1b", "1.3B"), ("1.6b", "1.8B"), ("2.8b", "3B"),
     ("4.4b", "4.7B")],
)  # fmt: skip
def test_both_names_of_a_parscale_size(name: str, checkpoint: str) -> None:
    profile = load_model(f"ParScale-{checkpoint}")
    assert profile == load_model(name.upper())
    counts = parameters(profile.spec)
    assert f"{counts.non_embedding / 1e9:.1f}b" == name
    # Checkpoints are called by their total, rounded up or down by less than 0.1B.
    assert abs(single(counts.total) / 1e9 - float(checkpoint[:-1])) < 0.1


def test_active_parameters() -> None:
    """Counted by hand: a token of Mixtral uses two of eight experts."""
    spec = configured("mixtral-8x7b")
    inactive = 32 * 6 * 3 * 4096 * 14336
    assert active_parameters(spec) == parameters(spec).total - inactive == 12_879_925_248
    assert active_parameters(configured("gpt2")) == 124_439_808
