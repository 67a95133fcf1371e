"""The serving view as rows and pages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cost_analysis.report.render import PLAIN_WIDTH
from cost_analysis.report.serving import (
    batch_rows,
    load_rows,
    model_record,
    serving_page,
    serving_record,
    verdict,
)
from cost_analysis.search.serving import LoadCrossover
from tests.helpers.data import ROOT
from tests.helpers.pages import printed
from tests.helpers.serving import view


def test_rows_of_loads_and_of_batches() -> None:
    found = view()
    rows = load_rows(found, np.array([0.5, 2.0]))
    assert [(row["model"], row["requests_per_s"]) for row in rows] == [
        (name, rate) for name in ("P = 1", "P = 4", "wider") for rate in (0.5, 2.0)
    ]
    load = found.streams[1].load(2.0)
    (row,) = (r for r in rows if (r["model"], r["requests_per_s"]) == ("P = 4", 2.0))
    assert row["ttft_s"] == pytest.approx(float(load.ttft))
    assert row["latency_s"] == pytest.approx(float(load.latency))
    batches = [row for row in batch_rows(found) if row["model"] == "P = 1"]
    assert [row["batch_size"] for row in batches] == found.streams[0].batches.tolist()
    for row in batches:
        assert row["tokens_per_s"] == pytest.approx(40 * row["requests_per_s"])


def test_the_keys_are_the_documented_ones() -> None:
    page = (ROOT / "docs" / "serving.md").read_text().split("## Output for programs")[1]
    record = serving_record(view(), None)
    for key in record:
        assert f"`{key}`" in page
    for section in ("models", "load", "batch", "contests"):
        for key in record[section][0]:
            assert f"`{key}`" in page, key
    assert record["lengths"] == {"kinds": 1, "mean_input": 200, "mean_output": 40}


def test_the_record_of_one_rate_has_a_row_a_model() -> None:
    record = serving_record(view(), 2.0)
    assert [row["model"] for row in record["load"]] == ["P = 1", "P = 4", "wider"]
    assert {row["requests_per_s"] for row in record["load"]} == {2}
    for row in record["load"]:
        assert 0 < row["busy"] < 1
        # Little's law; those that wait for their prefill are not in flight.
        assert 0.9 * 2 * row["latency_s"] < row["requests_in_flight"] <= 2 * row["latency_s"]


def test_too_heavy_a_load_is_null_in_the_record_and_a_dash_on_the_page() -> None:
    heavy = 10 * max(model.carried for model in view().models)
    assert all(row["latency_s"] is None for row in serving_record(view(), heavy)["load"])
    page = serving_page(view(), heavy)
    (at_rate,) = (table for table in page.tables if table.title.startswith("At "))
    assert all(row[1:4] == ("-", "-", "-") for row in at_rate.rows)
    printed(page)


def test_more_streams_need_more_for_each_request() -> None:
    one, four = (model_record(model) for model in view().streams)
    assert (one["P"], four["P"]) == (1, 4)
    assert one["cache_per_request_bytes"] < four["cache_per_request_bytes"]
    assert one["carried_per_s"] > four["carried_per_s"]


def test_the_verdict_says_who_is_faster_where() -> None:
    crossovers = (LoadCrossover("ttft", False, None), LoadCrossover("latency", True, 4.567))
    lines = verdict(replace(view(), crossovers=crossovers))
    assert lines[:2] == [
        "First token: parameters are faster at every load",
        "Whole request: streams are faster up to 4.57 requests/s, then parameters",
    ]
    assert lines[2].startswith("Requests a second carried at most: P = 1 ")


def test_nothing_that_fits_is_served() -> None:
    nothing = view((1, 4), (200, 40), 1e9)
    assert verdict(nothing) == [
        "P = 4 does not fit: not one request is served",
        "Requests a second carried at most: none",
    ]
    assert [table.title for table in serving_page(nothing, None).tables] == ["What fits in 954 MiB"]


@pytest.mark.parametrize("lengths", [(200, 40), (200, 1)])
@pytest.mark.parametrize("streams", [(1,), (4, 1)])
def test_pages_are_narrow(streams: tuple[int, ...], lengths: tuple[int, int]) -> None:
    text = printed(serving_page(view(streams, lengths), 1.0))
    assert max(map(len, text.splitlines())) <= PLAIN_WIDTH
    assert "At 1 requests/s" in text
    assert ("faster\n" in text) == (len(streams) > 1)
