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


def test_an_interval_says_why_it_is_wide(answer: Callable[..., str]) -> None:
    known = ["--model", "llama-2-7b", "--engine", "vllm-2024"]
    assert "in 80 % of measured runs,\n" in answer(*known)
    assert "wider for" not in answer(*known)
    everything = answer(
        "--model", "mixtral-8x7b", "--engine", "graphs", "--gpu_config", "t4",
        "--weight_dtype", "int4",
    )  # fmt: skip
    why = "         wider for a new engine, a new device, weights below 16 bits, experts\n"
    assert why in everything
    assert len(why) <= 80
    assert "80 %" not in answer("--model", "llama-2-7b", "--engine", "ideal")
