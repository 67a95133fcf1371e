"""An estimate as a record and as a row: their keys, and numbers that sum to totals."""

from __future__ import annotations

from cost_analysis import Workload
from cost_analysis.cost.estimate import Answer, answer
from cost_analysis.inputs.request import make_request, model_asked
from cost_analysis.inputs.system import named_system
from cost_analysis.report.estimate_record import (
    estimate_record,
    estimate_row,
    layout_record,
    spec_record,
)
from cost_analysis.search.columns import ESTIMATE_COLUMNS
from cost_analysis.search.cost_columns import PUBLISHED


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
