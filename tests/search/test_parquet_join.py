"""Joined Parquet files hold the rows of their parts, as pyarrow reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cost_analysis.parquet_join import join

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def write(path: Path, rows: int, seed: int, groups: int = 1) -> None:
    random = np.random.default_rng(seed)
    numbers = random.random(rows)
    numbers[::7] = np.nan
    table = pa.table(
        {
            "name": pa.array([f"n{seed}"] * rows).dictionary_encode(),
            "count": random.integers(-5, 2**40, rows),
            "number": pa.array(numbers, from_pandas=True),
            "flag": random.random(rows) > 0.5,
            **{f"other {place}": random.random(rows) for place in range(20)},
        }
    )
    parquet.write_table(
        table,
        path,
        row_group_size=max(1, rows // groups),
        compression="zstd",
        use_dictionary=["name", "count"],
        write_page_index=seed % 2 == 1,
    )


def test_parts_of_one_file(tmp_path: Path) -> None:
    parts = [tmp_path / f"{seed}.parquet" for seed in range(20)]
    for seed, part in enumerate(parts):
        write(part, 100 * seed + 1, seed, groups=1 + seed % 3)
    whole = tmp_path / "whole.parquet"
    with whole.open("wb") as file:
        join(parts, file)
    expected = pa.concat_tables([parquet.read_table(part) for part in parts])
    found = parquet.read_table(whole)
    assert found.schema.equals(expected.schema, check_metadata=True)
    assert found.unify_dictionaries().equals(expected.unify_dictionaries())
    joined = parquet.ParquetFile(whole)
    counts = [parquet.ParquetFile(part).num_row_groups for part in parts]
    assert joined.num_row_groups == sum(counts)
    last = parquet.ParquetFile(parts[-1]).read_row_group(0)
    again = joined.read_row_group(sum(counts[:-1]))
    assert again.equals(last)
    filtered = parquet.read_table(whole, filters=[("name", "==", "n7")])
    assert filtered.num_rows == 701


def test_one_part_is_the_file(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", 50, 2)
    with (tmp_path / "b.parquet").open("wb") as file:
        join([tmp_path / "a.parquet"], file)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 this is no such file")
    with pytest.raises(ValueError, match="no Parquet file"), (tmp_path / "b").open("wb") as file:
        join([tmp_path / "a.parquet"], file)
