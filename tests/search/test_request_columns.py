"""Columns of what was asked: they hold it unchanged, under the names of the flags."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cost_analysis import Layout, Precision, Workload
from cost_analysis.cli.main import cli
from cost_analysis.cost.estimate import Answer, answer
from cost_analysis.inputs.request import make_request, model_asked
from cost_analysis.inputs.system import named_system
from cost_analysis.search import request_columns
from cost_analysis.search.column import Column
from cost_analysis.search.request_columns import (
    ASSUMED,
    COST_MODEL,
    FORMATS,
    LAYOUT,
    MODEL,
    WORKLOAD,
)

COLUMNS: list[Column] = [
    column
    for value in vars(request_columns).values()
    if isinstance(value, tuple) and isinstance(value[0], Column)
    for column in value
]


def found(*, with_published: bool = False) -> Answer:
    system = replace(
        named_system("h100", "eager"),
        precision=Precision("int8", "bf16", "fp8"),
        layout=Layout(tensor_parallel=2, pipeline_parallel=2),
    )
    model = model_asked("1.6B", {"streams": 4, "prefix_tokens": 7})
    return answer(make_request(model, Workload(6, 100, 9), system), with_published=with_published)


def test_columns_hold_what_was_asked() -> None:
    asked = found()
    of: dict[str, Any] = {column.name: column.value(asked) for column in COLUMNS}
    given = {
        "gpu_config": "h100-sxm-80gb",
        "engine": "eager",
        "weight_dtype": "int8",
        "activation_dtype": "bf16",
        "kv_cache_dtype": "fp8",
        "P": 4,
        "parscale_prefix_tokens": 7,
        "hidden_size": 1536,
        "batch_size": 6,
        "input_length": 100,
        "output_length": 9,
        "logits": "last",
        "tensor_parallel": 2,
        "pipeline_parallel": 2,
        "expert_parallel": 1,
        "stream_parallel": 1,
        "devices": 4,
        "micro_batches": 2,
    }
    assert {name: of[name] for name in given} == given


def test_the_cost_model_is_named() -> None:
    (column,) = COST_MODEL
    assert [column.value(found(with_published=on)) for on in (False, True)] == [
        "operators", "published",
    ]  # fmt: skip


def test_what_was_filled_in_is_listed() -> None:
    (column,) = ASSUMED
    request = make_request(model_asked(None, {"hidden_size": 2560}), Workload(), named_system())
    assert column.value(answer(request)) == "intermediate_size=13824"
    assert column.value(found()) == ""


@pytest.mark.parametrize("column", [*MODEL, *WORKLOAD, *FORMATS, *LAYOUT], ids=lambda c: c.name)
def test_inputs_are_flags_of_the_program(column: Column) -> None:
    """But for what follows from flags: a name, the kinds of layers, devices and micro-batches."""
    flags = {name for each in cli.commands["estimate"].params for name in each.opts}
    derived = {"name", "layers", "devices", "micro_batches"}
    assert f"--{column.name}" in flags or column.name in derived


def test_no_name_is_used_twice() -> None:
    names = [column.name for column in COLUMNS]
    assert len(names) == len(set(names)) > 30
    assert all(column.text for column in COLUMNS)
