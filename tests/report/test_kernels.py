"""Tables of kernel timings as records and pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from cost_analysis.kernels.library import Library, find_library
from cost_analysis.kernels.tables import tables_of
from cost_analysis.report.kernels import (
    defaults,
    engine_page,
    list_page,
    table_records,
    table_rows,
)
from cost_analysis.report.render import render_plain
from tests.helpers.kernel_tables import ROWS, WIDTHS, write_package


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return find_library(write_package(tmp_path_factory.mktemp("tables")))


def test_the_list_has_a_line_for_each_kind_of_kernels(library: Library) -> None:
    text = render_plain(list_page(library, tables_of(library)))
    assert max(map(len, text.splitlines())) <= 80
    assert text.startswith("8 tables of kernel timings, ")
    rows = 2 * len(ROWS) * len(WIDTHS) ** 2
    (line,) = [line for line in text.splitlines() if "vllm" in line and "gemm" in line]
    assert line.split()[:5] == ["vllm", "gemm", "0.24.0", "+1", f"{rows}"]
    assert line.endswith("  rows 1 to 1.02K")
    assert "1.3.0rc20*" in text  # partial
    assert "aiconfigurator-core 0.12.0 (NVIDIA, Apache-2.0)" in text


def test_a_page_has_each_table_with_formats_ranges_and_file(library: Library) -> None:
    text = render_plain(engine_page(library, tables_of(library, "h100", "vllm")))
    assert max(map(len, text.splitlines())) <= 80
    assert "gemm: gemm_perf, 0.9.1, not used" in text
    assert "bfloat16, fp8_block" in text
    assert "512 to 16,384" in text
    assert "systems/data/h100_sxm/gemm/vllm/0.24.0" in text
    partial = render_plain(engine_page(library, tables_of(library, "h100", "tensorrt-llm")))
    assert "gemm: gemm_perf, 1.3.0rc20, partial\n" in partial


def test_records_and_rows(library: Library) -> None:
    tables = tables_of(library, "h100", "vllm")
    records = table_records(library, tables, with_formats=True)
    (used,) = [each for each in records if each["family"] == "gemm" and each["is_used"]]
    assert used["version"] == "0.24.0"
    assert used["ranges"]["m"] == [1, 1024]
    assert used["formats"] == {"gemm_dtype": ["bfloat16", "fp8_block"]}
    assert used["licence"] == "Apache-2.0"
    row = table_rows([used])[0]
    assert row["ranges"] == "m 1 to 1024; n 512 to 16384; k 512 to 16384"
    assert row["formats"] == "gemm_dtype bfloat16 fp8_block"
    assert not table_records(library, tables, with_formats=False)[0]["formats"]


def test_one_version_of_each_table_is_used(library: Library) -> None:
    used = defaults(tables_of(library))
    assert len({(t.device, t.engine, t.family, t.name) for t in used}) == len(used) == 7


def test_names_that_we_do_not_have_are_those_of_the_package(tmp_path: Path) -> None:
    from tests.helpers.kernel_tables import all_reduce_rows, write_table

    package = write_package(tmp_path)
    write_table(package / "systems/data/h300/comm/nccl/2.30", "nccl_perf", all_reduce_rows())
    library = find_library(package)
    (table,) = [t for t in tables_of(library) if t.device == "h300"]
    assert table.engine == "nccl"
    assert "elements 128 to 1.05M" in render_plain(list_page(library, [table]))
