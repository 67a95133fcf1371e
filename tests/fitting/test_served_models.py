"""Models of serving runs: names of the Hub, and profiles that exist."""

from __future__ import annotations

import pytest

from cost_analysis.fitting.served_models import SERVED_MODELS, family, served_model
from cost_analysis.inputs.models import load_model


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Qwen/Qwen3-235B-A22B-Thinking-2507-FP8", "qwen3-235b-a22b"),
        ("deepseek-ai/DeepSeek-R1-0528", "deepseek-r1"),
        ("nvidia/DeepSeek-R1-NVFP4", "deepseek-r1"),
        ("google/gemma-3-12b-it", "gemma-3-12b"),
        ("MiniMaxAI/MiniMax-M2.5", "minimax-m2.5"),
        ("llama-3.1-8b", "llama-3.1-8b"),
    ],
)
def test_families(name: str, found: str) -> None:
    assert family(name) == found


def test_every_model_has_a_profile_or_a_reason() -> None:
    for name, model in SERVED_MODELS.items():
        assert family(name) == name
        assert bool(model.profile) != bool(model.reason)
        if model.profile:
            assert load_model(model.profile).name == model.profile


def test_an_unknown_model_has_a_reason() -> None:
    assert served_model("someone/Model-1B").reason == "it has no profile"


def test_names_of_the_hub_are_aliases_of_the_same_profile() -> None:
    for name in ("moonshotai/Kimi-K2.5", "MiniMaxAI/MiniMax-M2.5", "google/gemma-3-12b-it"):
        assert load_model(name).name == served_model(name).profile
