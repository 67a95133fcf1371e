"""What is new about a row for a fit that has not seen its fold."""

from __future__ import annotations

import numpy as np

from cost_analysis.fitting.held_out import NEW, Traits, held_out, joined, traits_of
from cost_analysis.fitting.measurements import Measurement
from cost_analysis.fitting.predictions import engine_of

ROWS = (
    Traits("lab", "vllm", "graphs", "a100"),
    Traits("lab", "vllm", "graphs", "h100"),
    Traits("other", "vllm", "graphs", "a100", "int4", narrow=True),
    Traits("other", "gpt-fast", "graphs", "a100", experts=True),
)
SOURCES = [row.source for row in ROWS]


def new(by: str) -> list[set[str]]:
    labels = [getattr(row, by) for row in ROWS]
    points = held_out(ROWS, {by: np.zeros(len(ROWS))}, {by: labels})
    return [{name for name, flag in zip(NEW, flags, strict=True) if flag} for flags in points.new]


def test_what_is_new_when_sources_are_left_out() -> None:
    """vLLM is known from the other lab; on H100 nobody else has measured it."""
    assert new("source") == [
        {"source"},
        {"source", "device"},
        {"source", "narrow"},
        {"source", "engine", "experts"},
    ]


def test_what_is_new_when_engines_are_left_out() -> None:
    """Its class stands for a new engine; a source is known by whatever else it has measured."""
    assert new("engine") == [
        {"source", "engine"},
        {"source", "engine", "device"},
        {"engine", "narrow"},
        {"engine", "experts"},
    ]


def test_what_is_new_when_devices_are_left_out() -> None:
    every = new("device")
    assert every[1] == {"device"}
    assert "device" in every[0]
    assert every[3] >= {"engine", "device"}


def test_errors_turn_round_and_keep_their_rows() -> None:
    errors = {"by source": np.array([0.1, -0.2, 0.3, 0.0]), "unknown": np.zeros(4)}
    points = held_out(ROWS, errors, {"by source": SOURCES, "by engine": SOURCES})
    assert points.errors.tolist() == [-0.1, 0.2, -0.3, 0.0]
    assert points.places.tolist() == [0, 1, 2, 3]
    assert set(points.folds) == {"by source"}
    assert points.groups.tolist()[2:] == ["other / vllm", "other / gpt-fast"]
    assert points[points.engines == "gpt-fast"].groups.tolist() == ["other / gpt-fast"]


def test_joined_points_keep_both() -> None:
    points = held_out(ROWS, {"by source": np.arange(4.0)}, {"by source": SOURCES})
    both = joined(points, points)
    assert both.errors.tolist() == [*points.errors, *points.errors]
    assert both.places.tolist() == list(range(8))
    assert joined(held_out((), {}, {}), points).places.tolist() == [0, 1, 2, 3]


def test_traits_of_published_rows(rows: list[Measurement]) -> None:
    for row in rows:
        traits = traits_of(row)
        assert traits.source == row.texts["source_id"]
        assert traits.engine_class == engine_of(row).engine_class
        assert traits.device == row.device.name
        assert not traits.experts
        assert traits.narrow == (traits.weights not in ("fp16", "bf16", "fp32"))
