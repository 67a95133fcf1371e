"""The commands accuracy, fit-latency and fit: every row answered, intervals, refusals."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cost_analysis.inputs.profiles import profiles_folder
from tests.helpers.data import DATA

SHIPPED = profiles_folder() / "measurements.csv"


def shipped() -> list[dict[str, str]]:
    with SHIPPED.open(newline="") as file:
        return list(csv.DictReader(file))


def written(path: Path, rows: list[dict[str, str]]) -> str:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def answered(text: str) -> dict[str, dict[str, str]]:
    return {row["id"]: row for row in csv.DictReader(io.StringIO(text))}


def test_every_shipped_row_is_predicted_and_cites_its_source(answer: Callable[..., str]) -> None:
    rows = shipped()
    found = answered(answer("accuracy", "--format", "csv"))
    assert set(found) == {row["id"] for row in rows}
    assert all(row["source"].startswith("github ") and row["source_commit"] for row in rows)
    for row in rows:
        line = found[row["id"]]
        assert line["not_represented"] == ""
        assert float(line["measured"]) == float(row["value"])
        assert float(line["lower"]) <= float(line["predicted"]) <= float(line["upper"])


def test_errors_are_of_time(answer: Callable[..., str]) -> None:
    for line in answered(answer("accuracy", "--format", "csv")).values():
        measured, predicted = float(line["measured"]), float(line["predicted"])
        rate = line["metric"].endswith("per_s")
        ratio = measured / predicted if rate else predicted / measured
        assert float(line["error"]) == pytest.approx(ratio - 1, rel=1e-9, abs=1e-12)


def test_medians_on_the_shipped_rows(answer: Callable[..., str]) -> None:
    """In the sample; fit-latency prints the errors on rows that a fit has not seen."""
    found = answered(answer("accuracy", "--format", "csv"))
    by_class: dict[str, list[float]] = {}
    for row in shipped():
        if row["metric"] != "peak_memory_gib" and row["hardware"] != "ryzen-7940hs":
            by_class.setdefault(row["engine"], []).append(float(found[row["id"]]["error"]))
    for name in ("eager", "graphs", "native"):
        sizes = sorted(map(abs, by_class[name]))
        assert len(sizes) > 50
        assert sizes[len(sizes) // 2] < 0.08, name
        assert sizes[int(0.9 * len(sizes))] < 0.3, name


def test_the_page_tells_errors_apart(answer: Callable[..., str]) -> None:
    page = answer("accuracy")
    for title in ("Time by engine", "Time by hardware", "Time by metric", "Time by precision",
                  "Time by source", "Peak memory by source", "Worst rows",
                  "Time of a batch over that of one sequence", "Intervals of sources left out",
                  "Intervals of engines left out", "Intervals of devices left out"):  # fmt: skip
        assert title in page
    for group in ("eager", "graphs", "native", "cpu", "8 over 1"):
        assert group in page


def test_rows_that_cannot_be_represented_are_named(
    answer: Callable[..., str], tmp_path: Path
) -> None:
    rows = shipped()[:6]
    rows[0] |= {"hardware": "abacus"}
    rows[1] |= {"num_hidden_layers": ""}
    rows[2] |= {"tensor_parallel": "16"}
    rows[3] |= {"weight_dtype": "ternary"}
    rows[4] |= {"engine": "steam"}
    path = written(tmp_path / "mine.csv", rows)
    found = answered(answer("accuracy", "--measurements", path, "--format", "csv"))
    assert len(found) == 6
    reasons = [found[row["id"]]["not_represented"] for row in rows]
    for reason, words in zip(reasons, ("abacus", "num_hidden_layers", "8 devices", "ternary",
                                       "'steam'", ""), strict=True):  # fmt: skip
        assert words in reason
    assert reasons[5] == ""
    assert "5 that cannot be represented" in answer("accuracy", "--measurements", path)


def test_an_unknown_engine_is_its_class(answer: Callable[..., str], tmp_path: Path) -> None:
    row = next(row for row in shipped() if "gpt-fast" in row["engine_detail"])
    other = row | {"id": "other", "engine_detail": "an engine that nobody knows"}
    path = written(tmp_path / "mine.csv", [row, other])
    found = answered(answer("accuracy", "--measurements", path, "--format", "csv"))
    assert (found[row["id"]]["engine"], found["other"]["engine"]) == ("gpt-fast", "graphs")


def test_a_thousand_rows_take_seconds(answer: Callable[..., str], tmp_path: Path) -> None:
    rows = shipped()
    rows += [row | {"id": row["id"] + "b"} for row in rows]
    path = written(tmp_path / "many.csv", rows)
    start = time.process_time()
    answer("accuracy", "--measurements", path)
    assert len(rows) > 1000
    assert time.process_time() - start < 2


def test_a_value_that_is_no_number_is_refused(refusal: Callable[..., str], tmp_path: Path) -> None:
    path = written(tmp_path / "mine.csv", [shipped()[0] | {"value": "fast"}])
    assert "'fast' is not a positive number" in refusal("accuracy", "--measurements", path)


def test_missing_files(refusal: Callable[..., str], tmp_path: Path) -> None:
    for arguments in (("accuracy", "--measurements"), ("fit-latency",)):
        assert "cannot read" in refusal(*arguments, str(tmp_path / "none.csv"))


Answer = Callable[..., str]
Record = Callable[..., Any]
RUNS = DATA / "training_runs.csv"


def test_fit_on_the_published_runs(answer: Answer, record: Record) -> None:
    text = answer("fit")
    assert "0.9978" in text
    rows = {row["parameter"]: row for row in record("fit")["parameters"]}
    assert rows["E"]["value"] == pytest.approx(0.6912, abs=5e-5)
    assert rows["k"]["value"] == pytest.approx(0.3935, abs=5e-5)
    for row in rows.values():
        assert row["bootstrap_low"] < row["value"] < row["bootstrap_high"]
        assert row["leave_one_out_low"] < row["value"] < row["leave_one_out_high"]
    same = record("fit", str(RUNS), "--loss", "loss_stack_v2_python")
    assert same["parameters"][0]["value"] == pytest.approx(rows["E"]["value"])


def test_fit_predicts(answer: Answer, record: Record, refusal: Answer) -> None:
    rows = {r["parameter"]: r for r in record("fit", "--predict", "1595669000", "8")["parameters"]}
    loss = rows["loss at 1.60B, P = 8"]
    assert loss["bootstrap_low"] < loss["value"] < loss["bootstrap_high"]
    assert loss["value"] == pytest.approx(1.0383, abs=0.005)  # measured
    assert rows["equal-loss N of 1.60B, P = 8"]["value"] == pytest.approx(2.90e9, rel=2e-3)
    text = answer("fit", "--predict", "1e11", "16")
    assert "P = 16 is beyond the runs" in text
    assert "N = 100B is above the runs" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "N is -1; it must be a positive number" in refusal("fit", "--predict", "-1", "2")
    assert "P is 0; it must be at least 1" in refusal("fit", "--predict", "1e9", "0")


def test_fit_on_runs_of_ones_own(tmp_path: Path, answer: Answer, refusal: Answer) -> None:
    with RUNS.open() as file:
        rows = list(csv.DictReader(file))
    own = tmp_path / "mine.csv"

    def write(chosen: list[dict[str, str]]) -> None:
        lines = ["N,P,loss"]
        lines += [f"{r['non_embedding_parameters']},{r['P']},{r['loss_pile']}" for r in chosen]
        own.write_text("\n".join(lines) + "\n")

    write(rows)
    assert "on 24 runs" in answer("fit", str(own), "--samples", "20")
    write(rows[:4])
    assert "needs at least 5 runs" in refusal("fit", str(own))
    write([row for row in rows if row["P"] == "1"])
    assert "k can be identified from two values of P" in refusal("fit", str(own))
    own.write_text("N,P,loss\n1e9,1,nan\n")
    assert "nan" in refusal("fit", str(own))
