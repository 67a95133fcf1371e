"""Plans as pages and records."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cost_analysis.inputs.system import named_system
from cost_analysis.report.plan import (
    engine_note,
    one,
    pareto_records,
    plan_page,
    plan_record,
    plan_table,
    plan_warnings,
    row_record,
)
from cost_analysis.search.plan import Limits, Plan, Question
from tests.helpers.cases import MIXTURE, SMALL
from tests.helpers.data import ROOT
from tests.helpers.figure_cases import law, planned
from tests.helpers.pages import printed


@pytest.fixture(scope="module")
def asked() -> tuple[Question, Plan]:
    return planned()


def test_the_keys_are_the_documented_ones(asked: tuple[Question, Plan]) -> None:
    page = (ROOT / "docs" / "plan.md").read_text().split("## Output for programs")[1]
    record = plan_record(asked[1], law(), 2)
    for key in (*record, *record["plans"][0], *record["law"]):
        assert f"`{key}`" in page, key
    assert len(record["plans"]) == 2
    assert record["limits"] == {"latency": 1}


def test_plans_are_feasible_and_the_best_comes_first(asked: tuple[Question, Plan]) -> None:
    record = plan_record(asked[1], law(), 99)
    losses = [plan["loss"] for plan in record["plans"]]
    assert losses == sorted(losses)
    assert len(losses) == 4  # the best of each P
    for plan in record["plans"]:
        assert plan["latency_s"] <= 1
        assert plan["memory_bytes"] <= plan["memory_limit_bytes"]
    assert 0 < record["pareto_size"] <= record["feasible"] <= record["candidates"]


def test_rows_of_the_pareto_set_are_by_loss(asked: tuple[Question, Plan]) -> None:
    _, plan = asked
    rows = pareto_records(plan)
    assert len(rows) == len(plan.pareto)
    losses = [row["loss"] for row in rows]
    assert losses == sorted(losses)
    assert rows[0] == row_record(plan, int(plan.pareto[0]))


def test_columns_that_are_the_same_throughout_are_left_out(asked: tuple[Question, Plan]) -> None:
    table = plan_table(asked[1], 3)
    assert table.columns == ("P", "size", "loss", "memory", "TTFT", "TPOT", "request", "binds")
    assert len(table.rows) == 3
    loaded = plan_table(planned((2, 8), 3.0, Limits())[1], 1)
    assert "active" in loaded.columns
    assert one([1, 1])
    assert not one([1, 2])


def test_the_page_says_why_the_best_is_not_better(asked: tuple[Question, Plan]) -> None:
    text = printed(plan_page(asked[1], law(), "some runs", 4))
    assert text.startswith("The lowest loss on NVIDIA A100 SXM4 80 GB\n")
    assert "latency binds: the next larger size takes" in text
    assert "One stream at best: " in text
    assert "the law fitted on some runs" in " ".join(text.split())


def test_a_plan_under_load_and_one_of_one_stream() -> None:
    _, loaded = planned((2, 8), 3.0, Limits())
    words = " ".join(printed(plan_page(loaded, law(), "some runs", 4)).split())
    assert "3 requests/s" in words
    assert "under load: Poisson arrivals" in words
    assert "One stream: no size keeps the limits" in words
    alone = printed(plan_page(planned((1,))[1], law(), "some runs", 4))
    assert "at best" not in alone


def test_what_lies_beyond_the_runs_is_a_warning(asked: tuple[Question, Plan]) -> None:
    found = plan_warnings(asked[1], law())
    assert any("the law is extrapolated" in sentence for sentence in found)
    space = asked[1].space
    other = replace(asked[1], space=replace(space, base=replace(space.base, num_hidden_layers=7)))
    assert any("whether it holds for models shaped like" in s for s in plan_warnings(other, law()))


def test_an_engine_that_was_not_measured_has_no_interval() -> None:
    ideal = engine_note(named_system("a100", "ideal"), SMALL)
    assert ideal.startswith("engine ideal: ")
    assert "80 %" not in ideal
    assert "80 % of measured runs took" in engine_note(named_system("a100", "graphs"), SMALL)
    known = engine_note(named_system("a100", "vllm-2024"), SMALL)
    assert "times as long; " in known
    unknown = engine_note(named_system("t4", "vllm-2024"), MIXTURE)
    assert "times as long (wider for a new device, experts); " in unknown
