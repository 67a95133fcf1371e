"""Tables are listed by their metadata, and only what is asked for is read."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cost_analysis.common.errors import InputError
from cost_analysis.kernels.library import DEVICES, Library, find_library
from cost_analysis.kernels.tables import (
    Table,
    find_table,
    formats_of,
    list_tables,
    newest,
    order,
    read_columns,
    tables_of,
    values_of,
)
from tests.helpers.kernel_tables import ROWS, WIDTHS, product_rows, write_table

real = pytest.mark.skipif(
    find_spec("aiconfigurator_core") is None, reason="needs the package of kernel tables"
)


def test_the_list_says_what_there_is(library: Library) -> None:
    tables = list_tables(library)
    assert len(tables) == 8
    assert [t.version for t in tables if t.engine == "vllm" and t.family == "gemm"] == [
        "0.9.1",
        "0.24.0",
    ]
    table = find_table(library, "h100", "vllm", "gemm_perf")
    assert (table.device, table.engine, table.version) == ("h100-sxm-80gb", "vllm", "0.24.0")
    assert table.rows == 2 * len(ROWS) * len(WIDTHS) ** 2
    assert table.ranges == {"m": (1, 1024), "n": (512, 16384), "k": (512, 16384)}
    assert table.source == "systems/data/h100_sxm/gemm/vllm/0.24.0/gemm_perf.parquet"
    assert formats_of(table) == {"gemm_dtype": ("bfloat16", "fp8_block")}
    assert table.is_complete
    assert not find_table(library, "h100", "tensorrt-llm", "gemm_perf").is_complete


def test_versions_are_compared_by_their_numbers() -> None:
    rising = ["0.1.dev19262", "0.5.6", "0.5.6.post2", "0.5.14", "1.0.0", "1.3.0rc3", "1.3.0rc20"]
    rising += ["1.3.0", "1.10"]
    assert sorted(set(rising), key=order) == rising
    assert order("1.3") == order("1.3.0")
    assert order("unknown") < order("0.1")


def test_the_newest_complete_version_is_used(library: Library) -> None:
    table = find_table(library, "h100", "vllm", "gemm_perf")
    old, partial = replace(table, version="0.9"), replace(table, version="1.0", is_complete=False)
    assert newest([partial, table, old]) is table
    assert newest([partial, replace(partial, version="0.2")]) is partial
    single = replace(table, version="0.25.0", rows=table.rows // 3)
    assert newest([table, single]) is table
    assert newest([table, replace(single, rows=table.rows - 1)]).version == "0.25.0"


def test_a_version_can_be_asked_for(library: Library) -> None:
    assert find_table(library, "h100", "vllm", "gemm_perf", "0.9.1").version == "0.9.1"
    with pytest.raises(InputError, match=r"vllm 0\.8 on h100; there are 0\.9\.1, 0\.24\.0"):
        find_table(library, "h100", "vllm", "gemm_perf", "0.8")


def test_only_the_rows_and_columns_asked_for_are_read(library: Library) -> None:
    table = find_table(library, "h100", "vllm", "gemm_perf")
    found = read_columns(table, ["m", "gemm_dtype"], {"gemm_dtype": ["fp8_block"], "m": [1, 8]})
    assert set(found) == {"m", "gemm_dtype"}
    assert found["m"].dtype == np.float64
    assert set(found["m"].tolist()) == {1, 8}
    assert set(found["gemm_dtype"].tolist()) == {"fp8_block"}


def test_what_has_no_tables_says_what_has(library: Library) -> None:
    with pytest.raises(InputError, match=r"no kernel table moe_perf of tensorrt-llm.*of vllm"):
        find_table(library, "h100", "tensorrt-llm", "moe_perf")
    with pytest.raises(InputError, match=r"no kernel table x of vllm.*no engine has any"):
        find_table(library, "h100", "vllm", "x")
    with pytest.raises(InputError, match=r"no kernel tables of sglang on h100; .*llm, vllm"):
        tables_of(library, "h100", "sglang")
    with pytest.raises(InputError, match="no kernel tables of any engine on l40s"):
        tables_of(library, "l40s")


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    damaged = {
        "truncated": content[: len(content) // 2],
        "empty": b"",
        "text": b"version https://git-lfs.github.com/spec/v1\n",
    }
    path.write_bytes(damaged[how])


@pytest.mark.parametrize("how", ["truncated", "empty", "text"])
def test_a_damaged_file_is_said_in_one_sentence(package: Path, how: str) -> None:
    library = find_library(package)
    table = find_table(library, "h100", "vllm", "gemm_perf")
    damage(table.path, how)
    reads: list[Any] = [
        lambda: list_tables(library),
        lambda: read_columns(table, ["m"]),
        lambda: values_of(table, "gemm_dtype"),
    ]
    for read in reads:
        with pytest.raises(
            InputError, match=r"gemm_perf\.parquet' is damaged; pip install"
        ) as error:
            read()
        assert "\n" not in str(error.value)


def test_damaged_pages_are_found_when_they_are_read(package: Path) -> None:
    table = find_table(find_library(package), "h100", "vllm", "gemm_perf")
    content = bytearray(table.path.read_bytes())
    content[4:400] = bytes(396)
    table.path.write_bytes(content)
    with pytest.raises(InputError, match="is damaged"):
        read_columns(table, ["gemm_dtype", "m", "n", "k", "latency"])


def test_a_missing_column_is_named(package: Path) -> None:
    folder = package / "systems/data/l40s/gemm/vllm/0.24.0"
    rows = [{name: row[name] for name in ("m", "n", "latency")} for row in product_rows()]
    write_table(folder, "gemm_perf", rows)
    table = find_table(find_library(package), "l40s", "vllm", "gemm_perf")
    with pytest.raises(InputError, match="has no column k; pip install"):
        read_columns(table, ["m", "n", "k"])
    with pytest.raises(InputError, match="has no column gemm_dtype"):
        values_of(table, "gemm_dtype")


@pytest.mark.parametrize("text", ["schema_version: 3\ntables: {}\n", "schema_version: 1\n"])
def test_another_layout_of_descriptions_is_refused(package: Path, text: str) -> None:
    path = package / "systems/data/h100_sxm/gemm/vllm/0.24.0/collection_meta.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match="not of the layout" if "3" in text else "damaged"):
        list_tables(find_library(package))
    path.unlink()  # nothing says that it is complete
    tables = list_tables(find_library(package), name="gemm_perf", engine="vllm")
    assert [table.is_complete for table in tables] == [True, False]


@real
def test_every_table_of_the_package_is_described() -> None:
    tables = list_tables(find_library())
    assert len(tables) > 700
    assert sum(table.rows for table in tables) > 12_000_000
    assert {table.device for table in tables} >= set(DEVICES)
    assert all(table.rows and table.ranges for table in tables)


@real
@pytest.mark.parametrize(("device", "engine"), [("h100", "vllm"), ("b200", "tensorrt-llm")])
def test_whole_tables_are_used_and_not_those_of_single_models(device: str, engine: str) -> None:
    table: Table = find_table(find_library(), device, engine, "moe_perf")
    assert table.is_complete
    assert table.rows > 40_000
