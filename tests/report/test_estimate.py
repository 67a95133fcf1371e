"""The page of an estimate."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.helpers.cases import CONFIGS


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("*.json")))
def test_answers_fit_a_terminal(name: str, answer: Callable[..., str]) -> None:
    """No name of an operator is broken into two lines."""
    file = str(CONFIGS / f"{name}.json")
    text = answer("--model", file, "--P", "4", "--gpu_config", "b200")
    assert max(map(len, text.splitlines())) <= 80
    decode = text.split("Decode: all steps\n")[1].split("\n\n")[0]
    assert all(len(line.split("  ")) > 3 for line in decode.splitlines())


@pytest.mark.parametrize("P", ["1", "8"])
@pytest.mark.parametrize("device", ["a100", "m2-ultra", "t4"])
@pytest.mark.parametrize("cost_model", ["operators", "published"])
def test_pages_fit_80_columns(
    P: str,  # noqa: N803
    device: str,
    cost_model: str,
    answer: Callable[..., str],
) -> None:
    flags = ["--model", "qwen2.5-72b", "--P", P, "--gpu_config", device]
    flags += ["--batch_size", "4096", "--input_length", "100000", "--output_length", "100000"]
    text = answer(*flags, "--cost_model", cost_model)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert "Does not fit" in text
    markdown = answer(*flags, "--cost_model", cost_model, "--format", "markdown")
    assert "| --- |" in markdown.replace("---:", "---")


def test_what_would_fit_is_not_broken_in_a_number(answer: Callable[..., str]) -> None:
    text = answer("--model", "llama-3.1-8b")
    assert "largest batch 2,880, or\n         longest context " in text
    assert "tokens (made for 131,072)\n" in text
