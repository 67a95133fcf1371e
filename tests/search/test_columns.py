"""The columns of a sweep."""

from __future__ import annotations

from cost_analysis import load_model, sweep
from cost_analysis.search.columns import COLUMNS, ESTIMATE_COLUMNS, NAMED, columns_of
from cost_analysis.search.cost_columns import PUBLISHED
from cost_analysis.search.grid import make_grid
from cost_analysis.search.sweep import outcome
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


def test_names_are_unique_and_shared_columns_are_the_same() -> None:
    of_one = {column.name: column for column in (*ESTIMATE_COLUMNS, *PUBLISHED)}
    assert len(of_one) == len(ESTIMATE_COLUMNS) + len(PUBLISHED)
    assert len(NAMED) == len(COLUMNS)
    shared = of_one.keys() & NAMED.keys()
    assert len(shared) > 40
    for name, column in {**of_one, **NAMED}.items():
        assert column.text
        assert column.only == (
            "" if name in shared else "sweep" if name in NAMED else "estimate"
        ), name
    assert all(of_one[name] is NAMED[name] for name in shared)


def test_what_is_constant_in_a_piece_takes_no_memory() -> None:
    grid = make_grid({"model": "1.6B", "P": [1, 2], "batch_size": [1, 2, 3]})
    piece = grid.piece(0)
    columns = columns_of(outcome(piece), piece.shape)
    assert {len(values) for values in columns.values()} == {6}
    for name in ("model", "engine", "hidden_size", "tensor_parallel"):
        assert columns[name].strides == (0,)
    assert set(columns["model"]) == {"1.6B"}
    assert set(columns["hidden_size"]) == {load_model("1.6B").spec.hidden_size}
    assert columns["P"].tolist() == [1, 1, 1, 2, 2, 2]
    assert columns["batch_size"].tolist() == [1, 2, 3, 1, 2, 3]
