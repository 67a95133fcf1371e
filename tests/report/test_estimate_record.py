"""An estimate as a record and as a row: their keys, and numbers that sum to totals."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from cost_analysis import Layout, Workload
from cost_analysis.cost.estimate import Answer, answer
from cost_analysis.inputs.request import make_request, model_asked
from cost_analysis.inputs.system import named_system
from cost_analysis.report.estimate_record import (
    estimate_record,
    estimate_row,
    exchange_rows,
    finite,
    layout_record,
    operator_rows,
    spec_record,
)
from cost_analysis.search.columns import ESTIMATE_COLUMNS
from cost_analysis.search.cost_columns import PUBLISHED
from tests.helpers.data import ROOT


def asked(*, with_published: bool) -> Answer:
    model = model_asked("1.6B", {"streams": 4})
    request = make_request(model, Workload(output_length=9), named_system())
    return answer(request, with_published=with_published)


def test_the_row_of_an_estimate_has_its_columns() -> None:
    row = estimate_row(asked(with_published=False))
    assert list(row) == [column.name for column in ESTIMATE_COLUMNS]
    assert (
        row["parameters_total"]
        == estimate_record(asked(with_published=False))["parameters"]["total"]
    )
    more = estimate_row(asked(with_published=True))
    assert list(more) == [column.name for column in (*ESTIMATE_COLUMNS, *PUBLISHED)]
    assert more == row | {name: more[name] for name in more if name.startswith("published_")} | {
        "cost_model": "published"
    }


def test_sections_of_the_record_are_what_others_say_of_a_model_and_a_layout() -> None:
    found = asked(with_published=False)
    record = estimate_record(found)
    assert list(record["model"].items()) == list(spec_record(found.cost.spec).items())
    assert list(record["layout"].items()) == list(layout_record(found.cost).items())
    row = estimate_row(found)
    for section in ("model", "workload", "layout"):
        assert record[section].items() <= row.items()


def test_the_keys_are_the_documented_ones() -> None:
    page = (ROOT / "README.md").read_text()
    table = page.split("| key | what it holds |")[1].split("\n\n")[0]
    documented = {
        key
        for line in table.splitlines()
        if line.startswith("| `")
        for key in re.findall(r"`([a-z_]+)`", line.split("|")[1])
    }
    assert set(estimate_record(asked(with_published=True))) == documented
    assert documented - set(estimate_record(asked(with_published=False))) == {"published"}


def test_operators_sum_to_the_totals() -> None:
    found = asked(with_published=False)
    record = estimate_record(found)
    for name, phase in (("prefill", found.cost.prefill), ("decode", found.cost.decode)):
        rows = [row for row in record["operators"] if row["phase"] == name]
        assert rows == operator_rows(phase)
        assert sum(row["flops"] for row in rows) == pytest.approx(float(phase.flops))
        assert sum(row["bytes"] for row in rows) == pytest.approx(float(phase.bytes))
        assert sum(row["seconds"] for row in rows) == pytest.approx(float(phase.seconds))
        assert all(row["kernel_flops"] <= row["flops"] for row in rows)
    held = record["memory_bytes"]
    assert held["total"] == held["weights"] + held["kv_cache"] + held["activations"]


def test_one_device_exchanges_nothing_and_two_all_reduce_every_layer() -> None:
    assert exchange_rows(asked(with_published=False).cost) == []
    model = model_asked("1.6B", {"streams": 4})
    system = replace(named_system("h100"), layout=Layout(tensor_parallel=2))
    cost = answer(make_request(model, Workload(output_length=9), system)).cost
    rows = exchange_rows(cost)
    assert {row["phase"] for row in rows} == {"prefill", "decode"}
    assert {row["spanned_devices"] for row in rows} == {2}
    assert all(row["sent_bytes"] > 0 and row["seconds"] > 0 for row in rows)
    sent = sum(row["sent_bytes"] for row in rows if row["phase"] == "prefill")
    times = cost.prefill.times
    assert sent == sum(t.operator.link_bytes * t.runs for t in times)
    assert layout_record(cost)["devices"] == 2


def test_numbers_that_json_does_not_know_are_null() -> None:
    assert [finite(value) for value in (1.5, math.inf, math.nan)] == [1.5, None, None]
    model = model_asked("1.6B", {"streams": 4})
    one_token = make_request(model, Workload(output_length=1), named_system())
    assert estimate_record(answer(one_token))["latency_s"]["tpot"] is None
