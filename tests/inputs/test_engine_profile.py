"""Engines written as profiles are the same when they are read again, whatever their texts."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cost_analysis import load_engine
from cost_analysis.inputs.profiles import engine_text, profiles_folder

texts = st.text(st.characters(codec="utf-8"), max_size=30)
FITTED = [
    path
    for path in sorted((profiles_folder() / "engines").glob("*.toml"))
    if 'source = """parscale-cost fit-latency' in path.read_text()
]


def joined(text: str) -> str:
    """A text as a profile is read: its lines joined."""
    return " ".join(text.split())


@given(texts, texts, st.lists(texts, max_size=3).map(tuple))
@example('"quoted" \\ and """tripled"""', 'ends in a quote"', ('a, "b"', "\\"))
@example("\nbegins on a new line\r\n", '"', ("x\ty\x00\x7f\x1b",))
@example("± µs × 中文 🙂 \u2028", '""" # no comment', ())
def test_texts_of_a_profile_survive_writing_and_reading(
    tmp_path_factory: pytest.TempPathFactory,
    description: str,
    source: str,
    words: tuple[str, ...],
) -> None:
    path = tmp_path_factory.mktemp("engine") / "mine.toml"
    engine = load_engine("eager")
    engine = replace(engine, description=description, source=source, words=words)
    path.write_text(engine_text(engine, {"link_share": 0.28, "attention.floor": 1.1}), newline="")
    found = load_engine(str(path))
    assert found.description == joined(description)
    assert found.source == joined(source)
    assert found.words == tuple(map(joined, words))
    assert replace(found, name=engine.name, description="", source="", words=()) == replace(
        engine, description="", source="", words=()
    )


@pytest.mark.parametrize("path", FITTED, ids=lambda path: path.stem)
def test_shipped_engines_survive_reading_and_writing(path: Path) -> None:
    """The profiles that come with the package, their uncertainties read from their comments."""
    text = path.read_text()
    attention = text.index("[attention]")
    uncertainty = {}
    for place, line in zip(offsets(text), text.splitlines(), strict=True):
        name, _, error = line.partition("  # ±")
        if error:
            prefix = "attention." if place > attention else ""
            uncertainty[prefix + name.split(" = ")[0]] = float(error.rstrip("%")) / 100
    written = engine_text(load_engine(path.stem), uncertainty)
    assert written == text
    assert tomllib.loads(written) == tomllib.loads(text)


def offsets(text: str) -> list[int]:
    """Where each line begins."""
    found, place = [], 0
    for line in text.splitlines(keepends=True):
        found.append(place)
        place += len(line)
    return found
