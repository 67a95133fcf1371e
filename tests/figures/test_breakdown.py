"""Bars of what time and memory are spent on."""

from __future__ import annotations

import re

import pytest

from cost_analysis import Engine, Hardware, Workload, estimate
from cost_analysis.common.units import GIB, format_figure
from cost_analysis.figures import breakdown as breakdown_figure
from cost_analysis.figures import style
from cost_analysis.figures.breakdown import breakdown_parts
from cost_analysis.inputs.dtypes import Precision
from tests.helpers.figure_cases import (
    BASE,
    STREAMS,
    parts,
    system,
)


@pytest.mark.parametrize("output_length", [1, 64])
def test_parts_sum_to_the_estimate(a100: Hardware, graphs: Engine, output_length: int) -> None:
    found = parts(output_length)
    for index, streams in enumerate(STREAMS):
        cost = estimate(
            BASE.with_streams(streams), Workload(2, 100, output_length), a100, graphs, Precision()
        )
        for stack, total in (
            (found.memory, cost.memory.total),
            (found.prefill, cost.ttft),
            (found.decode, cost.total - cost.ttft),
        ):
            assert all((values >= 0).all() for values in stack.values())
            assert sum(values[index] for values in stack.values()) == pytest.approx(total, rel=1e-9)
        assert found.memory["KV cache"][index] == cost.memory.kv_cache


def test_large_totals_are_written_out() -> None:
    huge = breakdown_parts(BASE, STREAMS, Workload(4096, 2048, 64), system())
    assert huge.memory["KV cache"][-1] > 1024 * GIB
    assert sum(values[-1] for values in huge.decode.values()) > 100
    text = style.picture(lambda: breakdown_figure.breakdown(huge), "svg").decode()
    shown = re.findall(r">([^<>]+)</(?:text|tspan)>", text)
    assert "Memory [TiB]" in shown
    assert format_figure(sum(values[-1] for values in huge.prefill.values())) in shown
    assert not any("e+" in word for word in shown)
