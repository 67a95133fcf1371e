"""Files that are not configurations, and files that are too large."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cost_analysis.common.files import LARGEST_FILE
from tests.helpers.cases import configuration

LLAMA = configuration("llama-3.2-1b")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("hello", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"hidden_size": NaN}', "NaN is not a number"),
        ('{"hidden_size": -Infinity}', "-Infinity is not a number"),
        (f'{{"hidden_size": {"9" * 5000}}}', "is not JSON"),
        ('{"a": 1, "a": 2}', "'a' is given twice"),
        ("[1, 2]", "is not a JSON object"),
        ("null", "is not a JSON object"),
        ("{}", "model_type is missing"),
        (" " * (LARGEST_FILE + 1), "is larger than"),
        ("\ufeff" + json.dumps(LLAMA | {"hidden_size": -1}), "hidden_size is -1"),
    ],
)
def test_files_that_are_no_configuration(
    text: str, sentence: str, tmp_path: Path, refusal: Callable[..., str]
) -> None:
    file = tmp_path / "config.json"
    file.write_text(text)
    assert sentence in refusal("--model", str(tmp_path))
    assert sentence in refusal("--model", str(file))


def test_a_file_of_a_terabyte_is_not_read(tmp_path: Path, refusal: Callable[..., str]) -> None:
    file = tmp_path / "config.json"
    with file.open("wb") as opened:
        opened.truncate(2**40)
    assert "is larger than" in refusal("--model", str(file))
