"""Timings are arrays in SI units, one for each shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cost_analysis.common.errors import InputError
from cost_analysis.kernels.library import Library, find_library
from cost_analysis.kernels.shapes import FORMATS
from cost_analysis.kernels.timings import (
    ELEMENT_BYTES,
    FORMATS_OF_TABLES,
    all_reduce_table,
    attention_table,
    expert_table,
    latent_table,
    medians_of,
    product_table,
)
from tests.helpers.kernel_tables import (
    ROWS,
    START,
    WIDTHS,
    product_rows,
    product_seconds,
    write_table,
)


def test_every_format_has_its_name_in_tables() -> None:
    assert tuple(FORMATS_OF_TABLES) == FORMATS


def test_products(library: Library) -> None:
    found = product_table("h100", "vllm", "bf16", library)
    assert len(found.rows) == len(ROWS) * len(WIDTHS) ** 2
    expected = [product_seconds(*sizes) for sizes in zip(*found[:3], strict=True)]
    np.testing.assert_allclose(found.seconds, expected, rtol=1e-12)
    assert found.table.version == "0.24.0"


def test_repeated_shapes_count_once_with_their_median(package: Path) -> None:
    rows = product_rows()
    repeated = [{**rows[0], "latency": rows[0]["latency"] * factor} for factor in (5.0, 0.5)]
    bad = [{**rows[1], "latency": value} for value in (float("nan"), 0.0, -1.0)]
    folder = package / "systems/data/l40s/gemm/vllm/0.24.0"
    write_table(folder, "gemm_perf", [*rows, *repeated, *bad])
    found = product_table("l40s", "vllm", "bf16", find_library(package))
    expected = [product_seconds(*sizes) for sizes in zip(*found[:3], strict=True)]
    np.testing.assert_allclose(found.seconds, expected, rtol=1e-12)


def test_medians() -> None:
    shapes = np.array([[2.0], [1.0], [2.0], [2.0], [1.0], [3.0]])
    different, medians = medians_of(shapes, np.array([9.0, 1.0, 1.0, 2.0, 2.0, 7.0]))
    assert different.tolist() == [[1.0], [2.0], [3.0]]
    assert medians.tolist() == [1.5, 2.0, 7.0]


@pytest.mark.parametrize("decodes", [True, False])
def test_attention(library: Library, decodes: bool) -> None:
    found = attention_table("h100", "vllm", "bf16", decodes=decodes, library=library)
    assert set(found.context.tolist()) == {64, 256, 1024}
    assert set(found.window.tolist()) == {0, 128}
    assert (found.queries == (1 if decodes else found.context)).all()
    assert found.seconds.min() > 2 * START


def test_a_table_without_windows_has_none(package: Path) -> None:
    from tests.helpers.kernel_tables import attention_rows

    rows = attention_rows(decodes=True, windows=(0,))
    for row in rows:
        del row["window_size"]
    folder = package / "systems/data/l40s/attention/vllm/0.14.0"
    write_table(folder, "generation_attention_perf", rows)
    library = find_library(package)
    found = attention_table("l40s", "vllm", "bf16", decodes=True, library=library)
    assert (found.window == 0).all()


def test_latent_attention(library: Library) -> None:
    found = latent_table("h100", "vllm", "fp8", decodes=True, library=library)
    assert len(found.seconds) == 12
    assert set(found.context.tolist()) == {64, 1024}


def test_experts_are_those_of_the_device(library: Library) -> None:
    found = expert_table("h100", "vllm", "bf16", library)
    sizes = set(zip(found.inner, found.held, found.experts, found.matrices, strict=True))
    assert sizes == {(768, 128, 128, 3), (384, 32, 128, 3), (1856, 128, 128, 2)}
    balanced = expert_table("h100", "vllm", "mxfp4", library, distribution="balanced")
    assert len(balanced.seconds) == len(found.seconds)
    with pytest.raises(InputError, match="no rows of bfloat16 with balanced"):
        expert_table("h100", "vllm", "bf16", library, distribution="balanced")


def test_all_reduce_is_that_of_graphs_and_in_bytes(library: Library) -> None:
    found = all_reduce_table("h100", "vllm", library)
    assert set(found.bytes.tolist()) == {ELEMENT_BYTES * n for n in (128, 1024, 1 << 20)}
    assert found.seconds.min() < 2 * START


def test_a_format_that_is_missing_is_said_with_those_there_are(library: Library) -> None:
    with pytest.raises(InputError, match="no timings of nvfp4; it has bf16, fp8-block"):
        product_table("h100", "vllm", "nvfp4", library)
    with pytest.raises(InputError, match="no timings of fp8; it has bf16"):
        attention_table("h100", "vllm", "fp8", decodes=True, library=library)
