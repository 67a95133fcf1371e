"""A configuration file as a model: which architectures are known, and what is not counted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cost_analysis import InputError, load_model
from cost_analysis.inputs.configurations import ARCHITECTURES, model_of, read_model
from cost_analysis.inputs.profiles import profile_names
from tests.helpers.cases import CONFIGS, configuration, configured

LLAMA = configuration("llama-3.2-1b")
ALIKE = {path.stem for path in CONFIGS.glob("*.json")} & set(profile_names("models"))


@pytest.mark.parametrize(
    ("config", "profile"),
    [("mistral-7b-v0.3", "mistral-7b"), *((name, name) for name in sorted(ALIKE - {"qwen3-8b"}))],
)
def test_a_configuration_is_its_profile(config: str, profile: str) -> None:
    assert replace(configured(config), name=profile) == load_model(profile).spec


def test_a_parscale_checkpoint_has_its_streams() -> None:
    spec = configured("parscale-1.8b-p8")
    profile = load_model("ParScale-1.8B").spec
    assert spec == replace(profile, streams=8, name=spec.name)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_an_empty_configuration_lacks_something(kind: str) -> None:
    with pytest.raises(InputError, match="is missing"):
        model_of({"model_type": kind}, "the configuration")


def test_only_the_text_model_of_text_and_images_is_counted() -> None:
    gemma = configuration("gemma-3-12b")
    found = model_of(gemma, "a test")
    assert found.remarks == (
        "only the text model is counted; the configuration has a vision model, too",
    )
    tied = model_of(gemma | {"tie_word_embeddings": False}, "a test").spec
    assert (found.spec.tie_word_embeddings, tied.tie_word_embeddings) == (True, False)
    with pytest.raises(InputError, match="architectures is"):
        model_of(gemma | {"architectures": ["Gemma3ForTokenClassification"]}, "a test")


def test_parts_that_are_not_counted_are_named() -> None:
    stored = {"quantization_config": {"quant_method": "gptq"}, "num_nextn_predict_layers": 1}
    assert model_of(LLAMA | stored, "a test").remarks == (
        "the layer that predicts a second token is not counted",
        "its weights are stored in 'gptq'; what is counted is --weight_dtype",
    )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({}, "model_type is missing"),
        (LLAMA | {"model_type": "mamba2"}, "unknown architecture 'mamba2'"),
        (LLAMA | {"model_type": "lama"}, "did you mean llama"),
        (LLAMA | {"model_type": ["llama"]}, "unknown architecture"),
        (LLAMA | {"architectures": ["LlamaForSequenceClassification"]}, "architectures is"),
        (LLAMA | {"architectures": "LlamaForCausalLM"}, "architectures is"),
        ({"model_type": "gemma3"}, "text_config is None; it must be an object"),
    ],
)
def test_what_is_not_an_architecture_is_refused(content: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as error:
        model_of(content, "the configuration")
    message = str(error.value)
    assert message.startswith("the configuration")
    assert sentence in message
    assert "\n" not in message


def test_a_file_is_read_under_the_name_that_is_given(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA))
    found = read_model(path, "mine")
    assert (found.architecture, found.spec.name) == ("llama", "mine")
    assert found.spec == model_of(LLAMA, "a test", "mine").spec
    path.write_text(json.dumps(LLAMA | {"hidden_size": 0}))
    with pytest.raises(InputError, match=r"the configuration '.*config.json': hidden_size is 0"):
        read_model(path, "mine")
    path.write_text("[1]")
    with pytest.raises(InputError, match="the configuration"):
        read_model(path, "mine")


def test_no_class_stands_for_two_architectures() -> None:
    classes = [name for each in ARCHITECTURES.values() for name in each.classes]
    assert len(classes) == len(set(classes))
