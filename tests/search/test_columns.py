"""The columns of a sweep."""

from __future__ import annotations

from cost_analysis import sweep
from cost_analysis.sweep_columns import COLUMNS
from tests.helpers.data import ROOT


def test_the_columns_are_the_documented_ones() -> None:
    frame = sweep(model="0.5B")
    assert list(frame.columns) == [column.name for column in COLUMNS]
    kinds = {"name": "O", "count": "i", "switch": "b", "number": "f"}
    for column in COLUMNS:
        kind = frame[column.name].dtype.kind
        assert kind == kinds[column.kind] or column.kind == "name", column.name
    assert all(column.text for column in COLUMNS)


def test_every_column_is_documented() -> None:
    page = (ROOT / "docs" / "sweep.md").read_text()
    for column in COLUMNS:
        assert f"| `{column.name}` | {column.text} |" in page
