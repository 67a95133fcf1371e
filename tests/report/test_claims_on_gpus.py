"""The claims on measured devices as records and a page, with kernels by a plain formula."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from cost_analysis.compare.claims_on_gpus import ClaimsOnGpus
from cost_analysis.compare.noise import Added
from cost_analysis.report.claims_on_gpus import (
    gpu_claims_page,
    gpu_records,
    ratio_cell,
    sentence,
)
from tests.helpers.gpu_claims import plain_claims
from tests.helpers.pages import printed


@pytest.fixture(scope="module")
def found() -> ClaimsOnGpus:
    with pytest.MonkeyPatch.context() as patch:
        return plain_claims(patch)


def test_the_page_is_narrow_and_has_a_row_for_each_pair(found: ClaimsOnGpus) -> None:
    page = gpu_claims_page(found)
    text = printed(page)
    assert max(map(len, text.splitlines())) <= 80
    ratios, added, fewer = page.tables
    pairs = [(gpu.system.hardware.name, gpu.system.engine.name) for gpu in found.gpus]
    assert [row[:2] for row in ratios.rows[1:]] == pairs
    assert [row[:2] for row in added.rows] == [row[:2] for row in fewer.rows] == pairs
    assert len(pairs) == 30
    assert "the paper's" in text
    assert "23.2" not in ratios.rows[0][2]
    assert "P = 2" in text
    assert "P = 4" in text


def test_records_are_flat_and_say_what_the_page_says(found: ClaimsOnGpus) -> None:
    rows = gpu_records(found)
    assert len({tuple(row) for row in rows}) == 1
    assert all(
        isinstance(value, str | int | float | None) for row in rows for value in row.values()
    )
    first = [
        row
        for row in rows
        if (row["P"], row["batch_size"], row["baseline"], row["dataset"])
        == (8, 1, "measured", "stack")
    ]
    assert [row["cost_model"] for row in first] == ["published", *["operators"] * 30]
    for row in first[1:]:
        ratio = row["wider_latency_s"] / row["streams_latency_s"]
        assert row["latency_ratio"] == pytest.approx(ratio)
        assert row["latency_ratio_low"] < row["latency_ratio"]
        assert row["crossover_batch_size"] > 1
    by_law = [row for row in rows if row["baseline"] == "law"]
    assert all(row["crossover_batch_size"] is None for row in by_law)


@pytest.mark.parametrize(
    ("added", "cell"),
    [
        (Added(1.0, 0.5, 0.1, 0.01), "5.00"),
        (Added(1.0, 0.5, 0.01, 0.001), "50.0"),
        (Added(1.0, 0.5, 0.02, 0.03), "> 10.0"),
        (Added(1.0, 0.5, -0.1, 0.1), "> 5.00"),
        (Added(1.0, 0.0, 0.0, 0.0), "none"),
        (Added(1.0, 0.5, 0.0, 0.0), "free"),
    ],
)
def test_cells(added: Added, cell: str) -> None:
    assert ratio_cell(added) == cell


def _with_first(found: ClaimsOnGpus, *latencies: Added) -> ClaimsOnGpus:
    """Devices whose first reading is replaced."""
    gpus = []
    for gpu, latency in zip(found.gpus, latencies, strict=False):
        first, *others = gpu.readings
        gpus.append(replace(gpu, readings=(replace(first, latency=latency), *others)))
    return replace(found, gpus=tuple(gpus))


def test_the_sentence_on_6x(found: ClaimsOnGpus) -> None:
    paper = found.papers[0].latency.ratio
    at, above = Added(1.0, paper * 0.1, 0.1, 0.01), Added(1.0, paper, 0.1, 0.01)
    below, free = Added(1.0, 0.05, 0.1, 0.01), Added(1.0, 0.5, 0.01, 0.02)
    text = sentence(_with_first(found, at, above, below, free))
    assert f"the paper's {paper:.3g} times at batch 1, by 4 pairs of device and engine" in text
    assert ": on 3 streams add" in text
    assert f"add 0.5 to {10 * paper:.3g} times less latency than parameters" in text
    assert "and on 1 they are free within the noise (they add 3.0% at most)" in text
    assert "lies in the interval of 1, below that of 2 and above that of 1." in text
    assert "by 1 pair of device and engine: on 1 they are free" in sentence(
        _with_first(found, free)
    )
    assert "free" not in sentence(_with_first(found, at))


def test_a_kernel_that_flatters_streams_is_named(found: ClaimsOnGpus) -> None:
    slow = replace(found.gpus[0], one_row=1.8)
    notes = gpu_claims_page(replace(found, gpus=(slow, *found.gpus[1:]))).notes
    named = [note for note in notes if "flatters streams" in note]
    assert len(named) == 1
    assert "takes 1.80 times as long as with 8" in named[0]
    assert not any("flatters" in note for note in gpu_claims_page(found).notes)
    assert math.isfinite(found.gpus[0].one_row)
