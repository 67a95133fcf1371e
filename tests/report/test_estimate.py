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
